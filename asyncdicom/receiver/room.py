"""Whether there is room: the low-water mark of the output folder.

    room = Room("/incoming", min_free_bytes=5_000_000_000)
    room.require()                  # before an instance is taken
    room.spend(len(data))           # before more of it is written

Strategy: all associations write to one disk, so their bytes count together. The more room
there is above the mark, the longer nobody looks: a disk that only we fill ends at the mark,
give or take `LEAST_BYTES`, and one that others fill is looked at every `MOST_BYTES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import DiskFull
from asyncdicom.storage.room import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Room"]

LEAST_BYTES = 1024 * 1024
"""Written between two looks, at least: near the mark a look costs as much as a small write."""
MOST_BYTES = 64 * 1024 * 1024
"""Written between two looks, at most: others may fill the disk, too."""


class Room:
    """What may still be written before somebody looks again; for one event loop.

    Cost: a system call for each look, and none without a mark.
    """

    def __init__(
        self,
        root: str,
        min_free_bytes: int,
        measure: Callable[[str], int] = free_bytes,
    ) -> None:
        """Prepare.

        Args:
            root: Output folder.
            min_free_bytes: That have to stay free for others; 0 is no mark.
            measure: Returns what is free, in bytes.

        """
        self._root = root
        self._min_free_bytes = min_free_bytes
        self._measure = measure
        self._unseen_bytes = 0

    def require(self) -> None:
        """Refuse more when too little is left.

        Raises:
            DiskFull: If less than the mark is free for us.
            StorageError: If the file system cannot say.

        """
        if not self._min_free_bytes:
            return
        # A look that fails leaves nothing: the next one comes at once.
        self._unseen_bytes = 0
        free = self._measure(self._root)
        if free < self._min_free_bytes:
            raise DiskFull(
                f"only {free} bytes are free, {self._min_free_bytes} have to stay",
                path=self._root,
                hint="free some: what comes then is taken again",
            )
        self._unseen_bytes = min(MOST_BYTES, max(LEAST_BYTES, free - self._min_free_bytes))

    def spend(self, byte_count: int) -> None:
        """Take note that bytes are about to be written, and look again where it is time.

        Raises:
            DiskFull: As `require`.
            StorageError: As `require`.

        """
        if self._min_free_bytes:
            if self._unseen_bytes < byte_count:
                self.require()
            self._unseen_bytes -= byte_count
