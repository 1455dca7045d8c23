"""Where instances go with `--zip`: one archive per study, which appears when it is complete.

Rule: `STUDY.zip` holds every instance expected. What a study lacks in the end
leaves `STUDY.incomplete.zip` instead, so that nobody takes it for the whole.

Rule: what an archive holds is never lost to a newer one. Series of one study may
be asked for one after the other, in one run or in several; so each instance that is
whole in what stands under the name is carried over, unless it came again. What
cannot be read, though it may be whole, is not replaced, nor is what another run has
written since it was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import lzma
import os
import zipfile
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import AsyncDicomError, NameTaken, StorageError
from asyncdicom.model import Failed, Resource, Skipped, Stored, Target, Uid
from asyncdicom.protocol.part10 import DEFAULT_TAGS, Part10Walker
from asyncdicom.storage.committing import GroupCommitter
from asyncdicom.storage.failures import storage_error
from asyncdicom.storage.templates import Instance
from asyncdicom.storage.zip import ZipArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.model import Outcome
    from asyncdicom.storage.atomic import FileWriter
    from asyncdicom.storage.folder import FileFacts, OutputFolder
    from asyncdicom.storage.layout import Layout

__all__ = ["ZipStore"]

SPOOLED = "incoming"
"""Name of an entry until its content has said what it is; never seen on disk."""

READ_BYTES = 1024 * 1024

_DAMAGE = (
    AsyncDicomError,
    EOFError,
    # zipfile raises RuntimeError for entries that are encrypted or compressed in a way
    # it does not know, and ValueError for names that are no text. None of that is ours.
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading an archive, or an entry of one, raises that is not whole."""


