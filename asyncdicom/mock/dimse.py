"""The DIMSE face of the mock: an archive behind an AE title, with faults on demand.

    async with DimseServer(archive, faults=["A702:get:times=1"]) as server:
        ...  # associate with server.url; then look at server.requests

C-ECHO, C-FIND, C-GET and C-MOVE for the patient and study roots; C-STORE into memory
or a folder. Instances are sent byte by byte as they are stored, in the transfer syntax
they are stored in; what a peer has no context for fails, and the rest is sent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from asyncdicom.mock.dimse_archive import DimseArchive, DimseOptions
from asyncdicom.mock.dimse_faults import DimseFault, DimsePlan
from asyncdicom.protocol.upper_layer.pdu import check_ae_title
from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from asyncdicom.mock.archive import Archive
    from asyncdicom.mock.dimse_store import Received
    from asyncdicom.transports.associations.acceptor import ServerStatistics

__all__ = ["DimseOptions", "DimseServer", "RecordedDimse"]

KEPT_REQUESTS = 100_000
"""Requests that are remembered; a server that runs for weeks forgets the oldest."""


@dataclass(frozen=True, slots=True)
class RecordedDimse:
    """One request, or one sub-operation, as the mock saw it."""

    kind: str
    """As in faults: association, find, get, suboperation..."""
    path: str
    calling_ae: str
    fault: str | None = None
    """The fault that was applied, as it was written."""


class DimseServer:
    """An archive behind a port.

    Args:
        archive: What it serves.
        faults: What goes wrong, and when; text is read as `dimse_faults` describes.
        options: Where and how it listens.

    Raises:
        ConfigError: If a fault cannot be read, or the AE title is none; on entering,
            if the address is taken or not ours.

    Attributes:
        requests: What was asked, oldest first.
        on_request: Is called with each of them, or None.

    """

    def __init__(
        self,
        archive: Archive,
        *,
        faults: Iterable[DimseFault | str] = (),
        options: DimseOptions | None = None,
    ) -> None:
        self.archive = archive
        self.plan = DimsePlan(faults)
        self.options = options or DimseOptions()
        check_ae_title(self.options.ae_title, "own")
        self.requests: deque[RecordedDimse] = deque(maxlen=KEPT_REQUESTS)
        self.on_request: Callable[[RecordedDimse], None] | None = None
        self._services = DimseArchive(self)
        settings = ServerSettings(
            host=self.options.host,
            port=self.options.port,
            max_associations=self.options.max_associations,
            max_pdu_bytes=self.options.max_pdu_bytes,
            idle_timeout_s=self.options.idle_timeout_s,
        )
        self._server = AssociationServer(settings, self._services)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.__aexit__(kind, error, traceback)

    @property
    def port(self) -> int:
        """Port it listens on."""
        return self._server.port

    @property
    def url(self) -> str:
        """How a source is named: `dicom://AET@host:port`."""
        options = self.options
        host = f"[{options.host}]" if ":" in options.host else options.host
        return f"dicom://{quote(options.ae_title)}@{host}:{self.port}"

    @property
    def received(self) -> list[Received]:
        """What peers stored in memory."""
        return self._services.store.received

    def statistics(self) -> ServerStatistics:
        """Return the counters of associations."""
        return self._server.statistics()

    def count(self, kind: str) -> int:
        """Count the recorded requests of a kind."""
        return sum(request.kind == kind for request in self.requests)

    def decide(self, kind: str, path: str, calling_ae: str = "") -> DimseFault | None:
        """Record a request, and return the fault that it meets, or None."""
        fault = self.plan.decide(kind, path)
        recorded = RecordedDimse(kind, path, calling_ae, str(fault) if fault else None)
        self.requests.append(recorded)
        if self.on_request is not None:
            self.on_request(recorded)
        return fault
