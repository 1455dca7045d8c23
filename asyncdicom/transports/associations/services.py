"""What an acceptor does for its peers: the handlers behind `acceptor.AssociationServer`.

    class Archive(Services):
        def admit(self, requestor):                 # who may come in
            return None if requestor.called_ae == "ARCHIVE" else CALLED_AE_UNKNOWN

        async def find(self, operation):            # C-FIND: yield identifiers
            for match in self.matches(operation.identifier):
                yield match

        async def get(self, operation):             # C-GET: store, then yield how far it is
            done = 0
            for instance in self.instances(operation.identifier):
                await operation.store(instance)
                done += 1
                yield SubOperations(status=PENDING, remaining=1, completed=done)
            yield SubOperations(status=SUCCESS, completed=done)

    async with AssociationServer(settings, Archive()) as server:
        print(server.port)
        await server.serve()                        # until cancelled

Rules:
* A service refuses or fails with `raise OperationFailed(..., status=0xA900)`; the
  status goes to the peer. Any other exception is a bug: it aborts that association,
  goes to the loop's exception handler, and leaves the server running.
* `find`, `get` and `move` are closed (`aclose`) when the peer cancels; the peer is
  answered FE00. They are cancelled as a task when the association ends.
* One operation at a time per association; requests that a peer sends ahead wait,
  in bounded number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from asyncdicom.errors import OperationFailed
from asyncdicom.protocol.dimse.sop_classes import QUERY_MODELS, UNCOMPRESSED, VERIFICATION
from asyncdicom.protocol.upper_layer.pdu import AssociateReject

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import AcceptedContext, StorageHandler, SubOperations
    from asyncdicom.protocol.upper_layer.pdu import AssociateRequest, ProposedContext
    from asyncdicom.protocol.upper_layer.user_information import ExtendedNegotiation, RoleSelection

__all__ = [
    "BUSY",
    "CALLED_AE_UNKNOWN",
    "CALLING_AE_UNKNOWN",
    "CANCELLED",
    "CONGESTED",
    "NOT_SUPPORTED",
    "PENDING",
    "REFUSED",
    "SUCCESS",
    "Instance",
    "Operation",
    "Peer",
    "Requestor",
    "Services",
]

# PS3.8 Table 9-21: result, source and reason.
REFUSED = AssociateReject(1, 1, 1)
"""Permanent, by the service user, no reason given."""
CALLING_AE_UNKNOWN = AssociateReject(1, 1, 3)
CALLED_AE_UNKNOWN = AssociateReject(1, 1, 7)
CONGESTED = AssociateReject(2, 3, 1)
"""Transient, by the provider: temporary congestion."""
BUSY = AssociateReject(2, 3, 2)
"""Transient, by the provider: local limit exceeded."""

# PS3.7 Annex C.
SUCCESS = 0x0000
PENDING = 0xFF00
CANCELLED = 0xFE00
NOT_SUPPORTED = 0x0122
"""SOP class not supported (PS3.7 §C.5.6)."""

QUERY_CLASSES = frozenset(
    uid for model in QUERY_MODELS.values() for uid in (model.find, model.get, model.move) if uid
)
"""SOP classes whose data sets are identifiers."""


@dataclass(frozen=True, slots=True)
class Requestor:
    """Who asks for an association."""

    address: str
    """Of the connection: IP address and port, `[::1]:4711`."""
    request: AssociateRequest
    """All of it: contexts, roles, user identity."""

    @property
    def calling_ae(self) -> str:
        """AE title the peer gives itself; as sent, hostile or not."""
        return self.request.calling_ae

    @property
    def called_ae(self) -> str:
        """AE title the peer asks for."""
        return self.request.called_ae


@dataclass(frozen=True, slots=True)
class Instance:
    """What is sent with a C-STORE."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    dataset: Buffer
    """In that transfer syntax, without file meta information."""


class Operation(Protocol):
    """One request for C-FIND, C-GET or C-MOVE, while it is performed."""

    @property
    def requestor(self) -> Requestor:
        """Who asks."""

    @property
    def context(self) -> AcceptedContext:
        """Context the request came in."""

    @property
    def identifier(self) -> bytes:
        """Data set of the request, in the transfer syntax of its context."""

    @property
    def message_id(self) -> int:
        """Of the request, 0 to 65535."""

    @property
    def destination(self) -> str:
        """AE title to move to (C-MOVE); else empty."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer sent C-CANCEL."""

    def storage_context(self, sop_class_uid: str, transfer_syntax: str) -> AcceptedContext:
        """Return a context in which the peer takes what we store.

        Raises:
            NotNegotiated: If there is none.

        """

    async def store(self, instance: Instance) -> int:
        """Send a C-STORE over this association (C-GET) and return the peer's status.

        Raises:
            NotNegotiated: If the peer takes no such instance here.

        """

    def expect_stored(self, message_id: int) -> None:
        """Say that a C-STORE request is sent by hand; before it is: for tests of peers."""

    async def begin_store(self, instance: Instance) -> int:
        """Send a C-STORE without waiting for its answer; return its message ID.

        More than one at a time breaks the window of one operation: for tests of peers.
        """

    async def stored(self, message_id: int) -> int:
        """Wait for the answer to `begin_store`, and return its status."""

    async def send(
        self, context_id: int, data: Buffer, *, is_command: bool, is_last: bool = True
    ) -> None:
        """Send bytes of a command or data set, as they are: for tests of peers."""

    async def write(self, data: Buffer) -> None:
        """Write bytes to the connection, as they are: for tests of peers."""

    def abort(self) -> None:
        """Send A-ABORT and close."""

    def close(self) -> None:
        """Close the connection without a word, data under way included: for tests of peers."""


