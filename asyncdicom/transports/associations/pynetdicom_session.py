"""An association of pynetdicom, without the services that it builds on it.

Strategy: pynetdicom's layers are used (ACSE, state machine, PDUs, messages), but its
services are not: they decode identifiers and encode them again, and a thread for them
looks a thousand times a second whether there is something to do.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any

from pydicom.uid import UID
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association as PeerAssociation
from pynetdicom.pdu_primitives import (
    A_RELEASE,
)
from pynetdicom.presentation import build_context
from pynetdicom.transport import AddressInformation

from asyncdicom.errors import (
    ConnectionLost,
    FetchError,
    NotNegotiated,
    ProtocolError,
    TlsRejected,
    TransportError,
)
from asyncdicom.ports.dimse import AcceptedContext, PeerFacts
from asyncdicom.protocol.dimse.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from asyncdicom.protocol.upper_layer.meanings import rejected
from asyncdicom.protocol.upper_layer.pdu import AssociateReject
from asyncdicom.transports.associations.pynetdicom_messages import primitive_of, transmitted
from asyncdicom.transports.associations.pynetdicom_negotiation import (
    accepted_contexts,
    check_answer,
    negotiation_items,
    peer_facts,
)
from asyncdicom.transports.associations.pynetdicom_parts import NOTHING
from asyncdicom.transports.associations.pynetdicom_peer import Patience, Peer
from asyncdicom.transports.associations.tls import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.ports.dimse import Proposal
    from asyncdicom.transports.associations.dialogue import Transmitted
    from asyncdicom.transports.associations.settings import DimseSettings

__all__ = ["PynetdicomSession"]

BATCH_MESSAGES = 16
"""Messages that are handed to the loop at a time, if they are there."""
LOOK_S = 0.25
"""How soon a release by the peer is noticed, in seconds: it wakes nobody who waits for messages."""


class PynetdicomSession:
    """Implements `threaded.Session`."""

    def __init__(
        self, settings: DimseSettings, proposal: Proposal, context: ssl.SSLContext | None
    ) -> None:
        self._settings = settings
        self._proposal = proposal
        self._tls = context
        self._socket: socket.socket | None = None
        self._names: tuple[AddressInformation, AddressInformation] | None = None
        self._peer: _Requestor | None = None
        self._is_stopped = False
        self.accepted: tuple[AcceptedContext, ...] = ()
        self.peer_max_pdu_bytes = 0
        self.peer = PeerFacts()
        self.messages_received = 0

    @property
    def bytes_received(self) -> int:
        """Of PDUs, headers included."""
        return 0 if self._peer is None else self._peer.wire.bytes_received

    def secure(self, sock: socket.socket) -> None:
        """Take a connection over, and agree on TLS where it is asked for.

        Raises:
            TlsRejected: If no trust could be established.
            ConnectionLost: If it broke already.

        """
        self._socket = sock
        sock.setblocking(True)
        try:
            self._names = (_address(sock.getsockname()), _address(sock.getpeername()))
        except OSError as error:
            why = "the peer left at once"
            raise ConnectionLost(why, origin=self._settings.origin) from error
        if self._tls is None:
            return
        try:
            secured = self._tls.wrap_socket(
                sock, server_hostname=self._settings.host, do_handshake_on_connect=False
            )
            self._socket = secured
            secured.do_handshake()
        except ssl.SSLError as error:
            raise TlsRejected(explain(error), origin=self._settings.origin) from error
        except OSError as error:
            why = "the peer left during the TLS handshake"
            raise TlsRejected(why, origin=self._settings.origin) from error

    def open(self) -> None:
        """Associate (PS3.8 §7.1).

        Raises:
            AssociationRejected, NotNegotiated, ConnectionLost, ProtocolError, TlsRejected:
                As the port says.

        """
        assert self._socket is not None, "a session is secured before it is opened"
        assert self._names is not None, "see there"
        self._peer = peer = _Requestor(self._settings, self._socket, self._names)
        peer.propose(self._settings, self._proposal)
        if self._is_stopped:
            raise self._over()
        peer.association.request()
        answer = peer.association.acceptor.primitive
        if peer.association.is_rejected and answer is not None:
            why = (answer.result or 0, answer.result_source or 0, answer.diagnostic or 0)
            raise self._named(rejected(AssociateReject(*why)))
        if answer is not None and answer.result == 0 and not peer.association.accepted_contexts:
            refused = dict.fromkeys(one.abstract_syntax for one in self._proposal.contexts)
            raise NotNegotiated(
                "the peer offers none of the services asked for", abstract_syntaxes=tuple(refused)
            )
        if answer is None or not peer.association.is_established:
            raise self._over()
        check_answer(answer, self._proposal)
        self.accepted = tuple(accepted_contexts(peer.association))
        self.peer_max_pdu_bytes = peer.association.acceptor.maximum_length or 0
        self.peer = peer_facts(peer.association)

    def exchange(self, messages: Sequence[Transmitted]) -> list[Transmitted]:
        """Send messages, then wait for one of the peer; return it and some that are there."""
        peer = self._open_peer()
        for message in messages:
            peer.messages.send_msg(primitive_of(message), message.context_id)
        found = [self._next()]
        while len(found) < BATCH_MESSAGES and (more := self._next_nowait()) is not None:
            found.append(more)
        return found

    def hear(self) -> None:
        """Take note that the peer is at work elsewhere. Called in any thread; does not wait."""
        if self._peer is not None:
            self._peer.wire.heard_s = monotonic()

    def release(self) -> None:
        """Release the association (PS3.8 §7.2).

        Raises:
            ConnectionLost: If the peer does something else.

        """
        peer = self._open_peer()
        peer.association.acse.send_release()
        while True:
            primitive: Any = peer.reactor.receive_pdu(wait=True)
            if not isinstance(primitive, A_RELEASE):
                raise self._over()
            if primitive.result:
                return
            # PS3.8 §7.2.2.7: both asked; who requested the association answers first.
            peer.association.acse.send_release(is_response=True)

    def close(self) -> None:
        """Free everything; an association that is still there has been told to abort."""
        if self._peer is not None:
            self._peer.end(self.cut)
        if self._socket is not None:
            self._socket.close()

    def stop(self) -> None:
        """Abort, and let whatever waits fail soon. Called in any thread; does not wait."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._peer is None or not self._peer.reactor.is_alive():
            self.cut()
        else:
            self._peer.abort()

    def cut(self) -> None:
        """Shut the connection down. Called in any thread; does not wait."""
        if self._socket is not None:
            with suppress(OSError):
                # That of an SSLSocket would take the TLS away from whoever reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _open_peer(self) -> _Requestor:
        if self._peer is None or self._is_stopped:
            raise self._over()
        return self._peer

    def _next(self) -> Transmitted:
        """Wait for a message.

        Raises:
            Stalled: If nothing came for the idle time.
            FetchError: If none will come any more.

        """
        peer = self._open_peer()
        patience = Patience(self._settings, peer, self._settings.origin)
        while True:
            wait_s = min(LOOK_S, patience.rest_s())
            with suppress(Empty):
                return self._transmitted(*peer.messages.msg_queue.get(timeout=wait_s))
            if peer.is_released():
                peer.association.acse.send_release(is_response=True)
                raise self._over()

    def _next_nowait(self) -> Transmitted | None:
        """Return a message that is there, or None; the sign that none will come stays."""
        queue = self._open_peer().messages.msg_queue
        if queue.empty() or queue.queue[0] is NOTHING:
            return None
        return self._transmitted(*queue.get_nowait())

    def _transmitted(self, context_id: int | None, primitive: Any) -> Transmitted:
        if context_id is None:
            raise self._over()
        if all(context_id != one.context_id for one in self.accepted):
            raise ProtocolError(f"a message in context {context_id}, which was not accepted")
        self.messages_received += 1
        return transmitted(context_id, primitive)

    def _over(self) -> FetchError:
        """Return why nothing comes any more."""
        if self._is_stopped or self._peer is None:
            return self._named(ConnectionLost("the transport was closed"))
        return self._named(self._peer.why_over())

    def _named(self, error: FetchError) -> FetchError:
        if isinstance(error, TransportError) and not error.origin:
            error.origin = self._settings.origin
        return error


class _Requestor(Peer):
    """Our side, as the one that asks."""

    def __init__(
        self,
        settings: DimseSettings,
        sock: socket.socket,
        names: tuple[AddressInformation, AddressInformation],
    ) -> None:
        association = PeerAssociation(ApplicationEntity(settings.calling_ae), "requestor")
        super().__init__(association, sock, names, settings.max_pdu_bytes)

    def propose(self, settings: DimseSettings, proposal: Proposal) -> None:
        """Set what is asked for."""
        self.association.acceptor.ae_title = settings.called_ae
        requestor = self.association.requestor
        requestor.ae_title = settings.calling_ae
        requestor.maximum_length = settings.max_pdu_bytes
        requestor.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        requestor.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        for item in negotiation_items(settings, proposal):
            requestor.add_negotiation_item(item)
        contexts = []
        for number, asked in enumerate(proposal.contexts):
            context = build_context(asked.abstract_syntax, list(asked.transfer_syntaxes))
            context.context_id = 2 * number + 1
            contexts.append(context)
        requestor.requested_contexts = contexts


def _address(name: Any) -> AddressInformation:
    return AddressInformation.from_tuple(name)
