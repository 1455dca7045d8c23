"""One dumped target: asked for, proven and written, or its failure put on record.

Rule: a file has its final name only when the payload was whole and as asked. A
target that failed for good leaves its record, and `FILE.error` with what the
server said; never a `FILE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Protocol, Self

from asyncdicom.errors import AsyncDicomError, NameTaken, OriginError, StorageError
from asyncdicom.jobs.dump_files import DumpFiles, verify_dumped
from asyncdicom.jobs.dump_paths import ERROR_SUFFIX, RECORD_SUFFIX, path_of
from asyncdicom.jobs.payload import PayloadCheck, expect_whole_list
from asyncdicom.jobs.records import build_record
from asyncdicom.model import Resource, Skipped, Stored, Target
from asyncdicom.records import dataclass
from asyncdicom.storage.committing import GroupCommitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.jobs.dump_plan import DumpOptions, DumpTask
    from asyncdicom.jobs.payload import PartRecord
    from asyncdicom.sources.dicomweb import DicomWebSource
    from asyncdicom.sources.transaction import Transaction
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["DumpFetcher", "Dumper", "Obtained"]

MAX_ERROR_BODY_BYTES = 1024 * 1024
"""What is kept of an error body; stack traces of Java servers reach 100 KB."""
MAX_KEPT_BYTES = 64 * 1024 * 1024
"""Of all failed tries together: a server that fails each of 100,000 frames so has 10 GB to say."""
HEAD_BYTES = 8 * 1024
"""What a failed try takes besides the body, about."""


@dataclass(frozen=True, slots=True)
class Obtained:
    """A target that is on disk now."""

    outcome: Stored | Skipped
    is_fresh: bool
    """Whether nothing of its study was found on disk, as far as is known now."""


class Dumper(Protocol):
    """Obtains targets: here, or in processes of its own (`dump_workers`)."""

    async def obtain(self, task: DumpTask, attempt: int, *, is_fresh: bool) -> Obtained:
        """Store one target unless it is there and verified.

        Args:
            task: What to store.
            attempt: Number of this try, from 1.
            is_fresh: Whether nothing of its study was on disk when the run began.

        Raises:
            FetchError: If it failed; the policy decides about another try.
            StorageError: If this machine could not keep it.

        """

    def give_up(self, task: DumpTask, error: AsyncDicomError, attempts: int) -> None:
        """Leave the record of a target that failed for good, after so many tries."""


@dataclass(slots=True)
class _FailedTry:
    """What the last failed try of a target leaves for its record."""

    transaction: Transaction
    waiting_s: float
    body: bytes

    @property
    def byte_count(self) -> int:
        """Memory taken."""
        return HEAD_BYTES + len(self.body)


class _FailedTries:
    """The last failed try of each target, within a bound; beyond it the oldest are dropped.

    A target that is given up needs the one just made. What waits for another try at the end
    of the queue makes a new one before that.
    """

    def __init__(self) -> None:
        self._tries: dict[Target, _FailedTry] = {}
        self._byte_count = 0

    def keep(self, target: Target, failed: _FailedTry) -> None:
        self.take(target)
        self._tries[target] = failed
        self._byte_count += failed.byte_count
        while self._byte_count > MAX_KEPT_BYTES:
            self.take(next(iter(self._tries)))

    def take(self, target: Target) -> _FailedTry | None:
        failed = self._tries.pop(target, None)
        if failed is not None:
            self._byte_count -= failed.byte_count
        return failed


class DumpFetcher:
    """Implements `Dumper` on the event loop it is used on.

    Args:
        source: Who is asked.
        folder: Where files go.
        options: What is written beside the payload.
        count_bytes: Told how many body bytes came, as they come.

    """

    def __init__(
        self,
        source: DicomWebSource,
        folder: OutputFolder,
        options: DumpOptions,
        count_bytes: Callable[[int], object],
    ) -> None:
        self._source = source
        self._folder = folder
        self._committer = GroupCommitter(folder)
        self._options = options
        self._count_bytes = count_bytes
        self._failed = _FailedTries()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._committer.aclose()

    async def obtain(self, task: DumpTask, attempt: int, *, is_fresh: bool) -> Obtained:
        """Store one target unless it is there and verified."""
        if is_fresh:
            replace = self._options.overwrite
            try:
                return Obtained(await self._fetch(task, attempt, replace=replace), is_fresh=True)
            except NameTaken:
                # Another run fills the same folder: what it stored is looked at from now on.
                pass
        found = await asyncio.to_thread(
            verify_dumped, self._folder, task, path_of(task.target), self._options
        )
        outcome = found or await self._fetch(task, attempt, replace=True)
        return Obtained(outcome, is_fresh=False)

    def give_up(self, task: DumpTask, error: AsyncDicomError, attempts: int) -> None:
        """Leave the record of a target that failed for good, if it can be written."""
        failed = self._failed.take(task.target) or self._without_answer(task.target)
        if failed is None or attempts == 0:
            return
        path = path_of(task.target)
        record = build_record(
            failed.transaction, (), attempts=attempts, waiting_s=failed.waiting_s, error=error
        )
        # The target is named in the books all the same; what keeps its record from its place
        # (a name that is too long, a file in the way) concerns no other target.
        with contextlib.suppress(StorageError):
            self._folder.write_whole(path + RECORD_SUFFIX, record, replace=True)
            if failed.body:
                self._folder.write_whole(path + ERROR_SUFFIX, failed.body, replace=True)

    def pause(self, pause_s: float) -> None:
        """Send nothing for so many seconds: the source asked another process for it."""
        self._source.patience.extend(pause_s)

    def _without_answer(self, target: Target) -> _FailedTry | None:
        """Return what is known of a request that brought no answer; None if it cannot be made."""
        try:
            return _FailedTry(self._source.unsent(target), 0.0, b"")
        except AsyncDicomError:
            return None

    async def _fetch(self, task: DumpTask, attempt: int, *, replace: bool) -> Stored:
        # A record speaks of the last try, also if that one brings no answer.
        self._failed.take(task.target)
        path = path_of(task.target)
        taken_s = time.perf_counter()
        async with self._source.transact(task.target) as transaction:
            waiting_s = max(time.perf_counter() - taken_s - transaction.first_byte_s, 0.0)
            try:
                transaction.judge()
                if task.target.resource is Resource.SEARCH:
                    expect_whole_list(transaction.response.headers)
                with DumpFiles(self._folder, path, task.target.resource, self._options) as files:
                    parts = await self._receive(task, transaction, files)
                    record = build_record(transaction, parts, attempts=attempt, waiting_s=waiting_s)
                    await files.commit(self._committer, record, replace=replace)
            except AsyncDicomError as error:
                body = await self._error_body(transaction, error)
                self._failed.keep(task.target, _FailedTry(transaction, waiting_s, body))
                raise
        if replace:
            # What an earlier run was told instead of the payload.
            self._folder.remove(path + ERROR_SUFFIX)
        return Stored(task.target, path, files.payload.byte_count, parts[0].sha256, attempt)

    async def _receive(
        self, task: DumpTask, transaction: Transaction, files: DumpFiles
    ) -> list[PartRecord]:
        """Write a payload while it comes, and return its parts once it is proven."""
        check = PayloadCheck(
            task.target,
            transaction.content_type,
            sink=files.stripped,
            frame_bytes=task.frame_bytes,
            on_element=files.on_element,
        )
        while data := await transaction.read():
            self._count_bytes(len(data))
            files.payload.write(data)
            check.receive_data(data)
        parts = check.receive_eof()
        if not transaction.shows_its_end:
            check.expect_own_end(may_be_opaque=transaction.response.http_version == "2")
        if not check.is_multipart:
            files.drop_stripped()
        return parts

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
