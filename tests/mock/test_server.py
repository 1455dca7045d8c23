"""The server starts, records, and ends without leaving anything behind."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.mock import MockServer, ServerOptions, SyntheticArchive, SyntheticOptions
from tests.mock.raw_client import Http2Client, connect, get, request_bytes, until, until_idle

if TYPE_CHECKING:
    from asyncdicom.mock.messages import Request, Response
    from asyncdicom.mock.server import Recorded

pytestmark = pytest.mark.anyio

ARCHIVE = SyntheticArchive(SyntheticOptions(studies=2, instances=40, rows=256))
STUDY = f"/dicom-web/studies/{ARCHIVE.studies[0].study_instance_uid}"


def tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if not task.done()}


async def test_requests_are_recorded_and_counted() -> None:
    seen: list[Recorded] = []
    async with MockServer(ARCHIVE, faults=["404:metadata:times=1"]) as server:
        server.on_request = seen.append
        for _ in range(2):
            await get(server, f"{STUDY}/metadata", "X-Mine: 1")
        await get(server, "/dicom-web/studies")
        assert server.count() == 3
        assert server.count("*/metadata") == 2
        assert server.count("*/metadata", status=404) == 1
        statistics = server.statistics()
        assert (statistics.requests, statistics.faults, statistics.connections) == (3, 1, 3)
    assert seen == list(server.requests)
    assert ("x-mine", "1") in seen[0].headers
    assert [request.fault for request in seen] == ["404:metadata:times=1", None, None]


@pytest.mark.parametrize("protocol", ["http/1.1", "h2c"])
async def test_a_client_that_leaves_in_the_middle_leaves_no_task(protocol: str) -> None:
    before = tasks()
    async with MockServer(ARCHIVE) as server:
        async with connect(server) as (reader, writer):
            if protocol == "h2c":
                Http2Client(reader, writer).ask(STUDY)
            else:
                writer.write(request_bytes(STUDY))
            await reader.readexactly(100)
        await until_idle(server)
        await until(lambda: tasks() == before)
    assert tasks() == before


@pytest.mark.parametrize("fault", ["stall", "delay:s=inf", "drip:rate=1", "endless-header"])
@pytest.mark.parametrize("protocol", ["http/1.1", "h2c"])
async def test_leaving_the_server_ends_every_request(fault: str, protocol: str) -> None:
    server = MockServer(ARCHIVE, faults=[fault])
    before = tasks()
    await server.start()
    port = server.port
    async with connect(server) as (reader, writer):
        if protocol == "h2c":
            Http2Client(reader, writer).ask(STUDY)
        else:
            writer.write(request_bytes(STUDY))
        await until(lambda: server.statistics().in_flight == 1)
        await server.aclose()
        assert server.statistics().in_flight == 0
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
    assert tasks() == before


async def test_a_client_that_reads_slowly_holds_the_server_back() -> None:
    async with MockServer(ARCHIVE) as server, connect(server) as (reader, writer):
        writer.write(request_bytes(STUDY))
        await reader.readexactly(100)
        (connection,) = server._connections
        for _ in range(100):
            await asyncio.sleep(0)
        queued_bytes = connection.transport.get_write_buffer_size()
        assert 0 < queued_bytes < 1024 * 1024


async def test_what_is_written_to_a_lost_connection_is_dropped() -> None:
    async with MockServer(ARCHIVE, faults=["stall"]) as server, connect(server) as (reader, writer):
        writer.write(request_bytes(STUDY))
        await reader.readline()
        (connection,) = server._connections
        sent_bytes = connection.bytes_sent
        connection.transport.abort()
        await connection.closed.wait()
        connection.write([b"too late"])
        assert connection.bytes_sent == sent_bytes


async def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
            await MockServer(ARCHIVE, options=ServerOptions(port=port)).start()


@pytest.mark.parametrize("host", ["\xe4..b", "a\udcff"], ids=ascii)
async def test_a_name_that_no_host_can_have_is_told(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        await MockServer(ARCHIVE, options=ServerOptions(host=host)).start()


async def test_a_bug_of_the_mock_is_raised_at_the_end() -> None:
    server = MockServer(ARCHIVE)

    def broken(request: Request) -> Response:
        raise RuntimeError(request.path)

    server.web.respond = broken  # type: ignore[method-assign]  # -- the bug
    await server.start()
    async with connect(server) as (reader, writer):
        writer.write(request_bytes(STUDY))
        assert await reader.read(-1) == b""
    with pytest.raises(BaseExceptionGroup, match="the mock failed"):
        await server.aclose()


async def test_a_server_can_be_closed_twice_or_never_started() -> None:
    server = MockServer(ARCHIVE)
    await server.aclose()
    await server.start()
    await server.aclose()
    await server.aclose()
