"""On the wire, HTTP/1.1 answers are framed as RFC 9112 says, and fail as the faults say."""

from __future__ import annotations

import time

import pytest

from asyncdicom.mock import MockServer, ServerOptions, SyntheticArchive, SyntheticOptions
from asyncdicom.mock.messages import Framing
from tests.mock.raw_client import connect, get, get_on, raw_bytes, request_bytes, until_idle

pytestmark = pytest.mark.anyio

ARCHIVE = SyntheticArchive(SyntheticOptions(studies=2, instances=3, rows=64))
SERIES = ARCHIVE.studies[0].all_series[0]
ONE = SERIES.instances[0]
STUDY = f"/dicom-web/studies/{ONE.study_instance_uid}"
INSTANCE = f"{STUDY}/series/{ONE.series_instance_uid}/instances/{ONE.sop_instance_uid}"
SINGLE_PART = "Accept: application/dicom"
FILE = b"".join(ONE.file())


def serve(*faults: str, framing: Framing = Framing.AUTO) -> MockServer:
    return MockServer(ARCHIVE, faults=faults, options=ServerOptions(framing=framing))


@pytest.mark.parametrize(
    ("framing", "field"),
    [
        pytest.param(Framing.AUTO, ("transfer-encoding", "chunked"), id="auto"),
        pytest.param(Framing.CHUNKED, ("transfer-encoding", "chunked"), id="chunked"),
        pytest.param(Framing.LENGTH, ("content-length", "30183"), id="length"),
        pytest.param(Framing.CLOSE, ("connection", "close"), id="close"),
    ],
)
async def test_every_framing_delivers_the_same_body(
    framing: Framing, field: tuple[str, str]
) -> None:
    async with serve() as plain, serve(framing=framing) as server:
        expected = await get(plain, STUDY)
        answer = await get(server, STUDY)
    assert (answer.status, answer.end, answer.body) == (200, "whole", expected.body)
    name, value = field
    if name == "content-length":
        value = str(len(expected.body))
    assert answer.headers[name] == value


async def test_a_connection_serves_one_request_after_another() -> None:
    async with serve() as server, connect(server) as (reader, writer):
        for path in (INSTANCE, "/dicom-web/nothing", STUDY, "/dicom-web/studies"):
            assert (await get_on(reader, writer, path)).end == "whole"
        assert server.statistics().connections == 1
        assert len({request.peer_port for request in server.requests}) == 1


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serve() as server, connect(server) as (reader, writer):
        writer.write(request_bytes(f"{INSTANCE}/metadata") + request_bytes("/dicom-web/x"))
        writer.write(request_bytes("/dicom-web/studies", "Connection: close"))
        data = await reader.read(-1)
    assert [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]


async def test_a_request_may_arrive_byte_by_byte_and_with_a_body() -> None:
    async with serve() as server, connect(server) as (reader, writer):
        writer.write(b"PO")
        for byte in b"ST /dicom-web/studies HTTP/1.1\r\nHost: m\r\nContent-Length: 3\r\n\r\nabc":
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.readline()) == b"HTTP/1.1 405 Method Not Allowed\r\n"


async def test_head_has_the_fields_of_get_and_no_body() -> None:
    async with serve() as server, connect(server) as (reader, writer):
        head = request_bytes(INSTANCE, SINGLE_PART, "Connection: close").replace(b"GET", b"HEAD")
        writer.write(head)
        data = await reader.read(-1)
    assert f"Content-Length: {len(FILE)}\r\n".encode() in data
    assert data.endswith(b"\r\n\r\n")


async def test_http_1_0_is_closed_after_the_answer() -> None:
    async with serve() as server, connect(server) as (reader, writer):
        writer.write(f"GET {STUDY} HTTP/1.0\r\n\r\n".encode())
        data = await reader.read(-1)
    assert b"chunked" not in data.partition(b"\r\n\r\n")[0]
    assert data.endswith(b"--\r\n")


async def test_what_is_no_http_is_answered_400() -> None:
    async with serve() as server, connect(server) as (reader, writer):
        writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 400 ")


async def test_percent_encoding_is_undone_and_the_query_logged() -> None:
    async with serve() as server:
        await get(server, "/dicom-web/studies?PatientName=%2Apatient0001%2A&limit=1")
        (request,) = server.requests
    assert request.query == (("PatientName", "*patient0001*"), ("limit", "1"))
    assert request.status == 200


@pytest.mark.parametrize("at", [0, 1, 1000, 8191])
@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED])
async def test_a_cut_sends_exactly_as_many_bytes_and_leaves_the_framing_open(
    at: int, framing: Framing
) -> None:
    async with serve(f"cut:instance:at={at}", framing=framing) as server:
        answer = await get(server, INSTANCE, SINGLE_PART)
    assert answer.body == FILE[:at]
    assert answer.end.startswith("cut: peer closed connection")


