"""A small HTTP server: what it answers, and that nobody can hold it up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports import http_endpoint
from asyncdicom.transports.http_endpoint import MAX_CONNECTIONS, HttpEndpoint, Page
from tests.transports.associations.support import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

GET = b"GET /page HTTP/1.1\r\nHost: here\r\n\r\n"


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[HttpEndpoint]:
    made = iter(range(1000))
    pages = {"/page": lambda: Page(f"page {next(made)}\n", "text/x-page")}
    async with HttpEndpoint(pages, **options) as endpoint:
        yield endpoint


async def asked(endpoint: HttpEndpoint, request: bytes) -> bytes:
    """Send bytes, and return all that is answered until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_a_page_is_made_for_each_request() -> None:
    async with serving() as endpoint, aiohttp.ClientSession() as session:
        assert endpoint.url.startswith("http://127.0.0.1:")
        for number in range(3):
            async with session.get(f"{endpoint.url}/page?x=1") as response:
                assert response.status == 200
                assert response.headers["Content-Type"] == "text/x-page"
                assert await response.text() == f"page {number}\n"


async def test_a_head_has_the_same_headers_and_no_content() -> None:
    async with serving() as endpoint:
        head = await asked(endpoint, GET.replace(b"GET", b"HEAD"))
        whole = await asked(endpoint, GET)
    assert head.endswith(b"\r\n\r\n")
    assert whole == head + b"page 1\n"


async def test_a_head_of_what_is_not_there_has_no_content_either() -> None:
    nowhere = GET.replace(b"/page", b"/")
    async with serving() as endpoint:
        head = await asked(endpoint, nowhere.replace(b"GET", b"HEAD"))
        whole = await asked(endpoint, nowhere)
    assert head.endswith(b"\r\n\r\n")
    assert whole == head + b"404 Not Found\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(GET.replace(b"/page", b"/"), 404, id="another path"),
        pytest.param(GET.replace(b"/page", b"/../page"), 404, id="a path that goes up"),
        pytest.param(GET.replace(b"/page", b"/\xff"), 400, id="a path of other bytes"),
        pytest.param(GET.replace(b"GET", b"POST"), 405, id="another method"),
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", 400, id="TLS"),
        pytest.param(GET[:-2] + b"X: " + b"y" * 20_000 + b"\r\n\r\n", 431, id="a long header"),
        pytest.param(GET[:-2] + b"X: y\r\n" * 3000 + b"\r\n", 431, id="many headers"),
        pytest.param(GET.replace(b"Host: here\r\n", b""), 400, id="no host"),
    ],
)
async def test_what_is_no_request_for_a_page_is_told_so(request_: bytes, status: int) -> None:
    async with serving() as endpoint:
        answer = await asked(endpoint, request_)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"page 0\n" in await asked(endpoint, GET)


async def test_who_is_slow_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_endpoint, "DEADLINE_S", 0.2)
    async with serving() as endpoint:
        assert await asked(endpoint, GET[:-1]) == b""
        assert await asked(endpoint, b"") == b""
        # One that does not close after its answer.
        assert (await asked(endpoint, GET)).endswith(b"page 0\n")


async def test_more_connections_than_there_may_be_are_closed_at_once() -> None:
    async with serving() as endpoint:
        held = [
            await asyncio.open_connection("127.0.0.1", endpoint.port)
            for _ in range(MAX_CONNECTIONS)
        ]
        await until(lambda: len(endpoint._tasks) == MAX_CONNECTIONS)
        with suppress(ConnectionError):
            assert await asked(endpoint, GET) == b""
        for _, writer in held:
            writer.close()
        await until(lambda: not endpoint._tasks)
        assert b"page" in await asked(endpoint, GET)


async def test_a_page_that_fails_is_told_and_the_others_are_served() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def broken() -> Page:
        raise RuntimeError("a bug")

    async with HttpEndpoint({"/broken": broken, "/page": lambda: Page("here")}) as endpoint:
        assert await asked(endpoint, GET.replace(b"/page", b"/broken")) == b""
        assert (await asked(endpoint, GET)).endswith(b"here")
    assert [str(one["exception"]) for one in told] == ["a bug"]


async def test_leaving_ends_what_is_open() -> None:
    async with serving() as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        await until(lambda: endpoint._tasks)
    assert await reader.read() == b""
    writer.close()


async def test_a_port_that_is_taken_is_named() -> None:
    async with serving() as endpoint:
        with pytest.raises(ConfigError, match=str(endpoint.port)):
            async with serving(port=endpoint.port):
                pytest.fail("there is only one")
