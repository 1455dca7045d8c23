"""`CodDownload`: studies of a Cloud-Optimized DICOM store, with the names that cod-retrieve has.

async with CodDownload("out") as cod:
    cod.init_bucket("https://my-domain.com/my-bucket/my-prefix?token=my-token")
    print(await cod.get_stats(studies))
    job = cod.download(studies)
    job.on_save(lambda stored: print("saved", stored.path))
    await job.start()
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.engine.slot import Slot
from asyncdicom.errors import UsageError
from asyncdicom.jobs.cod_stats import CodSurvey, DownloadStats, SeriesStats, StudyStats
from asyncdicom.library.background import Background
from asyncdicom.library.job import Job
from asyncdicom.library.options import ConnectOptions, check_names, connection_values
from asyncdicom.library.reporting import ReportedStore
from asyncdicom.library.retrieving import get_options
from asyncdicom.library.running import Run
from asyncdicom.library.watching import watched_archive
from asyncdicom.model import Resource, Target, Uid, parse_uid
from asyncdicom.output_wiring import open_store
from asyncdicom.protocol.cod.places import CodRoot, is_cod, parse_cod_root
from asyncdicom.storage.atomic import FileWriter
from asyncdicom.wiring import open_cod_archive, scheduler_settings

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from types import TracebackType

    from asyncdicom.events import RunEnded
    from asyncdicom.library.reporting import Reporter

__all__ = ["BucketDetails", "CodDownload", "DownloadStats", "SeriesStats", "StudyStats"]

_IN_ZIP = "{SeriesInstanceUID}/instances"
_IN_FOLDER = f"{{StudyInstanceUID}}/{_IN_ZIP}"


class BucketDetails(TypedDict, total=False):
    """A store in the form of an object; its prefix is taken as it is."""

    bucket: str
    bucketPrefix: str | None
    """With `/dicomweb` at its end, where that is there; None for the whole bucket."""
    token: str | None
    """Bearer token; None for what anybody may read."""


class CodDownload:
    """Downloads studies of one Cloud-Optimized DICOM store into one folder.

    Example:
        async with CodDownload("out", concurrency=16) as cod:
            cod.init_bucket(url)
            stats = await cod.get_stats([study])
            print(stats.series_count, stats.saved_series_count, stats.byte_count)
            ended = await cod.download([study])
            assert ended.is_complete

    Cancellation: leaving the block ends jobs that still run, and waits for them.

    """

    def __init__(
        self,
        output: str | os.PathLike[str] | None = None,
        *,
        concurrency: int = 8,
        retry: int = 3,
        **options: Unpack[ConnectOptions],
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            output: Folder to write to; or say it with `init_directory`.
            concurrency: Requests at once, at least 1.
            retry: Further tries of a failed request, at least 0.
            **options: As those of `connect`.

        Raises:
            ConfigError: If a number is out of its bounds.
            TypeError: If there is no such option.

        """
        check_names("CodDownload", options, ConnectOptions)
        self._values = connection_values(options, concurrency=concurrency, retry=retry)
        self._output = output
        self._root: CodRoot | None = None
        self._slot = Slot(tasks_per_s=self._values.get("rate"))
        self._background = Background()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel jobs that still run, and wait for them."""
        await self._background.aclose()

    def init_directory(self, output: str | os.PathLike[str]) -> None:
        """Say where files go; the folder is made when something is stored."""
        self._output = output

    def init_bucket(self, bucket_details: str | BucketDetails) -> None:
        """Say where studies come from.

        Args:
            bucket_details: A URL, `https://HOST/BUCKET/PREFIX?token=TOKEN`, where `/dicomweb` goes
                behind the prefix, with or without `cod+` in front; `cod+gs://` and `cod+s3://`;
                or an object, whose prefix is taken as it is, in Google Cloud Storage.

        Raises:
            ConfigError: If it names no store.

        """
        if isinstance(bucket_details, str):
            is_written_out = is_cod(bucket_details)
            self._root = parse_cod_root(
                bucket_details if is_written_out else f"cod+{bucket_details}"
            )
            return
        self._root = CodRoot(
            bucket_details.get("bucket") or "",
            (bucket_details.get("bucketPrefix") or "").strip("/"),
            token=bucket_details.get("token"),
        )

    async def get_stats(self, study_instance_uids: Iterable[str]) -> DownloadStats:
        """Return how much there is, and how much of it is saved; the same when asked again.

        What could not be looked up is named in `failed`; if nothing could, that is raised.

        Raises:
            InvalidUid: If a UID is none.
            NotFound: If the store has none of the studies.
            FetchError: If none could be looked up.
            UsageError: If nobody said where studies come from.

        """
        studies = _studies(study_instance_uids)
        async with open_cod_archive(self._known_root(), self._values) as archive:
            if self._output is None or not Path(self._output).is_dir():  # noqa: ASYNC240 -- once
                return await self._survey(CodSurvey(archive.source), studies)
            async with open_store(self._storing(zip_output=False)) as store:
                return await self._survey(CodSurvey(archive.source, store), studies)

    def download(self, study_instance_uids: Iterable[str], zip_output: bool = False) -> Job:  # noqa: FBT001, FBT002 -- as cod-retrieve has it
        """Make a job that stores the instances of studies, each proven by its checksum.

        What is there and whole is not fetched again.

        Args:
            study_instance_uids: Study Instance UIDs, as the store names them.
            zip_output: One archive per study instead of a folder.

        Raises:
            InvalidUid: If a UID is none.
            UsageError: If nobody said where studies come from, or where they go.

        """
        root, values = self._known_root(), self._storing(zip_output=zip_output)
        targets = [Target(Resource.STUDY, uid) for uid in _studies(study_instance_uids)]

        async def work(reporter: Reporter) -> RunEnded:
            async with open_cod_archive(root, values) as archive, open_store(values) as store:
                run = Run(reporter, self._slot, values)
                reported = ReportedStore[FileWriter](store, archive.url_of, reporter)
                job = watched_archive(archive, reporter).get_job(
                    reported, run.tally, get_options(values)
                )
                return await run.drive(job, job.tasks(targets), finish=store.finish)

        return Job(work, self._background, f"download from {root.url}")

    async def _survey(self, survey: CodSurvey, studies: list[Uid]) -> DownloadStats:
        scheduler = Scheduler(survey, scheduler_settings(self._values), slot=self._slot)
        await scheduler.run(survey.tasks(studies))
        found = survey.statistics()
        if found.failed and not found.series:
            raise found.failed[0].error
        return found

    def _known_root(self) -> CodRoot:
        if self._root is None:
            raise UsageError("say where studies come from: init_bucket")
        return self._root

    def _storing(self, *, zip_output: bool) -> dict[str, Any]:
        if self._output is None:
            raise UsageError("say where files go: init_directory")
        layout = _IN_ZIP if zip_output else _IN_FOLDER
        return {**self._values, "output": self._output, "layout": layout, "as_zip": zip_output}


def _studies(uids: Iterable[str]) -> list[Uid]:
    wanted = [uids] if isinstance(uids, str) else uids
    return list(dict.fromkeys(map(parse_uid, wanted)))
