"""Settings, proposals, sinks that remember, and an archive, for the tests of the native engine."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from asyncdicom.ports.dimse import (
    PresentationContext,
    Proposal,
    StoreRequest,
    SubOperations,
)
from asyncdicom.protocol.dimse.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    STUDY_ROOT,
    VERIFICATION,
)
from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings
from asyncdicom.transports.associations.native import NativeTransport
from asyncdicom.transports.associations.services import PENDING, SUCCESS, Instance, Services
from asyncdicom.transports.associations.settings import DimseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from asyncdicom.model import Buffer
    from asyncdicom.transports.associations.association import NativeAssociation
    from asyncdicom.transports.associations.services import Operation, Requestor

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PRIVATE = "1.2.3.4.5.6.7"
SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN,)

EVERYTHING = Proposal(
    (
        PresentationContext(VERIFICATION, SYNTAXES),
        PresentationContext(STUDY_ROOT.find, SYNTAXES),
        PresentationContext(STUDY_ROOT.get, SYNTAXES),
        PresentationContext(STUDY_ROOT.move, SYNTAXES),
        PresentationContext(CT, SYNTAXES, is_scp=True),
    )
)
"""Contexts 1, 3, 5, 7 and 9."""
STORING = Proposal((PresentationContext(CT, SYNTAXES), PresentationContext(PRIVATE, SYNTAXES)))

IDENTIFIER = bytes.fromhex("080052004353060053545544592020"[:-2])


def settings_for(port: int, **changes: Any) -> DimseSettings:
    """Patient enough for a busy machine."""
    plain = DimseSettings(
        host="127.0.0.1",
        port=port,
        called_ae="ARCHIVE",
        connect_timeout_s=30,
        acse_timeout_s=30,
        idle_timeout_s=30,
    )
    return replace(plain, **changes)


@asynccontextmanager
async def associated(
    port: int, proposal: Proposal = EVERYTHING, **changes: Any
) -> AsyncIterator[NativeAssociation]:
    """Associate by a transport of its own."""
    transport = NativeTransport(settings_for(port, **changes))
    try:
        async with transport.associate(proposal) as association:
            yield association
    finally:
        await transport.aclose()


@dataclass
class KeptSink:
    """Remembers what it was given, and what became of it."""

    request: StoreRequest
    status: int = SUCCESS
    data: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    is_discarded: bool = False

    def write(self, *fragments: Buffer) -> None:
        for fragment in fragments:
            self.data += fragment

    def end_nowait(self) -> None:
        """Have to be waited for."""

    async def end(self) -> int:
        await asyncio.sleep(0)
        self.is_whole = True
        return self.status

    def discard(self) -> None:
        self.is_discarded = True


@dataclass
class KeptStorage:
    """A storage handler that keeps everything."""

    status: int = SUCCESS
    sinks: list[KeptSink] = field(default_factory=list)

    def begin(self, request: StoreRequest, /) -> KeptSink:
        sink = KeptSink(request, self.status)
        self.sinks.append(sink)
        return sink

    @property
    def whole(self) -> dict[str, bytes]:
        """Data sets that came to their end, by SOP Instance UID."""
        return {s.request.sop_instance_uid: bytes(s.data) for s in self.sinks if s.is_whole}


@dataclass
class Archive(Services):
    """Finds, sends and stores; each kind of answer can be replaced."""

    instances: list[Instance] = field(default_factory=list)
    storage_handler: KeptStorage = field(default_factory=KeptStorage)
    matches: int = 3
    endings: list[BaseException | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """What the peer answered to our C-STOREs."""
    operations: list[Operation] = field(default_factory=list)

    def offers(self, _requestor: Requestor, _abstract_syntax: str, /) -> bool:
        return True

    def storage(self, _requestor: Requestor, /) -> KeptStorage:
        return self.storage_handler

    async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
        self.operations.append(operation)
        for number in range(self.matches):
            yield b"match %d" % number

    async def get(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
        self.operations.append(operation)
        total = len(self.instances)
        for number, instance in enumerate(self.instances, 1):
            self.statuses.append(await operation.store(instance))
            yield SubOperations(PENDING, remaining=total - number, completed=number, failed=0)

    async def move(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
        self.operations.append(operation)
        yield SubOperations(PENDING, remaining=1, completed=0, failed=0, warning=0)
        yield SubOperations(SUCCESS, completed=1, failed=0, warning=0)

    def ended(self, _requestor: Requestor, failure: BaseException | None, /) -> None:
        self.endings.append(failure)


def instance(number: int, byte_count: int = 1000) -> Instance:
    """Make something to send; its bytes tell its number."""
    dataset = bytes([number % 256]) * byte_count
    return Instance(CT, f"1.2.3.{number}", EXPLICIT_VR_LITTLE_ENDIAN, dataset)


@asynccontextmanager
async def serving(services: Services, **changes: Any) -> AsyncIterator[AssociationServer]:
    """Serve on a free port."""
    plain = ServerSettings(port=0, artim_timeout_s=30, idle_timeout_s=30)
    async with AssociationServer(replace(plain, **changes), services) as server:
        yield server


async def until(reached: Any) -> None:
    """Let the loop run until a condition holds; the time-out of the test is the bound."""
    while not reached():  # noqa: ASYNC110 -- states of sockets have no event
        await asyncio.sleep(0.001)
