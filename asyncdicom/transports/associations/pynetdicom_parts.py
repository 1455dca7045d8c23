"""What of pynetdicom is replaced: how it reads, waits and fails; and its messages as ours.

pynetdicom's thread reads a socket (`PromptSocket`), runs the state machine (`Reactor`)
and joins fragments to messages (`Messages`). Each of them is overridden where a hostile
or a busy peer would cost memory, 40 ms per message, or a traceback on the terminal.
"""

from __future__ import annotations

import select
import ssl
import sys
from io import BytesIO
from queue import Queue
from struct import error as StructError  # noqa: N812 -- it is named like a function
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from pydicom.uid import UID
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import A_P_ABORT
from pynetdicom.transport import AssociationSocket

from asyncdicom.errors import ConnectionLost, FetchError, LimitExceeded, ProtocolError, TlsRejected
from asyncdicom.protocol.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    ErrorDetails,
)
from asyncdicom.transports.associations.dialogue import Transmitted
from asyncdicom.transports.associations.sockets import acknowledge_at_once
from asyncdicom.transports.associations.tls import explain

if TYPE_CHECKING:
    import socket

    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import P_DATA
    from pynetdicom.transport import T_CONNECT

__all__ = [
    "NOTHING",
    "Inbox",
    "Messages",
    "PromptSocket",
    "Reactor",
    "nobody",
    "primitive_of",
    "transmitted",
]

Primitive: TypeAlias = C_CANCEL | C_ECHO | C_FIND | C_GET | C_MOVE | C_STORE

NOTHING = (None, None)
"""In place of a message: none will come any more (pynetdicom's own sign)."""

MAX_MESSAGES = 16
"""That wait for us at most; then reading stops, and TCP tells the peer."""
MAX_CONTROL_PDU_BYTES = 1024 * 1024
"""Of a PDU that is no P-DATA-TF: an answer to 128 contexts has some 4 KB."""
HEADER_BYTES = 6
"""PDU type, reserved byte and length (PS3.8 §9.3.1)."""
P_DATA_TF = 0x04
A_ABORT = 0x07

# What reading bytes of a stranger raises in pynetdicom and pydicom.
UNREADABLE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError),
    *(StructError, TypeError, ValueError, Warning),
)


class Inbox(Queue[Any]):
    """Messages of the peer: few, until nobody wants them any more."""

    def __init__(self) -> None:
        super().__init__(MAX_MESSAGES)

    def end(self) -> None:
        """Let nobody wait here, neither for a message nor for room."""
        with self.not_full:
            self.maxsize = sys.maxsize
            self.not_full.notify_all()
        self.put(NOTHING)


class PromptSocket(AssociationSocket):
    """A connection that is made already; acknowledges at once, and takes no PDU that is too long.

    Args:
        assoc: The association it belongs to.
        sock: Connected and blocking.
        max_pdu_bytes: Longest variable field of a P-DATA-TF.

    """

    def __init__(self, assoc: Association, sock: socket.socket, max_pdu_bytes: int) -> None:
        super().__init__(assoc, client_socket=sock)
        # That was an acceptor's beginning. We are connected when the machine asks for it.
        self.event_queue.get_nowait()
        self._is_connected = False
        self._ready.clear()
        self._max_pdu_bytes = max_pdu_bytes
        self._pdu_type: int | None = None
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self.bytes_received = 0
        self.heard_s = monotonic()
        """When something came last, by the monotonic clock."""
        self.abort: bytes | None = None
        """Variable field of the A-ABORT that the peer sent."""
        self.failure: FetchError | None = None

    def connect(self, primitive: T_CONNECT) -> None:
        """Tell the state machine that the connection is made (Evt2)."""
        self._is_connected = True
        primitive.result = "Evt2"
        self.provider_queue.put(primitive)
        self._ready.set()

    @property
    def ready(self) -> bool:
        """Whether there is something to read; unlike `select`, for any number of sockets."""
        sock = self.socket
        if sock is None or not self._is_connected:
            return False
        return bool(self._poll.poll(0)) or (isinstance(sock, ssl.SSLSocket) and sock.pending() > 0)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read a PDU's header, then its variable field; less if the peer closes.

        Raises:
            OSError: If the connection breaks.
            LimitExceeded: If the PDU is longer than we said we take.

        """
        if self._pdu_type is None:
            found = self._read(nr_bytes)
            self._pdu_type = found[0] if len(found) == HEADER_BYTES else None
            return found
        pdu_type, self._pdu_type = self._pdu_type, None
        limit_bytes = self._max_pdu_bytes if pdu_type == P_DATA_TF else MAX_CONTROL_PDU_BYTES
        if nr_bytes > limit_bytes:
            self.failure = LimitExceeded(f"a PDU of {nr_bytes} bytes, longer than {limit_bytes}")
            raise self.failure
        found = self._read(nr_bytes)
        if pdu_type == A_ABORT:
            self.abort = bytes(found)
        return found

    def _read(self, byte_count: int) -> bytearray:
        sock = self.socket
        if sock is None:
            return bytearray()
        found = bytearray(byte_count)
        view, at = memoryview(found), 0
        try:
            while at < byte_count and (count := sock.recv_into(view[at:])):
                acknowledge_at_once(sock)
                at += count
                self.heard_s = monotonic()
        except OSError as error:
            self.failure = _broken(error)
            raise
        self.bytes_received += at
        view.release()
        del found[at:]
        return found


def _broken(error: OSError) -> FetchError:
    # TLS 1.3 refuses a client certificate only after the handshake (RFC 8446 §4.4.2.4).
    if isinstance(error, ssl.SSLError):
        return TlsRejected(explain(error))
    return ConnectionLost("the connection broke")


class Reactor(DULServiceProvider):
    """The thread of the upper layer: a daemon that dies quietly, and lets nobody wait then."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self.daemon = True
        self.failure: FetchError | None = None

    def run_reactor(self) -> None:
        """Run until the association is over."""
        try:
            super().run_reactor()
        except UNREADABLE as error:
            self.failure = ProtocolError(
                f"what the peer sent is unreadable: {type(error).__name__}"
            )
        finally:
            self.to_user_queue.put(nobody())
            inbox = self.assoc.dimse.msg_queue
            assert isinstance(inbox, Inbox), "an association of ours has a bounded inbox"
            inbox.end()


