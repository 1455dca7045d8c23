"""What an archive can send at all: its C-MOVE of a study to a receiver that discards.

python -m benchmarks.clients.move_discarding HOST PORT CALLED_AE OWN_AE OWN_PORT STUDY

The receiver is our acceptor, which acknowledges at once; nothing is checked or written.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import uvloop

from asyncdicom.ports.dimse import PresentationContext, Proposal
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT, UNCOMPRESSED
from asyncdicom.protocol.identifiers import Key, encode_identifier
from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings
from asyncdicom.transports.associations.native import NativeTransport
from asyncdicom.transports.associations.services import Requestor, Services
from asyncdicom.transports.associations.settings import DimseSettings

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StorageHandler, StoreRequest, StoreSink


class Discarding(Services):
    """Takes everything, and counts."""

    def __init__(self) -> None:
        self.instances = 0
        self.received_bytes = 0

    def storage(self, _requestor: Requestor, /) -> StorageHandler:
        """Take it itself."""
        return self

    def begin(self, _request: StoreRequest, /) -> StoreSink:
        """Begin an instance."""
        return self

    def write(self, *fragments: Buffer) -> None:
        """Count the bytes."""
        self.received_bytes += sum(map(len, fragments))

    async def end(self) -> int:
        """Count the instance, and call it stored."""
        return self.end_nowait()

    def end_nowait(self) -> int:
        """Count the instance, and call it stored."""
        self.instances += 1
        return 0

    def discard(self) -> None:
        """Have nothing to give up."""


async def move(host: str, port: int, called_ae: str, receiver: tuple[str, int], study: str) -> None:
    """Receive a study, and print the seconds."""
    own_ae, own_port = receiver
    services = Discarding()
    settings = DimseSettings(host=host, port=port, called_ae=called_ae, calling_ae=own_ae)
    transport = NativeTransport(settings)
    proposal = Proposal((PresentationContext(STUDY_ROOT.move, UNCOMPRESSED),))
    async with AssociationServer(ServerSettings(port=own_port), services):
        begun_s = time.perf_counter()
        async with transport.associate(proposal) as association:
            context = association.context_for(STUDY_ROOT.move)
            identifier = encode_identifier(
                {0x00080052: Key("CS", "STUDY"), 0x0020000D: Key("UI", study)},
                context.transfer_syntax,
            )
            async for response in association.move(context, identifier, own_ae):
                last = response
        seconds = time.perf_counter() - begun_s
    await transport.aclose()
    if last.status:
        sys.exit(f"C-MOVE ended with status {last.status:04X}")
    print(json.dumps({"seconds": seconds, "instances": services.instances}))


if __name__ == "__main__":
    there, there_port, their_ae, our_ae, our_port, uid = sys.argv[1:]
    uvloop.run(move(there, int(there_port), their_ae, (our_ae, int(our_port)), uid))
