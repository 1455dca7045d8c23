"""What every engine must do, in every version of HTTP it speaks."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import (
    ConnectionLost,
    FetchError,
    LimitExceeded,
    ProtocolError,
    Stalled,
    Unreachable,
    UsageError,
)
from asyncdicom.ports.http import HttpRequest
from asyncdicom.transports.engines import open_transport
from tests.support.origin import (
    Answer,
    Close,
    Drip,
    Flood,
    Gate,
    Origin,
    Reset,
    Send,
    Step,
    Wait,
)
from tests.transports.conftest import (
    HTTP1,
    HTTP2,
    HTTP2_TLS,
    QUICK,
    Authority,
    Quick,
    Wire,
    one_loop,
    wires,
)
from tests.transports.contract import fetch

if TYPE_CHECKING:
    from asyncdicom.ports.http import HttpTransport

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\n"
PROMISED_9 = HEAD + b"Content-Length: 9\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def unused_url() -> str:
    """Return a URL of loopback where nobody listens: port 1 is reserved (tcpmux)."""
    return "http://127.0.0.1:1/"


@wires(HTTP1, HTTP2, HTTP2_TLS)
@one_loop
class TestAnswers:
    async def test_body_and_fields_arrive_as_sent(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        body = bytes(range(256)) * 200
        url = origin.serve("/a", Answer(200, (("X-One", "1"), ("X-Two", "a, b")), body))

        found = await fetch(transport, url)

        assert (found.status_code, found.body) == (200, body)
        assert (found.header("x-one"), found.header("x-two")) == ("1", "a, b")
        assert found.http_version == origin.requests[0].http_version

    @pytest.mark.parametrize(
        ("status", "extra"),
        [
            pytest.param(200, (), id="whole"),
            pytest.param(204, (), id="nothing"),
            pytest.param(206, (("Warning", '299 x "partial"'),), id="some were returned"),
            pytest.param(301, (("Location", "/elsewhere"),), id="a redirect is not followed"),
            pytest.param(401, (("WWW-Authenticate", 'Basic realm="x"'),), id="unauthorized"),
            pytest.param(404, (), id="not found"),
            pytest.param(406, (), id="not acceptable"),
            pytest.param(410, (), id="gone"),
            pytest.param(429, (("Retry-After", "7"),), id="throttled with a pause"),
            pytest.param(503, (), id="throttled without a pause"),
            pytest.param(
                503, (("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"),), id="with a date"
            ),
        ],
    )
    async def test_statuses_pass_through_with_their_fields(
        self,
        transport: HttpTransport,
        origin: Origin,
        status: int,
        extra: tuple[tuple[str, str], ...],
    ) -> None:
        body = b"" if status == 204 else b"because"
        url = origin.serve("/a", Answer(status, extra, body))

        found = await fetch(transport, url)

        assert (found.status_code, found.body) == (status, body)
        for name, value in extra:
            assert found.header(name.lower()) == value

    async def test_repeated_fields_stay_repeated_and_in_order(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        fields = (("X-A", "1"), ("X-B", "2"), ("X-A", "3"))
        found = await fetch(transport, origin.serve("/a", Answer(200, fields, b"x")))
        assert [value for name, value in found.headers if name.lower() == "x-a"] == ["1", "3"]

    async def test_content_coding_stays_on(self, transport: HttpTransport, origin: Origin) -> None:
        body = b"\x1f\x8b not even gzip"
        url = origin.serve("/a", Answer(200, (("Content-Encoding", "gzip"),), body))
        assert (await fetch(transport, url)).body == body

    async def test_nothing_is_sent_that_nobody_asked_for(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        await fetch(transport, origin.serve("/a", Answer()), headers=(("X-Mine", "1"),))
        sent = {name.lower() for name, _value in origin.requests[0].headers}
        assert "x-mine" in sent
        assert sent <= {"x-mine", "host", "accept", "user-agent", "connection"}

    async def test_what_the_caller_says_about_codings_is_sent(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        headers = (("Accept-Encoding", "gzip"), ("Accept", "application/dicom+json"))
        await fetch(transport, origin.serve("/a", Answer()), headers=headers)
        assert origin.requests[0].header("accept-encoding") == "gzip"
        assert origin.requests[0].header("accept") == "application/dicom+json"

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("/studies/1.2/metadata", id="plain"),
            pytest.param("/a%2Fb%20c", id="escapes stay as they are"),
            pytest.param("/a?b=1&b=2&c=%2B+*", id="query"),
            pytest.param("/a?X-Amz-Signature=ab%3D%3D&d=~._-", id="a signed query"),
            pytest.param("/a,b;c=(d)!$'*@:", id="sub-delims"),
        ],
    )
    async def test_the_url_is_sent_to_the_letter(
        self, transport: HttpTransport, origin: Origin, path: str
    ) -> None:
        await fetch(transport, origin.url(path))
        assert origin.requests[0].path == path

    async def test_cookies_are_not_kept(self, transport: HttpTransport, origin: Origin) -> None:
        url = origin.serve("/a", Answer(200, (("Set-Cookie", "a=b; Path=/"),)))
        await fetch(transport, url)
        await fetch(transport, url)
        assert origin.requests[1].header("cookie") is None

    async def test_a_body_is_sent(self, transport: HttpTransport, origin: Origin) -> None:
        url = origin.serve("/a", Answer())
        await fetch(transport, url, method="POST", body=b"grant_type=x")
        assert origin.requests[0].method == "POST"
        if origin.requests[0].http_version == "1.1":
            assert origin.requests[0].body == b"grant_type=x"

    async def test_connections_are_kept(self, transport: HttpTransport, origin: Origin) -> None:
        url = origin.serve("/a", Answer(200, (), b"x" * 100))
        for _ in range(5):
            await fetch(transport, url)
        assert origin.connections == 1

    async def test_counters_count(self, transport: HttpTransport, origin: Origin) -> None:
        url = origin.serve("/a", Answer(200, (), b"x" * 100))
        await asyncio.gather(*(fetch(transport, url) for _ in range(3)))
        found = transport.statistics()
        assert (found.requests, found.bytes_received, found.in_flight) == (3, 300, 0)
        assert 1 <= found.in_flight_peak <= 3
        assert sum(found.http_versions.values()) == 3


@wires(HTTP1, HTTP2, HTTP2_TLS)
async def test_many_at_once_on_both_loops(transport: HttpTransport, origin: Origin) -> None:
    url = origin.serve("/a", Answer(200, (), bytes(range(256)) * 64))
    found = await asyncio.gather(*(fetch(transport, url) for _ in range(16)))
    assert {one.body for one in found} == {bytes(range(256)) * 64}


@one_loop
@wires(HTTP1, HTTP2)
class TestStalls(Quick):
    async def test_silence_before_the_head_is_a_stall(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        url = origin.serve("/a", Wait())
        with pytest.raises(Stalled, match="nothing came"):
            await fetch(transport, url)
        await origin.until(lambda: origin.departures == 1)

    async def test_the_next_request_works_after_a_stall(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        with pytest.raises(Stalled):
            await fetch(transport, origin.serve("/a", Wait()))
        assert (await fetch(transport, origin.serve("/b", Answer(200, (), b"b")))).body == b"b"

    async def test_a_slow_consumer_is_not_a_stall(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        body = b"x" * 50_000
        request = HttpRequest(origin.serve("/a", Answer(200, (), body)))
        async with transport.request(request) as response:
            found = bytes(await response.read())
            # Longer than every limit: this is the test's own slow disk.
            await asyncio.sleep(0.5)
            while data := await response.read():
                found += data
        assert found == body


@wires(HTTP1)
@one_loop
async def test_a_consumer_may_pause_as_long_as_is_meant(
    wire: Wire, authority: Authority, origin: Origin
) -> None:
    transport = open_transport(
        wire.engine, replace(wire.settings(authority, QUICK), consumer_pause_s=60.0)
    )
    # More than any buffer on the way takes.
    body = b"x" * 12_000_000
    request = HttpRequest(origin.serve("/a", Answer(200, (), body)))
    byte_count = 0
    async with transport.request(request) as response:
        while data := await response.read():
            if not byte_count:
                await asyncio.sleep(6 * QUICK.idle_timeout_s)
            byte_count += len(data)
    await transport.aclose()
    assert byte_count == len(body)


@wires(HTTP1, HTTP2)
class TestCancellation(Quick):
    async def test_cancelled_before_the_head_frees_the_server(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        task = asyncio.create_task(fetch(transport, origin.serve("/a", Wait())))
        await origin.until(lambda: len(origin.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await fetch(transport, origin.serve("/b", Answer(200, (), b"b")))).body == b"b"
        await origin.until(lambda: origin.departures == 1)
        assert transport.statistics().in_flight == 0

    async def test_closing_fails_what_is_under_way(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        task = asyncio.create_task(fetch(transport, origin.serve("/a", Wait())))
        await origin.until(lambda: len(origin.requests) == 1)
        await transport.aclose()
        with pytest.raises(ConnectionLost, match="transport was closed"):
            await task

    async def test_a_closed_transport_takes_no_request(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        await transport.aclose()
        with pytest.raises(UsageError):
            await fetch(transport, origin.url("/"))


@one_loop
@wires(HTTP1)
class TestUnreachable:
    async def test_refused_is_unreachable(self, transport: HttpTransport) -> None:
        with pytest.raises(Unreachable, match=r"refused.*\(http://127.0.0.1:1\)"):
            await fetch(transport, unused_url())

    async def test_an_unknown_name_is_unreachable(self, transport: HttpTransport) -> None:
        # RFC 6761 §6.4: names below invalid. never resolve.
        with pytest.raises(Unreachable):
            await fetch(transport, "http://nowhere.invalid/")

    async def test_no_secret_of_the_url_is_in_the_message(self, transport: HttpTransport) -> None:
        with pytest.raises(Unreachable) as caught:
            await fetch(transport, unused_url() + "path?token=hunter2")
        assert "hunter2" not in repr(caught.value) + str(caught.value)

    @pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a b/", "nonsense"])
    async def test_a_url_that_is_none_is_an_error_of_ours(
        self, transport: HttpTransport, url: str
    ) -> None:
        with pytest.raises(FetchError):
            await fetch(transport, url)


LOST = [
    pytest.param((Reset(),), id="reset before the head"),
    pytest.param((Close(),), id="closed before the head"),
    pytest.param((Send(b"HTTP/1.1 20"), Close()), id="closed in the status line"),
    pytest.param((Send(HEAD + b"X-A: b\r\n"), Reset()), id="reset in the head"),
    pytest.param((Send(HEAD + b"X-A: b\r\n"), Close()), id="closed in the head"),
    pytest.param((Send(PROMISED_9), Close()), id="closed behind the head"),
    pytest.param((Send(PROMISED_9 + b"12345678"), Close()), id="one byte short"),
    pytest.param((Send(PROMISED_9 + b"1234"), Reset()), id="reset in the body"),
    pytest.param((Send(CHUNKED + b"3\r\nabc\r\n"), Close()), id="no last chunk"),
    pytest.param((Send(CHUNKED + b"5\r\nabc"), Close()), id="cut in a chunk"),
    pytest.param((Send(CHUNKED + b"3\r\nabc\r\n0\r\n"), Close()), id="cut behind the last chunk"),
    pytest.param((Send(CHUNKED + b"3\r\nabc\r\n0\r\n"), Reset()), id="reset in the last chunk"),
]

BROKEN = [
    pytest.param((Send(HEAD + b"Content-Length: -1\r\n\r\n"), Close()), id="negative length"),
    pytest.param((Send(HEAD + b"Content-Length: 3x\r\n\r\nabc"), Close()), id="length of words"),
    pytest.param(
        (Send(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), Close()),
        id="two lengths",
    ),
    pytest.param((Send(CHUNKED + b"zz\r\nabc\r\n"), Close()), id="chunk size of letters"),
    pytest.param((Send(b"SSH-2.0-server\r\n\r\n"), Close()), id="another protocol"),
    pytest.param((Send(HEAD + b"no colon\r\n\r\n"), Close()), id="field without colon"),
]


@wires(HTTP1)
class TestHttp1:
    @one_loop
    @pytest.mark.parametrize("steps", LOST)
    async def test_an_early_end_is_never_taken_for_the_end(
        self, transport: HttpTransport, origin: Origin, steps: tuple[Step, ...]
    ) -> None:
        with pytest.raises(ConnectionLost):
            await fetch(transport, origin.serve("/a", *steps))

    @one_loop
    @pytest.mark.parametrize(
        ("steps", "in_body"),
        [
            pytest.param((Close(),), False, id="before the head"),
            pytest.param((Send(HEAD + b"X-A: b\r\n"), Reset()), False, id="in the head"),
            pytest.param((Send(PROMISED_9 + b"1234"), Close()), True, id="in a measured body"),
            pytest.param((Send(CHUNKED + b"3\r\nabc\r\n"), Close()), True, id="between chunks"),
            pytest.param((Send(CHUNKED + b"5\r\nabc"), Reset()), True, id="in a chunk"),
        ],
    )
    async def test_a_loss_says_whether_there_was_a_head(
        self,
        transport: HttpTransport,
        origin: Origin,
        steps: tuple[Step, ...],
        in_body: bool,  # noqa: FBT001 -- a column
    ) -> None:
        with pytest.raises(ConnectionLost) as caught:
            await fetch(transport, origin.serve("/a", *steps))
        assert caught.value.in_body is in_body

    @one_loop
    @pytest.mark.parametrize("steps", BROKEN)
    async def test_broken_framing_is_an_error(
        self, transport: HttpTransport, origin: Origin, steps: tuple[Step, ...]
    ) -> None:
        with pytest.raises((ProtocolError, ConnectionLost)):
            await fetch(transport, origin.serve("/a", *steps))

    async def test_surplus_bytes_are_never_part_of_the_body(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        url = origin.serve("/a", Send(PROMISED_9 + b"123456789SURPLUS"), Close())
        origin.serve("/b", Answer(200, (), b"b"))
        with contextlib.suppress(FetchError):
            assert (await fetch(transport, url)).body == b"123456789"
        assert (await fetch(transport, origin.url("/b"))).body == b"b"

    async def test_surplus_bytes_are_never_the_answer_to_the_next_request(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        forged = HEAD + b"Content-Length: 6\r\n\r\nforged"
        url = origin.serve("/a", Send(PROMISED_9 + b"123456789" + forged))
        origin.serve("/b", Answer(200, (), b"b"))
        with contextlib.suppress(FetchError):
            assert (await fetch(transport, url)).body == b"123456789"
        assert (await fetch(transport, origin.url("/b"))).body == b"b"

    async def test_transfer_encoding_overrides_content_length(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        both = (
            HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        )
        with contextlib.suppress(ProtocolError):
            found = await fetch(transport, origin.serve("/a", Send(both), Close()))
            assert found.body == b"abcde"

    async def test_a_close_delimited_body_ends_with_the_connection(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        url = origin.serve("/a", Send(HEAD + b"\r\nabc"), Close())
        assert (await fetch(transport, url)).body == b"abc"

    async def test_a_head_beyond_the_limit_is_refused(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        fields = tuple((f"X-{number}", "a" * 7000) for number in range(11))
        with pytest.raises((LimitExceeded, ProtocolError)):
            await fetch(transport, origin.serve("/a", Answer(200, fields)))

    async def test_a_field_outside_of_ascii_does_not_cost_the_answer(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        url = origin.serve("/a", Send(HEAD + b"X-A: \xe9\r\nContent-Length: 1\r\n\r\nx"))
        found = await fetch(transport, url)
        assert (found.body, found.header("content-length")) == (b"x", "1")
        assert found.header("x-a") is not None

    async def test_leaving_early_frees_the_connection(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        big = HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000
        url = origin.serve("/a", Send(big), Wait())
        async with transport.request(HttpRequest(url)) as response:
            assert await response.read()
        await origin.until(lambda: origin.departures == 1)
        assert (await fetch(transport, origin.serve("/b", Answer(200, (), b"b")))).body == b"b"


@wires(HTTP1)
class TestHttp1Stalls(Quick):
    async def test_silence_in_the_body_is_a_stall(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        url = origin.serve("/a", Send(PROMISED_9 + b"1234"), Wait())
        with pytest.raises(Stalled):
            await fetch(transport, url)
        await origin.until(lambda: origin.departures == 1)

    async def test_a_trickle_is_a_stall(self, transport: HttpTransport, origin: Origin) -> None:
        url = origin.serve(
            "/a", Send(HEAD + b"Content-Length: 500\r\n\r\n"), Drip(b"x" * 500, 0.05)
        )
        with pytest.raises(Stalled):
            await fetch(transport, url)

    async def test_a_trickling_head_is_a_stall(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        url = origin.serve("/a", Drip(HEAD + b"X-A: " + b"x" * 500, 0.05))
        with pytest.raises(Stalled):
            await fetch(transport, url)

    async def test_cancelled_in_the_body_frees_the_connection(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        gate = asyncio.Event()

        async def read() -> None:
            url = origin.serve("/a", Send(PROMISED_9 + b"1234"), Gate(gate), Wait())
            async with transport.request(HttpRequest(url)) as response:
                while True:
                    await response.read()

        task = asyncio.create_task(read())
        await origin.until(lambda: len(origin.requests) == 1)
        gate.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await origin.until(lambda: origin.departures == 1)

    @one_loop
    @pytest.mark.parametrize(
        "steps",
        [
            pytest.param((Send(HEAD + b"X-A: "), Flood(b"a" * 4096)), id="an endless field"),
            pytest.param((Send(HEAD), Flood(b"X-A: b\r\n" * 500)), id="endless fields"),
            pytest.param(
                (Send(HEAD + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n"),), id="a field of 70 KB"
            ),
            pytest.param(
                (Flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),), id="endless interim answers"
            ),
            pytest.param(
                (Send(CHUNKED + b"3;"), Flood(b"a" * 4096)), id="an endless chunk extension"
            ),
            pytest.param(
                (Send(CHUNKED + b"0\r\n"), Flood(b"X-A: b\r\n" * 500)), id="endless trailers"
            ),
        ],
    )
    async def test_endless_heads_are_refused(
        self, transport: HttpTransport, origin: Origin, steps: tuple[Step, ...]
    ) -> None:
        with pytest.raises((ProtocolError, ConnectionLost, Stalled)):
            await fetch(transport, origin.serve("/a", *steps))
