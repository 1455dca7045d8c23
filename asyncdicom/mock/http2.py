"""HTTP/2 on a connection: one task reads frames, one task per stream answers (RFC 9113).

h2 keeps the protocol; what it would refuse to send (a header block without end)
is written as raw frames.

Rule: nothing is awaited between asking h2 for a window and sending into it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from asyncdicom.mock.body import batches
from asyncdicom.mock.messages import (
    Ending,
    Framing,
    Multipart,
    Request,
    Response,
    header_value,
    split_target,
)

if TYPE_CHECKING:
    from asyncdicom.mock.connection import Connection
    from asyncdicom.mock.http1 import Handler
    from asyncdicom.model import Buffer

__all__ = ["PREFACE", "Http2Session"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client with prior knowledge sends first (RFC 9113 §3.4)."""

MAX_HEADER_LIST_BYTES = 64 * 1024
"""What a request's fields may take, as h2 counts them; its own default."""

FLUSH_BYTES = 64 * 1024
"""Bytes of DATA frames after which another stream gets its turn."""

# A literal field without indexing (RFC 7541 §6.2.2), its value 100 bytes long.
ENDLESS_FIELD = b"\x00\x09x-endless\x64" + b"a" * 100
STATUS_200 = b"\x88"
"""`:status: 200`, entry 8 of the static table (RFC 7541 Appendix A)."""

HEADERS, CONTINUATION = 0x1, 0x9
"""Frame types (RFC 9113 §6.2, §6.10)."""


