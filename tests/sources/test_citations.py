from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import LimitExceeded, NotFound, Throttled, UnexpectedContent
from asyncdicom.jobs.idc_citations import CitationJob
from asyncdicom.protocol.idc.citations import CitationFormat
from asyncdicom.sources.citations import MAX_BYTES, CitationResolver
from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.redirects import Session
from asyncdicom.transports.settings import TransportSettings
from tests.support.origin import Close, Send, open_origin

if TYPE_CHECKING:
    from asyncdicom.errors import AsyncDicomError

pytestmark = pytest.mark.anyio


def answer(status: str, body: bytes, media_type: str = "text/plain") -> Send:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return Send(head.encode() + body)


async def cited(script: Send) -> str:
    """Ask a resolver that answers so."""
    async with open_origin() as origin:
        url = origin.serve("/10.1/a", script, Close()).removesuffix("/10.1/a")
        transport = open_transport("aiohttp", TransportSettings())
        try:
            resolver = CitationResolver(Session(transport, url), url)
            job = CitationJob(resolver, CitationFormat.BIBTEX)
            assert list(await job.perform("10.1/a", 1)) == []
            return job.citations["10.1/a"]
        finally:
            await transport.aclose()


async def test_a_citation_is_text_without_blanks_around_it() -> None:
    assert await cited(answer("200 OK", "  @data{Größe}\n".encode())) == "@data{Größe}"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param(answer("404 Not Found", b""), NotFound, id="no such DOI"),
        pytest.param(answer("503 Busy", b""), Throttled, id="busy"),
        pytest.param(answer("200 OK", b" \n"), UnexpectedContent, id="nothing"),
        pytest.param(answer("200 OK", b"<p>", "text/html; x"), UnexpectedContent, id="a page"),
        pytest.param(answer("200 OK", bytes(MAX_BYTES + 1)), LimitExceeded, id="a flood"),
    ],
)
async def test_what_is_no_citation_is_an_error(script: Send, error: type[AsyncDicomError]) -> None:
    with pytest.raises(error):
        await cited(script)
