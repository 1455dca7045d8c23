"""Gives instances their names: where they go, and what gives way to them.

    kept = await keeper.keep(arrival)       # in place, as durable as the folder promises

Rule: another instance never gives way, whatever the policy for duplicates: two that come
out under one name (a time stamp, a shortened folder) are both kept, for both were
promised to be. Associations that bring the same name at the same moment take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import NameTaken, StorageError
from asyncdicom.receiver.events import DuplicateFate
from asyncdicom.receiver.same_data_set import holds_same_data_set
from asyncdicom.receiver.settings import Duplicates
from asyncdicom.receiver.turns import Turns
from asyncdicom.storage.allocating import Forecast, allocate
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.committing import GroupCommitter
from asyncdicom.storage.failures import close_quietly, storage_error
from asyncdicom.storage.inventory import uid_of_file
from asyncdicom.storage.naming import MAX_NAME_BYTES, suffixed
from asyncdicom.storage.templates import Instance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.protocol.part10 import InstanceFacts
    from asyncdicom.receiver.settings import StoringRules
    from asyncdicom.storage.atomic import FileWriter
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["Keeper", "Kept"]

INCOMING = "incoming"
"""Name of a file until its content has said what it is; never seen on disk."""

MAX_COMPARED_BYTES = 1024 * 1024
"""A name that turns out to be taken lets both files be compared, and everybody wait for it."""

MAX_COPIES = 1000
"""Of one name. A peer that sends one instance again and again costs a look at each."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where an instance is."""

    path: str
    """Relative to the output folder."""
    fate: DuplicateFate | None = None
    """What became of it because its name was taken, or None."""
    occupied_path: str = ""
    """The name that was taken, if one was."""


