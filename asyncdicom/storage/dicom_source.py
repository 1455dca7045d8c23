"""DICOM files at rest, ready to be read element by element.

    with open_dicom_file(fd, vr_of=vr_of) as file:
        for event in file.elements():
            ...
            raw = file.source.read(event.offset, event.byte_count)

Strategy: headers are read through a window, so that a file costs one system call per
64 KiB of headers and none for the pixel data that they lead past. A data set that is
deflated as a whole (PS3.5 §A.5) is inflated first, beyond 16 MiB onto the disk, within
the bounds that the Part 10 walker knows.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from asyncdicom.errors import LimitExceeded, ProtocolError
from asyncdicom.protocol.data_elements import ElementFound, ElementReader
from asyncdicom.protocol.part10_deflate import DeflatedDataSet
from asyncdicom.protocol.part10_text import decode_text
from asyncdicom.protocol.part10_vocabulary import (
    EXPLICIT,
    Part10Limits,
    encoding_of,
    is_deflated,
)
from asyncdicom.storage.failures import storage_error
from asyncdicom.storage.system import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncdicom.model import Buffer
    from asyncdicom.protocol.data_elements import Event, Source
    from asyncdicom.protocol.part10_vocabulary import Encoding
    from asyncdicom.storage.system import System

__all__ = ["DicomFile", "FileSource", "NotDicom", "open_dicom_file"]

WINDOW_BYTES: Final = 64 * 1024
"""Most data sets have less than this in front of their pixels."""

SPOOL_BYTES: Final = 16 * 1024 * 1024
"""Of an inflated data set that stays in memory."""

_TRANSFER_SYNTAX_UID: Final = 0x00020010
_META_LIMIT_BYTES: Final = Part10Limits().max_file_meta_bytes


class NotDicom(ProtocolError):
    """A file that is no DICOM file at all (PS3.10 §7.1)."""


class FileSource:
    """A file read through a window; the caller keeps the descriptor.

    Attributes:
        byte_count: Size when it was opened.

    """

    def __init__(
        self, fd: int, *, window_bytes: int = WINDOW_BYTES, system: System = SYSTEM
    ) -> None:
        """Prepare.

        Args:
            fd: Open for reading, of something that can be read at an offset.
            window_bytes: Read at once, at least 1.
            system: Where system calls go.

        Raises:
            StorageError: If the kernel refuses.

        """
        self._fd = fd
        self._system = system
        self._window_bytes = window_bytes
        self._window = b""
        self._from = 0
        try:
            self.byte_count = system.fstat(fd).st_size
        except OSError as error:
            raise storage_error(error, "") from error

    def read(self, offset: int, byte_count: int) -> bytes:
        """Return the bytes from an offset on; fewer only where the file ends.

        Raises:
            StorageError: If the disk fails.

        """
        start = offset - self._from
        if start >= 0 and start + byte_count <= len(self._window):
            return self._window[start : start + byte_count]
        if byte_count >= self._window_bytes:
            return self._pread(byte_count, offset)
        self._window = self._pread(self._window_bytes, offset)
        self._from = offset
        return self._window[:byte_count]

    def _pread(self, byte_count: int, offset: int) -> bytes:
        """Read until there is nothing more; pread(2) may return less, at 2 GiB it has to."""
        pieces = []
        try:
            while byte_count > 0 and (piece := self._system.pread(self._fd, byte_count, offset)):
                pieces.append(piece)
                offset += len(piece)
                byte_count -= len(piece)
        except OSError as error:
            raise storage_error(error, "") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A file whose file meta information was read (PS3.10 §7.1)."""

    meta: tuple[tuple[int, str, bytes], ...]
    """Tag, VR and value of group 0002."""
    transfer_syntax_uid: str
    encoding: Encoding
    source: Source
    """Where the data set is: the file, or what it was inflated to."""
    start: int
    """Of the data set, in the source."""
    is_inflated: bool
    """Whether offsets are those of the inflated data set."""
    vr_of: Callable[[int], str]

    def elements(self, wanted: frozenset[int] | None = None) -> Iterator[Event]:
        """Read the data set from its start.

        Args:
            wanted: As of `ElementReader`.

        Raises:
            FetchError: As `ElementReader.events`.

        """
        reader = ElementReader(self.source, self.encoding, vr_of=self.vr_of, wanted=wanted)
        return reader.events(self.start)

    def meta_text(self, tag: int) -> str:
        """Return an element of group 0002 as text; empty if there is none."""
        return next((decode_text(raw) for found, _, raw in self.meta if found == tag), "")


