"""An association that a peer asked pynetdicom for, without the services that it builds on it.

Strategy: as in `pynetdicom_session`, its layers are used and its services are not. Data sets
of C-STORE requests are handed over PDU by PDU, so that none is ever held: pynetdicom itself
would write them to a temporary file (`STORE_RECV_CHUNKED_DATASET`) that the receiver copies.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeAlias

from pydicom.uid import UID
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE, A_RELEASE
from pynetdicom.transport import AddressInformation

from asyncdicom.errors import ConnectionLost, FetchError, ProtocolError
from asyncdicom.protocol.dimse.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from asyncdicom.protocol.dimse.messages import CEchoRequest, CEchoResponse, CStoreRequest
from asyncdicom.protocol.dimse.sop_classes import VERIFICATION
from asyncdicom.protocol.dimse.statuses import Status
from asyncdicom.protocol.upper_layer.pdu import AssociateRequest, decode
from asyncdicom.transports.associations.pynetdicom_messages import primitive_of, transmitted
from asyncdicom.transports.associations.pynetdicom_negotiation import answer_contexts, answer_items
from asyncdicom.transports.associations.pynetdicom_parts import (
    NOTHING,
    Indications,
    Messages,
    Reactor,
    whole_uid,
)
from asyncdicom.transports.associations.pynetdicom_peer import Patience, Peer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from asyncdicom.protocol.upper_layer.pdu import AssociateAccept, AssociateReject
    from asyncdicom.transports.associations.acceptor import ServerSettings
    from asyncdicom.transports.associations.dialogue import Transmitted
    from asyncdicom.transports.associations.pynetdicom_parts import Inbox

__all__ = ["AcceptorSession", "Fragment", "Released"]

BATCH_MESSAGES = 16
"""Messages and fragments that are handed to the loop at a time, if they are there."""
LOOK_S = 1.0
"""How often we look whether a peer is still worth waiting for, in seconds."""
LINGER_S = 2.0
"""How long a peer that was refused, or that released, may take to close, in seconds."""
ASSOCIATE_RQ = 0x01
IS_LAST = 2
"""Bit of a message control header (PS3.8 §E.2)."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The next bytes of the data set of the C-STORE request that came before."""

    data: memoryview
    is_last: bool


@dataclass(frozen=True, slots=True)
class Released:
    """The peer asks for the release of the association."""


Item: TypeAlias = CStoreRequest | CEchoRequest | Fragment | Released


@dataclass(frozen=True, slots=True)
class _Began:
    """A C-STORE request whose data set follows."""

    request: C_STORE


class _StreamedMessages(Messages):
    """Hands data sets of C-STORE requests over as they arrive; called in pynetdicom's thread."""

    def _take(self, context_id: int, data: bytes) -> None:
        if isinstance(self.message, C_STORE_RQ):
            is_last = bool(data[0] & IS_LAST)
            if is_last:
                self.message = None
            self.msg_queue.put((context_id, Fragment(memoryview(data)[1:], is_last)))
            return
        super()._take(context_id, data)
        if isinstance(self.message, C_STORE_RQ):
            request: Any = self.message.message_to_primitive()
            request.AffectedSOPInstanceUID = whole_uid(self.message.command_set)
            self.msg_queue.put((context_id, _Began(request)))


class _ListeningReactor(Reactor):
    """Keeps the request as it came."""

    request = b""

    def _decode_pdu(self, bytestream: bytearray) -> Any:
        if bytestream[0] == ASSOCIATE_RQ:
            self.request = bytes(bytestream)
        return super()._decode_pdu(bytestream)


