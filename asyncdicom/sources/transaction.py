"""One request to a DICOMweb origin and its answer, with the times a record needs.

    async with source.transact(target) as transaction:
        transaction.judge()
        while data := await transaction.read():
            ...

The content-coding is taken off here, so that every reader above sees the
payload; `bytes_downloaded` still counts what travelled.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import UsageError
from asyncdicom.policy.retry import MAX_RETRY_AFTER_S
from asyncdicom.protocol import wado_rs
from asyncdicom.protocol.content_coding import Decoder, decoder_for
from asyncdicom.protocol.http_fields import field_values, retry_after_s
from asyncdicom.protocol.media_types import is_multipart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from asyncdicom.model import Buffer, SearchTarget, Target
    from asyncdicom.policy.pacing import Pacer
    from asyncdicom.ports.http import HttpRequest, HttpResponse, HttpTransport

__all__ = ["Transaction"]


class Transaction:
    """A request under way; entering it waits for the head of the answer.

    Attributes:
        request: What was asked for; credentials are added below this layer.
        target: Why.
        sends_credentials: Whether credentials are added.
        started_at: UTC time at which the request was handed to the transport.
        bytes_downloaded: Body bytes received, as sent.

    """

    def __init__(
        self,
        transport: HttpTransport,
        request: HttpRequest,
        target: Target | SearchTarget,
        *,
        sends_credentials: bool = False,
        pacer: Pacer | None = None,
    ) -> None:
        self.request = request
        self.target = target
        self.sends_credentials = sends_credentials
        self.started_at = datetime.now(UTC)
        self.bytes_downloaded = 0
        self._transport = transport
        self._pacer = pacer
        self._context: AbstractAsyncContextManager[HttpResponse] | None = None
        self._response: HttpResponse | None = None
        self._decoder: Decoder | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._begun_s = self._head_s = self._last_s = 0.0

    async def __aenter__(self) -> Self:
        self._begun_s = time.perf_counter()
        self._context = self._transport.request(self.request)
        self._response = await self._context.__aenter__()
        self._head_s = self._last_s = time.perf_counter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if self._context is None:
            raise UsageError("the transaction was not begun")
        return await self._context.__aexit__(kind, error, traceback)

    @property
    def response(self) -> HttpResponse:
        """Status, version and fields of the answer."""
        if self._response is None:
            raise UsageError("the transaction was not begun")
        return self._response

    @property
    def has_answer(self) -> bool:
        """Whether the head of an answer arrived."""
        return self._response is not None

    @property
    def content_type(self) -> str | None:
        """Content-Type of the answer, or None."""
        return self.response.header("content-type")

    @property
    def shows_its_end(self) -> bool:
        """Whether a cut payload looks different from a whole one, whatever it holds.

        Multipart closes itself. Anything else needs a length or chunks: without them the end
        of the connection is the end (RFC 9112 §6.3), and over HTTP/2 pyreqwest takes
        RST_STREAM(NO_ERROR) for END_STREAM.
        """
        if is_multipart(self.content_type):
            return True
        codings = field_values(self.response.headers, "transfer-encoding")
        if codings:
            # RFC 9112 §6.3: they override a length, and of them only chunks, as the last, end
            # by themselves. hyper and aiohttp read to the end of the connection otherwise.
            return ",".join(codings).rpartition(",")[2].strip().lower() == "chunked"
        return self.response.header("content-length") is not None

    @property
    def asked_pause_s(self) -> float:
        """Pause that the answer asks for, 0 to `MAX_RETRY_AFTER_S`."""
        return min(max(self._retry_after_s() or 0.0, 0.0), MAX_RETRY_AFTER_S)

    def judge(self) -> None:
        """Raise what the status means, unless it is 200 (`wado_rs.judge`)."""
        status_code = self.response.status_code
        if status_code != 200:
            wado_rs.judge(status_code, self._retry_after_s())

    def _retry_after_s(self) -> float | None:
        return retry_after_s(self.response.header("retry-after"), now_utc=datetime.now(UTC))

    async def read(self) -> Buffer:
        """Return the next bytes of the payload, or `b""` at its end.

        Raises:
            TransportError: If bytes stop flowing or the framing was not met.
            ProtocolError: If the content-coding is damaged, cut or a bomb.

        """
        if self._last_s == self._head_s:
            self._decoder = self._decoder_for_answer()
        while True:
            if self._decoder is not None and (piece := next(self._pieces, b"")):
                return piece
            data = await self.response.read()
            self._last_s = time.perf_counter()
            if not data:
                if self._decoder is not None:
                    self._decoder.end()
                return b""
            self.bytes_downloaded += len(data)
            if self._pacer is not None:
                await asyncio.sleep(self._pacer.delay_s(len(data), now_s=self._last_s))
            if self._decoder is None:
                return data
            self._pieces = self._decoder.decode(data)

    @property
    def first_byte_s(self) -> float:
        """Seconds from the request to the head of the answer."""
        return self._head_s - self._begun_s

    @property
    def last_byte_s(self) -> float:
        """Seconds from the request to the last byte read so far."""
        return self._last_s - self._begun_s

    def _decoder_for_answer(self) -> Decoder | None:
        return decoder_for(self.response.header("content-encoding"))
