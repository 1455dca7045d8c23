"""HTTP/2 for the scripted origin, frame by frame (RFC 9113).

Frames are written by hand (hyperframe, hpack), since a library that keeps the
rules could not break them. Flow control is ignored: bodies of scripts stay
below the window of any client.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.support.origin import (
    Answer,
    Close,
    Drip,
    Flood,
    Gate,
    Origin,
    Received,
    Reset,
    Send,
    Step,
    Wait,
    flood,
    reset,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

MAX_FRAME_BYTES = 16 * 1024
"""What any client accepts (RFC 9113 §4.2)."""

MAX_CONCURRENT_STREAMS = 0x3
"""A setting (RFC 9113 §6.5.2)."""

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
REFUSED_STREAM = 0x7
CANCEL = 0x8
ENHANCE_YOUR_CALM = 0xB


def encode(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Encode a field section without touching the dynamic table, so that order does not matter."""
    encoder = Encoder()
    encoder.header_table_size = 0
    fields = [(":status", str(status)), *((name.lower(), value) for name, value in headers)]
    return bytes(encoder.encode(fields, huffman=False))


@dataclass(frozen=True)
class Head:
    """HEADERS."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    is_last: bool = False

    def frames(self, stream_id: int) -> bytes:
        frame = HeadersFrame(stream_id, data=encode(self.status, self.headers))
        frame.flags.add("END_HEADERS")
        if self.is_last:
            frame.flags.add("END_STREAM")
        return bytes(frame.serialize())


@dataclass(frozen=True)
class Data:
    """DATA, in as many frames as it takes."""

    data: bytes
    is_last: bool = False

    def frames(self, stream_id: int) -> bytes:
        pieces = [
            self.data[start : start + MAX_FRAME_BYTES]
            for start in range(0, max(1, len(self.data)), MAX_FRAME_BYTES)
        ]
        frames = [DataFrame(stream_id, data=piece) for piece in pieces]
        if self.is_last:
            frames[-1].flags.add("END_STREAM")
        return b"".join(frame.serialize() for frame in frames)


@dataclass(frozen=True)
class RstStream:
    """RST_STREAM."""

    error_code: int = INTERNAL_ERROR

    def frames(self, stream_id: int) -> bytes:
        return bytes(RstStreamFrame(stream_id, error_code=self.error_code).serialize())


@dataclass(frozen=True)
class GoAway:
    """GOAWAY; `keeps_stream` says whether the stream at hand is still processed."""

    error_code: int = NO_ERROR
    keeps_stream: bool = True

    def frames(self, stream_id: int) -> bytes:
        last = stream_id if self.keeps_stream else max(0, stream_id - 2)
        return bytes(GoAwayFrame(0, last_stream_id=last, error_code=self.error_code).serialize())


@dataclass(frozen=True)
class Continuations:
    """HEADERS that never end, in CONTINUATION frames."""

    count: int
    fragment: bytes = b"\x00\x01x\x01y"

    def frames(self, stream_id: int) -> bytes:
        first = HeadersFrame(stream_id, data=encode(200, ())).serialize()
        more = ContinuationFrame(stream_id, data=self.fragment).serialize()
        return bytes(first) + bytes(more) * self.count


@dataclass(frozen=True)
class HpackBomb:
    """One large field in the dynamic table, then many references of one byte to it."""

    field_bytes: int = 4000
    references: int = 12000

    def frames(self, stream_id: int) -> bytes:
        encoder = Encoder()
        table_entry = encoder.encode([(":status", "200"), ("x", "y" * self.field_bytes)])
        frame = HeadersFrame(stream_id, data=table_entry + b"\xbe" * self.references)
        frame.flags.add("END_HEADERS")
        return bytes(frame.serialize())


@dataclass(frozen=True)
class Pings:
    """PING without ACK."""

    count: int = 1

    def frames(self, stream_id: int) -> bytes:
        return bytes(PingFrame(0, opaque_data=b"12345678").serialize()) * self.count


@dataclass(frozen=True)
class Settings:
    """SETTINGS; without values they are as good for a flood."""

    values: tuple[tuple[int, int], ...] = ()
    count: int = 1

    def frames(self, stream_id: int) -> bytes:
        return bytes(SettingsFrame(0, settings=dict(self.values)).serialize()) * self.count


@dataclass(frozen=True)
class PushPromise:
    """PUSH_PROMISE, which no client of ours asked for."""

    def frames(self, stream_id: int) -> bytes:
        encoder = Encoder()
        encoder.header_table_size = 0
        fields = [(":method", "GET"), (":path", "/x"), (":scheme", "http"), (":authority", "x")]
        frame = PushPromiseFrame(stream_id, promised_stream_id=2, data=encoder.encode(fields))
        frame.flags.add("END_HEADERS")
        return bytes(frame.serialize())


@dataclass(frozen=True)
class RawFrame:
    """Bytes of a frame that hyperframe would not write; `{stream}` is not filled in."""

    kind: int
    flags: int = 0
    payload: bytes = b""
    on_connection: bool = False

    def frames(self, stream_id: int) -> bytes:
        number = 0 if self.on_connection else stream_id
        head = len(self.payload).to_bytes(3, "big") + bytes([self.kind, self.flags])
        return head + number.to_bytes(4, "big") + self.payload


@dataclass(frozen=True)
class FloodFrames:
    """Frames again and again until the client leaves or drops the stream."""

    step: Data | Pings | Settings | RawFrame

    def frames(self, stream_id: int) -> bytes:
        return self.step.frames(stream_id) * 100


def answer_frames(answer: Answer, stream_id: int) -> bytes:
    """Return a whole answer."""
    body = answer.body
    length = (("content-length", str(len(body))),) if answer.status != 204 else ()
    head = Head(answer.status, answer.headers + length, is_last=not body).frames(stream_id)
    return head + (Data(body, is_last=True).frames(stream_id) if body else b"")


class H2Speaker:
    """HTTP/2 as the scripts say, all streams at once."""

    def __init__(
        self, origin: Origin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.origin = origin
        self.reader = reader
        self.writer = writer
        self.decoder = Decoder()
        self.gone: dict[int, asyncio.Event] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def converse(self) -> None:
        assert await self.reader.readexactly(len(PREFACE)) == PREFACE
        # httpx sends one request at a time until it is told a number.
        self.writer.write(SettingsFrame(0, settings={MAX_CONCURRENT_STREAMS: 100}).serialize())
        try:
            while True:
                await self.receive_frame()
        finally:
            for event in self.gone.values():
                event.set()
            await self.end_tasks()

    async def end_tasks(self) -> None:
        # Scripts that wait for a departure see it now; the others are ended.
        await asyncio.sleep(0)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks), timeout=1)

    async def receive_frame(self) -> None:
        head = await self.reader.readexactly(9)
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(await self.reader.readexactly(length)))
        match frame:
            case HeadersFrame():
                await self.start(frame)
            case RstStreamFrame() if frame.stream_id in self.gone:
                self.gone[frame.stream_id].set()
            case SettingsFrame() if "ACK" not in frame.flags:
                self.writer.write(SettingsFrame(0, flags=["ACK"]).serialize())
            case _:
                pass

    async def start(self, frame: HeadersFrame) -> None:
        pairs = [(str(name), str(value)) for name, value in self.decoder.decode(frame.data)]
        pseudo = {name: value for name, value in pairs if name.startswith(":")}
        fields = tuple((name, value) for name, value in pairs if not name.startswith(":"))
        request = Received(pseudo[":method"], pseudo[":path"], fields, http_version="2")
        self.origin.requests.append(request)
        self.origin.note()
        self.gone[frame.stream_id] = asyncio.Event()
        task = asyncio.create_task(self.play(frame.stream_id, request))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def play(self, stream_id: int, request: Received) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            for step in self.origin.script_for(request):
                await self.perform(step, stream_id)

    async def perform(self, step: Step, stream_id: int) -> None:
        match step:
            case Send(data):
                self.writer.write(data)
            case Answer():
                self.writer.write(answer_frames(step, stream_id))
            case Drip(data, pause_s):
                for number in data:
                    self.writer.write(Data(bytes([number])).frames(stream_id))
                    await self.writer.drain()
                    await asyncio.sleep(pause_s)
            case Flood(data):
                await flood(self.writer, data)
            case FloodFrames():
                await flood(self.writer, step.frames(stream_id), self.gone[stream_id])
            case Gate(event):
                await event.wait()
            case Wait():
                await self.gone[stream_id].wait()
                self.origin.note(departures=1)
            case Reset():
                reset(self.writer)
            case Close():
                self.writer.close()
            case _:
                self.writer.write(step.frames(stream_id))
        if not self.writer.is_closing():
            await self.writer.drain()
