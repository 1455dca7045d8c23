"""What of pynetdicom is replaced: how it reads, waits and fails.

pynetdicom's thread reads a socket (`PromptSocket`), runs the state machine (`Reactor`)
and joins fragments to messages (`Messages`). Each of them is overridden where a hostile
or a busy peer would cost memory, 40 ms per message, or a traceback on the terminal.
"""

from __future__ import annotations

import math
import os
import select
import socket
import ssl
import sys
from contextlib import suppress
from queue import Queue
from struct import error as StructError  # noqa: N812 -- it is named like a function
from threading import Event, Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.uid import UID
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu_primitives import A_P_ABORT, P_DATA
from pynetdicom.transport import AssociationSocket

from asyncdicom.errors import ConnectionLost, FetchError, LimitExceeded, ProtocolError, TlsRejected
from asyncdicom.protocol.dimse.command_set import MAX_COMMAND_SET_BYTES
from asyncdicom.transports.associations.sockets import acknowledge_at_once
from asyncdicom.transports.associations.tls import explain
from asyncdicom.transports.associations.wire import MAX_IDENTIFIER_BYTES

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.transport import T_CONNECT

__all__ = [
    "NOTHING",
    "Inbox",
    "Messages",
    "PromptSocket",
    "Reactor",
    "nobody",
    "whole_uid",
]

NOTHING = (None, None)
"""In place of a message: none will come any more (pynetdicom's own sign)."""

MAX_MESSAGES = 16
"""That wait for us at most; then reading stops, and TCP tells the peer."""
MAX_CONTROL_PDU_BYTES = 1024 * 1024
"""Of a PDU that is no P-DATA-TF: an answer to 128 contexts has some 4 KB."""
DRAIN_TIMEOUT_S = 0.1
"""How long the upper layer reads on after an A-ABORT of ours, in seconds."""
WAIT_MS = 1000
"""How long the upper layer waits for something to do before it looks around."""
NAP_S = 0.001
"""How long it sleeps where it cannot wait, in seconds."""
PIPE_BYTES = 65536
HEADER_BYTES = 6
"""PDU type, reserved byte and length (PS3.8 §9.3.1)."""
PDU_TYPES = range(1, 8)
P_DATA_TF = 0x04
A_ABORT = 0x07
ABORT_PDU = bytes([A_ABORT, 0, 0, 0, 0, 4, 0, 0, 0, 0])
"""A-ABORT by the service user (PS3.8 §9.3.8)."""
INVALID_BEHAVIOUR = 5
"""Provider reason with which pynetdicom marks what its state machine refuses (AA-8)."""
IS_COMMAND, IS_LAST = 1, 2
"""Bits of a message control header (PS3.8 §E.2)."""