class Http2Session:
    """The HTTP/2 side of a connection.

    Args:
        connection: Who asks.
        handler: Answers.
        max_streams: SETTINGS_MAX_CONCURRENT_STREAMS, at least 1.

    """

    def __init__(self, connection: Connection, handler: Handler, *, max_streams: int) -> None:
        self._connection = connection
        self._handler = handler
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._protocol = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self._protocol.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: max_streams,
                codes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
            },
        )
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._window_opened = asyncio.Event()

    async def run(self, received: bytes) -> None:
        """Serve until either side ends; cancels the streams and waits for them.

        Args:
            received: What was read from the connection before.

        """
        self._protocol.initiate_connection()
        async with asyncio.TaskGroup() as group:
            while received and self._take(received, group):
                self._flush()
                received = await self._connection.read()
            self._stop_streams()

    def _take(self, received: bytes, group: asyncio.TaskGroup) -> bool:
        """Digest bytes; tell whether the client still wants something."""
        try:
            events = self._protocol.receive_data(received)
        except h2.exceptions.ProtocolError:
            self._flush()  # h2 has queued a GOAWAY that says why
            return False
        for event in events:
            match event:
                case h2.events.RequestReceived():
                    self._start(event, group)
                case h2.events.StreamReset(stream_id=stream_id):
                    self._stop(stream_id)
                case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                    self._window_opened.set()
                case h2.events.DataReceived():
                    self._protocol.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                case h2.events.ConnectionTerminated():
                    return False
        return True

    def _start(self, event: h2.events.RequestReceived, group: asyncio.TaskGroup) -> None:
        task = group.create_task(self._answer(event))
        self._streams[event.stream_id] = task
        task.add_done_callback(lambda _: self._streams.pop(event.stream_id, None))

    def _stop(self, stream_id: int | None) -> None:
        task = self._streams.get(stream_id or 0)
        if task is not None:
            task.cancel()

    def _stop_streams(self) -> None:
        """Cancel all streams but the one that asks for it."""
        for task in self._streams.values():
            if task is not asyncio.current_task():
                task.cancel()

    def _flush(self) -> None:
        self._connection.write([self._protocol.data_to_send()])

    async def _answer(self, event: h2.events.RequestReceived) -> None:
        request = self._request_of(event)
        async with self._handler(request) as response:
            await self._respond(event.stream_id, request, response)
            await self._connection.drain()

    def _request_of(self, event: h2.events.RequestReceived) -> Request:
        fields = tuple((str(name), str(value)) for name, value in event.headers)
        path, query = split_target(header_value(fields, ":path") or "/")
        return Request(
            method=header_value(fields, ":method") or "GET",
            path=path,
            query=query,
            headers=tuple(pair for pair in fields if not pair[0].startswith(":")),
            scheme=header_value(fields, ":scheme") or self._connection.scheme,
            authority=header_value(fields, ":authority") or "localhost",
            http_version="2",
            peer_port=self._connection.peer_port,
        )

    async def _respond(self, stream_id: int, request: Request, response: Response) -> None:
        wire = response.wire
        if wire.endless_header:
            await self._send_endless_header(stream_id)
            return
        if wire.stop_after_bytes == -1:
            await self._end(stream_id, response)
            return
        has_body = request.method != "HEAD" and response.status not in {204, 304}
        self._protocol.send_headers(stream_id, fields_of(response), end_stream=not has_body)
        self._flush()
        if not has_body:
            return
        async for batch in batches(response):
            for buffer in batch:
                await self._send(stream_id, memoryview(buffer))
        await self._end(stream_id, response)

    async def _send(self, stream_id: int, view: memoryview) -> None:
        """Send bytes as DATA frames, as the windows allow (RFC 9113 §5.2)."""
        while view:
            room = self._protocol.local_flow_control_window(stream_id)
            if room <= 0:
                self._window_opened.clear()
                await self._window_opened.wait()
                continue
            sent = min(room, len(view), FLUSH_BYTES)
            self._frame(stream_id, view[:sent])
            view = view[sent:]
            self._flush()
            await self._connection.drain()
            # The socket may have had room all the time; the other streams want their turn.
            await asyncio.sleep(0)

    def _frame(self, stream_id: int, view: memoryview) -> None:
        step = self._protocol.max_outbound_frame_size
        for at in range(0, len(view), step):
            self._protocol.send_data(stream_id, bytes(view[at : at + step]))

    async def _end(self, stream_id: int, response: Response) -> None:
        """Bring about the end that the wire orders."""
        wire = response.wire
        match wire.ending:
            case Ending.WHOLE:
                self._protocol.end_stream(stream_id)
                self._flush()
            case Ending.CUT:
                self._protocol.reset_stream(stream_id, wire.error_code)
                self._flush()
            case Ending.STALL:
                await self._connection.hang()
            case Ending.RESET:
                await self._connection.reset()
            case Ending.GOAWAY:
                await self._go_away(stream_id, response)

    async def _go_away(self, stream_id: int, response: Response) -> None:
        # RFC 9113 §6.8: streams above the last stream identifier were not and will
        # not be processed, so a request whose head was not answered is one of them.
        is_unprocessed = response.wire.stop_after_bytes == -1
        self._stop_streams()
        last = max(0, stream_id - 2) if is_unprocessed else stream_id
        self._protocol.close_connection(response.wire.error_code, last_stream_id=last)
        self._flush()
        await self._connection.close()

    async def _send_endless_header(self, stream_id: int) -> None:
        """Send a header block without END_HEADERS until the client leaves."""
        self._connection.write([raw_frame(HEADERS, stream_id, STATUS_200 + ENDLESS_FIELD)])
        frame = raw_frame(CONTINUATION, stream_id, ENDLESS_FIELD * 140)
        while not self._connection.closed.is_set():
            await self._connection.send([frame])
            await asyncio.sleep(0)


def raw_frame(kind: int, stream_id: int, payload: Buffer) -> bytes:
    """Encode a frame without flags (RFC 9113 §4.1)."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, 0]) + stream_id.to_bytes(4, "big")
    return head + bytes(payload)


def fields_of(response: Response) -> list[tuple[str, str]]:
    """Return the fields, names in lower case (RFC 9113 §8.2.1), with a length where it is known."""
    fields = [(":status", str(response.status))]
    fields += [(name.lower(), value) for name, value in response.headers]
    wire = response.wire
    is_lazy = isinstance(response.body, Multipart) and wire.framing is not Framing.LENGTH
    is_open = wire.framing in {Framing.CHUNKED, Framing.CLOSE} or is_lazy
    has_no_body = response.status in {204, 304}
    if (not is_open or wire.length_error_bytes) and not has_no_body:
        length = max(0, response.body.byte_count() + wire.length_error_bytes)
        fields.append(("content-length", str(length)))
    return fields
