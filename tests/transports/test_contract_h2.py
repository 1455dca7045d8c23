"""What every engine that speaks HTTP/2 must do when frames are not as RFC 9113 wants them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConnectionLost, FetchError, ProtocolError, Stalled
from asyncdicom.ports.http import HttpRequest
from tests.support.origin import Answer, Close, Drip, Origin, Reset, Step, Wait
from tests.support.origin_h2 import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    MAX_CONCURRENT_STREAMS,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Continuations,
    Data,
    FloodFrames,
    GoAway,
    Head,
    HpackBomb,
    Pings,
    PushPromise,
    RawFrame,
    RstStream,
    Settings,
)
from tests.transports.conftest import HTTP2, Quick, one_loop, wires
from tests.transports.contract import fetch

if TYPE_CHECKING:
    from asyncdicom.ports.http import HttpTransport

pytestmark = pytest.mark.anyio

NINE = (("content-length", "9"),)

INITIAL_WINDOW_SIZE = 0x4
WINDOW_UPDATE = 0x8
PRIORITY = 0x2

CUT = [
    pytest.param((Reset(),), id="reset before the head"),
    pytest.param((Close(),), id="closed before the head"),
    pytest.param((Head(), Data(b"abc"), Close()), id="closed without END_STREAM"),
    pytest.param((Head(), Data(b"abc"), Reset()), id="reset without END_STREAM"),
    pytest.param((Head(200, NINE), Data(b"abc"), Close()), id="closed short of its length"),
    pytest.param((RstStream(INTERNAL_ERROR),), id="stream reset before the head"),
    pytest.param((RstStream(REFUSED_STREAM),), id="stream refused"),
    pytest.param((Head(), Data(b"abc"), RstStream(INTERNAL_ERROR)), id="reset: internal error"),
    pytest.param((Head(200, NINE), Data(b"abc"), RstStream(NO_ERROR)), id="reset: no error"),
    pytest.param((Head(), Data(b"abc"), RstStream(CANCEL)), id="reset: cancel"),
    pytest.param((Head(), Data(b"abc"), RstStream(ENHANCE_YOUR_CALM)), id="reset: calm down"),
    pytest.param((Head(), Data(b"abc"), GoAway(), Close()), id="GOAWAY, then the end"),
    pytest.param(
        (Head(), Data(b"abc"), GoAway(PROTOCOL_ERROR), Close()), id="GOAWAY with an error"
    ),
    pytest.param((GoAway(keeps_stream=False), Close()), id="GOAWAY before the head"),
]

BROKEN = [
    pytest.param((Head(200, NINE), Data(b"12345678", is_last=True)), id="one byte short"),
    pytest.param((Head(200, NINE), Data(b"1234567890", is_last=True)), id="one byte long"),
    pytest.param((Head(200, NINE, is_last=True),), id="no byte of nine"),
    pytest.param((Data(b"abc", is_last=True),), id="DATA before the head"),
    pytest.param((PushPromise(), Answer(200, (), b"abc")), id="PUSH_PROMISE"),
    pytest.param((HpackBomb(), Data(b"", is_last=True)), id="HPACK bomb of 48 MB"),
    pytest.param((Continuations(20_000), Wait()), id="CONTINUATION flood"),
    pytest.param(
        (Settings(((INITIAL_WINDOW_SIZE, 2**31),)), Wait()), id="a window beyond 2^31 - 1"
    ),
    pytest.param(
        (RawFrame(WINDOW_UPDATE, payload=bytes(4)), Wait()), id="WINDOW_UPDATE by nothing"
    ),
    pytest.param((RawFrame(0, payload=bytes(20_000)), Wait()), id="a frame beyond the limit"),
    pytest.param(
        (Head(200, tuple((f"x-{n}", "a" * 7000) for n in range(2))),) * 6 + (Wait(),),
        id="a head again and again",
    ),
]


@wires(HTTP2)
class TestFaults:
    @one_loop
    @pytest.mark.parametrize("steps", CUT)
    async def test_an_early_end_is_never_taken_for_the_end(
        self, transport: HttpTransport, origin: Origin, steps: tuple[Step, ...]
    ) -> None:
        with pytest.raises(ConnectionLost):
            await fetch(transport, origin.serve("/a", *steps))

    @one_loop
    @pytest.mark.parametrize("steps", BROKEN)
    async def test_broken_framing_is_an_error(
        self, transport: HttpTransport, origin: Origin, steps: tuple[Step, ...]
    ) -> None:
        with pytest.raises((ProtocolError, ConnectionLost)):
            await fetch(transport, origin.serve("/a", *steps))

    @one_loop
    @pytest.mark.parametrize("steps", CUT + BROKEN)
    async def test_the_next_request_works(
        self, transport: HttpTransport, origin: Origin, steps: tuple[Step, ...]
    ) -> None:
        with pytest.raises(FetchError):
            await fetch(transport, origin.serve("/a", *steps))
        assert (await fetch(transport, origin.serve("/b", Answer(200, (), b"b")))).body == b"b"

    async def test_refused_streams_do_not_stop_the_others(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        url = origin.serve("/no", RstStream(REFUSED_STREAM))
        good = origin.serve("/yes", Answer(200, (), b"yes"))
        for _ in range(20):
            refused, found = await asyncio.gather(
                fetch(transport, url), fetch(transport, good), return_exceptions=True
            )
            assert isinstance(refused, ConnectionLost)
            assert not isinstance(found, BaseException)
            assert found.body == b"yes"

    async def test_goaway_lets_the_stream_at_hand_end(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        steps = (Head(200, NINE), GoAway(), Data(b"123456789", is_last=True))
        try:
            assert (await fetch(transport, origin.serve("/a", *steps))).body == b"123456789"
        except ConnectionLost:
            # RFC 9113 §6.8 lets it end; httpx gives up at once, which is safe as well.
            assert transport.name == "httpx"

    async def test_a_reset_without_error_is_the_end_only_where_no_length_was_given(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        # RFC 9113 §8.1 has servers send it behind END_STREAM. hyper also takes it for the
        # end before END_STREAM, and nothing tells the two apart: such a body is as
        # uncertain as a close-delimited one, and the layers above must prove it whole.
        url = origin.serve("/a", Head(), Data(b"abc"), RstStream(NO_ERROR))
        try:
            assert (await fetch(transport, url)).body == b"abc"
            assert transport.name == "pyreqwest"
        except ConnectionLost:
            assert transport.name == "httpx"


@wires(HTTP2)
class TestStalls(Quick):
    @one_loop
    @pytest.mark.parametrize(
        "flood",
        [
            pytest.param(Data(b""), id="empty DATA"),
            pytest.param(Pings(), id="PING"),
            pytest.param(Settings(), id="SETTINGS"),
            pytest.param(RawFrame(PRIORITY, payload=bytes(5)), id="PRIORITY"),
            pytest.param(
                RawFrame(WINDOW_UPDATE, payload=b"\0\0\0\1", on_connection=True), id="WINDOW_UPDATE"
            ),
        ],
    )
    @pytest.mark.parametrize("comes_with_head", [True, False])
    async def test_a_flood_without_payload_ends(
        self, transport: HttpTransport, origin: Origin, flood: Data, *, comes_with_head: bool
    ) -> None:
        first: tuple[Step, ...] = (Head(200, NINE), Data(b"abc")) if comes_with_head else (Pings(),)
        with pytest.raises((Stalled, ConnectionLost, ProtocolError)):
            await fetch(transport, origin.serve("/a", *first, FloodFrames(flood)))

    async def test_silence_in_the_body_is_a_stall(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        with pytest.raises(Stalled):
            await fetch(transport, origin.serve("/a", Head(200, NINE), Data(b"abc"), Wait()))
        await origin.until(lambda: origin.departures == 1)

    async def test_a_trickle_is_a_stall(self, transport: HttpTransport, origin: Origin) -> None:
        with pytest.raises(Stalled):
            await fetch(transport, origin.serve("/a", Head(), Drip(b"x" * 500, 0.05)))

    async def test_no_streams_allowed_is_an_error(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        settings = Settings(((MAX_CONCURRENT_STREAMS, 0),))
        await fetch(transport, origin.serve("/a", settings, Answer(200, (), b"a")))
        origin.serve("/b", Answer(200, (), b"b"))
        with contextlib.suppress(Stalled, ConnectionLost):
            assert (await fetch(transport, origin.url("/b"))).body == b"b"

    async def test_a_body_waits_for_a_window_that_never_opens(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        await fetch(transport, origin.serve("/a", Settings(((INITIAL_WINDOW_SIZE, 0),)), Answer()))
        url = origin.serve("/b", Wait())
        with pytest.raises(Stalled):
            await fetch(transport, url, method="POST", body=b"x" * 100)

    async def test_a_stalled_stream_does_not_stop_the_others(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        stalled = origin.serve("/a", Head(200, NINE), Wait())
        good = origin.serve("/b", Answer(200, (), b"b"))
        task = asyncio.create_task(fetch(transport, stalled))
        await origin.until(lambda: len(origin.requests) == 1)
        assert (await fetch(transport, good)).body == b"b"
        with pytest.raises(Stalled):
            await task


@wires(HTTP2)
class TestCancellation(Quick):
    async def test_cancelled_in_the_body_frees_the_stream(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        arrived = asyncio.Event()

        async def read() -> None:
            url = origin.serve("/a", Head(), Data(b"x" * 2000), Wait())
            async with transport.request(HttpRequest(url)) as response:
                while True:
                    await response.read()
                    arrived.set()

        task = asyncio.create_task(read())
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await origin.until(lambda: origin.departures == 1)
        assert (await fetch(transport, origin.serve("/b", Answer(200, (), b"b")))).body == b"b"

    async def test_others_go_on_while_one_is_cancelled(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        doomed = asyncio.create_task(fetch(transport, origin.serve("/a", Head(), Wait())))
        await origin.until(lambda: len(origin.requests) == 1)
        good = origin.serve("/b", Answer(200, (), b"b" * 1000))
        others = [asyncio.create_task(fetch(transport, good)) for _ in range(5)]
        doomed.cancel()
        found = await asyncio.gather(*others)
        assert [len(one.body) for one in found] == [1000] * 5
        with pytest.raises(asyncio.CancelledError):
            await doomed
