"""A study as it must come back over DIMSE, and the mock's DIMSE face in a thread.

Rule: the data set has to be the mock's own bytes; the header before it is ours, and says
what the C-STORE request said (PS3.10 §7.1).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asyncdicom.mock import DimseOptions, DimseServer
from asyncdicom.mock.dimse_faults import DimsePlan
from asyncdicom.mock.dimse_objects import as_sent
from asyncdicom.ports.dimse import StoreRequest
from asyncdicom.protocol.dimse.file_meta import file_meta
from tests.e2e.support import TruthStudy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.archive import Instance
    from asyncdicom.mock.dimse import RecordedDimse

__all__ = ["DimseMock", "DimseTruth", "dimse_mock"]


class DimseTruth(TruthStudy):
    """The first study of a synthetic archive, and the files that its instances must become."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        every = [i for series in self.archive.studies[0].all_series for i in series.instances]
        self.files = {one.sop_instance_uid: _file_of(one) for one in every}


def _file_of(instance: Instance) -> bytes:
    sent = as_sent(instance)
    uids = (sent.sop_class_uid, sent.sop_instance_uid, sent.transfer_syntax)
    return file_meta(StoreRequest(*uids, message_id=0, calling_ae="MOCK")) + bytes(sent.dataset)


class DimseMock:
    """A DIMSE face in another thread."""

    def __init__(self, portal: BlockingPortal, server: DimseServer) -> None:
        self._portal = portal
        self._server = server
        self._read = 0
        self.url = server.url

    def set_faults(self, *faults: str) -> None:
        """Let other things go wrong from now on."""
        self._portal.call(setattr, self._server, "plan", DimsePlan(faults))

    def new_requests(self) -> list[RecordedDimse]:
        """Return the requests since the last call."""
        every = self._portal.call(list, self._server.requests)
        new, self._read = every[self._read :], len(every)
        return new


@contextmanager
def dimse_mock(
    portal: BlockingPortal, study: TruthStudy, *faults: str, **options: Any
) -> Iterator[DimseMock]:
    """Serve a study from the thread of a portal."""
    server = DimseServer(study.archive, faults=faults, options=DimseOptions(**options))
    with portal.wrap_async_context_manager(server):
        yield DimseMock(portal, server)
