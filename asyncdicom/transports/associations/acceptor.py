"""A DIMSE server on one listening socket (PS3.8 §7.1, acceptor).

    async with AssociationServer(ServerSettings(port=11112), MyServices()) as server:
        print(server.port)            # the one that was chosen, for port 0
        await server.serve()          # until cancelled

What it does for its peers is said in `services.py`: handlers admit requestors, select
transfer syntaxes, take C-STOREs, and perform C-ECHO, C-FIND, C-GET and C-MOVE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from asyncdicom.transports.associations.services import Services
    from asyncdicom.transports.associations.settings import TlsSettings

__all__ = ["AssociationServer", "ServerSettings", "ServerStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where to listen, and the bounds of what peers may cost us."""

    host: str = "127.0.0.1"
    """Address to listen on; `::` is IPv6 (and IPv4 where the system maps it)."""
    port: int = 11112
    """0 lets the system choose."""
    max_associations: int = 64
    """At one time; the next is refused with 2/3/2, local limit exceeded."""
    max_connections: int = 2048
    """At one time, associated or not; the next wait in the backlog."""
    max_pdu_bytes: int = 128 * 1024
    """Longest variable field of a P-DATA-TF that we take; a longer one is answered with A-ABORT."""
    artim_timeout_s: float = 10.0
    """How long a connection may be silent before its A-ASSOCIATE-RQ, in seconds."""
    idle_timeout_s: float = 60.0
    """How long an association may be silent, in seconds."""
    tls: TlsSettings | None = None


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """Counters of a server since it was opened."""

    connections: int
    """Open now."""
    associations: int
    """Established now."""
    associations_peak: int
    accepted: int
    """Associations established so far."""
    rejected: int
    """Associations refused so far."""


class AssociationServer:
    """Serves peers until it is left.

    Leaving aborts the associations that are open, and returns when nothing is left:
    no task, no socket.

    Raises (on entering):
        ConfigError: If the address is not ours or taken, or certificates cannot be used.

    """

    def __init__(self, settings: ServerSettings, services: Services) -> None:
        raise NotImplementedError

    @property
    def port(self) -> int:
        """Port that is listened on."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    async def serve(self) -> None:
        """Wait until cancelled; peers are served from entering on, with or without this."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Accept nobody any more, and wait until the last association ended."""
        raise NotImplementedError

    def statistics(self) -> ServerStatistics:
        """Return the counters."""
        raise NotImplementedError
