"""A DIMSE server on one listening socket (PS3.8 §7.1, acceptor).

    async with AssociationServer(ServerSettings(port=11112), MyServices()) as server:
        print(server.port)            # the one that was chosen, for port 0
        await server.serve()          # until cancelled

What it does for its peers is said in `services.py`: handlers admit requestors, select
transfer syntaxes, take C-STOREs, and perform C-ECHO, C-FIND, C-GET and C-MOVE.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import ConfigError, ConnectionLost, FetchError, ProtocolError
from asyncdicom.ports.dimse import AcceptedContext, DimseStatistics
from asyncdicom.protocol.upper_layer.association import AssociationMachine, AssociationRequested
from asyncdicom.protocol.upper_layer.negotiation import ACCEPTANCE, accept
from asyncdicom.protocol.upper_layer.pdu import AnsweredContext
from asyncdicom.protocol.upper_layer.user_information import ExtendedNegotiation
from asyncdicom.transports.associations import sockets
from asyncdicom.transports.associations.acceptor_tls import acceptor_context
from asyncdicom.transports.associations.connection import Connection, Patience
from asyncdicom.transports.associations.services import BUSY, Requestor
from asyncdicom.transports.associations.serving import ServedAssociation, WirePeer
from asyncdicom.transports.associations.tls_alerts import send_alert
from asyncdicom.transports.associations.wire import Wire

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator
    from types import TracebackType

    from asyncdicom.protocol.upper_layer.negotiation import Negotiated
    from asyncdicom.protocol.upper_layer.pdu import (
        AssociateAccept,
        AssociateReject,
        ProposedContext,
    )
    from asyncdicom.transports.associations.acceptor_tls import AcceptorTls
    from asyncdicom.transports.associations.services import Services
    from asyncdicom.transports.associations.settings import TlsSettings

__all__ = [
    "MAX_PORT",
    "AssociationServer",
    "ServerSettings",
    "ServerStatistics",
    "accepted_contexts",
]

REFUSED_ABSTRACT_SYNTAX = 3
"""PS3.8 Table 9-18."""
REFUSED_TRANSFER_SYNTAXES = 4
DESCRIPTORS_FOR_FILES = 512
"""Wanted beside those of connections; a hint, for the system may allow less."""
LINGER_S = 2.0
"""How long a peer that was refused, or that released, may take to close, in seconds."""
MAX_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where to listen, and the bounds of what peers may cost us."""

    host: str = "127.0.0.1"
    """Address to listen on; `::` is IPv6 (and IPv4 where the system maps it)."""
    is_ipv6_only: bool = False
    """Keeps `::` to IPv6."""
    port: int = 11112
    """0 lets the system choose."""
    max_associations: int = 64
    """At one time; the next is refused with 2/3/2, local limit exceeded."""
    max_connections: int = 2048
    """At one time, associated or not; the next are closed at once."""
    max_pdu_bytes: int = 128 * 1024
    """Longest variable field of a P-DATA-TF that we take; a longer one is answered with A-ABORT."""
    artim_timeout_s: float = 10.0
    """How long a connection may take for its A-ASSOCIATE-RQ, in seconds (PS3.8 §9.1.5)."""
    idle_timeout_s: float = 60.0
    """How long an association may be silent, in seconds."""
    min_bytes_per_s: float = 1024.0
    """Least mean throughput within a message; 0 allows any."""
    min_rate_window_s: float = 60.0
    """Waiting time over which that throughput is averaged, in seconds."""
    tls: AcceptorTls | TlsSettings | None = None
    """None speaks plain TCP."""


@dataclass(slots=True)
class ServerStatistics:
    """Counters of a server since it was opened."""

    connections: int = 0
    """Open now."""
    associations: int = 0
    """Established now."""
    associations_peak: int = 0
    accepted: int = 0
    """Associations established so far."""
    rejected: int = 0
    """Associations refused so far."""