async def test_a_cut_before_the_head_sends_nothing() -> None:
    async with serve("cut:at=head") as server:
        assert await raw_bytes(server, STUDY) == b""


async def test_a_reset_is_a_reset() -> None:
    async with serve("reset:at=100") as server:
        answer = await get(server, INSTANCE, SINGLE_PART)
    assert answer.end == "reset"
    assert len(answer.body) <= 100


async def test_goaway_is_a_cut_where_there_is_no_http_2() -> None:
    async with serve("goaway") as server:
        assert await raw_bytes(server, STUDY) == b""


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE])
async def test_a_truncated_answer_ends_cleanly(framing: Framing) -> None:
    async with serve("truncate:study:times=1", framing=framing) as server:
        short, whole = await get(server, STUDY), await get(server, STUDY)
    assert (short.end, whole.end) == ("whole", "whole")
    closing = len(whole.body) - len(short.body)
    assert whole.body == short.body + whole.body[-closing:]
    assert whole.body[-closing:].startswith(b"\r\n--")


@pytest.mark.parametrize(
    ("by", "end"),
    [
        pytest.param(10, "cut: peer closed connection", id="more than is sent"),
        pytest.param(-10, "whole", id="less than is sent"),
    ],
)
async def test_a_content_length_can_lie(by: int, end: str) -> None:
    async with serve(f"length:instance:by={by}") as server:
        answer = await get(server, INSTANCE, SINGLE_PART)
        data = await raw_bytes(server, INSTANCE, SINGLE_PART)
    assert answer.headers["content-length"] == str(len(FILE) + by)
    assert answer.end.startswith(end)
    assert data.endswith(FILE)


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        pytest.param("stall:instance:at=head", 0, id="before the head"),
        pytest.param("delay:instance:s=inf", 0, id="delayed for ever"),
        pytest.param("stall:instance:at=5000", 5000, id="in the body"),
    ],
)
async def test_a_stall_keeps_the_connection_and_sends_nothing_more(fault: str, sent: int) -> None:
    async with serve(fault) as server:
        async with connect(server) as (reader, writer):
            writer.write(request_bytes(INSTANCE, SINGLE_PART))
            if sent:
                head = await reader.readuntil(b"\r\n\r\n")
                assert f"Content-Length: {len(FILE)}".encode() in head
                assert await reader.readexactly(sent) == FILE[:sent]
            # Another request, from start to end, gives the stalled one time to betray itself.
            assert (await get(server, STUDY)).end == "whole"
            assert server.statistics().in_flight == 1
            assert not reader.at_eof()
            assert not reader._buffer  # type: ignore[attr-defined]  # -- nothing else tells without waiting
        await until_idle(server)


async def test_a_delay_comes_before_the_head() -> None:
    async with serve("delay:s=0.05") as server:
        started_s = time.monotonic()
        answer = await get(server, "/dicom-web/studies")
    assert answer.end == "whole"
    assert time.monotonic() - started_s >= 0.05


async def test_a_drip_is_as_slow_as_asked_for_and_complete() -> None:
    async with serve("drip:rate=40000") as server:
        started_s = time.monotonic()
        answer = await get(server, INSTANCE, SINGLE_PART)
    assert answer.body == FILE
    assert time.monotonic() - started_s >= 0.8 * len(FILE) / 40000


@pytest.mark.parametrize(
    ("fault", "unit"), [("endless-header", b"x-endless: "), ("endless-part-header", b"X-Endless: ")]
)
async def test_an_endless_header_goes_on_until_the_client_leaves(fault: str, unit: bytes) -> None:
    async with serve(fault) as server:
        async with connect(server) as (reader, writer):
            writer.write(request_bytes(INSTANCE))
            data = await reader.readexactly(2 * 1024 * 1024)
        await until_idle(server)
    assert data.count(unit) > 1900
    after_status = data.partition(b"\r\n\r\n")[2]
    assert (b"\r\n\r\n" in data) is (fault == "endless-part-header")
    assert b"\r\n\r\n" not in after_status


async def test_a_redirect_and_retry_after_reach_the_client() -> None:
    async with serve("503:nth=1,retry-after=7", "redirect:nth=2,to=/there") as server:
        busy, moved = await get(server, STUDY), await get(server, STUDY)
        recorded = [request.fault for request in server.requests]
    assert (busy.status, busy.headers["retry-after"]) == (503, "7")
    assert (moved.status, moved.headers["location"]) == (302, "/there")
    assert recorded == ["503:nth=1,retry-after=7", "redirect:nth=2,to=/there"]


async def test_no_content_has_neither_length_nor_body() -> None:
    async with serve("204") as server:
        data = await raw_bytes(server, STUDY)
    assert data.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"ontent-" not in data.partition(b"\r\n")[2].replace(b"Content-Type", b"")
    assert data.endswith(b"\r\n\r\n")