class ZipStore:
    """Stores the instances of each study in one archive; for one event loop."""

    def __init__(
        self, folder: OutputFolder, layout: Layout, *, collect: Mapping[int, str] = DEFAULT_TAGS
    ) -> None:
        """Prepare; as `InstanceStore`."""
        self._folder = folder
        self._layout = layout
        self._collect = collect
        self._committer = GroupCommitter(folder)
        self._archives: dict[Uid, _StudyArchive] = {}
        self._there: dict[Uid, dict[Uid, tuple[str, int, str]]] = {}
        self._endings: defaultdict[Uid, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for archive in self._archives.values():
            await archive.zip.discard()
        await self._committer.aclose()

    def begin(self) -> FileWriter:
        """Begin the spool file of an instance."""
        return self._folder.create(SPOOLED)

    def walker(self) -> Part10Walker:
        """Return a walker that collects what names are made from."""
        return Part10Walker(collect=self._collect, collect_doubts=True)

    @property
    def collect(self) -> Mapping[int, str]:
        """What names are made from."""
        return self._collect

    def batch(self, target: Target) -> ZipBatch:  # noqa: ARG002 -- Store
        """Return a context for the instances of one answer."""
        return ZipBatch(self)

    async def already_there(self, study: Expectation, target: Target) -> list[Skipped]:  # noqa: ARG002 -- Store
        """Return the instances of a study whose archive is there and complete; else none.

        Raises:
            StorageError: If the archive cannot be read.

        """
        uid = study.study_instance_uid
        if uid not in self._there:
            self._there[uid] = await asyncio.to_thread(_read_archive, self._folder, f"{uid}.zip")
        found: list[Skipped] = []
        for series, instance in study.missing(_whole(study)):
            there = self._there[uid].get(study.own_uid_of(instance))
            if there is None or there[1] != study.proof_of(instance).get("byte_count", there[1]):
                return []
            found.append(Skipped(Target(Resource.INSTANCE, uid, series, instance), *there))
        return found

    async def takes_on_trust(self) -> bool:
        """Return that it does not: the archive of a study ends with the last one on its list."""
        return False

    async def settle(
        self,
        study: Expectation,
        arrival: Arrival[FileWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        """Add an instance to the archive of its study, and end that when it is complete."""
        facts = arrival.facts
        if facts.sop_instance_uid in study.settled:
            arrival.writer.discard()
            return
        study.settled.add(facts.sop_instance_uid)
        archive = self._archive_of(study, record)
        name = self._layout.path_for(Instance.of(facts))
        archive.adding += 1
        try:
            await archive.zip.add(name, arrival.writer)
        except BaseException:
            study.settled.discard(facts.sop_instance_uid)
            arrival.writer.discard()
            raise
        finally:
            archive.adding -= 1
        if self._archives.get(study.study_instance_uid) is not archive:
            # It was begun anew meanwhile, and this entry went with it.
            study.settled.discard(facts.sop_instance_uid)
            return
        archive.note(name, arrival, attempts)
        # Who adds the last entry ends the archive, whichever answer brought it.
        if not archive.adding and _is_complete(study):
            await self._end(archive)

    async def withdraw(self, study: Expectation, instance: Uid) -> bool:
        """Begin the archive of a study anew: nothing can be taken out of one."""
        archive = self._archives.pop(study.study_instance_uid, None)
        if archive is not None:
            await archive.zip.discard()
            study.settled -= archive.instances()
            return False
        # The archive has ended and was told; the next one takes over all but this instance.
        was_told = instance in study.settled
        study.settled.discard(instance)
        return was_told

    async def finish(self) -> None:
        """End what is not complete, under a name that says so."""
        for archive in list(self._archives.values()):
            await self._end(archive)

    def _archive_of(self, study: Expectation, record: Callable[[Outcome], None]) -> _StudyArchive:
        uid = study.study_instance_uid
        if uid not in self._archives:
            self._archives[uid] = _StudyArchive(
                study, ZipArchive(self._folder, f"{uid}.zip"), record
            )
        return self._archives[uid]

    async def _end(self, archive: _StudyArchive) -> None:
        uid = archive.study.study_instance_uid
        path = f"{uid}.zip" if _is_complete(archive.study) else f"{uid}.incomplete.zip"
        del self._archives[uid]
        self._there.pop(uid, None)
        # Another archive of the study may be about to get the name.
        async with self._endings[uid]:
            try:
                standing = self._folder.facts(path)
                await self._carry_over(archive, path)
                await self._commit(archive, path, standing)
            except StorageError as error:
                await archive.zip.discard()
                archive.tell_lost(error)
            except BaseException:
                # Nobody was told of them: whoever sums up finds them missing.
                archive.study.settled -= archive.instances()
                await archive.zip.discard()
                raise
            else:
                archive.tell_stored(path)

    async def _commit(self, archive: _StudyArchive, path: str, standing: FileFacts | None) -> None:
        """Give an archive its name.

        Raises:
            NameTaken: If another run has written there what this one does not hold.
            StorageError: If it cannot be kept.

        """
        writer = await archive.zip.finish()
        try:
            writer.retarget(path)
            self._require_unchanged(path, standing)
            await self._committer.commit(writer, replace=standing is not None)
        except NameTaken:
            theirs = await asyncio.to_thread(_read_archive, self._folder, path)
            if not archive.is_within(theirs):
                raise
        finally:
            writer.discard()

    def _require_unchanged(self, path: str, standing: FileFacts | None) -> None:
        if self._folder.facts(path) != standing:
            raise NameTaken("another run has written this archive meanwhile", path=path)

    async def _carry_over(self, archive: _StudyArchive, path: str) -> None:
        """Copy the instances of the archive that stands there, unless they came again."""
        found = await asyncio.to_thread(_read_archive, self._folder, path)
        newer = {archive.study.own_uid_of(uid) for uid in archive.instances()}
        for uid in found.keys() - newer:
            name = found[uid][0].removeprefix(f"{path}/")
            writer = self.begin()
            try:
                await asyncio.to_thread(_copy_entry, self._folder, path, name, writer)
                await archive.zip.add(name, writer)
            except BaseException:
                writer.discard()
                raise


class _StudyArchive:
    """The archive of one study, and what to tell of its instances once it is on disk."""

    def __init__(
        self, study: Expectation, archive: ZipArchive, record: Callable[[Outcome], None]
    ) -> None:
        self.study = study
        self.zip = archive
        self.adding = 0
        self._record = record
        self._entries: list[tuple[str, Arrival[FileWriter], int]] = []

    def note(self, name: str, arrival: Arrival[FileWriter], attempts: int) -> None:
        self._entries.append((name, arrival, attempts))

    def instances(self) -> set[Uid]:
        return {arrival.facts.sop_instance_uid for _, arrival, _ in self._entries}

    def is_within(self, found: Mapping[Uid, tuple[str, int, str]]) -> bool:
        """Tell whether what was read from an archive has each instance of this one."""
        digests = {digest for _, _, digest in found.values()}
        return all(arrival.sha256 in digests for _, arrival, _ in self._entries)

    def tell_stored(self, path: str) -> None:
        for name, arrival, attempts in self._entries:
            target, facts = self._target_of(arrival), arrival.facts
            where = f"{path}/{name}"
            byte_count, doubts = facts.byte_count, facts.doubts
            self._record(Stored(target, where, byte_count, arrival.sha256, attempts, doubts))

    def tell_lost(self, error: StorageError) -> None:
        for _, arrival, attempts in self._entries:
            self._record(Failed(self._target_of(arrival), error, attempts))

    def _target_of(self, arrival: Arrival[FileWriter]) -> Target:
        facts = arrival.facts
        study = self.study.study_instance_uid
        return Target(Resource.INSTANCE, study, facts.series_instance_uid, facts.sop_instance_uid)


class ZipBatch:
    """The instances of one answer; each is in its archive when `settle` returns."""

    settle_nowait = None

    def __init__(self, store: ZipStore) -> None:
        self._store = store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def settle(
        self,
        study: Expectation,
        arrival: Arrival[FileWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        """Add an instance to the archive of its study.

        Raises:
            StorageError: If it cannot be kept.

        """
        await self._store.settle(study, arrival, attempts, record)


def _whole(study: Expectation) -> Target:
    return Target(Resource.STUDY, study.study_instance_uid)


def _is_complete(study: Expectation) -> bool:
    return not (study.missing(_whole(study)) or study.unlisted)


def _read_archive(folder: OutputFolder, path: str) -> dict[Uid, tuple[str, int, str]]:
    """Return path, size and digest of each whole instance of an archive.

    Raises:
        StorageError: If it cannot be read, so that nobody knows what it holds.

    """
    found: dict[Uid, tuple[str, int, str]] = {}
    try:
        fd = folder.open_for_reading(path)
    except FileNotFoundError:
        return found
    with os.fdopen(fd, "rb") as file, _damage_ends(path), zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            with _damage_ends(path):
                uid, digest = _walk_entry(archive, info)
                found[uid] = (f"{path}/{info.filename}", info.file_size, digest)
    return found


@contextlib.contextmanager
def _damage_ends(path: str) -> Iterator[None]:
    """End the block where the bytes are no archive, or no instance.

    Raises:
        StorageError: If the kernel refuses to read them.

    """
    try:
        yield
    except OSError as error:
        # Links in damaged archives lead to places before the start of the file, and bz2
        # raises an OSError of its own, without a number.
        if error.errno not in {None, errno.EINVAL}:
            raise storage_error(error, path) from error
    except StorageError:
        raise
    except _DAMAGE:
        pass


def _walk_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[Uid, str]:
    walker, digest = Part10Walker(collect_doubts=True), hashlib.sha256()
    with archive.open(info) as entry:
        while data := entry.read(READ_BYTES):
            walker.receive_data(data)
            digest.update(data)
    return walker.receive_eof().sop_instance_uid, digest.hexdigest()


def _copy_entry(folder: OutputFolder, path: str, name: str, writer: FileWriter) -> None:
    """Write the content of an entry; called in a thread.

    Raises:
        StorageError: If it cannot be read or written.

    """
    try:
        with (
            os.fdopen(folder.open_for_reading(path), "rb") as file,
            zipfile.ZipFile(file) as archive,
            archive.open(name) as entry,
        ):
            while data := entry.read(READ_BYTES):
                writer.write(data)
    except StorageError:
        raise
    except (OSError, KeyError, *_DAMAGE) as error:
        raise StorageError("the archive cannot be read any more", path=path) from error
