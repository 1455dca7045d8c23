"""How many peers the descriptors of this process allow (`ulimit -n`).

    limit = descriptor_limit(max_associations)  # raised as far as we may
    server = within(server, limit, engine)      # perhaps fewer associations than asked for

Rule: whoever is let in can be served. An association needs a socket and a file; those that
were accepted with the last descriptor would leave none for anybody's files, and every object
would be refused. So associations are refused with a reason (PS3.8 Table 9-21: local limit
exceeded) while there is still something left to do that with.
"""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.receiver.settings import connections_for
from asyncdicom.transports.associations.sockets import allow_descriptors

if TYPE_CHECKING:
    from asyncdicom.transports.associations.acceptor import ServerSettings

__all__ = ["cached_directories", "descriptor_limit", "within"]

OWN = 32
"""Of the process itself: its loop, its log, counters and those who read them, hooks that start."""
MAX_DIRECTORIES = 128
OF_ASSOCIATION = {"native": 2, "pynetdicom": 4}
"""By engine: the file, and the socket, of which pynetdicom's threads have more than one."""
TO_REFUSE = 8
"""Connections that are there to be refused, or to handshake, beside the associations."""


def descriptor_limit(max_associations: int) -> int:
    """Let this process have what a server may need, as far as it may, and return what it has."""
    wanted = OWN + MAX_DIRECTORIES + connections_for(max_associations)
    wanted += max(OF_ASSOCIATION.values()) * max_associations
    allow_descriptors(wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else soft


def cached_directories(limit: int) -> int:
    """Return how many folders may be kept open."""
    return max(1, min(MAX_DIRECTORIES, limit // 8))


def within(server: ServerSettings, limit: int, engine: str) -> ServerSettings:
    """Return settings with no more associations and connections than a limit allows."""
    rest = limit - OWN - cached_directories(limit)
    each = OF_ASSOCIATION[engine]
    associations = min(server.max_associations, max(1, (rest - TO_REFUSE) // each))
    # A connection that is refused needs its socket alone.
    connections = rest - (each - 1) * associations
    return replace(
        server,
        max_associations=associations,
        max_connections=max(associations + 1, min(server.max_connections, connections)),
    )