def nobody() -> A_P_ABORT:
    """Return what wakes who waits for the peer's upper layer: nobody is there any more."""
    primitive = A_P_ABORT()
    primitive.provider_reason = 0
    return primitive


class Messages(DIMSEServiceProvider):
    """Joins fragments to messages, and keeps few of them."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self.msg_queue: Inbox = Inbox()
        self.failure: FetchError | None = None

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the next fragments (called in the thread of the upper layer)."""
        try:
            message = self.message or DIMSEMessage()
            self.message = message
            if message.decode_msg(primitive, self.assoc):
                self.message = None
                arrived = message.message_to_primitive()
                self.msg_queue.put((message.context_id, arrived))
        except UNREADABLE as error:
            self.failure = ProtocolError(f"an unreadable message: {type(error).__name__}")
            self.failure.__cause__ = error
            # As pynetdicom does with what it cannot read: A-ABORT (PS3.8 §9.2.2, AA-8).
            self.dul.event_queue.put("Evt19")


def primitive_of(message: Transmitted) -> Primitive:
    """Return a message of ours as pynetdicom sends it."""
    command = message.command
    if isinstance(command, CCancelRequest):
        cancel = C_CANCEL()
        cancel.MessageIDBeingRespondedTo = command.responds_to
        return cancel
    if isinstance(command, CStoreResponse):
        return _store_response(command)
    if isinstance(command, CEchoRequest):
        echo = C_ECHO()
        echo.MessageID = command.message_id
        echo.AffectedSOPClassUID = UID(command.sop_class_uid)
        return echo
    assert isinstance(command, CFindRequest | CGetRequest | CMoveRequest), "nobody sends others"
    return _query(command, message.dataset)


def _store_response(command: CStoreResponse) -> C_STORE:
    response = C_STORE()
    response.MessageIDBeingRespondedTo = command.responds_to
    response.AffectedSOPClassUID = UID(command.sop_class_uid)
    response.AffectedSOPInstanceUID = UID(command.sop_instance_uid)
    response.Status = command.status
    return response


def _query(
    command: CFindRequest | CGetRequest | CMoveRequest, identifier: memoryview | bytes
) -> C_FIND | C_GET | C_MOVE:
    request: C_FIND | C_GET | C_MOVE
    if isinstance(command, CMoveRequest):
        request = C_MOVE()
        request.MoveDestination = command.move_destination
    else:
        request = C_FIND() if isinstance(command, CFindRequest) else C_GET()
    request.MessageID = command.message_id
    request.AffectedSOPClassUID = UID(command.sop_class_uid)
    request.Priority = command.priority
    request.Identifier = BytesIO(identifier)
    return request


def transmitted(context_id: int, primitive: Any) -> Transmitted:
    """Return a message of the peer as ours.

    Raises:
        ProtocolError: If it is none that an SCP sends us.

    """
    if isinstance(primitive, C_STORE) and primitive.MessageIDBeingRespondedTo is None:
        dataset = primitive.DataSet
        return Transmitted(
            context_id, _store_request(primitive), b"" if dataset is None else dataset.getbuffer()
        )
    responds_to, status = primitive.MessageIDBeingRespondedTo, getattr(primitive, "Status", None)
    if responds_to is None or status is None:
        raise ProtocolError(f"a {type(primitive).__name__} that is no response")
    if isinstance(primitive, C_ECHO):
        return Transmitted(context_id, CEchoResponse(responds_to, status))
    if not isinstance(primitive, C_FIND | C_GET | C_MOVE):
        raise ProtocolError(f"a {type(primitive).__name__} came where none belongs")
    dataset = primitive.Identifier
    identifier = b"" if dataset is None else dataset.getvalue()
    if isinstance(primitive, C_FIND):
        return Transmitted(context_id, CFindResponse(responds_to, status), identifier)
    return Transmitted(context_id, _progress(primitive, responds_to, status), identifier)


def _store_request(primitive: C_STORE) -> CStoreRequest:
    if primitive.MessageID is None:
        raise ProtocolError("a C-STORE request without a message ID")
    return CStoreRequest(
        primitive.MessageID,
        _text(primitive.AffectedSOPClassUID),
        _text(primitive.AffectedSOPInstanceUID),
        primitive.Priority,
        _text(primitive.MoveOriginatorApplicationEntityTitle),
        primitive.MoveOriginatorMessageID,
    )


def _text(value: object) -> str:
    # What pynetdicom leaves out is None, whatever its annotations say.
    return "" if value is None else str(value).strip()


def _progress(
    primitive: C_GET | C_MOVE, responds_to: int, status: int
) -> CGetResponse | CMoveResponse:
    kind = CGetResponse if isinstance(primitive, C_GET) else CMoveResponse
    return kind(
        responds_to,
        status,
        _text(primitive.AffectedSOPClassUID),
        primitive.NumberOfRemainingSuboperations,
        primitive.NumberOfCompletedSuboperations,
        primitive.NumberOfFailedSuboperations,
        primitive.NumberOfWarningSuboperations,
        details=ErrorDetails(error_comment=_text(primitive.ErrorComment)),
    )
