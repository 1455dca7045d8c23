"""One parser interface for any WADO-RS answer (PS3.18 §8.6.1.2).

Servers answer single-part where multipart was asked for, and the reverse, so
the Content-Type of the answer chooses the parser, never the request:

    parser = payload_parser(response.header("content-type"))
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from asyncdicom.errors import UsageError
from asyncdicom.protocol.media_types import boundary_of, is_multipart
from asyncdicom.protocol.multipart import MultipartLimits, MultipartParser
from asyncdicom.protocol.payload_events import (
    NEED_DATA,
    Event,
    NeedData,
    PartBegan,
    PartData,
    PartEnded,
    PayloadEnded,
)

if TYPE_CHECKING:
    from asyncdicom.model import Buffer, Header
    from asyncdicom.protocol.payload_events import PayloadParser

__all__ = ["SinglePartParser", "payload_parser"]


class _Stage(Enum):
    BEGIN = auto()
    CONTENT = auto()
    END_PAYLOAD = auto()
    ENDED = auto()


class SinglePartParser:
    """Report a whole payload as one part, with the events of multipart payloads.

    Rule: a single-part payload has no delimiter, so `receive_eof` cannot tell a
    cut from an end. Whether it is whole is for the framing of the transport to
    say (Content-Length, last chunk, END_STREAM); of a payload delimited by the
    close of its connection, only its content can prove it (Part 10 walk, digest).
    """

    def __init__(self, headers: tuple[Header, ...] = ()) -> None:
        """Prepare for one payload.

        Args:
            headers: What `PartBegan` shall report, usually the Content-Type.

        """
        self._headers = headers
        self._chunks: deque[bytes] = deque()
        self._byte_count = 0
        self._is_eof = False
        self._stage = _Stage.BEGIN

    def receive_data(self, data: Buffer) -> None:
        """Store the next bytes; `bytes` are passed on as they are, other buffers copied.

        Raises:
            UsageError: After `receive_eof`.

        """
        if self._is_eof:
            raise UsageError("data behind the end")
        if len(data):
            self._chunks.append(bytes(data))

    def receive_eof(self) -> None:
        """Say that no byte will follow; then drain once more, for the end of the part."""
        self._is_eof = True

    def next_event(self) -> Event | NeedData:
        """Return the next event, or `NEED_DATA`; the part ends only after `receive_eof`."""
        if self._stage is _Stage.BEGIN:
            self._stage = _Stage.CONTENT
            return PartBegan(self._headers, 0)
        if self._chunks:
            data = self._chunks.popleft()
            self._byte_count += len(data)
            return PartData(data)
        return self._next_end() if self._is_eof else NEED_DATA

    def _next_end(self) -> Event | NeedData:
        if self._stage is _Stage.CONTENT:
            self._stage = _Stage.END_PAYLOAD
            return PartEnded(self._byte_count)
        if self._stage is _Stage.END_PAYLOAD:
            self._stage = _Stage.ENDED
            return PayloadEnded(1)
        return NEED_DATA


def payload_parser(
    content_type: str | None, *, limits: MultipartLimits | None = None
) -> PayloadParser:
    """Choose the parser for a payload.

    Args:
        content_type: Value of the Content-Type field, or None without one.
        limits: Bounds for multipart payloads; None for the defaults.

    Returns:
        A `MultipartParser` for `multipart/*`, else a `SinglePartParser`.

    Raises:
        ProtocolError: If a multipart type has no usable boundary parameter.
        LimitExceeded: If its boundary is too long.

    """
    if content_type is None:
        return SinglePartParser()
    if is_multipart(content_type):
        return MultipartParser(boundary_of(content_type), limits=limits)
    return SinglePartParser((("content-type", content_type),))