class Keeper:
    """Keeps instances in a folder for all associations."""

    def __init__(self, folder: OutputFolder, rules: StoringRules) -> None:
        self._folder = folder
        self._rules = rules
        self._committer = GroupCommitter(folder)
        self._turns = Turns()
        self._is_durable = folder.durability is not Durability.NONE
        self._appeared: list[FileWriter] = []
        self._spare: FileWriter | None = None
        self._keeps_spare = True
        self._forecast = Forecast()
        # Near a low-water mark, room that is taken early would be missing when its object comes.
        self._allocates = not rules.min_free_bytes

    async def aclose(self) -> None:
        """Wait for the commits under way."""
        await self._committer.aclose()
        self._keeps_spare = False
        self._tidy()
        if self._spare is not None:
            self._spare.discard()

    def begin(self) -> FileWriter:
        """Begin the file of an instance that has yet to say what it is.

        Raises:
            StorageError: If the kernel refuses.

        """
        spare, self._spare = self._spare, None
        return spare or self._folder.create(INCOMING)

    async def keep(self, arrival: Arrival[FileWriter]) -> Kept:
        """Put an instance in its place; the writer is closed afterwards, whatever happened.

        Raises:
            StorageError: If it cannot be kept.

        """
        writer = arrival.writer
        try:
            path = writer.path
            if path == INCOMING:
                path = self._rules.naming.path_for(_named(arrival.facts))
            async with self._turns.of(path):
                kept = await self._place(arrival, path)
                if kept.fate is not DuplicateFate.SKIPPED:
                    writer.retarget(kept.path)
                    is_replacing = kept.fate is DuplicateFate.REPLACED
                    await self._committer.commit(writer, replace=is_replacing)
                return kept
        finally:
            writer.discard()

    def keep_nowait(self, arrival: Arrival[FileWriter]) -> Kept | None:
        """Do as `keep` where nobody has the name, and no sync is due; else None: call `keep`.

        Raises:
            StorageError: As `keep`; the writer is discarded.

        """
        if self._is_durable:
            return None
        writer = arrival.writer
        try:
            path = self._rules.naming.path_for(_named(arrival.facts))
            return Kept(path) if self._appears(writer, path) else None
        except BaseException:
            writer.discard()
            raise

    def _appears(self, writer: FileWriter, path: str) -> bool:
        """Give a file a name that nobody has, in one step; without syncs nothing else is due."""
        writer.retarget(path)
        if writer.byte_count > MAX_COMPARED_BYTES and self._is_taken(path):
            return False
        try:
            writer.appear(replace=False)
        except NameTaken:
            return False
        # What is left to do is done while the peer, which has its answer then, makes its next.
        self._appeared.append(writer)
        if len(self._appeared) == 1:
            asyncio.get_running_loop().call_soon(self._tidy)
        return True

    def _tidy(self) -> None:
        """Close what has its name, and begin the file of whoever comes next."""
        for writer in self._appeared:
            self._forecast.note(writer.byte_count)
            writer.close()
        self._appeared.clear()
        if self._spare is None and self._keeps_spare:
            # Whoever needs the file will be told what is wrong with the disk.
            with contextlib.suppress(StorageError):
                self._spare = self._invisible_file()
            expected_bytes = self._forecast.byte_count
            if expected_bytes and self._allocates and self._spare is not None:
                self._allocates = allocate(self._spare, self._folder.system, expected_bytes)

    def _invisible_file(self) -> FileWriter | None:
        """Begin a file, unless it could be seen while nobody needs it."""
        writer = self._folder.create(INCOMING)
        if writer.is_invisible:
            return writer
        writer.discard()
        self._keeps_spare = False
        return None

    async def _place(self, arrival: Arrival[FileWriter], path: str) -> Kept:
        """Decide on a name."""
        if not self._is_taken(path):
            return Kept(path)
        duplicates = self._rules.duplicates
        if duplicates is Duplicates.OVERWRITE and self._may_replace(arrival, path):
            return Kept(path, DuplicateFate.REPLACED, path)
        for candidate in _candidates(path):
            if not self._is_taken(candidate):
                return Kept(candidate, DuplicateFate.KEPT_BESIDE, path)
            if duplicates is Duplicates.SKIP and await self._is_there(arrival, candidate):
                return Kept(candidate, DuplicateFate.SKIPPED, candidate)
        raise NameTaken(f"{MAX_COPIES} files of this name exist", path=path)

    def _is_taken(self, path: str) -> bool:
        return self._folder.facts(path) is not None

    def _may_replace(self, arrival: Arrival[FileWriter], path: str) -> bool:
        """Tell whether what is there is the same instance, or cannot say what it is.

        Raises:
            StorageError: If it cannot be read: it may be another instance.

        """
        try:
            claimed = uid_of_file(self._folder, path)
        except FileNotFoundError:
            return True
        return claimed in (arrival.facts.sop_instance_uid, None)

    async def _is_there(self, arrival: Arrival[FileWriter], path: str) -> bool:
        """Tell whether a file holds the same data set, as durable as was promised."""
        writer = arrival.writer
        try:
            fd = self._folder.open_for_reading(path)
        except FileNotFoundError:
            return False
        if self._is_durable:
            writer.retarget(path)
        comparing = asyncio.create_task(asyncio.to_thread(self._is_same, writer, fd))
        try:
            return await asyncio.shield(comparing)
        except asyncio.CancelledError:
            # The thread reads what would else be closed under its hands.
            await asyncio.wait({comparing})
            raise
        except OSError as error:
            raise storage_error(error, path) from error

    def _is_same(self, writer: FileWriter, fd: int) -> bool:
        """Compare; in a thread. Who wrote the file that is there may not have synced it."""
        system = self._folder.system
        try:
            is_same = holds_same_data_set(system, writer.fileno(), fd)
            if is_same and self._is_durable:
                system.fdatasync(fd)
                writer.sync_name()
        finally:
            close_quietly(system, fd)
        return is_same


def _named(facts: InstanceFacts) -> Instance:
    """Return what an instance is named by; its SOP class, too."""
    return Instance(
        facts.sop_instance_uid,
        facts.series_instance_uid,
        facts.study_instance_uid,
        {**facts.elements, "SOPClassUID": facts.sop_class_uid},
    )


def _candidates(path: str) -> Iterator[str]:
    """Yield a path and others like it: `a/1.2.3.dcm`, `a/1.2.3_2.dcm`, `a/1.2.3_3.dcm`."""
    yield path
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem or extension.isdigit():
        # A UID has dots of its own.
        stem, dot, extension = name, "", ""
    rest = dot + extension
    for number in range(2, MAX_COPIES + 1):
        other = suffixed(stem, f"_{number}", max_bytes=MAX_NAME_BYTES - len(rest.encode()))
        yield f"{folder}{slash}{other}{rest}"
