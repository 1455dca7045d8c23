"""`connect`, and the source that it opens."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Unpack

from asyncdicom.engine.slot import Slot
from asyncdicom.errors import ConfigError
from asyncdicom.jobs.dump import DumpJob
from asyncdicom.jobs.dump import DumpOptions as DumpJobOptions
from asyncdicom.jobs.lookup import Witness
from asyncdicom.library.background import Background, streamed
from asyncdicom.library.job import Job
from asyncdicom.library.memory_store import MemoryStore
from asyncdicom.library.options import (
    ConnectOptions,
    DownloadOptions,
    DumpOptions,
    RetrieveOptions,
    check_names,
    connection_values,
    dump_kinds,
)
from asyncdicom.library.prefetch import Prefetch
from asyncdicom.library.reporting import ReportedStore
from asyncdicom.library.retrieving import Retrieval, get_options
from asyncdicom.library.running import Run
from asyncdicom.library.searching import ANSWERS_AHEAD, Pages, begun, words_of
from asyncdicom.library.watching import watched, watched_archive
from asyncdicom.model import ObjectTarget, Resource, Target, parse_uid
from asyncdicom.output_wiring import open_store
from asyncdicom.protocol.object_stores.urls import is_object_url
from asyncdicom.protocol.urls import is_dimse
from asyncdicom.sources.dicomweb import DicomWebSource
from asyncdicom.storage.atomic import Durability, FileWriter
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.wiring import check_root, open_archive, scheduler_settings

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.events import RunEnded
    from asyncdicom.jobs.archives import Archive
    from asyncdicom.library.instance import Instance
    from asyncdicom.library.reporting import Reporter
    from asyncdicom.model import AnyTarget
    from asyncdicom.sources.search import Answer

__all__ = ["Source", "connect"]

ASSOCIATIONS = 4
"""At once with one DIMSE archive by default; archives have few for everybody."""

PREFETCH_BYTES = 64 * 1024 * 1024
"""What waits for the consumer of `retrieve` by default: half a second on a fast network."""


def connect(
    url: str,
    *,
    concurrency: int = 8,
    retry: int = 3,
    timeout: float = 30.0,
    **options: Unpack[ConnectOptions],
) -> AbstractAsyncContextManager[Source]:
    """Open a source.

    Nothing is sent yet. The options have the names and meanings of the command
    line (`asyncdicom get --help`).

    Example:
        async with asyncdicom.connect(url, concurrency=16) as source:
            async for instance in source.retrieve(study=study):
                print(instance.sop_instance_uid, len(instance.data))

    Args:
        url: Root of a DICOMweb service, or `dicom://CALLED_AE@host:port`, or `cod+https://…`;
            buckets (`s3://…`, `gs://…`) have `connect_objects`.
        concurrency: Requests at once for each stream or job, 1 to 1,024; of DIMSE
            at most as many as there may be associations.
        retry: Further tries of a failed request, 0 to 100; the last one comes
            after everything else.
        timeout: Seconds without a byte before a try is given up (idle, not
            total), above 0.
        **options: As `ConnectOptions` lists them.

    Raises:
        ConfigError: If the URL, or when it is entered a certificate, a proxy or
            a credential, is not usable.
        TypeError: If there is no such option.

    Cancellation: leaving the block, also by cancellation, ends everything that
    still runs on the source, and waits for it.

    """
    check_names("connect", options, ConnectOptions)
    if is_object_url(url):
        raise ConfigError(
            "a bucket has objects, and no studies to search for",
            hint="asyncdicom.connect_objects(url) opens it",
        )
    check_root(url)
    values = connection_values(options, concurrency=concurrency, retry=retry, timeout=timeout)
    if is_dimse(url):
        associations = values.setdefault("max_associations", ASSOCIATIONS)
        values["concurrency"] = min(concurrency, associations)
    return _open(url, values)


@asynccontextmanager
async def _open(url: str, values: Mapping[str, Any]) -> AsyncIterator[Source]:
    async with open_archive(url, values) as archive:
        source = Source(archive, values)
        try:
            yield source
        finally:
            await source.aclose()


class Source:
    """A DICOMweb service or a DIMSE archive, opened by `connect`; for one event loop.

    Any number of streams and jobs may run at once. Each has its own requests
    at once; a pause that the server asks for (Retry-After) holds for all.

    Attributes:
        url: Its root, without credentials.

    """

    def __init__(self, archive: Archive, values: Mapping[str, Any]) -> None:
        self.url = archive.url
        self._archive = archive
        self._values = values
        self._slot = Slot(tasks_per_s=values.get("rate"))
        self._background = Background()

    async def aclose(self) -> None:
        """Cancel what still runs, and wait for it; the end of the `connect` block does."""
        await self._background.aclose()

    def search(
        self,
        *,
        level: Literal["patient", "study", "series", "instance"] = "study",
        fields: Iterable[str] = (),
        limit: int | None = None,
        **keys: Any,
    ) -> AsyncGenerator[Answer]:
        """Search (QIDO-RS, PS3.18 §10.6, page after page; C-FIND, PS3.4 §C.4.1).

        A C-FIND returns the attributes that are asked for, and no others.

        Example:
            async for answer in source.search(PatientID="*", fields=["StudyDescription"]):
                print(answer["0020000D"]["Value"][0])

        Args:
            level: What to list; only DIMSE lists patients.
            fields: Further attributes to return, by keyword or tag, or "all".
            limit: Answers wanted at most, at least 1; None for all.
            **keys: What has to match, by keyword: `StudyDate="20200101-"`. Values may
                hold `*` and `?`, be a range, or a list of UIDs joined by commas.

        Yields:
            One data set in the DICOM JSON Model (PS3.18 Annex F) per match.

        Raises:
            ConfigError: If a key is unknown, or a value cannot be matched.
            Incomplete: After the last answer, if the list is not known to be complete.
            FetchError: If there is no list at all.

        Cancellation: ends the search; so does leaving it early.

        """
        begin = begun(self._archive, level, words_of(keys, fields), limit)
        retry = scheduler_settings(self._values).retry
        prefetch: Prefetch[Answer] = Prefetch(ANSWERS_AHEAD)
        pages = Pages(prefetch)
        return streamed(self._background, prefetch, lambda: pages.run(begin(), retry, self._slot))

    def retrieve(
        self,
        *,
        study: str,
        series: str | None = None,
        instance: str | None = None,
        **options: Unpack[RetrieveOptions],
    ) -> AsyncGenerator[Instance]:
        """Retrieve the instances of a study, a series, or one instance, into memory.

        They come in the order in which they arrive, each once and whole. What an
        answer that breaks did not bring is asked for again. Where a server sends
        two different instances under one UID, the right one follows the first.

        Instances that wait for the consumer, and the one that it has, take at
        most `prefetch_bytes`, or one instance if that is more; beyond, the
        server waits. A server may lose patience: then the answers under way are
        asked for again.

        Example:
            async for instance in source.retrieve(study=study):
                dataset = instance.dataset()
                print(dataset.InstanceNumber, dataset.Rows, dataset.Columns)

        Args:
            study: Study Instance UID.
            series: Series Instance UID, or None for all series.
            instance: SOP Instance UID, or None for all instances; needs the series.
            **options: As `RetrieveOptions` lists them.

        Raises:
            ConfigError: If a UID is none, or the series of an instance is not given.
            Incomplete: After the last instance, if some did not come; it names them.
            FetchError: Instead of instances: if there is no such target
                (`NotFound`), or it cannot be asked for.

        Cancellation: cancels the requests and waits for them. So does leaving
        early: `break` soon after, closing it (`contextlib.aclosing`) at once.

        """
        check_names("retrieve", options, RetrieveOptions)
        target = _target(study, series, instance)
        values = {**self._values, **options}
        store = MemoryStore(Prefetch(values.get("prefetch_bytes", PREFETCH_BYTES)))
        retrieval = Retrieval(self._archive, self._slot, target, values)
        return streamed(self._background, store.prefetch, lambda: retrieval.run(store))

    def download(
        self,
        studies: str | Iterable[str | AnyTarget],
        output: str | os.PathLike[str],
        *,
        layout: str = "flat",
        **options: Unpack[DownloadOptions],
    ) -> Job:
        """Make a job that stores instances as files, proven complete.

        What is there and whole is not fetched again.

        Example:
            ended = await source.download([study], output, layout="tree")
            print(ended)
            assert ended.is_complete

        Args:
            studies: Study Instance UIDs; or targets, such as those that failed before.
            output: Folder to write to; it is made if missing.
            layout: "flat", "tree", or a template such as "{PatientID}/{Modality}".
            **options: As `DownloadOptions` lists them.

        Raises:
            InvalidUid: If a UID is none.
            ConfigError: If a target is of another kind of source.

        """
        check_names("download", options, DownloadOptions)
        targets = list(_targets(studies))
        values = {**self._values, **options, "output": output, "layout": layout}

        async def work(reporter: Reporter) -> RunEnded:
            async with open_store(values) as store:
                run = Run(reporter, self._slot, values)
                reported = ReportedStore[FileWriter](store, self._archive.url_of, reporter)
                await self._archive.prepare()
                archive = watched_archive(self._archive, reporter)
                witness = Witness(values.get("expect", "auto"))
                job = archive.get_job(reported, run.tally, get_options(values), witness=witness)
                return await run.drive(job, job.tasks(targets))

        return Job(work, self._background, f"download to {output}")

    def dump(
        self,
        studies: str | Iterable[str],
        output: str | os.PathLike[str],
        *,
        kinds: Iterable[str] = ("metadata", "frames"),
        **options: Unpack[DumpOptions],
    ) -> Job:
        """Make a job that stores the answers of the server exactly as sent, with records.

        Example:
            ended = await source.dump(study, output, kinds=["metadata", "instances"])
            print(ended)

        Args:
            studies: Study Instance UIDs.
            output: Folder to write to; it is made if missing.
            kinds: Of metadata, frames, instances, bulkdata, rendered, thumbnail, search.
                The metadata of studies always comes along.
            **options: As `DumpOptions` lists them.

        Raises:
            ConfigError: If a UID or a kind is none.

        """
        check_names("dump", options, DumpOptions)
        service = self._archive.source
        if not isinstance(service, DicomWebSource):
            raise ConfigError("only DICOMweb has answers to dump", hint="use download")
        uids = [target.study_instance_uid for target in _targets(studies)]
        job_options = DumpJobOptions(
            kinds=dump_kinds(kinds),
            strip_multipart=options.get("strip", False),
            pretty=options.get("pretty", False),
            overwrite=options.get("overwrite", False),
        )
        durability = Durability(options.get("durability", "none"))
        values = {**self._values, **options}

        async def work(reporter: Reporter) -> RunEnded:
            run = Run(reporter, self._slot, values)
            origin = watched(service, reporter)
            with OutputFolder.open(output, durability=durability) as folder:
                async with DumpJob.here(origin, folder, run.tally, job_options) as job:
                    return await run.drive(job, job.tasks(uids))

        return Job(work, self._background, f"dump to {output}")


def _target(study: str, series: str | None, instance: str | None) -> Target:
    if series is None:
        if instance is not None:
            raise ConfigError("an instance needs its series", hint="give series=")
        return Target(Resource.STUDY, parse_uid(study))
    if instance is None:
        return Target(Resource.SERIES, parse_uid(study), parse_uid(series))
    return Target(Resource.INSTANCE, parse_uid(study), parse_uid(series), parse_uid(instance))


def _targets(studies: str | Iterable[str | AnyTarget]) -> Iterator[Target]:
    seen: set[Target] = set()
    for one in [studies] if isinstance(studies, str) else studies:
        if isinstance(one, ObjectTarget):
            raise ConfigError(f"{one} is of an object store, which this source is not")
        target = one if isinstance(one, Target) else Target(Resource.STUDY, parse_uid(one))
        if target not in seen:
            seen.add(target)
            yield target
