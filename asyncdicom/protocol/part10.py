"""Prove a DICOM file structurally whole, without decoding it (PS3.10 §7.1, PS3.5 §7, Annex A).

    walker = Part10Walker()
    for chunk in chunks:
        walker.receive_data(chunk)
    facts = walker.receive_eof()

Rule: an error is raised as soon as the bytes make it certain; the verdict, and the
offset in it, do not depend on where the network cut them. Whether UIDs are UIDs and
whether what must be there is missing is judged at the end, once the structure stands.

Rule: behind the data set only zeros may follow, up to a bound. Data Set Trailing
Padding (FFFC,FFFC) is an element like any other. A DICOMDIR is no instance, and is
refused for want of a SOP Instance UID.

Cost: O(headers), not O(bytes); pixel data is skipped by arithmetic. Memory: the
watched values (4 KiB of each at most) and the file meta information.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import AsyncDicomError, LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.part10_dataset import DataSetWalker
from asyncdicom.protocol.part10_deflate import DeflatedDataSet
from asyncdicom.protocol.part10_facts import (
    FileMeta,
    InstanceFacts,
    instance_facts,
    parse_uid_bytes,
)
from asyncdicom.protocol.part10_vocabulary import (
    DEFAULT_TAGS,
    EXPLICIT,
    Part10Limits,
    encoding_of,
    is_deflated,
    watch_list,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.model import Buffer, Uid

__all__ = [
    "DEFAULT_TAGS",
    "FileMeta",
    "InstanceFacts",
    "Part10Limits",
    "Part10Walker",
    "read_file_meta",
]

_PREFIX_BYTES: Final = 132
"""PS3.10 §7.1: 128 bytes of preamble, then "DICM"."""
_META_START: Final = _PREFIX_BYTES + 12
"""(0002,0000) itself: tag, VR UL, length 4, value."""

_GROUP_LENGTH: Final = Struct("<IHHI").unpack_from
_GROUP_LENGTH_HEADER: Final = (0x00000002, int.from_bytes(b"UL", "little"), 4)
_MEDIA_STORAGE_SOP_INSTANCE_UID: Final = 0x0003
_TRANSFER_SYNTAX_UID: Final = 0x0010

_DEFAULT_LIMITS: Final = Part10Limits()


class Part10Walker:
    """Walks one file, pushed in chunks of any size.

    Args:
        limits: What is refused so that memory and time stay bounded.
        collect: Keyword by tag of the text values to hand back.
        collect_doubts: Hand back what is missing from an instance whose structure is
            whole, instead of raising it: for content that its framing proves uncut.

    """

    __slots__ = (
        "_byte_count",
        "_collect",
        "_collect_doubts",
        "_ended",
        "_head",
        "_limits",
        "_meta",
        "_stage",
        "_walker",
    )

    def __init__(
        self,
        *,
        limits: Part10Limits = _DEFAULT_LIMITS,
        collect: Mapping[int, str] = DEFAULT_TAGS,
        collect_doubts: bool = False,
    ) -> None:
        self._limits = limits
        self._collect_doubts = collect_doubts
        self._collect = collect
        self._byte_count = 0
        self._head = bytearray()
        self._meta: FileMeta | None = None
        self._walker: DataSetWalker | None = None
        self._stage: DataSetWalker | DeflatedDataSet | None = None
        self._ended: Exception | None = None

    def receive_data(self, data: Buffer) -> None:
        """Walk on.

        Raises:
            ProtocolError: If no continuation could make the file whole. From then
                on each call raises it again.
            LimitExceeded: If a limit was met.

        """
        if self._ended is not None:
            raise self._ended
        base = self._byte_count
        self._byte_count = base + len(data)
        try:
            if self._stage is None:
                self._receive_head(data)
            if self._stage is not None:
                self._stage.receive_data(data, base)
        except AsyncDicomError as error:
            self._ended = error
            raise

    @property
    def idle_bytes(self) -> int:
        """How many of the next bytes nobody looks at: inside of a long value, usually."""
        stage = self._stage
        if self._ended is not None or not isinstance(stage, DataSetWalker):
            return 0
        return max(0, stage.next_offset - self._byte_count)

    def skip(self, byte_count: int) -> None:
        """Count bytes as received that are there: at most `idle_bytes`."""
        self._byte_count += byte_count
        if self._stage is not None:
            self._stage.receive_data(b"", self._byte_count)

    def receive_eof(self) -> InstanceFacts:
        """Confirm that the file is whole, and say what it is.

        Raises:
            Truncated: If it ends early.
            ProtocolError: If the pixel data has another length than the image.
            ContentError: If a UID or a number is none, or is missing.

        """
        if self._ended is not None:
            raise self._ended
        self._ended = UsageError("the walker has ended")
        if self._stage is None or self._meta is None or self._walker is None:
            raise Truncated("the file ends inside of its file meta", offset=self._byte_count)
        self._stage.receive_eof()
        facts, doubt = instance_facts(self._meta, self._walker, self._collect, self._byte_count)
        if doubt is not None and not self._collect_doubts:
            raise doubt
        return facts

    def _receive_head(self, data: Buffer) -> None:
        """Collect the file meta information, and begin the data set behind it."""
        head, used = self._head, 0
        end = _end_of_file_meta(head, self._limits)
        while len(head) < end and used < len(data):
            taken = data[used : used + end - len(head)]
            used += len(taken)
            head += taken
            end = _end_of_file_meta(head, self._limits)
        if len(head) < end:
            return
        self._head = bytearray()
        self._begin_data_set(_file_meta(bytes(head[_META_START:])), end)

    def _begin_data_set(self, meta: FileMeta, end: int) -> None:
        """Walk the data set from here on, which begins behind so many bytes."""
        self._meta = meta
        watch = watch_list(tuple(self._collect))
        encoding = encoding_of(meta.transfer_syntax_uid)
        if is_deflated(meta.transfer_syntax_uid):
            self._walker = DataSetWalker(encoding, start=0, watch=watch, limits=self._limits)
            self._stage = DeflatedDataSet(self._walker, start=end, limits=self._limits)
        else:
            self._walker = DataSetWalker(encoding, start=end, watch=watch, limits=self._limits)
            self._stage = self._walker


def read_file_meta(content: bytes, limits: Part10Limits = _DEFAULT_LIMITS) -> tuple[FileMeta, int]:
    """Read the file meta information of a file that is there as a whole.

    Returns:
        What it says, and where the data set begins.

    Raises:
        Truncated: If the file ends inside of it.
        ProtocolError: If this is no DICOM file, or the information breaks its standard.
        ContentError: If a UID is none.

    """
    end = _end_of_file_meta(content, limits)
    if len(content) < end:
        raise Truncated("the file ends inside of its file meta", offset=len(content))
    return _file_meta(content[_META_START:end]), end


def _end_of_file_meta(head: bytearray | bytes, limits: Part10Limits) -> int:
    """Return the absolute offset behind the file meta information, as far as it is known.

    Raises:
        ProtocolError: If this is not a DICOM file.
        LimitExceeded: If the file meta information claims to be too long.

    """
    if len(head) < _PREFIX_BYTES:
        return _PREFIX_BYTES
    if not head.startswith(b"DICM", 128):
        raise ProtocolError('no "DICM" behind the preamble: not a DICOM file', offset=128)
    if len(head) < _META_START:
        return _META_START
    *header, length = _GROUP_LENGTH(head, _PREFIX_BYTES)
    # PS3.10 §7.1: File Meta Information Group Length comes first, type 1.
    if tuple(header) != _GROUP_LENGTH_HEADER:
        raise ProtocolError("file meta has no group length", offset=_PREFIX_BYTES)
    if length > limits.max_file_meta_bytes:
        raise LimitExceeded(
            f"file meta claims more than {limits.max_file_meta_bytes} bytes", offset=_PREFIX_BYTES
        )
    return _META_START + int(length)


def _file_meta(block: bytes) -> FileMeta:
    """Read group 0002, which is explicit VR little endian (PS3.10 §7.1).

    Raises:
        ProtocolError: If it disagrees with its group length, or lacks what it must say.
        ContentError: If a UID is none.

    """
    values: dict[int, bytes] = {}
    pos, size = 0, len(block)
    while pos < size:
        if pos + 8 > size:
            raise _disagreement(pos)
        tag, vr, length = EXPLICIT.tag_vr_length(block, pos)
        value = pos + 8
        if vr not in EXPLICIT.short_vrs:
            if pos + 12 > size:
                raise _disagreement(pos)
            (length,) = EXPLICIT.length_32(block, value)
            value += 4
        pos_after = value + length
        if tag & 0xFFFF != 2 or pos_after > size:
            raise _disagreement(pos)
        values[tag >> 16] = block[value:pos_after]
        pos = pos_after
    return FileMeta(
        transfer_syntax_uid=_needed(values, _TRANSFER_SYNTAX_UID, "TransferSyntaxUID"),
        media_storage_sop_instance_uid=_needed(
            values, _MEDIA_STORAGE_SOP_INSTANCE_UID, "MediaStorageSOPInstanceUID"
        ),
    )


def _disagreement(pos: int) -> ProtocolError:
    return ProtocolError("file meta disagrees with its group length", offset=_META_START + pos)


def _needed(values: Mapping[int, bytes], element: int, keyword: str) -> Uid:
    raw = values.get(element, b"")
    if not raw:
        raise ProtocolError(f"file meta lacks {keyword}")
    return parse_uid_bytes(raw, keyword)
