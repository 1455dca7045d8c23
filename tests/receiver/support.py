"""A receiver on a free port, what it tells, and senders: a scripted one, and DCMTK's."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

import pydicom

from asyncdicom.protocol.dimse.messages import (
    CEchoRequest,
    CEchoResponse,
    CStoreRequest,
    CStoreResponse,
)
from asyncdicom.protocol.dimse.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from asyncdicom.protocol.part10 import DEFAULT_TAGS
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal
from asyncdicom.protocol.upper_layer.pdu import AssociateAccept, ReleaseRequest, encode
from asyncdicom.receiver.receiver import Receiver
from asyncdicom.receiver.settings import ReceiverSettings, StoringRules
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.system import SYSTEM
from asyncdicom.storage.templates import parse_layout
from asyncdicom.storage.temporaries import LOCK_NAME
from asyncdicom.transports.associations.acceptor import ServerSettings
from tests.support.dicom import data_set_offset
from tests.support.scripted_peer import ScriptedPeer, dial, message_pdus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from asyncdicom.receiver.events import ReceiverEvent
    from asyncdicom.storage.system import System

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN,)
STORING = (
    ContextProposal(VERIFICATION, SYNTAXES),
    ContextProposal(CT, SYNTAXES),
    ContextProposal(MR, SYNTAXES),
)
"""Contexts 1, 3 and 5."""
CONTEXT_IDS = {VERIFICATION: 1, CT: 3, MR: 5}

E = TypeVar("E")


@dataclass
class Told:
    """Remembers events, and waits for them."""

    events: list[ReceiverEvent] = field(default_factory=list)

    def __call__(self, event: ReceiverEvent, /) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of a kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[E], count: int = 1) -> list[E]:
        """Wait for events of a kind; the time-out of the test is the bound."""
        while len(self.of(kind)) < count:  # noqa: ASYNC110 -- events of processes and sockets
            await asyncio.sleep(0.002)
        return self.of(kind)


def rules(layout: str = "flat", **changes: Any) -> StoringRules:
    """Return rules that name by a layout."""
    collect = DEFAULT_TAGS
    return replace(StoringRules(naming=Layout(parse_layout(layout)), collect=collect), **changes)


@dataclass
class Served:
    """A receiver, and all around it."""

    receiver: Receiver
    root: Path
    told: Told

    @property
    def port(self) -> int:
        return self.receiver.port

    def files(self) -> dict[str, bytes]:
        """Return what is in the folder, by path."""
        return files_below(self.root)


def files_below(root: Path) -> dict[str, bytes]:
    """Return the content of each file by its path, temporary ones, but not the lock, included."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != LOCK_NAME
    }


@asynccontextmanager
async def serving(
    root: Path,
    *,
    durability: Durability = Durability.NONE,
    system: System = SYSTEM,
    server: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Receive into a folder; what is set by name is of `ReceiverSettings`."""
    told = Told()
    listening = ServerSettings(port=0, artim_timeout_s=30, idle_timeout_s=30)
    settings.setdefault("storing", rules())
    chosen = ReceiverSettings(server=replace(listening, **(server or {})), **settings)
    opened = OutputFolder.open(root, durability=durability, system=system, expects_moves=True)
    with opened as folder:
        async with Receiver(chosen, folder, [told]) as receiver:
            yield Served(receiver, root, told)


@dataclass
class Sender:
    """An association that stores, message by message."""

    peer: ScriptedPeer
    message_id: int = 0

    async def store(self, file: bytes, **changes: Any) -> int:
        """Send an instance, and return the status of the answer."""
        await self.send(file, **changes)
        return await self.answer()

    async def send(self, file: bytes, **changes: Any) -> None:
        """Send an instance, and wait for nothing."""
        await self.peer.send(*self.pdus(file, **changes))

    def pdus(self, file: bytes, *, context: str | None = None, **changes: Any) -> list[bytes]:
        """Write a C-STORE request; what is changed is of `CStoreRequest`."""
        self.message_id += 1
        head = pydicom.dcmread(
            BytesIO(file), specific_tags=["SOPClassUID"], stop_before_pixels=True
        )
        meta = head.file_meta
        request = CStoreRequest(
            self.message_id, str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)
        )
        context_id = CONTEXT_IDS[context or request.sop_class_uid]
        return message_pdus(context_id, replace(request, **changes), data_set_of(file))

    async def answer(self) -> int:
        """Wait for an answer, and return its status."""
        message = await self.peer.message()
        assert message.message_id == self.message_id
        response = message.command
        assert isinstance(response, CStoreResponse | CEchoResponse)
        return response.status

    async def echo(self) -> int:
        """C-ECHO."""
        self.message_id += 1
        request = CEchoRequest(self.message_id, VERIFICATION)
        await self.peer.send(*message_pdus(1, request))
        return await self.answer()

    async def release(self) -> None:
        """Release the association, and wait until the other side knows."""
        await self.peer.send(encode(ReleaseRequest()))
        await self.peer.pdu()


@asynccontextmanager
async def sending(
    port: int, contexts: Sequence[ContextProposal] = STORING, **names: Any
) -> AsyncIterator[Sender]:
    """Associate; the connection is cut with the block unless it was released."""
    async with dial(port) as peer:
        answer = await peer.request(contexts, **names)
        assert isinstance(answer, AssociateAccept), answer
        yield Sender(peer)


def data_set_of(file: bytes) -> bytes:
    """Return a file without preamble and file meta information."""
    return file[data_set_offset(file) :]


def sha256(content: bytes) -> str:
    """Return a digest, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


async def until(reached: Callable[[], object]) -> None:
    """Let the loop run until a condition holds; the time-out of the test is the bound."""
    while not reached():  # noqa: ASYNC110 -- states of sockets have no event
        await asyncio.sleep(0.001)