class Peer(Protocol):
    """The other end of a connection, for services that misbehave: for tests of peers."""

    async def write(self, data: Buffer) -> None:
        """Write bytes to the connection, as they are."""

    def abort(self) -> None:
        """Send A-ABORT and close."""

    def close(self) -> None:
        """Close the connection without a word."""

    async def closed(self) -> None:
        """Wait until the connection is closed."""


class Services:
    """Base of what a server offers: associates with anybody, verifies, and refuses the rest."""

    def admit(self, _requestor: Requestor, /) -> AssociateReject | None:
        """Return None to let a peer in, or how to refuse it."""
        return None

    def rejected(self, _requestor: Requestor, _refusal: AssociateReject, /) -> None:
        """Take note that a peer is refused, by `admit` or because of a limit of the server."""

    def unserved(self, _address: str, _error: Exception, /) -> None:
        """Take note that a connection came to no association: no TLS, no request, or no DICOM.

        Probes of load balancers are such, too. `tls.explain_client` tells what the error means.
        """

    def offers(self, _requestor: Requestor, abstract_syntax: str, /) -> bool:
        """Tell whether a SOP class is spoken; the others are refused with result 3.

        By default verification, and where `storage` is defined each class that is none of a
        query or retrieval: storage classes of the standard, and those that vendors made.
        """
        if abstract_syntax == VERIFICATION:
            return True
        stores = type(self).storage is not Services.storage
        return stores and abstract_syntax not in QUERY_CLASSES

    def select(self, _requestor: Requestor, proposed: ProposedContext, /) -> str | None:
        """Return the transfer syntax of an offered SOP class, or None to refuse with result 4.

        By default what the peer names first, for it knows what it has; where identifiers
        are exchanged, the first that everybody can read.
        """
        if proposed.abstract_syntax not in QUERY_CLASSES:
            return next(iter(proposed.transfer_syntaxes), None)
        return next((one for one in proposed.transfer_syntaxes if one in UNCOMPRESSED), None)

    def granted(self, _requestor: Requestor, proposed: RoleSelection, /) -> RoleSelection | None:
        """Return what of the proposed roles of a SOP class is granted (PS3.7 §D.3.3.4).

        None answers nothing: the requestor is SCU. By default everything is granted.
        """
        return proposed

    def extended(self, _requestor: Requestor, _proposed: ExtendedNegotiation, /) -> bytes | None:
        """Return the answer to extended negotiation of a SOP class, or None (PS3.7 §D.3.3.5)."""
        return None

    def storage(self, _requestor: Requestor, /) -> StorageHandler | None:
        """Return what takes the C-STOREs of an association, or None to refuse them (0122)."""
        return None

    async def echo(self, _requestor: Requestor, /) -> int:
        """Answer a C-ECHO with a status."""
        return SUCCESS

    def find(self, _operation: Operation, /) -> AsyncGenerator[bytes]:
        """Yield the identifier of each match, in the transfer syntax of the context."""
        raise _refusal()

    def get(self, _operation: Operation, /) -> AsyncGenerator[SubOperations]:
        """Store with `operation.store` and yield progress; a final status ends it.

        Where it ends without, the last counts are sent once more with 0000, or with
        B000 where some failed. `failed_sop_instance_uids` travel in the final response.
        """
        raise _refusal()

    def move(self, _operation: Operation, /) -> AsyncGenerator[SubOperations]:
        """Store elsewhere (an own transport to `operation.destination`), as `get` does."""
        raise _refusal()

    async def answering(self, _requestor: Requestor, _peer: Peer, /) -> None:
        """Be told that an association is about to be accepted; it is, when this returns."""

    async def releasing(self, _requestor: Requestor, _peer: Peer, /) -> None:
        """Be told that a release is about to be answered; it is, when this returns."""

    def began(self, _requestor: Requestor, /) -> None:
        """Take note that an association is being accepted; `ended` follows in any case."""

    def ended(self, _requestor: Requestor, failure: BaseException | None, /) -> None:
        """Take note that an association ended: released (None), or why not."""


def _refusal() -> OperationFailed:
    return OperationFailed("this service is not offered", status=NOT_SUPPORTED)