# What reading bytes of a stranger raises in pynetdicom and pydicom.
UNREADABLE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError),
    *(BytesLengthException, StructError, TypeError, ValueError, Warning),
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
        if assoc.is_requestor:
            # That was an acceptor's beginning. We are connected when the machine asks for it.
            self.event_queue.get_nowait()
            self._is_connected = False
            self._ready.clear()
        self._max_pdu_bytes = max_pdu_bytes
        self._pdu_type: int | None = None
        self._heeds_until_s = math.inf
        self._lock = Lock()
        self._alarm, self._bell = os.pipe()
        self._poll = select.poll()
        for readable in (sock.fileno(), self._alarm):
            self._poll.register(readable, select.POLLIN)
        os.set_blocking(self._bell, False)
        self.bytes_received = 0
        self.heard_s = monotonic()
        """When something came last, by the monotonic clock."""
        self.is_within_pdu = False
        """Whether some of a PDU came and not yet all."""
        self.ended = Event()
        """Set when nothing will come any more."""
        self.abort: bytes | None = None
        """Variable field of the A-ABORT that the peer sent."""
        self.failure: FetchError | None = None

    def connect(self, primitive: T_CONNECT) -> None:
        """Tell the state machine that the connection is made (Evt2)."""
        self._is_connected = True
        primitive.result = "Evt2"
        self.provider_queue.put(primitive)
        self._ready.set()

    def close(self) -> None:
        """Close the connection, and keep in mind that it was made.

        A peer may refuse, and we close, before pynetdicom's other thread looks at that.
        """
        was_connected = self._is_connected
        self.ended.set()
        super().close()
        self._is_connected = was_connected

    @property
    def ready(self) -> bool:
        """Whether there is something to read, as soon as there is something to do.

        Unlike `select`, it works for any number of sockets. pynetdicom asks over and over,
        and sleeps between; here it waits, for bytes or for `wake`.
        """
        sock = self.socket
        if sock is None or not self._is_connected or monotonic() > self._heeds_until_s:
            sleep(NAP_S)
            return False
        if isinstance(sock, ssl.SSLSocket) and sock.pending() > 0:
            return True
        is_busy = self._heeds_until_s < math.inf or not self.event_queue.empty()
        found = {fd for fd, _ in self._poll.poll(0 if is_busy else WAIT_MS)}
        if self._alarm in found:
            os.read(self._alarm, PIPE_BYTES)
        return not found <= {self._alarm}

    def wake(self) -> None:
        """Let the upper layer's thread look what there is to send. Called in any thread."""
        with self._lock, suppress(BlockingIOError):
            if self._bell >= 0:
                os.write(self._bell, b"!")

    def free(self) -> None:
        """Close what we opened, when nobody waits here any more."""
        with self._lock:  # a number that is closed may be another file's a moment later
            os.close(self._alarm)
            os.close(self._bell)
            self._alarm = self._bell = -1

    def recv(self, nr_bytes: int) -> bytearray:
        """Read a PDU's header, then its variable field; less if the peer closes.

        Raises:
            OSError: If the connection breaks.
            LimitExceeded: If the PDU is longer than we said we take.

        """
        self.is_within_pdu = True
        if self._pdu_type is None:
            found = self._read(nr_bytes)
            if len(found) == HEADER_BYTES:
                self._begun(found[0])
            return found
        pdu_type, self._pdu_type = self._pdu_type, None
        limit_bytes = self._max_pdu_bytes if pdu_type == P_DATA_TF else MAX_CONTROL_PDU_BYTES
        if nr_bytes > limit_bytes:
            self.failure = LimitExceeded(f"a PDU of {nr_bytes} bytes, longer than {limit_bytes}")
            raise self.failure
        found = self._read(nr_bytes)
        self.is_within_pdu = False
        if pdu_type == A_ABORT:
            self.abort = bytes(found)
        return found

    def heed_no_more(self) -> None:
        """Read on for a moment only: who still sends after our A-ABORT is not waited for.

        Closed at once, with bytes unread, the connection would be reset before the peer
        had read the A-ABORT. Who waits until we are connected waits no longer.
        """
        self._ready.set()
        self._heeds_until_s = monotonic() + DRAIN_TIMEOUT_S

    def give_up(self) -> None:
        """Send A-ABORT past a thread that waits for the rest of a PDU, where TLS allows it."""
        sock = self.socket
        if self.is_within_pdu and sock is not None and not isinstance(sock, ssl.SSLSocket):
            with suppress(OSError):
                sock.send(ABORT_PDU, socket.MSG_DONTWAIT)

    def _begun(self, pdu_type: int) -> None:
        if pdu_type in PDU_TYPES:
            self._pdu_type = pdu_type
            return
        self.is_within_pdu = False
        self.failure = ProtocolError(f"PDU type {pdu_type:02X} is none of the upper layer's")

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
                self.bytes_received += count
                self.heard_s = monotonic()
        except OSError as error:
            self.failure = _broken(error)
            raise
        view.release()
        if at < byte_count:
            self.ended.set()
        del found[at:]
        return found


def _broken(error: OSError) -> FetchError:
    # TLS 1.3 refuses a client certificate only after the handshake (RFC 8446 §4.4.2.4).
    if isinstance(error, ssl.SSLError):
        return TlsRejected(explain(error))
    return ConnectionLost("the connection broke")


class Indications(Queue[Any]):
    """What the upper layer tells its user, and whether it was that the peer misbehaved."""

    is_misbehaviour = False

    def put(self, item: Any, *how: Any, **how_else: Any) -> None:
        """Take an indication."""
        if isinstance(item, A_P_ABORT) and item.provider_reason == INVALID_BEHAVIOUR:
            self.is_misbehaviour = True
        super().put(item, *how, **how_else)


