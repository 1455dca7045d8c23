"""One question of a probe to a DICOMweb service: bounded, polite, and remembered as seen.

    asker = Asker(source)
    exchange = await asker.ask("/studies?limit=1")
    exchange.status_code, exchange.answers(), str(exchange)

Rules:
    1. At most `MAX_REQUESTS` in all, one at a time, and little of each answer.
    2. A status that says no is an answer. Where bytes do not flow or the server asks for
       patience, the probe goes on once; the second time it is over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from asyncdicom.errors import FetchError, ProtocolError, UsageError
from asyncdicom.model import SearchTarget
from asyncdicom.protocol.dicom_json_stream import JsonArraySplitter
from asyncdicom.protocol.http_fields import field_values, warning_values
from asyncdicom.protocol.payload_events import NEED_DATA
from asyncdicom.sources.transaction import Transaction

if TYPE_CHECKING:
    from asyncdicom.model import Header
    from asyncdicom.ports.http import HttpRequest, HttpTransport
    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["JSON", "MAX_REQUESTS", "Asker", "Exchange", "ProbeOver"]

JSON: Final = "application/dicom+json"

MAX_REQUESTS: Final = 30
MAX_JSON_BYTES: Final = 1024 * 1024
MAX_PIXEL_BYTES: Final = 64 * 1024
"""What is read of an instance or a frame: enough to see that it begins."""
MAX_FAILURES: Final = 2
MAX_PATIENCE_S: Final = 10.0
"""Longest Retry-After that a probe waits for."""


class ProbeOver(Exception):
    """The service cannot be asked any more."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and as much of its answer as was read."""

    asked: str
    """Path and query below the root."""
    status_code: int = 0
    """0 where no answer came."""
    http_version: str = ""
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    """Without content-coding."""
    is_whole: bool = False
    """Whether all of the body was read."""
    downloaded_bytes: int = 0
    """Of the body as sent, content-coding included."""
    first_byte_s: float = 0.0
    problem: str = ""
    """Why there is no answer, or not all of it."""

    def __str__(self) -> str:
        if not self.status_code:
            return f"GET {self.asked}: {self.problem}"
        return f"GET {self.asked}: {self.status_code} {self.media_type}".rstrip()

    @property
    def is_success(self) -> bool:
        """Whether there is a representation."""
        return self.status_code in (200, 206)

    def header(self, name: str) -> str:
        """Return the first value of a field, or an empty string."""
        return next(iter(field_values(self.headers, name)), "")

    @property
    def media_type(self) -> str:
        """Content-Type without parameters, in lower case, or an empty string."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Texts of the Warning fields."""
        return tuple(one.text for one in warning_values(field_values(self.headers, "warning")))

    def answers(self) -> list[dict[str, Any]] | None:
        """Return the data sets read so far, or None where it is no list of them."""
        if self.status_code == 204 or (self.is_success and not self.body.strip()):
            return []
        if not self.is_success:
            return None
        splitter = JsonArraySplitter()
        try:
            splitter.receive_data(self.body)
            if self.is_whole:
                splitter.receive_eof()
            found = []
            while (element := splitter.next_event()) is not NEED_DATA:
                found.append(element)
        except ProtocolError:
            return None
        return found


class Asker:
    """Asks a service for one thing after the other.

    Attributes:
        requests: Sent so far, repetitions of `search` not counted.
        was_throttled: What was answered with 429 or 503, or an empty string.

    """

    def __init__(self, source: DicomWebSource) -> None:
        self.requests = 0
        self.was_throttled = ""
        self._source = source
        self._failures = 0

    async def ask(
        self,
        path: str,
        *,
        accept: str = JSON,
        encoding: str = "gzip",
        max_bytes: int = MAX_JSON_BYTES,
    ) -> Exchange:
        """Ask for a path below the root; what goes wrong is part of the result.

        Args:
            path: With its query.
            accept: Value of Accept.
            encoding: Value of Accept-Encoding.
            max_bytes: How much of the body is read.

        Raises:
            ProbeOver: If too much went wrong.

        """
        exchange = await self._ask(path, accept, encoding, max_bytes)
        if exchange.status_code in (429, 503):
            self.was_throttled = str(exchange)
            self._fail(str(exchange))
            exchange = await self._ask(path, accept, encoding, max_bytes)
        if exchange.problem or exchange.status_code in (429, 503):
            self._fail(str(exchange))
        return exchange

    def _fail(self, why: str) -> None:
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise ProbeOver(why)

    async def _ask(self, path: str, accept: str, encoding: str, max_bytes: int) -> Exchange:
        if self.requests >= MAX_REQUESTS:
            raise UsageError(f"more than {MAX_REQUESTS} requests")
        await self._source.patience.until_over()
        self.requests += 1
        transaction = self._transaction(path, accept, encoding)
        exchange = Exchange(path)
        try:
            async with transaction:
                exchange = _head_of(transaction, path)
                self._be_patient(transaction)
                body, is_whole = await _read(transaction, max_bytes)
                exchange = replace(
                    exchange,
                    body=body,
                    is_whole=is_whole,
                    downloaded_bytes=transaction.bytes_downloaded,
                )
        except FetchError as error:
            return replace(exchange, problem=str(error))
        return exchange

    def _be_patient(self, transaction: Transaction) -> None:
        if transaction.response.status_code not in (429, 503):
            return
        if (pause_s := transaction.asked_pause_s) > MAX_PATIENCE_S:
            raise ProbeOver(f"the server asks to be left alone for {pause_s:g} s")
        self._source.patience.extend(pause_s)

    def _transaction(self, path: str, accept: str, encoding: str) -> Transaction:
        """Return a transaction with other fields than those that the source negotiates."""
        replaced = {"accept": accept, "accept-encoding": encoding}

        def make(
            transport: HttpTransport, request: HttpRequest, target: Any, **options: Any
        ) -> Transaction:
            headers = tuple((name, replaced.get(name, value)) for name, value in request.headers)
            return Transaction(transport, replace(request, headers=headers), target, **options)

        target = SearchTarget(path.partition("?")[0])
        return self._source.making(make).transaction(target, self._source.root.url + path, 0)


def _head_of(transaction: Transaction, path: str) -> Exchange:
    response = transaction.response
    return Exchange(
        path,
        response.status_code,
        response.http_version,
        tuple(response.headers),
        first_byte_s=transaction.first_byte_s,
    )


async def _read(transaction: Transaction, max_bytes: int) -> tuple[bytes, bool]:
    body = bytearray()
    while data := await transaction.read():
        body += data
        if len(body) > max_bytes:
            return bytes(body), False
    return bytes(body), True
