"""Follow a payload while it is written: its parts, their digests, and the verdict.

    check = PayloadCheck(target, transaction.content_type)
    while data := await transaction.read():
        writer.write(data)
        check.receive_data(data)
    parts = check.receive_eof()        # raises unless the payload is whole and as asked

Rule: the verdict comes from the bytes, never from a status alone. A payload is
whole when its framing ended, its parts are as many as asked for, and what they
hold is what the target names.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import orjson

from asyncdicom.errors import (
    Doubtful,
    Incomplete,
    NotFound,
    Truncated,
    UidMismatch,
    UnexpectedContent,
)
from asyncdicom.model import Buffer, Header, Resource, Target
from asyncdicom.protocol.dicom_json import SOP_INSTANCE_UID, JsonArraySplitter, uid
from asyncdicom.protocol.http_fields import field_values, warning_values
from asyncdicom.protocol.media_types import is_multipart, parse_media_type
from asyncdicom.protocol.payload import payload_parser
from asyncdicom.protocol.payload_events import NEED_DATA, PartBegan, PartData, PartEnded
from asyncdicom.protocol.whole_payload import only_part
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from asyncdicom.model import Uid
    from asyncdicom.protocol.payload_events import PayloadParser

    OnElement = Callable[[dict[str, Any]], None]

__all__ = ["PartRecord", "PayloadCheck", "expect_content", "expect_whole_list"]


@dataclass(frozen=True, slots=True)
class PartRecord:
    """One part of a payload, as a dump record names it."""

    headers: tuple[Header, ...]
    offset: int
    """Of the first content byte in the payload."""
    length: int
    sha256: str


# A run meets a handful of types; asking for the parser finds out whether one is usable.
@lru_cache(maxsize=64)
def _is_multipart(content_type: str | None) -> bool:
    payload_parser(content_type)
    return is_multipart(content_type)


class PartSink(Protocol):
    """Where the content of parts goes, wrapper removed."""

    def write(self, data: Buffer, /) -> object:
        """Take content bytes."""


class PayloadCheck:
    """Parses, digests and judges one payload.

    Args:
        target: What was asked for.
        content_type: Of the answer.
        sink: Takes the content of the parts, wrapper removed.
        frame_bytes: Size an uncompressed frame must have, where it is known.
        on_element: Takes each element of a JSON array as it is read.

    Raises:
        UnexpectedContent: If the media type cannot be what was asked for.
        ProtocolError: If the media type is multipart and names no boundary.

    """

    def __init__(
        self,
        target: Target,
        content_type: str | None,
        *,
        sink: PartSink | None = None,
        frame_bytes: int | None = None,
        on_element: OnElement | None = None,
    ) -> None:
        expect_content(target.resource, content_type)
        self.is_multipart = _is_multipart(content_type)
        self._content_type = content_type
        self._target = target
        self._frame_bytes = frame_bytes
        self._only_piece: bytes | None = None
        self._parser: PayloadParser | None = None
        self._sink = sink
        self._on_element = on_element
        self._content: _ContentCheck | None = None
        self._parts: list[PartRecord] = []

    def receive_data(self, data: Buffer) -> None:
        """Take the next bytes of the payload.

        Raises:
            ProtocolError: If they break the multipart framing or what it holds.

        """
        parser = self._parser
        if parser is None:
            if self._only_piece is None and len(data) <= MAX_ONLY_PIECE_BYTES:
                # Most answers are one piece; what came in one is judged in one.
                self._only_piece = bytes(data)
                return
            parser = self._begin_streaming()
        parser.receive_data(data)
        self._drain(parser)

    def receive_eof(self) -> list[PartRecord]:
        """Return the parts of a whole payload.

        Raises:
            Truncated: If the payload, or what it holds, ended early.
            ContentError: If it is whole, but not what was asked for.

        """
        if self._parser is not None or not self._take_only_part():
            parser = self._parser or self._begin_streaming()
            parser.receive_eof()
            self._drain(parser)
        if not any(part.length for part in self._parts):
            raise UnexpectedContent("the answer is empty")
        if self._target.resource in (Resource.FRAME, Resource.INSTANCE) and len(self._parts) > 1:
            raise UnexpectedContent(
                f"asked for one {self._target.resource}, got {len(self._parts)}"
            )
        return self._parts

    def expect_own_end(self, *, may_be_opaque: bool) -> None:
        """Refuse a whole payload that could as well be a cut one, as its framing shows no end.

        Args:
            may_be_opaque: Whether content that has no structure to be judged by is accepted.

        Raises:
            Doubtful: If what should be at the end of it is not there, or cannot be told.

        """
        if isinstance(self._content, _InstanceCheck) and self._content.doubts:
            raise Doubtful("; ".join(self._content.doubts))
        if self._content is None and not may_be_opaque:
            raise Doubtful("neither the answer nor its content shows where it ends")

    def _begin_streaming(self) -> PayloadParser:
        parser = self._parser = payload_parser(self._content_type)
        if self._only_piece is not None:
            parser.receive_data(self._only_piece)
            self._only_piece = None
            self._drain(parser)
        return parser

    def _take_only_part(self) -> bool:
        """Judge a payload that came in one piece; tell whether that was possible."""
        payload = self._only_piece
        part = None if payload is None else only_part(payload, self._content_type)
        if payload is None or part is None:
            return False
        self._began = PartBegan(part.headers, part.offset)
        content = memoryview(payload)[part.offset : part.end]
        self._hash = hashlib.sha256(content)
        self._content = self._content_check()
        if content:
            self._pass_on(content)
        self._end_part(len(content))
        return True

    def _pass_on(self, data: Buffer) -> None:
        if self._content is not None:
            self._content.receive_data(data)
        if self._sink is not None:
            self._sink.write(data)

    def _drain(self, parser: PayloadParser) -> None:
        next_event = parser.next_event
        while (event := next_event()) is not NEED_DATA:
            match event:
                case PartData(data):
                    self._hash.update(data)
                    self._pass_on(data)
                case PartBegan():
                    self._began = event
                    self._hash = hashlib.sha256()
                    self._content = self._content_check()
                case PartEnded(byte_count):
                    self._end_part(byte_count)

    def _end_part(self, byte_count: int) -> None:
        if self._content is not None:
            self._content.end()
        if self._frame_bytes is not None:
            expect_frame_bytes(self._frame_bytes, byte_count, self._began.headers)
        digest = self._hash.hexdigest()
        self._parts.append(PartRecord(self._began.headers, self._began.offset, byte_count, digest))

    def _content_check(self) -> _ContentCheck | None:
        match self._target.resource:
            case Resource.INSTANCE:
                return _InstanceCheck(self._target)
            case Resource.METADATA | Resource.SEARCH:
                return _JsonCheck(self._target, self._on_element)
            case _:
                return None


class _ContentCheck(Protocol):
    """What is demanded of the content of a part."""

    def receive_data(self, data: Buffer) -> None:
        """Take content bytes."""

    def end(self) -> None:
        """Give the verdict."""


class _InstanceCheck:
    """A Part 10 file, whole to its last byte, of the instance asked for."""

    def __init__(self, target: Target) -> None:
        # Imported here: who dumps no instances does not pay its 8 ms.
        from asyncdicom.protocol.part10 import Part10Walker  # noqa: PLC0415 -- lazy on purpose

        # What the server holds is dumped as it is; its oddities are for readers.
        self._walker = Part10Walker(collect_doubts=True)
        self._expected = target.sop_instance_uid
        self.doubts: tuple[str, ...] = ()
        self.receive_data = self._walker.receive_data

    def end(self) -> None:
        facts = self._walker.receive_eof()
        self.doubts = facts.doubts
        if self._expected is not None and facts.sop_instance_uid != self._expected:
            raise UidMismatch(expected=self._expected, received=facts.sop_instance_uid)


class _JsonCheck:
    """An array of JSON objects, closed; metadata describe something, and what was asked for.

    What comes in one piece is parsed in one piece: for the metadata of one instance
    that costs a third of splitting it.
    """

    def __init__(self, target: Target, on_element: OnElement | None) -> None:
        self._splitter: JsonArraySplitter | None = None
        self._only_piece: Buffer = b""
        self._is_metadata = target.resource is Resource.METADATA
        self._expected = target.sop_instance_uid if self._is_metadata else None
        self._elements = 0
        self._on_element = on_element

    def receive_data(self, data: Buffer) -> None:
        if self._splitter is None:
            if not self._only_piece and len(data) <= MAX_ONLY_PIECE_BYTES:
                self._only_piece = data
                return
            self._splitter = JsonArraySplitter()
            self._splitter.receive_data(self._only_piece)
        self._splitter.receive_data(data)
        self._drain(self._splitter)

    def end(self) -> None:
        if self._splitter is None:
            self._parse_only_piece()
        else:
            self._splitter.receive_eof()
            self._drain(self._splitter)
        # A search may find nothing; what exists has metadata (PS3.18 §10.4.1.1.2).
        if self._is_metadata and not self._elements:
            raise NotFound("the metadata describe no instance", status_code=204)

    def _parse_only_piece(self) -> None:
        try:
            elements = orjson.loads(self._only_piece)
        except orjson.JSONDecodeError:
            elements = None
        if isinstance(elements, list) and all(isinstance(e, dict) for e in elements):
            for element in elements:
                self._take(element)
            return
        # The splitter bears with more, and says exactly what it cannot bear with.
        splitter = JsonArraySplitter()
        splitter.receive_data(self._only_piece)
        self._drain(splitter)
        splitter.receive_eof()
        self._drain(splitter)

    def _drain(self, splitter: JsonArraySplitter) -> None:
        while (element := splitter.next_event()) is not NEED_DATA:
            self._take(element)

    def _take(self, element: dict[str, Any]) -> None:
        self._elements += 1
        if self._expected is not None:
            self._expect_instance(self._expected, element)
        if self._on_element is not None:
            self._on_element(element)

    def _expect_instance(self, expected: Uid, element: dict[str, Any]) -> None:
        received = uid(element, SOP_INSTANCE_UID)
        if received not in (None, expected):
            raise UidMismatch(expected=expected, received=str(received))


MAX_ONLY_PIECE_BYTES = 64 * 1024
"""Held until the end: the metadata of one instance, or a short list."""

# PS3.5 Annex A: Transfer Syntaxes whose frames are native, so that their size is known.
_NATIVE_TRANSFER_SYNTAXES = frozenset(
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
)


def expect_frame_bytes(expected: int, received: int, headers: tuple[Header, ...]) -> None:
    """Refuse a frame that says it is uncompressed, but is shorter than rows and columns demand.

    Raises:
        Truncated: If bytes are missing.

    """
    declared = next(iter(field_values(headers, "content-type")), "")
    media_type = parse_media_type(declared or "application/octet-stream")
    syntax = media_type.parameter("transfer-syntax")
    if syntax in _NATIVE_TRANSFER_SYNTAXES and received < expected:
        raise Truncated(f"a frame of {expected} bytes came as {received}", offset=received)


# Media types that never carry pixels: login pages, error texts, metadata.
_NEVER_PIXELS = ("text/", "application/json", "application/dicom+json", "application/xml")


def expect_whole_list(headers: tuple[Header, ...]) -> None:
    """Refuse a search answer that says itself that it is not all.

    Raises:
        Incomplete: If there is a Warning of code 299 (PS3.18 §8.3.4.4).

    """
    for warning in warning_values(field_values(headers, "warning")):
        if warning.code == 299:
            raise Incomplete("the server says that it lists only some", expected=None, received=0)


@lru_cache(maxsize=64)
def expect_content(resource: Resource, content_type: str | None) -> None:
    """Refuse an answer whose media type cannot be what was asked for.

    Raises:
        UnexpectedContent: For instance a login page that came with status 200.

    """
    if content_type is None:
        return  # RFC 9110 §8.3: the recipient may examine the data; the checks do
    kind = content_type.split(";", 1)[0].strip().lower()
    if resource in (Resource.METADATA, Resource.SEARCH):
        if "json" not in kind:
            raise UnexpectedContent(f"asked for DICOM JSON, got {kind[:60]!r}")
    elif kind.startswith(_NEVER_PIXELS) and resource is not Resource.BULKDATA:
        raise UnexpectedContent(f"asked for {resource.value} data, got {kind[:60]!r}")