class Reactor(DULServiceProvider):
    """The thread of the upper layer: a daemon that dies quietly, and lets nobody wait then."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self.daemon = True
        self.failure: FetchError | None = None
        self.to_user_queue: Indications = Indications()
        self._run_loop_delay = 0

    def send_pdu(self, primitive: Any) -> None:
        """Queue what is to be sent, and see to it that it is."""
        super().send_pdu(primitive)
        self._wake()

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self._wake()

    def _wake(self) -> None:
        if isinstance(self.socket, PromptSocket):
            self.socket.wake()

    def run_reactor(self) -> None:
        """Run until the association is over."""
        try:
            super().run_reactor()
        except InvalidEventError:
            # An abort of ours that came when the machine only waited for the end.
            return
        except UNREADABLE as error:
            self.failure = ProtocolError(f"the peer sent unreadable bytes: {type(error).__name__}")
            self.failure.__cause__ = error
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
    """Joins fragments to messages, in the order that the Standard asks for, and keeps few."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self.msg_queue: Inbox = Inbox()
        self.failure: FetchError | None = None
        self._context_id = 0
        self._has_command = False
        self._byte_count = 0

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the next fragments (called in the thread of the upper layer)."""
        if self.failure is not None:
            return
        fragments = primitive.presentation_data_value_list
        if not fragments:
            self._refuse(ProtocolError("P-DATA-TF without a presentation data value"))
        try:
            for context_id, data in fragments:
                self._check(context_id, data)
                self._take(context_id, data)
        except ProtocolError as error:
            self._refuse(error)
        except UNREADABLE as error:
            unreadable = ProtocolError(f"an unreadable message: {type(error).__name__}")
            unreadable.__cause__ = error
            self._refuse(unreadable)

    def _check(self, context_id: int, data: bytes) -> None:
        """Refuse what is out of order (PS3.8 §E.1), or grows without end.

        Raises:
            ProtocolError: If it is.

        """
        is_command = bool(data[0] & IS_COMMAND)
        if self.message is None:
            self._context_id, self._has_command, self._byte_count = context_id, False, 0
        if context_id != self._context_id:
            raise ProtocolError(f"context {context_id} within a message of {self._context_id}")
        if is_command == self._has_command:
            raise ProtocolError("command and data set are out of order")
        self._byte_count += len(data) - 1
        if is_command and self._byte_count > MAX_COMMAND_SET_BYTES:
            raise LimitExceeded(f"command set of more than {MAX_COMMAND_SET_BYTES} bytes")
        if self._byte_count > MAX_IDENTIFIER_BYTES and not isinstance(self.message, C_STORE_RQ):
            raise LimitExceeded(f"an identifier is longer than {MAX_IDENTIFIER_BYTES} bytes")

    def _take(self, context_id: int, data: bytes) -> None:
        # One fragment at a time: of a list, pynetdicom forgets what follows the end of a message.
        fragment = P_DATA()
        fragment.presentation_data_value_list.append((context_id, data))
        message = self.message or DIMSEMessage()
        self.message = message
        if message.decode_msg(fragment, self.assoc):
            self.message = None
            primitive = message.message_to_primitive()
            if isinstance(primitive, C_STORE):
                primitive.AffectedSOPInstanceUID = whole_uid(message.command_set)
            self.msg_queue.put((message.context_id, primitive))
        elif data[0] & IS_LAST:
            self._has_command, self._byte_count = True, 0

    def _refuse(self, error: ProtocolError) -> None:
        self.failure = error
        # As pynetdicom does with what it cannot read (PS3.8 §9.2.2, AA-8), but it reads a flood on.
        self.dul.event_queue.put("Evt19")
        if isinstance(self.dul.socket, PromptSocket):
            self.dul.socket.heed_no_more()


def whole_uid(command_set: Dataset) -> UID | None:
    """Return a UID as it came: of one with a backslash, pynetdicom keeps what stands before it."""
    value = command_set.get("AffectedSOPInstanceUID")
    return UID("\\".join(value)) if isinstance(value, MultiValue) else value