class _Bell(Indications):
    """Tells who waits for messages that the peer releases the association."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox

    def put(self, item: Any, *how: Any, **how_else: Any) -> None:
        """Take an indication."""
        super().put(item, *how, **how_else)
        if isinstance(item, A_RELEASE) and item.result is None:
            self._inbox.put((0, Released()))


class _Acceptor(Peer):
    """Our side, as the one that is asked."""

    reactor_class = _ListeningReactor
    messages_class = _StreamedMessages
    reactor: _ListeningReactor

    def __init__(self, settings: ServerSettings, sock: socket.socket) -> None:
        association = Association(ApplicationEntity("ANY-SCP"), "acceptor")
        names = (_address(sock.getpeername()), _address(sock.getsockname()))
        super().__init__(association, sock, names, settings.max_pdu_bytes)
        self.reactor.to_user_queue = _Bell(self.messages.msg_queue)
        acceptor = association.acceptor
        acceptor.maximum_length = settings.max_pdu_bytes
        acceptor.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        acceptor.implementation_version_name = IMPLEMENTATION_VERSION_NAME


class AcceptorSession:
    """One connection; all is called in one thread, unless it says so.

    Args:
        sock: Accepted; belongs to the session from now on.
        settings: Bounds of what the peer may cost us.
        tls: None speaks plain TCP.

    """

    def __init__(
        self, sock: socket.socket, settings: ServerSettings, tls: ssl.SSLContext | None
    ) -> None:
        self._socket = sock
        self._settings = settings
        self._tls = tls
        self._peer: _Acceptor | None = None
        self._patience: Patience | None = None
        self._is_stopped = False
        self.bytes_received = 0

    def requested(self) -> AssociateRequest:
        """Wait for the request of an association; whoever calls bounds the time.

        Raises:
            FetchError: If something else comes, or nothing any more.

        """
        try:
            self._secure()
            self._peer = peer = _Acceptor(self._settings, self._socket)
        except OSError as error:
            raise ConnectionLost("the peer left before it asked for anything") from error
        peer.reactor.start()
        primitive: Any = peer.reactor.receive_pdu(wait=True)
        if self._is_stopped or not isinstance(primitive, A_ASSOCIATE):
            raise self._over()
        peer.association.requestor.primitive = primitive
        return decode_request(peer.reactor.request)

    def accept(self, request: AssociateRequest, answer: AssociateAccept) -> None:
        """Answer the request."""
        peer = self._open_peer()
        contexts = answer_contexts(request, answer)
        association = peer.association
        # What its ACSE sets when it negotiates by itself.
        association._accepted_cx = {c.context_id or 0: c for c in contexts if not c.result}  # noqa: SLF001 -- see above
        association._rejected_cx = [c for c in contexts if c.result]  # noqa: SLF001 -- see above
        for item in answer_items(answer):
            association.acceptor.add_negotiation_item(item)
        association.acse.send_accept()
        association.is_established = True

    def reject(self, refusal: AssociateReject) -> None:
        """Refuse the association (PS3.8 §9.3.4)."""
        peer = self._open_peer()
        peer.association.acse.send_reject(refusal.result, refusal.source, refusal.reason)

    def release(self) -> None:
        """Agree to the release (PS3.8 §7.2)."""
        self._open_peer().association.acse.send_release(is_response=True)

    def linger(self) -> None:
        """Let the peer close first, so that it reads our last word (PS3.8 §9.2, Sta13)."""
        self._open_peer().wire.ended.wait(LINGER_S)

    def exchange(self, answers: Sequence[Transmitted]) -> list[tuple[int, Item]]:
        """Send answers, then wait for something of the peer; return it and some that are there.

        Raises:
            Stalled: If nothing came for the idle time, or too little within a message.
            FetchError: If nothing will come any more.

        """
        peer = self._open_peer()
        for message in answers:
            peer.messages.send_msg(_response(message), message.context_id)
        found = self._items(*self._next(peer))
        while len(found) < BATCH_MESSAGES and not peer.messages.msg_queue.empty():
            if peer.messages.msg_queue.queue[0] is NOTHING:
                break
            found += self._items(*peer.messages.msg_queue.get_nowait())
        return found

    def close(self) -> None:
        """Free everything; an association that is still there has been told to abort."""
        if self._peer is not None:
            self._peer.end(self.cut)
            self.bytes_received = self._peer.wire.bytes_received
        self._socket.close()

    def stop(self) -> None:
        """Abort, and let whatever waits fail soon. Called in any thread; does not wait."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if self._peer is None or not self._peer.reactor.is_alive():
            self.cut()
        elif not self._peer.wire.ended.is_set():
            self._peer.abort()

    def cut(self) -> None:
        """Shut the connection down. Called in any thread; does not wait."""
        with suppress(OSError):
            # That of an SSLSocket would take the TLS away from whoever reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _secure(self) -> None:
        self._socket.setblocking(True)
        if self._tls is not None:
            secured = self._tls.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
            self._socket = secured
            secured.do_handshake()

    def _open_peer(self) -> _Acceptor:
        if self._peer is None or self._is_stopped:
            raise self._over()
        return self._peer

    def _next(self, peer: _Acceptor) -> tuple[int | None, Any]:
        if self._patience is None:
            self._patience = Patience(self._settings, peer, "")
        self._patience.resume()
        while True:
            with suppress(Empty):
                item: tuple[int | None, Any] = peer.messages.msg_queue.get(
                    timeout=min(LOOK_S, self._patience.rest_s())
                )
                self._patience.pause()
                return item

    def _items(self, context_id: int | None, item: Any) -> list[tuple[int, Item]]:
        """Return what an item of the inbox is for the loop; some are answered here."""
        if context_id is None:
            raise self._over()
        peer = self._open_peer()
        if isinstance(item, Released):
            return [(context_id, item)]
        if context_id not in peer.association._accepted_cx:  # noqa: SLF001 -- ours, see `accept`
            raise ProtocolError(f"a message in context {context_id}, which was not accepted")
        if isinstance(item, Fragment):
            return [(context_id, item)]
        if isinstance(item, _Began):
            request = transmitted(context_id, item.request).command
            assert isinstance(request, CStoreRequest), "its response has no data set"
            return [(context_id, request)]
        if isinstance(item, C_ECHO) and item.MessageIDBeingRespondedTo is None:
            return [(context_id, CEchoRequest(item.MessageID or 0))]
        if isinstance(item, C_FIND | C_GET | C_MOVE) and item.MessageIDBeingRespondedTo is None:
            peer.messages.send_msg(_refusal(item), context_id)
            return []
        if isinstance(item, C_CANCEL):
            return []
        raise ProtocolError(f"a {type(item).__name__} came where none belongs")

    def _over(self) -> FetchError:
        """Return why nothing comes any more."""
        if self._is_stopped or self._peer is None:
            return ConnectionLost("the server was closed")
        return self._peer.why_over()


def decode_request(pdu: bytes) -> AssociateRequest:
    """Return an A-ASSOCIATE-RQ that pynetdicom let pass, as services see it.

    Raises:
        ProtocolError: If it is unreadable all the same.

    """
    request = decode(pdu)
    assert isinstance(request, AssociateRequest), "its type was looked at"
    return request


def _response(message: Transmitted) -> Any:
    if not isinstance(message.command, CEchoResponse):
        return primitive_of(message)
    response = C_ECHO()
    response.MessageIDBeingRespondedTo = message.command.responds_to
    response.AffectedSOPClassUID = UID(VERIFICATION)
    response.Status = message.command.status
    return response


def _refusal(request: C_FIND | C_GET | C_MOVE) -> C_FIND | C_GET | C_MOVE:
    """Make the answer 0122, SOP class not supported (PS3.7 §C.5.6)."""
    response = type(request)()
    response.MessageIDBeingRespondedTo = request.MessageID
    response.AffectedSOPClassUID = request.AffectedSOPClassUID
    response.Status = Status.SOP_CLASS_NOT_SUPPORTED
    return response


def _address(name: Any) -> AddressInformation:
    return AddressInformation.from_tuple(name)