@contextlib.contextmanager
def open_dicom_file(
    fd: int, *, vr_of: Callable[[int], str], window_bytes: int = WINDOW_BYTES
) -> Iterator[DicomFile]:
    """Read the file meta information, and inflate a deflated data set.

    Args:
        fd: Open for reading; the caller keeps and closes it.
        vr_of: The VR of a tag, for data sets of implicit VR.
        window_bytes: As of `FileSource`.

    Raises:
        NotDicom: If it is no DICOM file.
        ProtocolError: If its file meta is broken.
        LimitExceeded: If a deflated data set grows too much.
        StorageError: If the disk fails.

    """
    source = FileSource(fd, window_bytes=window_bytes)
    if source.read(128, 4) != b"DICM":
        raise NotDicom('no "DICM" behind the preamble: not a DICOM file', offset=128)
    meta, end = _read_meta(source, vr_of)
    uids = [decode_text(raw) for tag, _, raw in meta if tag == _TRANSFER_SYNTAX_UID]
    if not uids:
        raise ProtocolError("file meta lacks TransferSyntaxUID")
    encoding = encoding_of(uids[0])
    if not is_deflated(uids[0]):
        yield DicomFile(meta, uids[0], encoding, source, end, is_inflated=False, vr_of=vr_of)
        return
    with _spool() as spool:
        inflated = _inflate(source, end, spool)
        yield DicomFile(meta, uids[0], encoding, inflated, 0, is_inflated=True, vr_of=vr_of)


def _read_meta(
    source: Source, vr_of: Callable[[int], str]
) -> tuple[tuple[tuple[int, str, bytes], ...], int]:
    """Read group 0002 element by element, whatever its group length says."""
    meta: list[tuple[int, str, bytes]] = []
    end = 132
    events = ElementReader(source, EXPLICIT, vr_of=vr_of).events(end)
    # Looked at before it is read: what follows may have another encoding.
    while _is_meta(source.read(end, 6)):
        event = next(events)
        if not isinstance(event, ElementFound):
            raise ProtocolError("file meta holds a sequence", offset=end)
        if event.byte_count > _META_LIMIT_BYTES:
            raise LimitExceeded(f"file meta holds more than {_META_LIMIT_BYTES} bytes", offset=end)
        meta.append((event.tag, event.vr, source.read(event.offset, event.byte_count)))
        end = event.offset + event.byte_count
    return tuple(meta), end


def _is_meta(head: bytes) -> bool:
    """Tell an element of group 0002 from the start of a data set, deflated ones included."""
    vr = head[4:6]
    return head[:2] == b"\2\0" and vr.isalpha() and vr.isupper()


@contextlib.contextmanager
def _spool() -> Iterator[IO[bytes]]:
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 -- closed below
    try:
        yield spool
    finally:
        # What was read of it was written before; what cannot be written was told.
        with contextlib.suppress(OSError):
            spool.close()


class _Spool:
    """Keeps an inflated data set, and reads from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.byte_count = 0

    def receive_data(self, data: Buffer, base: int) -> None:
        try:
            self._file.seek(base)
            self._file.write(data)
        except OSError as error:
            raise storage_error(error, tempfile.gettempdir()) from error
        self.byte_count = base + len(data)

    def receive_eof(self) -> None:
        """Do nothing: whether the data set is whole is for its reader to see."""

    def read(self, offset: int, byte_count: int) -> bytes:
        try:
            self._file.seek(offset)
            return self._file.read(byte_count)
        except OSError as error:
            raise storage_error(error, tempfile.gettempdir()) from error


def _inflate(source: Source, start: int, spool: IO[bytes]) -> _Spool:
    inflated = _Spool(spool)
    stream = DeflatedDataSet(inflated, start=start, limits=Part10Limits())
    at = start
    while chunk := source.read(at, WINDOW_BYTES):
        stream.receive_data(chunk, at)
        at += len(chunk)
    stream.receive_eof()
    return inflated
