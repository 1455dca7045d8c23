"""C-MOVE from one mock to another, well and with faults; and what the server tells of itself."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from asyncdicom.mock import DimseOptions, DimseServer
from asyncdicom.mock.dimse_tampering import thrown_uid
from asyncdicom.ports.dimse import SubOperations
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT
from tests.mock.dimse_support import archive_of, associated, datasets_of, study_identifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncdicom.mock.archive import Archive

pytestmark = pytest.mark.anyio

ARCHIVE = archive_of(studies=1)
TRUTH = datasets_of(ARCHIVE)
UIDS = list(TRUTH)


@asynccontextmanager
async def two(
    *faults: str, archive: Archive = ARCHIVE, refusals: tuple[str, ...] = ()
) -> AsyncIterator[tuple[DimseServer, DimseServer]]:
    """Serve an archive, and a destination that it knows."""
    store = DimseOptions(ae_title="STORE", max_stored_bytes=10_000_000)
    async with DimseServer(ARCHIVE, faults=refusals, options=store) as destination:
        options = DimseOptions(destinations={"STORE": ("127.0.0.1", destination.port)})
        async with DimseServer(archive, faults=faults, options=options) as server:
            yield server, destination


async def moved(
    *faults: str, archive: Archive = ARCHIVE, refusals: tuple[str, ...] = ()
) -> tuple[list[SubOperations], dict[str, bytes]]:
    """Move the first study; return the responses and what arrived."""
    async with two(*faults, archive=archive, refusals=refusals) as (server, destination):
        async with associated(server) as association:
            context = association.context_for(STUDY_ROOT.move)
            moving = association.move(context, study_identifier(archive), "STORE")
            responses = [response async for response in moving]
        arrived = {one.request.sop_instance_uid: one.dataset for one in destination.received}
    return responses, arrived


async def test_all_arrives_as_it_is() -> None:
    responses, arrived = await moved()
    assert arrived == TRUTH
    assert responses[-1] == SubOperations(0x0000, None, 6, 0, 0)
    assert [response.remaining for response in responses[:-1]] == [5, 4, 3, 2, 1, 0]


async def test_the_destination_learns_who_asked() -> None:
    async with two() as (server, destination):
        async with associated(server) as association:
            context = association.context_for(STUDY_ROOT.move)
            async for _ in association.move(context, study_identifier(ARCHIVE), "STORE"):
                pass
        assert {one.request.move_originator for one in destination.received} == {"TESTER"}
        assert {one.request.calling_ae for one in destination.received} == {"MOCK"}


@pytest.mark.parametrize("fault", ["abort", "close"])
async def test_a_connection_to_the_destination_that_breaks_fails_what_remains(fault: str) -> None:
    responses, arrived = await moved(f"{fault}:suboperation:nth=3")
    failed = tuple(UIDS[2:])
    assert responses[-1] == SubOperations(0xB000, None, 2, 4, 0, failed_sop_instance_uids=failed)
    assert list(arrived) == UIDS[:2]


async def test_a_destination_that_is_full_fails_each() -> None:
    responses, arrived = await moved(refusals=("A700:store",))
    assert (responses[-1].status, responses[-1].failed) == (0xA702, 6)
    assert arrived == {}


@pytest.mark.parametrize("refusal", ["reject", "refuse-contexts", "close:association"])
async def test_a_destination_that_refuses_fails_all(refusal: str) -> None:
    responses, arrived = await moved(refusals=(refusal,))
    assert (responses[-1].status, responses[-1].failed) == (0xA702, 6)
    assert responses[-1].failed_sop_instance_uids == tuple(UIDS)
    assert arrived == {}


async def test_each_kind_of_instance_has_its_context() -> None:
    archive = archive_of(studies=1, mixed=True, instances=1)
    responses, arrived = await moved(archive=archive)
    assert responses[-1].status == 0x0000
    assert arrived == datasets_of(archive)


@pytest.mark.parametrize("fault", ["tiny-pdvs", "same-message-id", "late:suboperation:s=0"])
async def test_what_is_legal_arrives(fault: str) -> None:
    _, arrived = await moved(fault if ":" in fault else f"{fault}:suboperation")
    assert arrived == TRUTH


async def test_instances_can_be_written_by_hand() -> None:
    responses, arrived = await moved("short-dataset:suboperation:nth=1,by=2")
    assert arrived == TRUTH | {UIDS[0]: TRUTH[UIDS[0]][:-2]}
    assert responses[-1].status == 0x0000


async def test_what_the_server_tells_of_itself() -> None:
    async with DimseServer(ARCHIVE, options=DimseOptions(ae_title="MY PACS")) as server:
        assert server.url == f"dicom://MY%20PACS@127.0.0.1:{server.port}"
        async with associated(server, called_ae="MY PACS") as association:
            await association.echo()
            assert server.statistics().associations == 1
        assert server.count("echo") == 1
        assert server.count("find") == 0


async def test_an_ipv6_address_stands_in_brackets() -> None:
    async with DimseServer(ARCHIVE, options=DimseOptions(host="::1")) as server:
        assert server.url == f"dicom://MOCK@[::1]:{server.port}"


def test_thrown_uids_are_the_same_for_the_same_seed() -> None:
    thrown = [thrown_uid(f"1 {number}") for number in range(1000)]
    assert thrown == [thrown_uid(f"1 {number}") for number in range(1000)]
    assert len(set(thrown)) > 800
    assert any("../" in uid for uid in thrown)
    assert max(map(len, thrown)) > 300
