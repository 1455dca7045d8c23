"""A receiver in a process of its own, so that it can be killed.

python -m tests.receiver.program FOLDER DURABILITY [SERVER]     # writes its port, as JSON

SERVER is what is different of its `ServerSettings`, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING

from asyncdicom.receiver.events import Listening
from asyncdicom.receiver.receiver import Receiver
from asyncdicom.receiver.settings import ReceiverSettings
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.transports.associations.acceptor import ServerSettings
from tests.receiver.support import rules

if TYPE_CHECKING:
    from asyncdicom.receiver.events import ReceiverEvent


def tell(event: ReceiverEvent) -> None:
    # Nobody reads what else comes: a pipe that is full would hold everything up.
    if isinstance(event, Listening):
        sys.stdout.write(json.dumps(event.to_json()) + "\n")
        sys.stdout.flush()


async def receive(root: str, durability: str, server: str = "{}") -> None:
    listening = ServerSettings(port=0, **json.loads(server))
    settings = ReceiverSettings(server=listening, storing=rules())
    with OutputFolder.open(root, durability=Durability(durability)) as folder:
        async with Receiver(settings, folder, [tell]) as receiver:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(
                signal.SIGTERM, lambda: receiver.stop("terminated", grace_s=5.0)
            )
            await receiver.serve()


if __name__ == "__main__":
    asyncio.run(receive(*sys.argv[1:]))
