"""What peers store in the mock: kept in memory or in a folder, up to a bound (PS3.4 §B.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import AsyncDicomError
from asyncdicom.model import is_uid
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.protocol.dimse.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StoreRequest

__all__ = ["Received", "Storage"]

MAX_STORED_BYTES: Final = 256 * 1024 * 1024
"""Of all data sets together; a mock is no archive."""


@dataclass(frozen=True, slots=True)
class Received:
    """One instance that a peer stored."""

    request: StoreRequest
    dataset: bytes


@dataclass(slots=True)
class Storage:
    """Takes C-STOREs (`ports.dimse.StorageHandler`).

    Attributes:
        folder: Where Part 10 files are written; None keeps instances in `received`.
        max_bytes: Of all data sets together; what passes it is refused with A700.
        refusal: Decides on a status to refuse a request with, or None.
        received: What was taken.

    """

    folder: Path | None = None
    max_bytes: int = MAX_STORED_BYTES
    refusal: Callable[[StoreRequest], int | None] = lambda _: None
    received: list[Received] = field(default_factory=list)
    taken_bytes: int = 0

    def begin(self, request: StoreRequest) -> _Sink:
        """Begin a data set."""
        return _Sink(self, request, self.refusal(request))


class _Sink:
    def __init__(self, storage: Storage, request: StoreRequest, status: int | None) -> None:
        self._storage = storage
        self._request = request
        self._status = status
        self._data = bytearray()

    def write(self, *fragments: Buffer) -> None:
        """Take bytes, as long as there is room."""
        if self._status is not None:
            return
        for fragment in fragments:
            self._data += fragment
            self._storage.taken_bytes += len(fragment)
        if self._storage.taken_bytes > self._storage.max_bytes:
            self.discard()
            self._status = Status.OUT_OF_RESOURCES

    async def end(self) -> int:
        """Keep the instance."""
        return self.end_nowait()

    def end_nowait(self) -> int:
        """Keep the instance."""
        if self._status is not None:
            return self._status
        received = Received(self._request, bytes(self._data))
        if self._storage.folder is None:
            self._storage.received.append(received)
            return Status.SUCCESS
        status = write_file(self._storage.folder, received)
        if status != Status.SUCCESS:
            self.discard()
        return status

    def discard(self) -> None:
        """Drop what came."""
        self._storage.taken_bytes -= len(self._data)
        self._data.clear()


def write_file(folder: Path, received: Received) -> int:
    """Write a Part 10 file under its UID, and return a status.

    Blocks for as long as the page cache takes: the mock serves nobody who waits.
    """
    uid = received.request.sop_instance_uid
    if not is_uid(uid):
        return Status.INVALID_SOP_INSTANCE
    temporary = folder / f".{uid}.part"
    try:
        with temporary.open("wb") as file:
            file.write(file_meta(received.request))
            file.write(received.dataset)
        temporary.replace(folder / f"{uid}.dcm")
    except (OSError, AsyncDicomError):
        temporary.unlink(missing_ok=True)
        return Status.OUT_OF_RESOURCES
    return Status.SUCCESS
