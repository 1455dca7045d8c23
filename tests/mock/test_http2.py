"""On the wire, HTTP/2 behaves as RFC 9113 says, and fails as the faults say."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import h2.events
import h2.settings
import httpx
import pytest

from asyncdicom.mock import MockServer, ServerOptions, SyntheticArchive, SyntheticOptions
from tests.mock.raw_client import Http2Client, connect, get, until_idle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

ARCHIVE = SyntheticArchive(SyntheticOptions(studies=2, instances=3, rows=256))
ONE = ARCHIVE.studies[0].all_series[0].instances[0]
STUDY = f"/dicom-web/studies/{ONE.study_instance_uid}"
METADATA = f"{STUDY}/metadata"
FRAME = f"{STUDY}/series/{ONE.series_instance_uid}/instances/{ONE.sop_instance_uid}/frames/1"


@asynccontextmanager
async def session(*faults: str) -> AsyncIterator[tuple[MockServer, Http2Client]]:
    async with (
        MockServer(ARCHIVE, faults=faults) as server,
        connect(server) as (reader, writer),
    ):
        yield server, Http2Client(reader, writer)


async def test_alpn_chooses_http_2_and_the_authority_vouches_for_the_server() -> None:
    async with MockServer(ARCHIVE, tls=True) as server:
        trust = ssl.create_default_context(cadata=server.ca_pem.decode())
        async with httpx.AsyncClient(http2=True, verify=trust, trust_env=False) as client:
            answer = await client.get(f"{server.url}/studies")
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
        assert server.requests[0].http_version == "2"
        retrieve_url = answer.json()[0]["00081190"]["Value"][0]
        assert retrieve_url == f"{server.url}/studies/{ONE.study_instance_uid}"


@pytest.mark.parametrize(
    "speaks", [(True, False), (False, True)], ids=["server does not", "client does not"]
)
async def test_without_http_2_on_either_side_tls_carries_http_1(
    speaks: tuple[bool, bool],
) -> None:
    client_speaks_2, server_speaks_2 = speaks
    options = ServerOptions(http2=server_speaks_2)
    async with MockServer(ARCHIVE, tls=True, options=options) as server:
        trust = ssl.create_default_context(cadata=server.ca_pem.decode())
        client = httpx.AsyncClient(http2=client_speaks_2, verify=trust, trust_env=False)
        async with client:
            answer = await client.get(f"{server.url}{STUDY.removeprefix('/dicom-web')}")
    assert answer.http_version == "HTTP/1.1"
    assert answer.content.endswith(b"--\r\n")


async def test_prior_knowledge_is_recognised_on_a_plain_port() -> None:
    async with MockServer(ARCHIVE) as server:
        client = httpx.AsyncClient(http1=False, http2=True, trust_env=False)
        async with client, anyio.create_task_group() as group:
            bodies = []

            async def fetch() -> None:
                answer = await client.get(f"{server.url}{STUDY.removeprefix('/dicom-web')}")
                bodies.append(answer.content)

            for _ in range(4):
                group.start_soon(fetch)
        assert bodies == [(await get(server, STUDY)).body] * 4
        assert server.statistics().connections == 2
        assert {request.http_version for request in server.requests} == {"2", "1.1"}


async def test_streams_share_a_connection_and_respect_the_windows() -> None:
    async with session() as (server, client):
        streams = [client.ask(FRAME) for _ in range(3)]
        for stream_id in streams:
            await client.until(h2.events.StreamEnded, stream_id)
        over_http_1 = await get(server, FRAME)
        assert [client.body(stream_id) for stream_id in streams] == [over_http_1.body] * 3


async def test_the_limit_of_streams_is_announced() -> None:
    options = ServerOptions(max_streams=7)
    async with (
        MockServer(ARCHIVE, options=options) as server,
        connect(server) as (reader, writer),
    ):
        client = Http2Client(reader, writer)
        await client.until(h2.events.StreamEnded, client.ask(METADATA))
        code = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
        assert client.protocol.remote_settings[code] == 7


async def test_head_ends_the_stream_with_the_fields() -> None:
    async with session() as (_, client):
        stream_id = client.protocol.get_next_available_stream_id()
        fields = [(":method", "HEAD"), (":path", FRAME), (":scheme", "http"), (":authority", "m")]
        client.protocol.send_headers(stream_id, fields, end_stream=True)
        client.flush()
        await client.until(h2.events.StreamEnded, stream_id)
        assert client.body(stream_id) == b""


async def test_a_cut_resets_the_stream_and_no_other() -> None:
    async with session("cut:study:times=1,at=1000,code=8") as (_, client):
        cut, whole = client.ask(STUDY), client.ask(STUDY)
        event = await client.until(h2.events.StreamReset, cut)
        assert isinstance(event, h2.events.StreamReset)
        assert event.error_code == 8
        await client.until(h2.events.StreamEnded, whole)
        assert client.body(cut) == client.body(whole)[:1000]


async def test_a_cut_before_the_head_is_a_bare_reset() -> None:
    async with session("cut:at=head,code=7") as (_, client):
        stream_id = client.ask(STUDY)
        await client.until(h2.events.StreamReset, stream_id)
        assert not any(isinstance(event, h2.events.ResponseReceived) for event in client.events)


async def test_goaway_before_the_head_says_that_nothing_was_processed() -> None:
    async with session("goaway:study") as (_, client):
        await client.until(h2.events.StreamEnded, client.ask(METADATA))
        client.ask(STUDY)
        event = await client.until(h2.events.ConnectionTerminated)
        assert isinstance(event, h2.events.ConnectionTerminated)
        assert (event.last_stream_id, event.error_code) == (1, 0)
        assert await client.reader.read(1) == b""


async def test_goaway_in_the_body_ends_other_streams_too() -> None:
    async with session("goaway:study:at=1000,code=2", "stall:frame") as (_, client):
        client.ask(FRAME)
        stream_id = client.ask(STUDY)
        event = await client.until(h2.events.ConnectionTerminated)
        assert isinstance(event, h2.events.ConnectionTerminated)
        assert (event.last_stream_id, event.error_code) == (stream_id, 2)
        assert len(client.body(stream_id)) == 1000


async def test_a_tcp_reset_takes_the_connection() -> None:
    async with session("reset:at=10") as (_, client):
        stream_id = client.ask(STUDY)
        with pytest.raises(ConnectionResetError):
            await client.until(h2.events.StreamEnded, stream_id)


async def test_a_stall_stops_one_stream_only() -> None:
    async with session("stall:study:at=2000") as (server, client):
        stalled, other = client.ask(STUDY), client.ask(METADATA)
        await client.until(h2.events.StreamEnded, other)
        while len(client.body(stalled)) < 2000:
            client.events.append(await client.until(h2.events.DataReceived, stalled))
        assert server.statistics().in_flight == 1
        client.protocol.reset_stream(stalled)
        client.flush()
        await until_idle(server)
        await client.until(h2.events.StreamEnded, client.ask(METADATA))


async def test_a_client_that_resets_a_stream_frees_it() -> None:
    async with session() as (server, client):
        stream_id = client.ask(STUDY)
        await client.until(h2.events.ResponseReceived, stream_id)
        client.protocol.reset_stream(stream_id)
        client.flush()
        await until_idle(server)
        await client.until(h2.events.StreamEnded, client.ask(METADATA))


async def test_a_truncated_stream_ends_cleanly() -> None:
    async with session("truncate:study:times=1") as (_, client):
        short, whole = client.ask(STUDY), client.ask(STUDY)
        await client.until(h2.events.StreamEnded, short)
        await client.until(h2.events.StreamEnded, whole)
        data = client.body(whole)
        assert data.startswith(client.body(short))
        assert data[len(client.body(short)) :].startswith(b"\r\n--")


@pytest.mark.parametrize("by", [10, -10])
async def test_a_content_length_can_lie(by: int) -> None:
    async with session(f"length:metadata:by={by}") as (_, client):
        stream_id = client.ask(METADATA)
        with pytest.raises(h2.exceptions.InvalidBodyLengthError):
            await client.until(h2.events.StreamEnded, stream_id)


async def test_an_endless_header_is_continuation_frames_without_end() -> None:
    async with session("endless-header") as (server, client):
        client.ask(STUDY)
        kinds: list[tuple[int, int]] = []
        while len(kinds) < 30:
            head = await client.reader.readexactly(9)
            await client.reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[5:] == (1).to_bytes(4, "big"):
                kinds.append((head[3], head[4] & 0x4))
        assert kinds == [(0x1, 0)] + [(0x9, 0)] * 29
        client.writer.close()
        await until_idle(server)


async def test_a_client_that_breaks_the_protocol_is_told_goodbye() -> None:
    async with session() as (_, client):
        client.flush()
        client.writer.write(b"\0\0\0\x09\0\0\0\0\x01")  # a CONTINUATION out of the blue
        event = await client.until(h2.events.ConnectionTerminated)
        assert isinstance(event, h2.events.ConnectionTerminated)
        assert event.error_code == 1
