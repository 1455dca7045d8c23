"""`dump`: the answers of a DICOMweb server on disk, exactly as sent, each with its record.

The study metadata comes first: it names every instance and every frame, and is
what the rest is planned from and counted against. It is read back from the
file just written, element by element, so that a study of 100,000 instances is
never a list of 100,000 tasks.

Rule: a file has its final name only when the payload was whole and as asked. A
target that failed for good leaves its record, and `FILE.error` with what the
server said; never a `FILE`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import AsyncDicomError, NameTaken, OriginError
from asyncdicom.jobs.dump_files import DumpFiles, verify_dumped
from asyncdicom.jobs.dump_paths import ERROR_SUFFIX, RECORD_SUFFIX, path_of
from asyncdicom.jobs.dump_plan import DumpPlan, DumpTask
from asyncdicom.jobs.payload import PayloadCheck, expect_whole_list
from asyncdicom.jobs.records import build_record
from asyncdicom.model import Failed, Resource, Skipped, Stored, Target, Uid
from asyncdicom.storage.committing import GroupCommitter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.jobs.payload import PartRecord
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.sources.dicomweb import DicomWebSource
    from asyncdicom.sources.transaction import Transaction
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["DumpJob", "DumpOptions"]

MAX_ERROR_BODY_BYTES = 1024 * 1024
"""What is kept of an error body; stack traces of Java servers reach 100 KB."""


@dataclass(frozen=True, slots=True)
class DumpOptions:
    """What is dumped, and how."""

    kinds: frozenset[Resource] = field(default=frozenset({Resource.METADATA, Resource.FRAME}))
    strip_multipart: bool = False
    """Write the content of parts beside the payload, as `FILE.bin`."""
    pretty: bool = False
    """Write indented JSON beside metadata, as `FILE.pretty.json`."""
    overwrite: bool = False
    """Fetch again what is there and verified."""
    plans_from_search: bool = False
    """Let searches name the instances, instead of the metadata of the study."""


@dataclass(slots=True)
class _FailedTry:
    """What the last failed try of a target leaves for its record."""

    transaction: Transaction
    waiting_s: float
    body: bytes


class DumpJob:
    """Performs dump tasks; driven by a scheduler."""

    def __init__(
        self,
        source: DicomWebSource,
        folder: OutputFolder,
        tally: Tally,
        options: DumpOptions,
    ) -> None:
        self._source = source
        self._folder = folder
        self._committer = GroupCommitter(folder)
        self._plan = DumpPlan(
            folder,
            options.kinds,
            from_search=options.plans_from_search,
            note_unusable=self._note_unusable,
        )
        self._tally = tally
        self._options = options
        self._failed: dict[Target, _FailedTry] = {}
        self._fresh: dict[Uid, bool] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._committer.aclose()

    def tasks(self, studies: Iterable[Uid]) -> Iterator[DumpTask]:
        """Yield the first task of each study; everything else follows from it."""
        for study in studies:
            self._fresh[study] = self._options.overwrite or not self._folder.names(study)
            yield from self._plan.first(study)

    def tasks_again(self, targets: Iterable[Target]) -> Iterator[DumpTask]:
        """Yield a task for each target that failed in an earlier run."""
        for target in targets:
            self._fresh[target.study_instance_uid] = False
            yield DumpTask(target)

    async def perform(self, task: DumpTask, attempt: int) -> Iterable[DumpTask]:
        """Store one target unless it is there and verified; return what follows from it."""
        path = path_of(task.target)
        try:
            outcome = await self._find(task, path) or await self._fetch(task, path, attempt)
        except NameTaken:
            # Another run fills the same folder: what it stored is looked at from now on.
            self._fresh[task.target.study_instance_uid] = False
            outcome = await self._find(task, path) or await self._fetch(task, path, attempt)
        self._tally.record(outcome)
        return self._plan.follow_ups(task)

    def give_up(self, task: DumpTask, error: AsyncDicomError, attempts: int) -> Iterable[DumpTask]:
        """Leave the record of a target that failed for good."""
        self._tally.record(Failed(task.target, error, attempts))
        failed = self._failed.pop(task.target, None) or self._without_answer(task.target)
        if failed is None or attempts == 0:
            return ()
        path = path_of(task.target)
        record = build_record(
            failed.transaction, (), attempts=attempts, waiting_s=failed.waiting_s, error=error
        )
        self._folder.write_whole(path + RECORD_SUFFIX, record, replace=True)
        if failed.body:
            self._folder.write_whole(path + ERROR_SUFFIX, failed.body, replace=True)
        return ()

    def _without_answer(self, target: Target) -> _FailedTry | None:
        """Return what is known of a request that brought no answer; None if it cannot be made."""
        try:
            return _FailedTry(self._source.unsent(target), 0.0, b"")
        except AsyncDicomError:
            return None

    async def _find(self, task: DumpTask, path: str) -> Skipped | None:
        """Return a target that an earlier run stored and that is still whole."""
        if self._fresh.get(task.target.study_instance_uid, True):
            return None
        return await asyncio.to_thread(verify_dumped, self._folder, task, path)

    async def _fetch(self, task: DumpTask, path: str, attempt: int) -> Stored:
        # A record speaks of the last try, also if that one brings no answer.
        self._failed.pop(task.target, None)
        taken_s = time.perf_counter()
        async with self._source.transact(task.target) as transaction:
            waiting_s = max(time.perf_counter() - taken_s - transaction.first_byte_s, 0.0)
            try:
                parts, byte_count = await self._store(task, path, transaction, attempt, waiting_s)
            except AsyncDicomError as error:
                body = await self._error_body(transaction, error)
                self._failed[task.target] = _FailedTry(transaction, waiting_s, body)
                raise
        return Stored(task.target, path, byte_count, parts[0].sha256, attempt)

    async def _store(
        self,
        task: DumpTask,
        path: str,
        transaction: Transaction,
        attempt: int,
        waiting_s: float,
    ) -> tuple[list[PartRecord], int]:
        transaction.judge()
        if task.target.resource is Resource.SEARCH:
            expect_whole_list(transaction.response.headers)
        replace = (
            not self._fresh.get(task.target.study_instance_uid, True) or self._options.overwrite
        )
        resource = task.target.resource
        with DumpFiles(self._folder, path, resource, self._options) as files:
            check = PayloadCheck(
                task.target,
                transaction.content_type,
                sink=files.stripped,
                frame_bytes=task.frame_bytes,
                on_element=files.on_element,
            )
            while data := await transaction.read():
                self._tally.bytes_received += len(data)
                files.payload.write(data)
                check.receive_data(data)
            parts = check.receive_eof()
            if not transaction.shows_its_end:
                check.expect_own_end(may_be_opaque=transaction.response.http_version == "2")
            record = build_record(transaction, parts, attempts=attempt, waiting_s=waiting_s)
            if not check.is_multipart:
                files.drop_stripped()
            await files.commit(self._committer, record, replace=replace)
            if replace:
                # What an earlier run was told instead of the payload.
                self._folder.remove(path + ERROR_SUFFIX)
            return parts, files.payload.byte_count

    async def _error_body(self, transaction: Transaction, error: AsyncDicomError) -> bytes:
        """Return the beginning of what the server said with an error status."""
        if not isinstance(error, OriginError):
            return b""
        body = bytearray()
        try:
            while len(body) < MAX_ERROR_BODY_BYTES and (data := await transaction.read()):
                body += data
        except AsyncDicomError:
            pass  # the status is the failure; half an explanation is better than none
        return bytes(body[:MAX_ERROR_BODY_BYTES])

    def _note_unusable(self, target: Target, error: AsyncDicomError) -> None:
        """Name an instance that the metadata describes in a way nobody can ask for."""
        self._tally.record(Failed(target, error))
