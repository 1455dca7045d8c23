"""A DIMSE peer that follows a script, faults included: acceptor or requestor, byte by byte.

    async def script(peer):
        await peer.associate()                          # A-ASSOCIATE-RQ, -AC
        message = await peer.message()
        answer = CEchoResponse(message.message_id, 0)
        await peer.send(*message_pdus(message.context_id, answer))
        await peer.release()

    async with open_peer(script) as port: ...
    async with dial(port) as peer: ...                  # the other way round

A script that fails lets the test fail, unless what failed was the connection.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.protocol.dimse.messages import parse_command
from asyncdicom.protocol.upper_layer.negotiation import (
    ContextProposal,
    Party,
    accept,
    propose,
)
from asyncdicom.protocol.upper_layer.pdu import (
    AnsweredContext,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
    decode,
    encode,
    encode_pdv_header,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from asyncdicom.protocol.dimse.messages import Message
    from asyncdicom.protocol.upper_layer.pdu import Pdu

P_DATA = 4
ABORT = 7
MAX_PDU_BYTES = 16384


@dataclass(frozen=True)
class PeerMessage:
    """A whole message, joined."""

    context_id: int
    command: Message
    dataset: bytes

    @property
    def message_id(self) -> int:
        """ID of a request, or that of the request a response or a cancel belongs to."""
        command = self.command
        return command.message_id if hasattr(command, "message_id") else command.responds_to


class ScriptedPeer:
    """One connection, either side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._pdvs: list[tuple[int, int, bytes]] = []

    async def raw_pdu(self) -> tuple[int, bytes]:
        """Read a PDU; return its type and all of its bytes."""
        header = await self.reader.readexactly(6)
        kind, length = struct.unpack(">BxI", header)
        return kind, header + await self.reader.readexactly(length)

    async def pdu(self) -> Pdu:
        """Read a PDU that is none of data."""
        _, data = await self.raw_pdu()
        return decode(data)

    async def message(self) -> PeerMessage:
        """Read a message."""
        context_id, command = await self._joined(is_command=True)
        parsed = parse_command(command)
        dataset = b""
        if parsed.has_data_set:
            _, dataset = await self._joined(is_command=False)
        return PeerMessage(context_id, parsed, dataset)

    async def aborted(self) -> bytes:
        """Read on to an A-ABORT, and return it."""
        while True:
            kind, data = await self.raw_pdu()
            if kind == ABORT:
                return data

    async def silence(self) -> None:
        """Read on until the connection ends."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    async def send(self, *parts: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def associate(
        self, *, transfer_syntax: str | None = None, max_pdu_bytes: int = MAX_PDU_BYTES
    ) -> AssociateRequest:
        """Accept whatever is asked for, each context with its first transfer syntax."""
        request = await self.pdu()
        assert isinstance(request, AssociateRequest)
        results = [
            AnsweredContext(one.context_id, 0, transfer_syntax or one.transfer_syntaxes[0])
            for one in request.contexts
        ]
        await self.send(encode(accept(request, results, max_pdu_bytes=max_pdu_bytes)))
        return request

    async def request(
        self,
        contexts: Sequence[ContextProposal],
        *,
        called_ae: str = "ARCHIVE",
        calling_ae: str = "SCRIPT",
        max_pdu_bytes: int = MAX_PDU_BYTES,
    ) -> Pdu:
        """Ask for an association, and return the answer."""
        party = Party(called_ae, calling_ae, max_pdu_bytes)
        await self.send(encode(propose(contexts, party)))
        return await self.pdu()

    async def release(self) -> None:
        """Let the other side release, or close."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not isinstance(await self.pdu(), ReleaseRequest):
                pass
            await self.send(encode(ReleaseResponse()))

    def close(self) -> None:
        """Close in order: FIN."""
        self.writer.close()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
        self.writer.transport.abort()

    async def _joined(self, *, is_command: bool) -> tuple[int, bytes]:
        joined = bytearray()
        while True:
            while not self._pdvs:
                kind, data = await self.raw_pdu()
                assert kind == P_DATA, f"PDU of type {kind} where data are due"
                self._pdvs.extend(_pdvs_of(data))
            context_id, control, fragment = self._pdvs.pop(0)
            assert bool(control & 1) == is_command, "command and data set take turns"
            joined += fragment
            if control & 2:
                return context_id, bytes(joined)


def _pdvs_of(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 6
    while at < len(data):
        length, context_id, control = struct.unpack_from(">IBB", data, at)
        yield context_id, control, data[at + 6 : at + 4 + length]
        at += 4 + length


def pdv_pdus(
    context_id: int, data: bytes, *, is_command: bool, pdv_bytes: int = MAX_PDU_BYTES - 6
) -> list[bytes]:
    """Cut a command or data set into PDUs of one PDV each; the last says that it is."""
    pieces = [data[at : at + pdv_bytes] for at in range(0, len(data), pdv_bytes)] or [b""]
    return [
        encode_pdv_header(
            context_id, len(piece), is_command=is_command, is_last=number == len(pieces)
        )
        + piece
        for number, piece in enumerate(pieces, 1)
    ]


def message_pdus(
    context_id: int, command: Message, dataset: bytes = b"", *, pdv_bytes: int = MAX_PDU_BYTES - 6
) -> list[bytes]:
    """Write a message, as PDUs of one PDV each."""
    pdus = pdv_pdus(context_id, command.encode(), is_command=True, pdv_bytes=pdv_bytes)
    if command.has_data_set:
        pdus += pdv_pdus(context_id, dataset, is_command=False, pdv_bytes=pdv_bytes)
    return pdus


TURNS = 10
"""Of the loop, from the accept of a connection to the call for it; asyncio takes four."""


@asynccontextmanager
async def open_peer(
    script: Callable[[ScriptedPeer], Awaitable[None]],
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Run a script for each connection, and yield the port; raise what a script raises."""
    running: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []

    async def follow(peer: ScriptedPeer) -> None:
        try:
            await script(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            peer.writer.transport.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(follow(ScriptedPeer(reader, writer)))
        running.add(task)
        task.add_done_callback(ended)

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failures.append(error)

    server = await asyncio.start_server(connected, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        # A connection that was accepted already is told of some turns of the loop later.
        for _ in range(TURNS):
            await asyncio.sleep(0)
        for task in running:
            task.cancel()
        while running:
            await asyncio.wait(running)
        await asyncio.sleep(0)  # in which what was aborted is closed
    if failures:
        raise failures[0]


@asynccontextmanager
async def dial(
    port: int, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedPeer]:
    """Connect to an acceptor."""
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        yield ScriptedPeer(reader, writer)
    finally:
        writer.transport.abort()
