"""Ends associations when the receiver is to end, as soon as nothing is lost by it.

Strategy: an object that is coming may come to its end and is answered. Then its sender has a
moment to release the association; a new object, and silence, are answered with A-ABORT of the
service user (PS3.8 §7.3). To ask for a release (PS3.8 §7.2) would be more polite, but senders
do not expect it of an SCP, and take it for an error all the same; an abort between two objects
is what all of them know, and they know then, too, which of their objects are stored.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncdicom.receiver.associations import OpenAssociations
    from asyncdicom.transports.associations.acceptor import AssociationServer
    from asyncdicom.transports.associations.services import Requestor

__all__ = ["end_quiet_associations"]

QUIET_S = 0.5
"""How long at least nothing may be under way before an association is aborted, in seconds; at
most twice that. Time enough for a release that is on its way from far."""


async def end_quiet_associations(server: AssociationServer, opened: OpenAssociations) -> None:
    """Abort what has nothing under way, again and again, until cancelled.

    Args:
        server: Whose connections they are; those without an association are closed, too.
        opened: Its associations, which take no further object (`end_soon`).

    """
    quiet = opened.quiet()
    while True:
        await asyncio.sleep(QUIET_S)
        before, quiet = quiet, opened.quiet()
        lasting = before & quiet

        def is_wanted(requestor: Requestor, lasting: frozenset[int] = lasting) -> bool:
            return opened.of(requestor).caller.association not in lasting

        server.abort_unless(is_wanted)
