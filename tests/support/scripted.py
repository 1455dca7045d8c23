"""An HTTP transport without a network: a function answers, and everything asked is kept.

    transport = ScriptedTransport(lambda request: ScriptedAnswer(200, body=b"[]"))
    source = DicomWebSource(Root("http://archive.test/dicom-web"), transport)
    transport.requests[0].url

An error instead of an answer is raised when the request is sent; an error
instead of a piece of the body, when that piece is read.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import orjson

from asyncdicom.ports.http import HttpRequest, TransportStatistics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from asyncdicom.errors import FetchError
    from asyncdicom.model import Buffer, Header

__all__ = ["ScriptedAnswer", "ScriptedTransport", "dicom_json", "paging_of"]


@dataclass
class ScriptedAnswer:
    """An answer, head and body."""

    status_code: int = 200
    headers: tuple[Header, ...] = ()
    body: bytes | Sequence[bytes | FetchError] = b""
    """Whole, or piece by piece."""
    http_version: str = "1.1"
    _next: int = field(default=0, init=False)

    def header(self, name: str) -> str | None:
        """Return the first value of a field."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    async def read(self) -> Buffer:
        """Return the next piece, or raise it."""
        pieces = [self.body] if isinstance(self.body, bytes) else self.body
        if self._next >= len(pieces):
            return b""
        piece = pieces[self._next]
        self._next += 1
        if isinstance(piece, bytes):
            return piece
        raise piece


class ScriptedTransport:
    """Implements `ports.HttpTransport`.

    Attributes:
        requests: What was asked, in order.
        open_answers: Answers whose block was entered and not left.

    """

    name = "scripted"

    def __init__(self, answer: Callable[[HttpRequest], ScriptedAnswer | FetchError]) -> None:
        self.requests: list[HttpRequest] = []
        self.open_answers = 0
        self._answer = answer

    @asynccontextmanager
    async def request(self, request: HttpRequest) -> AsyncIterator[ScriptedAnswer]:
        """Answer a request as the script says."""
        self.requests.append(request)
        answer = self._answer(request)
        if not isinstance(answer, ScriptedAnswer):
            raise answer
        self.open_answers += 1
        try:
            yield replace(answer)
        finally:
            self.open_answers -= 1

    def statistics(self) -> TransportStatistics:
        """Return how many requests there were."""
        return TransportStatistics(requests=len(self.requests))

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


def dicom_json(
    answers: Iterable[object], *headers: Header, status_code: int = 200
) -> ScriptedAnswer:
    """Return an answer in the DICOM JSON Model."""
    fields = (("content-type", "application/dicom+json"), *headers)
    return ScriptedAnswer(status_code, fields, orjson.dumps(list(answers)))


def paging_of(request: HttpRequest) -> tuple[int, int]:
    """Return the offset and limit that a request asks for (PS3.18 §8.3.4.4)."""
    words = parse_qs(urlsplit(request.url).query)
    return int(words.get("offset", ["0"])[0]), int(words.get("limit", ["0"])[0])
