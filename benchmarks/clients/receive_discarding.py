"""What receiving costs without keeping: our acceptor, which acknowledges at once and drops it all.

python -m benchmarks.clients.receive_discarding PORT

It serves until it is ended.
"""

from __future__ import annotations

import sys

import uvloop

from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings
from benchmarks.clients.move_discarding import Discarding


async def serve(port: int) -> None:
    """Take everything, until cancelled."""
    async with AssociationServer(ServerSettings(port=port), Discarding()) as server:
        await server.serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
