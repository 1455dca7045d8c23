"""The compatible DIMSE acceptor: pynetdicom in threads, two for each association.

    async with PynetdicomServer(ServerSettings(port=11112), MyServices()) as server:
        print(server.port)
        await server.serve()          # until cancelled

It does for its peers what `acceptor.AssociationServer` does, as far as a Storage SCP goes:
it admits, negotiates, answers C-ECHO and takes C-STOREs; queries are refused (0122), and
`answering` and `releasing` are not called.

Strategy: threads wait, the loop decides: whatever `Services` do is done on the event loop.
A data set reaches its sink PDU by PDU; who is slow to take them stops the peer.

Rule: threads are bounded. A connection gets its two when its first bytes come, so that
those that say nothing cost none; while all are taken, it waits, up to the ARTIM time-out.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from ssl import SSLError
from typing import TYPE_CHECKING

from asyncdicom.errors import FetchError, ProtocolError
from asyncdicom.protocol.dimse.messages import CEchoRequest, CEchoResponse, CStoreRequest
from asyncdicom.protocol.upper_layer.negotiation import negotiate
from asyncdicom.transports.associations.acceptor import AssociationServer, accepted_contexts
from asyncdicom.transports.associations.dialogue import Transmitted, answer
from asyncdicom.transports.associations.pynetdicom import silence
from asyncdicom.transports.associations.pynetdicom_acceptor_session import (
    AcceptorSession,
    Fragment,
    Released,
)
from asyncdicom.transports.associations.services import Requestor
from asyncdicom.transports.associations.serving import begin_store
from asyncdicom.transports.associations.workers import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

    from asyncdicom.ports.dimse import AcceptedContext, StoreSink
    from asyncdicom.transports.associations.acceptor import ServerSettings
    from asyncdicom.transports.associations.pynetdicom_acceptor_session import Item
    from asyncdicom.transports.associations.services import Services

__all__ = ["PynetdicomServer"]

SPARE_THREADS = 8
"""Connections that may be read beside the associations, two threads each: to be refused."""
GRACE_S = 0.5
"""How long an abort may take to be sent and a thread to end, in seconds, before we cut."""


class PynetdicomServer(AssociationServer):
    """Serves peers from entering until it is left.

    Raises (on entering):
        ConfigError: If the address is not ours or taken, or certificates cannot be used.

    """

    def __init__(self, settings: ServerSettings, services: Services) -> None:
        super().__init__(settings, services)
        self._threads = asyncio.Semaphore(settings.max_associations + SPARE_THREADS)
        silence()

    async def _attend(self, sock: socket.socket) -> None:
        """Serve one connection, whatever its peer does."""
        address = _address_of(sock)
        has_asked = False
        try:
            async with asyncio.timeout(self._settings.artim_timeout_s) as artim:
                await _readable(sock)
                async with self._threads, self._session(sock) as (session, worker):
                    request = await worker.run(session.requested)
                    has_asked = True
                    artim.reschedule(None)
                    await self._serve(session, worker, Requestor(address, request))
        except (TimeoutError, FetchError) as error:
            # The peer's doing, and told to `Services.ended` where it was associated.
            if not has_asked:
                cause = error.__cause__
                self._services.unserved(address, cause if isinstance(cause, SSLError) else error)
        finally:
            sock.close()

    @asynccontextmanager
    async def _session(self, sock: socket.socket) -> AsyncGenerator[tuple[AcceptorSession, Worker]]:
        """Give a connection its threads; leaving aborts what is left, and ends them."""
        session = AcceptorSession(sock, self._settings, self._tls)
        worker = Worker("asyncdicom-association")
        try:
            yield session, worker
        finally:
            closing = asyncio.create_task(_close(session, worker))
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                await asyncio.wait([closing])
                raise
            finally:
                self._traffic.bytes_received += session.bytes_received

    async def _serve(self, session: AcceptorSession, worker: Worker, requestor: Requestor) -> None:
        refusal = self._refusal(requestor)
        if refusal is not None:
            await worker.run(session.reject, refusal)
        else:
            await self._associate_threaded(session, worker, requestor)
        await worker.run(session.linger)

    async def _associate_threaded(
        self, session: AcceptorSession, worker: Worker, requestor: Requestor
    ) -> None:
        """Accept, and serve up to the release."""
        with self._counting(requestor):
            answered = self._answer(requestor)
            contexts = accepted_contexts(negotiate(requestor.request, answered))
            await worker.run(session.accept, requestor.request, answered)
            await _Served(self._services, requestor, contexts).serve(session, worker)


class _Served:
    """An established association: its requests are answered one by one."""

    def __init__(
        self, services: Services, requestor: Requestor, contexts: dict[int, AcceptedContext]
    ) -> None:
        self._services = services
        self._requestor = requestor
        self._contexts = contexts
        self._storage = services.storage(requestor)
        self._request: CStoreRequest | None = None
        self._sink: StoreSink | None = None
        self._answers: list[Transmitted] = []

    async def serve(self, session: AcceptorSession, worker: Worker) -> None:
        """Answer until the peer releases the association.

        Raises:
            FetchError: What the peer did, or its connection.

        """
        try:
            while True:
                answers, self._answers = self._answers, []
                for context_id, item in await worker.run(session.exchange, answers):
                    if isinstance(item, Released):
                        if self._sink is not None:
                            raise ProtocolError(
                                "the peer releases the association within a message"
                            )
                        await worker.run(session.release)
                        return
                    await self._take(context_id, item)
        finally:
            if self._sink is not None:
                self._sink.discard()

    async def _take(self, context_id: int, item: Item) -> None:
        if isinstance(item, Fragment):
            await self._write(context_id, item)
        elif isinstance(item, CStoreRequest):
            self._request, self._sink = item, self._begin(context_id, item)
        elif isinstance(item, CEchoRequest):
            status = await self._services.echo(self._requestor)
            self._answers.append(Transmitted(context_id, CEchoResponse(item.message_id, status)))

    async def _write(self, context_id: int, fragment: Fragment) -> None:
        assert self._sink is not None, "a data set comes behind its request"
        assert self._request is not None, "see there"
        self._sink.write(fragment.data)
        if fragment.is_last:
            status = await self._sink.end()
            self._sink = None
            self._answers.append(Transmitted(context_id, answer(self._request, status)))

    def _begin(self, context_id: int, command: CStoreRequest) -> StoreSink:
        syntax = self._contexts[context_id].transfer_syntax
        return begin_store(self._storage, command, syntax, self._requestor.calling_ae)


async def _readable(sock: socket.socket) -> None:
    """Wait until a peer says something, or leaves."""
    loop = asyncio.get_running_loop()
    said = loop.create_future()

    def say() -> None:
        if not said.done():
            said.set_result(None)

    loop.add_reader(sock, say)
    try:
        await said
    finally:
        loop.remove_reader(sock)


async def _close(session: AcceptorSession, worker: Worker) -> None:
    session.stop()
    try:
        async with asyncio.timeout(GRACE_S):
            await worker.idle()
    except TimeoutError:
        session.cut()
    await worker.run(session.close)
    worker.end()


def _address_of(sock: socket.socket) -> str:
    try:
        host, port, *_ = sock.getpeername()
    except OSError:
        return "unknown"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
