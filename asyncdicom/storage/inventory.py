"""What instances an output folder holds already, read from the files themselves.

    inventory = Inventory.of(folder)
    path = inventory.path_of(sop_instance_uid)

Rule: no list kept beside the files is believed. The first 4 KiB of each file
say which instance it claims to be (Media Storage SOP Instance UID, PS3.10
§7.1); whether it is whole is for `verification` to prove, and only for those
that a run asks for.

Cost: one open and one read per file, some 15 us on a warm cache.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import StorageError, UnsafeName
from asyncdicom.model import Uid, is_uid
from asyncdicom.storage.directories import RESERVED_PREFIX
from asyncdicom.storage.failures import close_quietly, storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.storage.folder import OutputFolder

__all__ = ["Inventory", "claimed_uid", "files_below", "uid_in_head", "uid_of_file"]

HEAD_BYTES = 4096
"""Of a file; its meta information takes 200 to 600 bytes."""

MAX_DEPTH = 16
"""Folders below the root; layouts make three or four."""

# PS3.10 Table 7.1-1: (0002,0003) UI, in Explicit VR Little Endian as all of group 2.
_MEDIA_STORAGE_SOP_INSTANCE_UID = re.compile(rb"\x02\x00\x03\x00UI(..)([0-9.]{1,64})", re.DOTALL)


class Inventory:
    """Paths by the instance that the file there claims to be.

    Attributes:
        occupied: All paths of files; whoever stores adds to them.

    """

    def __init__(self, paths: dict[Uid, str], occupied: Iterable[str] = ()) -> None:
        self._paths = paths
        self.occupied = {*paths.values(), *occupied}

    @classmethod
    def of(cls, folder: OutputFolder) -> Self:
        """Look through a folder; may take long, so it is called in a thread.

        Raises:
            StorageError: If the folder cannot be read.

        """
        paths: dict[Uid, str] = {}
        occupied: list[str] = []
        for path in files_below(folder, "", MAX_DEPTH):
            occupied.append(path)
            uid = _readable_uid(folder, path)
            if uid is not None:
                paths.setdefault(uid, path)
        return cls(paths, occupied)

    def __len__(self) -> int:
        return len(self._paths)

    def path_of(self, sop_instance_uid: Uid) -> str | None:
        """Return where an instance may be, or None."""
        return self._paths.get(sop_instance_uid)


def claimed_uid(folder: OutputFolder, path: str) -> Uid | None:
    """Return the SOP Instance UID that the head of a file names.

    None if it is no DICOM file, is gone, or is a link or device.

    Raises:
        StorageError: If it cannot be read: it may be any instance.

    """
    try:
        return uid_of_file(folder, path)
    except (FileNotFoundError, UnsafeName):
        return None


def uid_of_file(folder: OutputFolder, path: str) -> Uid | None:
    """Return the SOP Instance UID that the head of a file names; None if it is no DICOM file.

    Raises:
        FileNotFoundError: If it is gone.
        UnsafeName: If it is a link or device.
        StorageError: If it cannot be read: it may be any instance.

    """
    fd = folder.open_for_reading(path)
    try:
        head = folder.system.pread(fd, HEAD_BYTES, 0)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        close_quietly(folder.system, fd)
    return uid_in_head(head)


def _readable_uid(folder: OutputFolder, path: str) -> Uid | None:
    try:
        return claimed_uid(folder, path)
    except StorageError:
        return None  # it is occupied, and whoever wants its name is told


def uid_in_head(head: bytes) -> Uid | None:
    """Return the SOP Instance UID in the head of a file; None if it is no DICOM file."""
    if head[128:132] != b"DICM":
        return None
    match = _MEDIA_STORAGE_SOP_INSTANCE_UID.search(head, 132)
    if match is None:
        return None
    length = int.from_bytes(match[1], "little")
    text = head[match.start(2) : match.start(2) + length].rstrip(b"\0 ").decode("ascii", "replace")
    return Uid(text) if is_uid(text) else None


def files_below(
    folder: OutputFolder,
    path: str = "",
    depth: int = MAX_DEPTH,
    *,
    refused: Callable[[str, StorageError], None] | None = None,
) -> Iterator[str]:
    """Yield the files below a folder by name, without temporary ones.

    Links are files here, and so are folders that are too deep: whoever reads one is told.

    Args:
        folder: Where to look.
        path: Relative to it; empty for its root.
        depth: Levels of folders below that are entered.
        refused: Called with each folder that cannot be read, and why; raised without.

    Raises:
        StorageError: If a folder cannot be read.

    """
    try:
        names = sorted(folder.names(path))
    except StorageError as error:
        if refused is None:
            raise
        refused(path, error)
        return
    for name in names:
        if name.startswith(RESERVED_PREFIX):
            continue
        below = f"{path}/{name}" if path else name
        if depth and _is_folder(folder, below, may_raise=refused is None):
            yield from files_below(folder, below, depth - 1, refused=refused)
        else:
            yield below


def _is_folder(folder: OutputFolder, path: str, *, may_raise: bool) -> bool:
    try:
        return folder.is_folder(path)
    except StorageError:
        if may_raise:
            raise
        return False  # whoever reads it is told
