"""A DIMSE face on loopback, and what must come back from it."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncdicom.mock import DimseOptions, DimseServer, SyntheticArchive, SyntheticOptions
from asyncdicom.ports.dimse import PresentationContext, Proposal
from asyncdicom.protocol.dimse.sop_classes import PATIENT_ROOT, STUDY_ROOT, VERIFICATION
from asyncdicom.protocol.identifiers import IDENTIFIER_SYNTAXES, Key, encode_identifier
from asyncdicom.transports.associations.native import NativeTransport
from asyncdicom.transports.associations.settings import DimseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.archive import Archive
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StoreRequest, SubOperations
    from asyncdicom.transports.associations.association import NativeAssociation

__all__ = [
    "CT",
    "EVERYTHING",
    "EXPLICIT",
    "Kept",
    "archive_of",
    "associated",
    "dataset_of",
    "datasets_of",
    "get_study",
    "served",
    "study_identifier",
]

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

EVERYTHING = Proposal(
    (
        PresentationContext(VERIFICATION, IDENTIFIER_SYNTAXES),
        *(
            PresentationContext(sop_class, IDENTIFIER_SYNTAXES)
            for model in (STUDY_ROOT, PATIENT_ROOT)
            for sop_class in (model.find, model.get, model.move)
        ),
        PresentationContext(CT, (EXPLICIT,), is_scp=True),
    )
)


def archive_of(**options: Any) -> SyntheticArchive:
    """Make a small archive."""
    return SyntheticArchive(
        SyntheticOptions(**({"studies": 3, "series": 2, "instances": 3, "rows": 16} | options))
    )


def dataset_of(content: bytes) -> bytes:
    """Return what follows the file meta information, whose first element is its length."""
    assert content[128:140] == b"DICM\x02\x00\x00\x00UL\x04\x00"
    (length,) = struct.unpack_from("<I", content, 140)
    return content[144 + length :]


def datasets_of(archive: Archive, study: int = 0) -> dict[str, bytes]:
    """Return the data sets of a study by SOP Instance UID."""
    every = [i for series in archive.studies[study].all_series for i in series.instances]
    return {i.sop_instance_uid: dataset_of(b"".join(map(bytes, i.file()))) for i in every}


def study_identifier(archive: Archive, study: int = 0, **more: str) -> bytes:
    """Name a study, as a C-GET does."""
    uid = archive.studies[study].study_instance_uid
    tree = {0x00080052: Key("CS", "STUDY"), 0x0020000D: Key("UI", uid)}
    return encode_identifier(
        tree | {int(tag, 16): Key("UI", v) for tag, v in more.items()}, EXPLICIT
    )


@contextmanager
def served(
    portal: BlockingPortal, archive: Archive, *faults: str, **options: Any
) -> Iterator[DimseServer]:
    """Serve an archive from the thread of a portal."""
    server = DimseServer(archive, faults=faults, options=DimseOptions(**options))
    with portal.wrap_async_context_manager(server):
        yield server


@asynccontextmanager
async def associated(
    server: DimseServer, proposal: Proposal = EVERYTHING, **settings: Any
) -> AsyncIterator[NativeAssociation]:
    """Associate with the mock."""
    patience: dict[str, Any] = {"called_ae": "MOCK", "calling_ae": "TESTER", "idle_timeout_s": 5.0}
    transport = NativeTransport(
        DimseSettings(host="127.0.0.1", port=server.port, **(patience | settings))
    )
    try:
        async with transport.associate(proposal) as association:
            yield association
    finally:
        await transport.aclose()


@dataclass
class Kept:
    """Keeps what is stored, in order (`ports.dimse.StorageHandler`)."""

    status: int = 0x0000
    requests: list[StoreRequest] = field(default_factory=list)
    whole: list[bytes] = field(default_factory=list)
    discarded: int = 0

    def begin(self, request: StoreRequest) -> _Sink:
        self.requests.append(request)
        return _Sink(self)

    @property
    def by_uid(self) -> dict[str, bytes]:
        """Data sets by the UID of their request, where each of them is whole."""
        uids = [request.sop_instance_uid for request in self.requests]
        return dict(zip(uids, self.whole, strict=True))


class _Sink:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._data = bytearray()

    def write(self, *fragments: Buffer) -> None:
        for fragment in fragments:
            self._data += fragment

    async def end(self) -> int:
        return self.end_nowait()

    def end_nowait(self) -> int:
        self._kept.whole.append(bytes(self._data))
        return self._kept.status

    def discard(self) -> None:
        self._kept.discarded += 1


async def get_study(
    association: NativeAssociation, archive: Archive, kept: Kept
) -> list[SubOperations]:
    """Retrieve the first study, and return all responses."""
    context = association.context_for(STUDY_ROOT.get)
    return [one async for one in association.get(context, study_identifier(archive), kept)]
