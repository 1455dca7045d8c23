"""An association that is over leaves nothing to the garbage collector, which may come late."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from asyncdicom.protocol.dimse.sop_classes import UNCOMPRESSED, VERIFICATION
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal, Party, propose
from asyncdicom.protocol.upper_layer.pdu import ReleaseRequest, encode
from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings
from asyncdicom.transports.associations.services import Services
from tests.support.scripted_peer import dial

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

OURS = "asyncdicom.transports.associations"


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left_over() -> set[str]:
    """Return the types of ours that only the collector would remove."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return {type(one).__name__ for one in gc.garbage if type(one).__module__.startswith(OURS)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("ending", ["release", "close"])
async def test_an_association_that_was_served_leaves_no_cycle(ending: str) -> None:
    proposal = ContextProposal(VERIFICATION, UNCOMPRESSED)
    request = encode(propose([proposal], Party("ANY", "TEST", 16384)))
    async with AssociationServer(ServerSettings(port=0), Services()) as server:
        async with dial(server.port) as peer:
            await peer.send(request)
            await peer.pdu()
            if ending == "release":
                await peer.send(encode(ReleaseRequest()))
                await peer.pdu()
        while server.statistics().connections:  # noqa: ASYNC110 -- a state without an event
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        assert left_over() == set()
