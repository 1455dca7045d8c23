"""A requestor on a blocking socket, for tests that hold a thousand of them.

with BlockingPeer(port) as peer:
    peer.associate(CONTEXTS)
    assert peer.store(3, request, data_set) == 0
    peer.release()
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Self

from asyncdicom.protocol.dimse.messages import CEchoRequest, parse_command
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal, Party, propose
from asyncdicom.protocol.upper_layer.pdu import (
    AssociateAccept,
    ReleaseRequest,
    decode,
    encode,
)
from tests.support.scripted_peer import message_pdus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from asyncdicom.protocol.dimse.messages import CStoreRequest
    from asyncdicom.protocol.upper_layer.pdu import Pdu

__all__ = ["ABORT", "RELEASE", "BlockingPeer", "association_request"]

ABORT = bytes.fromhex("07000000000400000000")
RELEASE = encode(ReleaseRequest())
DEADLINE_S = 40.0
HEADER_BYTES = 6
PDV_HEADER_BYTES = 6


def association_request(contexts: Sequence[ContextProposal], calling_ae: str = "SCRIPT") -> bytes:
    """Return an A-ASSOCIATE-RQ as it travels."""
    return encode(propose(contexts, Party("ANY-SCP", calling_ae, 16384)))


class BlockingPeer:
    """One connection to 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._message_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sock.close()

    def ask(self, contexts: Sequence[ContextProposal]) -> Pdu:
        """Ask for an association, and return the answer."""
        self.sock.sendall(association_request(contexts))
        return decode(self.pdu())

    def associate(self, contexts: Sequence[ContextProposal]) -> Self:
        """Associate."""
        answer = self.ask(contexts)
        assert isinstance(answer, AssociateAccept), answer
        return self

    def pdu(self) -> bytes:
        """Read a PDU.

        Raises:
            ConnectionError: If the other side closed before its end.

        """
        header = self._read(HEADER_BYTES)
        (length,) = struct.unpack(">2xI", header)
        return header + self._read(length)

    def status(self) -> int:
        """Read a response that fits into one PDU, and return its status."""
        response = parse_command(self.pdu()[HEADER_BYTES + PDV_HEADER_BYTES :])
        status: int = response.status  # type: ignore[union-attr]  # -- else the test fails here
        return status

    def echo(self, context_id: int) -> int:
        """C-ECHO."""
        self._message_id += 1
        request = CEchoRequest(self._message_id)
        self.sock.sendall(b"".join(message_pdus(context_id, request)))
        return self.status()

    def store(self, context_id: int, request: CStoreRequest, data_set: bytes) -> int:
        """C-STORE."""
        self.sock.sendall(b"".join(message_pdus(context_id, request, data_set)))
        return self.status()

    def release(self) -> None:
        """Release the association."""
        self.sock.sendall(RELEASE)
        self.pdu()

    def is_closed(self) -> bool:
        """Wait until the other side closes, what it says before unread; False if it does not."""
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def _read(self, byte_count: int) -> bytes:
        found = bytearray()
        while len(found) < byte_count:
            more = self.sock.recv(byte_count - len(found))
            if not more:
                raise ConnectionError("closed before the end of a PDU")
            found += more
        return bytes(found)
