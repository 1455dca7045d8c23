"""A DIMSE engine without a network: an archive in memory, in which anything can go wrong.

    peer = ScriptedPeer(instances)                 # Part 10 files
    peer.on_get = lambda keys: [fault]             # per C-GET, what it does instead
    source = DimseSource(parse_dimse_root("dicom://PEER@archive.test"), peer)

What it answers follows PS3.4 §C.4, as Orthanc and dcmqrscp do.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from asyncdicom.errors import NotNegotiated, OperationFailed
from asyncdicom.ports.dimse import (
    AcceptedContext,
    DimseStatistics,
    FindAnswer,
    PeerFacts,
    StoreRequest,
    SubOperations,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.dimse import Proposal, StorageHandler

__all__ = ["Fault", "Held", "ScriptedPeer", "read_identifier"]

LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
IMPLICIT = "1.2.840.10008.1.2"


@dataclass
class Held:
    """An instance of the archive."""

    content: bytes
    dataset: Dataset = field(init=False)
    transfer_syntax: str = field(init=False)
    data_set: bytes = field(init=False)
    """As it travels: without file meta information."""

    def __post_init__(self) -> None:
        self.dataset = dcmread(BytesIO(self.content), stop_before_pixels=True)
        meta = self.dataset.file_meta
        self.transfer_syntax = str(meta.TransferSyntaxUID)
        self.data_set = self.content[144 + meta.FileMetaInformationGroupLength :]

    @property
    def uid(self) -> str:
        return str(self.dataset.SOPInstanceUID)


@dataclass
class Fault:
    """What happens to one C-GET or C-MOVE."""

    ends_with: FetchError | None = None
    """Raised instead of a response, after what was sent."""
    sends: int | None = None
    """Instances sent before that; None sends all."""
    skips: frozenset[str] = frozenset()
    """Instances that are counted as failed instead."""
    lies: bool = False
    """Count everything as completed, whatever was sent."""
    status: int | None = None
    """Final status instead of the right one."""
    replaces: dict[str, bytes] = field(default_factory=dict)
    """Other data sets under the UIDs of instances."""
    renames: dict[str, str] = field(default_factory=dict)
    """Other UIDs in the command than in the data set."""
    fragment_bytes: int = 1000


def read_identifier(identifier: bytes, transfer_syntax: str) -> Dataset:
    """Return an identifier as a data set."""
    return read_dataset(BytesIO(identifier), transfer_syntax == IMPLICIT, is_little_endian=True)


class ScriptedPeer:
    """Implements `ports.DimseTransport`.

    Attributes:
        asked: What was asked, in order: `find STUDY`, `get SERIES`, `move IMAGE`, `echo`.
        statuses: What our side answered to each C-STORE, by SOP Instance UID.
        established: Contexts of each association, in order.
        cancelled: Operations that were left before their end.

    """

    name = "scripted"

    def __init__(self, contents: Iterable[bytes] = ()) -> None:
        self.held = [Held(content) for content in contents]
        self.asked: list[str] = []
        self.statuses: dict[str, list[int]] = {}
        self.established: list[tuple[Any, ...]] = []
        self.identifiers: list[Dataset] = []
        self.open_now = 0
        self.open_peak = 0
        self.cancelled = 0
        self.aborted = 0
        self.refusals: list[FetchError | None] = []
        """For each association: why it is refused, or None."""
        self.faults: list[Fault] = []
        """For each C-GET or C-MOVE."""
        self.find_faults: list[FetchError | None] = []
        self.unlisted: frozenset[str] = frozenset()
        """Instances that no C-FIND names, though a C-GET brings them."""
        self.counts_more = 0
        """By how much it counts more instances in a study than it lists."""
        self.before_find: Callable[[str], Awaitable[None]] | None = None
        """Awaited with the level before a C-FIND is answered."""
        self.accepts: Callable[[str, str], bool] = lambda _sop_class, _syntax: True
        self.tells_classes = True
        self.tells_counts = True
        self.stops_at_failure = True
        self.on_store: Callable[[], object] | None = None
        """Called before each C-STORE; then everybody else has some turns."""
        self.receiver: StorageHandler | None = None
        """Where a C-MOVE goes."""
        self.elsewhere: Callable[[], int] | None = None
        """Counts what came of the last C-MOVE, as far as our side sees it."""

    @asynccontextmanager
    async def associate(self, proposal: Proposal) -> AsyncIterator[ScriptedAssociation]:
        """Establish an association as the script says."""
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.established.append(proposal.contexts)
        self.open_now += 1
        self.open_peak = max(self.open_peak, self.open_now)
        try:
            yield ScriptedAssociation(self, proposal)
        except BaseException:
            self.aborted += 1
            raise
        finally:
            self.open_now -= 1

    def statistics(self) -> DimseStatistics:
        """Return how many associations there were."""
        return DimseStatistics(associations=len(self.established))

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


class ScriptedAssociation:
    """Implements `ports.Association`."""

    peer_max_pdu_bytes = 0
    peer = PeerFacts("1.2.3", "SCRIPTED")

    def __init__(self, peer: ScriptedPeer, proposal: Proposal) -> None:
        self._peer = peer
        self.accepted = tuple(
            AcceptedContext(2 * index + 1, one.abstract_syntax, syntax, one.is_scp)
            for index, one in enumerate(proposal.contexts)
            if (syntax := self._chosen(one.abstract_syntax, one.transfer_syntaxes)) is not None
        )

    def _chosen(self, sop_class: str, syntaxes: Iterable[str]) -> str | None:
        return next((one for one in syntaxes if self._peer.accepts(sop_class, one)), None)

    def context_for(self, abstract_syntax: str) -> AcceptedContext:
        """Return the context of a SOP class."""
        for context in self.accepted:
            if context.abstract_syntax == abstract_syntax:
                return context
        raise NotNegotiated("refused", abstract_syntaxes=(abstract_syntax,))

    async def echo(self) -> None:
        """Answer."""
        self._peer.asked.append("echo")

    async def find(self, context: AcceptedContext, identifier: bytes) -> AsyncGenerator[FindAnswer]:
        """Yield what matches."""
        keys = read_identifier(identifier, context.transfer_syntax)
        level = keys.get("QueryRetrieveLevel", "")
        self._peer.asked.append(f"find {level}".strip())
        self._peer.identifiers.append(keys)
        fault = self._peer.find_faults.pop(0) if self._peer.find_faults else None
        if self._peer.before_find is not None:
            await self._peer.before_find(level)
        try:
            for answer in self._answers(keys, level):
                yield FindAnswer(encoded(answer, context), context.transfer_syntax)
                if fault is not None:
                    raise fault
        except GeneratorExit:
            self._peer.cancelled += 1
            raise

    def _answers(self, keys: Dataset, level: str) -> Iterable[Dataset]:
        unique = {
            "STUDY": "StudyInstanceUID",
            "SERIES": "SeriesInstanceUID",
            "IMAGE": "SOPInstanceUID",
            "PATIENT": "PatientID",
        }[level]
        seen: dict[str, list[Held]] = {}
        listed = (held for held in self._peer.held if held.uid not in self._peer.unlisted)
        for held in listed:
            if all(_matches(held.dataset, element) for element in keys):
                seen.setdefault(str(held.dataset.get(unique)), []).append(held)
        for group in seen.values():
            yield self._answer(keys, group)

    def _answer(self, keys: Dataset, group: list[Held]) -> Dataset:
        peer, answer = self._peer, Dataset()
        for element in keys:
            value = group[0].dataset.get(element.keyword, "")
            if element.keyword == "QueryRetrieveLevel":
                value = element.value
            elif element.keyword.startswith("NumberOf") and "Related" in element.keyword:
                is_study = element.keyword == "NumberOfStudyRelatedInstances"
                count = len(group) + (peer.counts_more if is_study else 0)
                value = count if peer.tells_counts else ""
            elif element.keyword == "SOPClassesInStudy":
                classes = sorted({held.dataset.SOPClassUID for held in group})
                value = classes if peer.tells_classes else ""
            elif element.keyword == "SOPClassUID" and not peer.tells_classes:
                continue
            setattr(answer, element.keyword, value)
        if "SpecificCharacterSet" in group[0].dataset:
            answer.SpecificCharacterSet = group[0].dataset.SpecificCharacterSet
        return answer

    async def get(
        self, context: AcceptedContext, identifier: bytes, storage: StorageHandler
    ) -> AsyncGenerator[SubOperations]:
        """Send what is asked for."""
        async for response in self._retrieve("get", context, identifier, storage):
            yield response

    async def move(
        self,
        context: AcceptedContext,
        identifier: bytes,
        destination: str,
        elsewhere: Callable[[], int] | None = None,
    ) -> AsyncGenerator[SubOperations]:
        """Send what is asked for elsewhere."""
        self._peer.elsewhere = elsewhere
        async for response in self._retrieve("move", context, identifier, self._peer.receiver):
            yield response

    async def _retrieve(
        self,
        what: str,
        context: AcceptedContext,
        identifier: bytes,
        storage: StorageHandler | None,
    ) -> AsyncGenerator[SubOperations]:
        peer = self._peer
        keys = read_identifier(identifier, context.transfer_syntax)
        peer.asked.append(f"{what} {keys.QueryRetrieveLevel}")
        peer.identifiers.append(keys)
        fault = peer.faults.pop(0) if peer.faults else Fault()
        wanted = [
            held for held in peer.held if all(_matches(held.dataset, element) for element in keys)
        ]
        done, failed = 0, []
        try:
            for number, held in enumerate(wanted):
                if number == fault.sends:
                    break
                if held.uid in fault.skips or not await self._store(held, fault, storage, what):
                    failed.append(held.uid)
                    if peer.stops_at_failure and held.uid not in fault.skips:
                        break
                    continue
                done += 1
                rest = len(wanted) - number - 1
                yield SubOperations(0xFF00, remaining=rest, completed=done, failed=len(failed))
            if fault.ends_with is not None:
                raise fault.ends_with
        except GeneratorExit:
            peer.cancelled += 1
            raise
        if fault.lies:
            yield SubOperations(0x0000, completed=len(wanted), failed=0, warning=0)
            return
        status = fault.status if fault.status is not None else _final(done, failed)
        yield SubOperations(
            status, completed=done, failed=len(failed), failed_sop_instance_uids=tuple(failed)
        )

    async def _store(
        self, held: Held, fault: Fault, storage: StorageHandler | None, what: str
    ) -> bool:
        """Send a C-STORE; tell whether the other side took it."""
        sop_class = str(held.dataset.SOPClassUID)
        is_negotiated = what == "move" or any(
            (one.abstract_syntax, one.transfer_syntax, one.is_scp)
            == (sop_class, held.transfer_syntax, True)
            for one in self.accepted
        )
        if not is_negotiated or storage is None:
            return False
        if self._peer.on_store is not None:
            self._peer.on_store()
            for _ in range(20):
                await asyncio.sleep(0)
        uid = fault.renames.get(held.uid, held.uid)
        sink = storage.begin(
            StoreRequest(sop_class, uid, held.transfer_syntax, 1, "PEER", move_message_id=1)
        )
        data = fault.replaces.get(held.uid, held.data_set)
        for at in range(0, len(data), fault.fragment_bytes):
            sink.write(memoryview(data)[at : at + fault.fragment_bytes])
        status = await sink.end()
        self._peer.statuses.setdefault(uid, []).append(status)
        return status == 0


def _final(done: int, failed: list[str]) -> int:
    if not failed:
        return 0x0000
    return 0xB000 if done else 0xA702


def _matches(dataset: Dataset, key: Any) -> bool:
    if key.keyword in ("QueryRetrieveLevel", "SpecificCharacterSet") or key.VM == 0:
        return True
    wanted = [str(one) for one in (key.value if key.VM > 1 else [key.value])]
    found = str(dataset.get(key.keyword, ""))
    return any(one == found or (one.endswith("*") and found.startswith(one[:-1])) for one in wanted)


def encoded(dataset: Dataset, context: AcceptedContext) -> bytes:
    """Return a data set as it travels."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = context.transfer_syntax == IMPLICIT
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def refuse(status: int, *, is_transient: bool = False) -> OperationFailed:
    """Return what an engine raises for a final status of a C-FIND."""
    return OperationFailed("the archive refuses", status=status, is_transient=is_transient)
