"""The native DIMSE engine: our own upper layer under asyncio.

transport = NativeTransport(DimseSettings(host="archive", called_ae="ARCHIVE"))
async with transport.associate(proposal) as association:
    await association.echo()
await transport.aclose()
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asyncdicom.errors import (
    AssociationRejected,
    ConnectionLost,
    NotNegotiated,
    TlsRejected,
    Unreachable,
    UsageError,
)
from asyncdicom.ports.dimse import DimseStatistics
from asyncdicom.protocol.upper_layer.association import AssociationAccepted, AssociationMachine
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal, Party, propose
from asyncdicom.protocol.upper_layer.user_information import (
    AsyncOperationsWindow,
    ExtendedNegotiation,
    UserIdentity,
)
from asyncdicom.transports.associations import sockets
from asyncdicom.transports.associations.association import NativeAssociation
from asyncdicom.transports.associations.connection import Connection, Patience
from asyncdicom.transports.associations.tls import explain, requestor_context
from asyncdicom.transports.associations.wire import Wire
from asyncdicom.transports.messages import system_reason

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

    from asyncdicom.ports.dimse import Proposal
    from asyncdicom.protocol.upper_layer.negotiation import Negotiated
    from asyncdicom.protocol.upper_layer.pdu import AssociateRequest
    from asyncdicom.transports.associations.settings import DimseSettings

__all__ = ["NativeTransport"]

SHUTDOWN_TIMEOUT_S = 1.0
"""How long TLS may take to close, in seconds."""


class NativeTransport:
    """Implements `ports.dimse.DimseTransport`.

    Raises:
        ConfigError: If certificates cannot be used.

    """

    def __init__(self, settings: DimseSettings) -> None:
        self._settings = settings
        self._tls = None if settings.tls is None else requestor_context(settings.tls)
        self._statistics = DimseStatistics()
        self._wires: set[Wire] = set()
        self._is_closed = False

    @property
    def name(self) -> str:
        """`native`."""
        return "native"

    @property
    def settings(self) -> DimseSettings:
        """What it was made with."""
        return self._settings

    @asynccontextmanager
    async def associate(self, proposal: Proposal) -> AsyncGenerator[NativeAssociation]:
        """Establish an association; leaving releases it, or aborts it after an error."""
        if self._is_closed:
            raise UsageError("the transport is closed")
        wire = await self._open()
        self._wires.add(wire)
        self._count(1)
        try:
            association = await self._negotiate(wire, self._request(proposal))
            yield association
            await association.release()
        except BaseException:
            wire.abort()
            raise
        finally:
            self._count(-1)
            self._wires.discard(wire)
            wire.connection.close()
            await wire.connection.closed()

    def statistics(self) -> DimseStatistics:
        """Return the counters."""
        return self._statistics

    async def aclose(self) -> None:
        """Abort all associations; operations under way fail with `ConnectionLost`."""
        self._is_closed = True
        wires = tuple(self._wires)
        for wire in wires:
            wire.interrupt(ConnectionLost("the transport was closed", origin=self._settings.origin))
        for wire in wires:
            await wire.connection.closed()

    def _count(self, change: int) -> None:
        counters = self._statistics
        counters.in_flight += change
        counters.in_flight_peak = max(counters.in_flight_peak, counters.in_flight)

    async def _open(self) -> Wire:
        """Connect.

        Raises:
            Unreachable, TlsRejected: As the port says.

        """
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                connection = await self._secured(await self._connect())
        except TimeoutError as error:
            why = f"no connection within {settings.connect_timeout_s:g} s"
            raise Unreachable(why, origin=settings.origin) from error
        machine = AssociationMachine.requestor()
        return Wire(connection, machine, origin=settings.origin, statistics=self._statistics)

    async def _connect(self) -> socket.socket:
        settings = self._settings
        try:
            return await sockets.connect(settings.host, settings.port)
        except UnicodeError as error:
            raise Unreachable("the host is no name", origin=settings.origin) from error
        except OSError as error:
            why = f"no connection: {system_reason(error)}"
            raise Unreachable(why, origin=settings.origin) from error

    async def _secured(self, sock: socket.socket) -> Connection:
        """Shake hands, if TLS is wanted, and take the socket over."""
        settings = self._settings
        is_tls = self._tls is not None
        connection = Connection(settings.origin, None if is_tls else sock)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._tls,
                server_hostname=settings.host if is_tls else None,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S if is_tls else None,
            )
        except ssl.SSLError as error:
            raise TlsRejected(explain(error), origin=settings.origin) from error
        except OSError as error:
            why = "the peer left before the connection was ready"
            kind = TlsRejected if is_tls else Unreachable
            raise kind(why, origin=settings.origin) from error
        return connection

    def _request(self, proposal: Proposal) -> AssociateRequest:
        settings = self._settings
        who = settings.identity
        party = Party(
            settings.called_ae,
            settings.calling_ae,
            settings.max_pdu_bytes,
            None if who is None else UserIdentity.of_user(who.username, who.passcode),
            async_operations=AsyncOperationsWindow(proposal.max_operations_invoked),
            extra=tuple(ExtendedNegotiation(*one) for one in proposal.extended_negotiation),
        )
        contexts = [
            ContextProposal(
                one.abstract_syntax,
                one.transfer_syntaxes,
                is_scu=not one.is_scp,
                is_scp=one.is_scp,
            )
            for one in proposal.contexts
        ]
        return propose(contexts, party)

    async def _negotiate(self, wire: Wire, request: AssociateRequest) -> NativeAssociation:
        """Associate.

        Raises:
            AssociationRejected, NotNegotiated: As the port says.

        """
        settings = self._settings
        if self._is_closed:
            raise ConnectionLost("the transport was closed", origin=settings.origin)
        wire.connection.set_patience(Patience(settings.acse_timeout_s, is_total=True))
        wire.machine.request(request)
        wire.machine.connected()
        wire.flush()
        association = NativeAssociation(wire, await self._accepted(wire), settings)
        if not association.accepted:
            await association.release()
            refused = tuple(dict.fromkeys(one.abstract_syntax for one in request.contexts))
            raise NotNegotiated(
                "the peer offers none of the services asked for", abstract_syntaxes=refused
            )
        wire.established(
            peer_max_pdu_bytes=association.peer_max_pdu_bytes,
            patience=Patience(
                settings.idle_timeout_s,
                min_bytes_per_s=settings.min_bytes_per_s,
                window_s=settings.min_rate_window_s,
            ),
        )
        return association

    async def _accepted(self, wire: Wire) -> Negotiated:
        try:
            event = await wire.next()
        except AssociationRejected as error:
            told = self._statistics.rejections
            told[error.message] = told.get(error.message, 0) + 1
            raise
        assert isinstance(event, AssociationAccepted), "a requestor's machine says nothing else"
        self._statistics.associations += 1
        return event.negotiated
