"""`connect_objects`, and the bucket or prefix that it opens: `s3://…` and `gs://…` from Python."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Unpack

from asyncdicom.connecting import scheduler_settings
from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.engine.slot import Slot
from asyncdicom.errors import ConfigError, Doubtful, FetchError, RunAborted
from asyncdicom.jobs.object_job import ObjectJob
from asyncdicom.jobs.object_roots import find_root, group_of
from asyncdicom.jobs.object_survey import Lister
from asyncdicom.jobs.verify_objects import ObjectVerifyJob
from asyncdicom.library.background import Background, streamed
from asyncdicom.library.job import Job
from asyncdicom.library.object_list import OBJECTS_AHEAD, ListedObject, Pages
from asyncdicom.library.object_watching import WatchedObjects
from asyncdicom.library.options import (
    ObjectConnectOptions,
    ObjectDownloadOptions,
    ObjectListOptions,
    ObjectVerifyOptions,
    check_names,
    connection_values,
)
from asyncdicom.library.prefetch import Prefetch
from asyncdicom.library.running import Run
from asyncdicom.model import Failed, ObjectTarget, Resource, Target
from asyncdicom.object_wiring import object_filter, object_options_of, open_object_store
from asyncdicom.output_wiring import KEYS, open_keeper
from asyncdicom.protocol.object_stores.urls import parse_object_url
from asyncdicom.storage.catalog import Catalog
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.object_names import KeyNaming
from asyncdicom.storage.reports import ReportFile

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.events import RunEnded
    from asyncdicom.jobs.object_groups import ObjectGroup, ObjectNaming
    from asyncdicom.jobs.object_roots import ObjectRoot
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.library.reporting import Reporter
    from asyncdicom.model import AnyTarget
    from asyncdicom.ports.objects import ObjectStore

__all__ = ["ObjectSource", "connect_objects"]


def connect_objects(
    url: str,
    *,
    concurrency: int = 20,
    retry: int = 3,
    timeout: float = 30.0,
    **options: Unpack[ObjectConnectOptions],
) -> AbstractAsyncContextManager[ObjectSource]:
    """Open a bucket of an object store, or what is below a prefix of it.

    Nothing is sent yet. The options have the names and meanings of the command
    line (`asyncdicom get --help`); who signs is found as Amazon's tools find it.

    Example:
        async with asyncdicom.connect_objects(url, no_sign_request=True) as bucket:
            async for found in bucket.list(include=["*.dcm"]):
                print(found.key, found.byte_count)

    Args:
        url: `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`, one object, or a pattern
            with `*` and `?`.
        concurrency: Requests at once for each job, 1 to 1,024.
        retry: Further tries of a failed request, 0 to 100; the last one comes
            after everything else.
        timeout: Seconds without a byte before a try is given up (idle, not
            total), above 0.
        **options: As `ObjectConnectOptions` lists them.

    Raises:
        ConfigError: If the URL, or when it is entered an endpoint, a certificate, a proxy or
            a credential, is not usable.
        TypeError: If there is no such option.

    Cancellation: leaving the block, also by cancellation, ends everything that
    still runs on the bucket, and waits for it.

    """
    check_names("connect_objects", options, ObjectConnectOptions)
    parse_object_url(url)
    return _open(
        url, connection_values(options, concurrency=concurrency, retry=retry, timeout=timeout)
    )


@asynccontextmanager
async def _open(url: str, values: Mapping[str, Any]) -> AsyncIterator[ObjectSource]:
    async with open_object_store(url, values) as store:
        source = ObjectSource(store, url, values)
        try:
            yield source
        finally:
            await source.aclose()


class ObjectSource:
    """What is below a prefix of a bucket, opened by `connect_objects`; for one event loop.

    Any number of lists and jobs may run at once. Each has its own requests at once; a
    pause that the store asks for (SlowDown, Retry-After) holds for all.

    Attributes:
        url: What was opened.

    """

    def __init__(self, store: ObjectStore, url: str, values: Mapping[str, Any]) -> None:
        self._url = parse_object_url(url)
        self.url = str(self._url)
        self._store = store
        self._values = values
        self._slot = Slot(tasks_per_s=values.get("rate"))
        self._background = Background()
        self._root: ObjectRoot | None = None

    async def aclose(self) -> None:
        """Cancel what still runs, and wait for it; the end of the `connect_objects` block does."""
        await self._background.aclose()

    def list(self, **options: Unpack[ObjectListOptions]) -> AsyncGenerator[ListedObject]:
        """List objects, page after page; those that are no more than markers of folders are not.

        Example:
            keys = [found.key async for found in bucket.list(exclude=["*scout*"])]
            print(len(keys))

        Args:
            **options: As `ObjectListOptions` lists them.

        Yields:
            Each object once, in the order of the store; nothing where nothing matches.

        Raises:
            Incomplete: After the last object, if the list broke off.
            FetchError: If there is no list at all: no such bucket (`NotFound`), or the
                credentials do not open it (`Unauthorized`).

        Cancellation: ends the list; so does leaving it early.

        """
        check_names("list", options, ObjectListOptions)
        prefetch: Prefetch[ListedObject] = Prefetch(OBJECTS_AHEAD)

        async def work() -> None:
            settings = SchedulerSettings(
                concurrency=1, retry=scheduler_settings(self._values).retry
            )
            root = await self._found_root(
                lambda question: Scheduler(question, settings, slot=self._slot)
            )
            pages = Pages(self._store, prefetch, object_filter(options))
            group = root.group(KeyNaming(root.prefix))
            await Scheduler(pages, settings, slot=self._slot).run(pages.tasks(group))
            pages.judge()

        return streamed(self._background, prefetch, work)

    def download(
        self,
        output: str | os.PathLike[str],
        *,
        objects: Iterable[str | AnyTarget] | None = None,
        layout: str = KEYS,
        **options: Unpack[ObjectDownloadOptions],
    ) -> Job:
        """Make a job that stores objects as files, each proven by size, digest and structure.

        What is there and whole is not fetched again. An object that fails is named by
        `on_error`, by the events, by `job.failed` and by `job.check()`.

        Example:
            job = bucket.download(output, include=["*.dcm"], catalog=output / "catalog.jsonl")
            job.on_save(lambda stored: print("saved", stored.target.url, stored.path))
            await job
            job.check()  # raises Incomplete if anything is missing

        Args:
            output: Folder to write to; it is made if missing.
            objects: Keys of the bucket, or targets such as those that failed before; None
                for all that the URL names.
            layout: "keys" names files by what keys have below the prefix; "flat", "tree" or a
                template by what the DICOM files say.
            **options: As `ObjectDownloadOptions` lists them.

        Raises:
            ConfigError: If a size is none, a target is of another store, or an option does not
                go with the layout.
            TypeError: If there is no such option.

        """
        check_names("download", options, ObjectDownloadOptions)
        if layout == KEYS and ("extension" in options or options.get("iso_9660")):
            raise ConfigError("the names of keys stay as they are", hint="give layout as well")
        values = {**self._values, **options, "output": output, "layout": layout}
        if "part_size" in values:
            values["part_size"] = str(values["part_size"])
        fetching = object_options_of(values)
        targets = None if objects is None else list(self._targets(objects))

        async def work(reporter: Reporter) -> RunEnded:
            async with AsyncExitStack() as stack:
                run = Run(reporter, self._slot, values, *_reports(values, stack))
                place = await stack.enter_async_context(open_keeper(values))
                root = await self._root_for(run)
                if root is None:
                    return run.tally.end(reporter.stop_reason)
                watched = WatchedObjects(self._store, reporter)
                job = ObjectJob(watched, place.keeper, run.tally, fetching)
                groups = _groups(root, place.naming or KeyNaming(root.prefix), targets)
                return await run.drive(job, job.tasks(groups), finish=place.finish)

        return Job(work, self._background, f"download to {output}")

    def verify(self, folder: str | os.PathLike[str], **options: Unpack[ObjectVerifyOptions]) -> Job:
        """Make a job that compares files with what the store lists; nothing is fetched.

        Each object has to have its file, of its size and with the digest that the store
        promises; where it promises none, as noted in the catalog, or a whole DICOM file. Files
        are looked for by keys, as `download` names them, or where the catalog says.

        In its sum, `skipped` are the objects whose files are proven.

        Example:
            job = bucket.verify(output, catalog=output / "catalog.jsonl")
            print(await job)
            job.check()

        Args:
            folder: With the files.
            **options: As `ObjectVerifyOptions` lists them.

        Raises:
            TypeError: If there is no such option.

        """
        check_names("verify", options, ObjectVerifyOptions)
        # Files are read and digested in threads.
        at_once = min(self._values["concurrency"], 2 * (os.cpu_count() or 1))
        values = {**self._values, **options, "concurrency": at_once}

        async def work(reporter: Reporter) -> RunEnded:
            async with AsyncExitStack() as stack:
                run = Run(reporter, self._slot, values, *_reports(values, stack))
                opened = stack.enter_context(OutputFolder.open_to_read(folder))
                catalog = None
                if (noted := values.get("catalog")) is not None:
                    catalog = stack.enter_context(Catalog.open(noted, may_create=False))
                root = await self._root_for(run)
                if root is None:
                    return run.tally.end(reporter.stop_reason)
                lister = Lister(self._store, run.tally, object_filter(values))
                job = ObjectVerifyJob(lister, opened, run.tally, catalog)

                async def finish() -> None:
                    await job.finish()
                    self._require_proof(run.tally)

                groups = [root.group(KeyNaming(root.prefix))]
                return await run.drive(job, job.tasks(groups), finish=finish)

        return Job(work, self._background, f"verify of {os.fspath(folder)}")

    async def _found_root(self, schedule: Callable[[Any], Scheduler[Any]]) -> ObjectRoot:
        """Return what the URL means; asked once.

        Raises:
            FetchError: If the store does not say.
            RunAborted: If the scheduler was stopped.

        """
        if self._root is None:
            self._root = await find_root(self._store, self._url, schedule=schedule)
        return self._root

    async def _root_for(self, run: Run) -> ObjectRoot | None:
        """Return what the URL means, or None if the run is over before it began."""
        try:
            return await self._found_root(run.asking)
        except FetchError as error:
            run.tally.record(Failed(self._listing, error))
        except RunAborted:
            pass  # by who has said why
        return None

    @property
    def _listing(self) -> ObjectTarget:
        url = self._url
        return ObjectTarget(url.scheme, url.bucket, url.key, Resource.LISTING)

    def _targets(self, objects: Iterable[str | AnyTarget]) -> Iterator[ObjectTarget]:
        scheme, bucket = self._url.scheme, self._url.bucket
        for one in [objects] if isinstance(objects, str) else objects:
            target = ObjectTarget(scheme, bucket, one) if isinstance(one, str) else one
            if isinstance(target, Target) or (target.scheme, target.bucket) != (scheme, bucket):
                raise ConfigError(f"{target} is not of {scheme}://{bucket}/")
            yield target

    def _require_proof(self, tally: Tally) -> None:
        """Call a folder in which nothing could be proven doubtful, not whole."""
        if not (tally.skipped or tally.missing or tally.corrupt):
            nothing = "no DICOM files, and no digests: nothing is proven but sizes"
            tally.record(Failed(self._listing, Doubtful(nothing)))


def _groups(
    root: ObjectRoot, naming: ObjectNaming, targets: Iterable[ObjectTarget] | None
) -> Iterable[ObjectGroup]:
    """Return what is to be fetched: what the URL names, or what was chosen."""
    if targets is None:
        return (root.group(naming),)
    return (group_of(target, naming, root) for target in targets)


def _reports(values: Mapping[str, Any], stack: AsyncExitStack) -> Iterator[ReportFile]:
    if values.get("report") is not None:
        yield stack.enter_context(ReportFile.open(values["report"]))
