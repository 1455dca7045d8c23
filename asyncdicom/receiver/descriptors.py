"""How many peers the descriptors of this process allow (`ulimit -n`).

    limit = descriptor_limit(max_associations)  # raised as far as we may
    server = within(server, limit)              # perhaps fewer associations than asked for

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
OF_ASSOCIATION = 4
"""Sockets of pynetdicom and TLS, and the file; a plain one of ours needs two."""


def descriptor_limit(max_associations: int) -> int:
    """Let this process have what a server may need, as far as it may, and return what it has."""
    wanted = OWN + MAX_DIRECTORIES + connections_for(max_associations)
    wanted += OF_ASSOCIATION * max_associations
    allow_descriptors(wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else soft


def cached_directories(limit: int) -> int:
    """Return how many folders may be kept open."""
    return max(1, min(MAX_DIRECTORIES, limit // 8))


def within(server: ServerSettings, limit: int) -> ServerSettings:
    """Return settings with no more associations and connections than a limit allows."""
    rest = limit - OWN - cached_directories(limit)
    # A connection that is refused needs its socket alone; a few of them at least.
    associations = min(server.max_associations, max(1, rest // (OF_ASSOCIATION + 1)))
    connections = rest - (OF_ASSOCIATION - 1) * associations
    return replace(
        server,
        max_associations=associations,
        max_connections=max(associations + 1, min(server.max_connections, connections)),
    )