class AssociationServer:
    """Serves peers from entering until it is left.

    Leaving aborts the associations that are open, and returns when nothing is left:
    no task, no socket.

    Raises (on entering):
        ConfigError: If the address is not ours or taken, or certificates cannot be used.

    """

    def __init__(self, settings: ServerSettings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._tls = None if settings.tls is None else acceptor_context(settings.tls)
        self._statistics = ServerStatistics()
        self._traffic = DimseStatistics()
        self._listener: sockets.Listener | None = None
        self._port = settings.port
        self._tasks: set[asyncio.Task[None]] = set()
        self._requestors: dict[asyncio.Task[None] | None, Requestor] = {}

    @property
    def port(self) -> int:
        """Port that is listened on."""
        return self._port

    async def __aenter__(self) -> Self:
        settings = self._settings
        _check_address(settings.host, settings.port)
        sockets.allow_descriptors(settings.max_connections + DESCRIPTORS_FOR_FILES)
        try:
            sock = sockets.listen(settings.host, settings.port, is_ipv6_only=settings.is_ipv6_only)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror}",
                hint="choose another port, or end who uses it",
            ) from error
        self._port = sock.getsockname()[1]
        self._listener = sockets.Listener(sock, self._accepted)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Accept nobody any more, and abort the associations that are open."""
        self._stop_listening()
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def serve(self) -> None:
        """Wait until cancelled; peers are served from entering on, with or without this."""
        await asyncio.get_running_loop().create_future()

    async def drain(self) -> None:
        """Accept nobody any more, and wait until the last association ended."""
        self._stop_listening()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def abort_unless(self, is_wanted: Callable[[Requestor], bool]) -> None:
        """Abort associations that nobody wants, and close connections that have none."""
        for task in self._tasks:
            requestor = self._requestors.get(task)
            if task.cancelling() or (requestor is not None and is_wanted(requestor)):
                continue
            task.cancel()

    def statistics(self) -> ServerStatistics:
        """Return the counters."""
        return self._statistics

    def _accepted(self, sock: socket.socket) -> None:
        """Serve a connection in a task of its own."""
        if self._statistics.connections >= self._settings.max_connections:
            why = ConnectionLost("there are as many connections as there may be")
            self._services.unserved(sockets.peer_address(sock), why)
            sock.close()
            return
        self._statistics.connections += 1
        task = asyncio.get_running_loop().create_task(self._attend(sock))
        self._tasks.add(task)
        task.add_done_callback(self._attended)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _attended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._statistics.connections -= 1
        if not task.cancelled() and (bug := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a service failed", "exception": bug, "task": task}
            )

    async def _attend(self, sock: socket.socket) -> None:
        """Serve one connection, whatever its peer does."""
        address = sockets.peer_address(sock)
        try:
            connection = await self._connection(sock)
        except OSError as error:
            # A peer that left at once, or with whom no TLS was possible.
            self._services.unserved(address, error)
            return
        machine = AssociationMachine.acceptor()
        wire = Wire(connection, machine, origin="", statistics=self._traffic)
        machine.connected()
        connection.set_patience(Patience(self._settings.artim_timeout_s, is_total=True))
        try:
            requestor = await self._requestor(wire)
            refusal = self._refusal(requestor)
            if refusal is None:
                await self._services.answering(requestor, WirePeer(wire))
                wire.check()
                await self._associate(wire, requestor)
            else:
                machine.reject(refusal)
                wire.flush()
            await self._linger(wire)
        except FetchError:
            # The peer's doing, and told to `Services.ended` where it was associated.
            wire.abort()
        except BaseException:
            wire.abort()
            raise
        finally:
            await wire.end()

    async def _connection(self, sock: socket.socket) -> Connection:
        connection = Connection("dicom:", sock if self._tls is None else None)
        # What uvloop 0.23 returns beside the transport is its own protocol where TLS is spoken.
        connect = partial(
            asyncio.get_running_loop().connect_accepted_socket, lambda: connection, sock
        )
        if self._tls is None:
            await connect()
            return connection
        with _second(sock) as spare:
            try:
                await connect(
                    ssl=self._tls,
                    ssl_handshake_timeout=self._settings.artim_timeout_s,
                    ssl_shutdown_timeout=LINGER_S,
                )
            except ssl.SSLError as error:
                await send_alert(spare, error, timeout_s=LINGER_S)
                raise
        return connection

    async def _requestor(self, wire: Wire) -> Requestor:
        try:
            event = await wire.next()
            if not isinstance(event, AssociationRequested):
                raise ProtocolError("a peer begins with A-ASSOCIATE-RQ")
        except FetchError as error:
            self._services.unserved(wire.connection.peer_address, error)
            raise
        return Requestor(wire.connection.peer_address, event.request)

    def _refusal(self, requestor: Requestor) -> AssociateReject | None:
        """Return how to refuse a peer, having told so, or None."""
        is_full = self._statistics.associations >= self._settings.max_associations
        refusal = BUSY if is_full else self._services.admit(requestor)
        if refusal is not None:
            self._statistics.rejected += 1
            self._services.rejected(requestor, refusal)
        return refusal

    async def _associate(self, wire: Wire, requestor: Requestor) -> None:
        """Accept, and serve up to the release."""
        with self._counting(requestor):
            negotiated = wire.machine.accept(self._answer(requestor))
            wire.flush()
            wire.established(
                peer_max_pdu_bytes=requestor.request.user.max_pdu_bytes,
                patience=Patience(
                    self._settings.idle_timeout_s,
                    min_bytes_per_s=self._settings.min_bytes_per_s,
                    window_s=self._settings.min_rate_window_s,
                ),
            )
            contexts = accepted_contexts(negotiated)
            await ServedAssociation(wire, self._services, requestor, contexts).serve()

    @contextmanager
    def _counting(self, requestor: Requestor) -> Generator[None]:
        """Count an association while it lasts, and tell the services of its beginning and end."""
        counters = self._statistics
        counters.associations += 1
        counters.accepted += 1
        counters.associations_peak = max(counters.associations_peak, counters.associations)
        failure: BaseException | None = None
        task = asyncio.current_task()
        self._services.began(requestor)
        self._requestors[task] = requestor
        try:
            yield
        except BaseException as error:
            failure = error
            raise
        finally:
            counters.associations -= 1
            del self._requestors[task]
            self._services.ended(requestor, failure)

    def _answer(self, requestor: Requestor) -> AssociateAccept:
        request = requestor.request
        results = [self._selected(requestor, proposed) for proposed in request.contexts]
        return accept(
            request,
            results,
            max_pdu_bytes=self._settings.max_pdu_bytes,
            extra=self._extended(requestor, results),
            grant=partial(self._services.granted, requestor),
        )

    def _selected(self, requestor: Requestor, proposed: ProposedContext) -> AnsweredContext:
        if not self._services.offers(requestor, proposed.abstract_syntax):
            return AnsweredContext(proposed.context_id, REFUSED_ABSTRACT_SYNTAX)
        chosen = self._services.select(requestor, proposed)
        if chosen is None:
            return AnsweredContext(proposed.context_id, REFUSED_TRANSFER_SYNTAXES)
        return AnsweredContext(proposed.context_id, ACCEPTANCE, chosen)

    def _extended(
        self, requestor: Requestor, results: list[AnsweredContext]
    ) -> list[ExtendedNegotiation]:
        """Answer extended negotiation of accepted SOP classes, where it was asked for."""
        request = requestor.request
        accepted_ids = {one.context_id for one in results if one.result == ACCEPTANCE}
        accepted = {c.abstract_syntax for c in request.contexts if c.context_id in accepted_ids}
        answers = []
        for proposed in request.user.items:
            if isinstance(proposed, ExtendedNegotiation) and proposed.sop_class_uid in accepted:
                information = self._services.extended(requestor, proposed)
                if information is not None:
                    answers.append(ExtendedNegotiation(proposed.sop_class_uid, information))
        return answers

    async def _linger(self, wire: Wire) -> None:
        """Let the peer close first, so that it reads our last word (PS3.8 §9.2, Sta13)."""
        wire.connection.set_patience(Patience(LINGER_S, is_total=True))
        while True:
            await wire.next()


def _check_address(host: str, port: int) -> None:
    """Refuse what is no address at all: of that a socket raises no OSError."""
    try:
        # The encoding that sockets use for names.
        host.encode("idna")
        is_name = host.isprintable()
    except UnicodeError:
        is_name = False
    if not is_name or not 0 <= port <= MAX_PORT:
        raise ConfigError(f"cannot listen on {host!a} port {port}", hint="this is no address")


def _second(sock: socket.socket) -> socket.socket:
    """Return a second descriptor of a connection, or close it where there are no more."""
    try:
        return sock.dup()
    except OSError:
        sock.close()
        raise


def accepted_contexts(negotiated: Negotiated) -> dict[int, AcceptedContext]:
    """Return what was accepted, by context ID."""
    return {
        one.context_id: AcceptedContext(
            one.context_id, one.abstract_syntax, one.transfer_syntax, one.is_scp
        )
        for one in negotiated.contexts
        if one.is_accepted
    }
