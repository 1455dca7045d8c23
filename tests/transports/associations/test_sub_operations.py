"""What responses to C-GET and C-MOVE say, wherever the peer writes its list of failures."""

from __future__ import annotations

import asyncio

import pytest

from asyncdicom.ports.dimse import AcceptedContext
from asyncdicom.protocol.dimse.identifiers import Element, encode_identifier
from asyncdicom.protocol.dimse.messages import CGetResponse, CMoveResponse
from asyncdicom.transports.associations.sub_operations import (
    FAILED_SOP_INSTANCE_UID_LIST,
    heeding,
    sub_operations,
)

EXPLICIT = "1.2.840.10008.1.2.1"
CONTEXT = AcceptedContext(1, "1.2.840.10008.5.1.4.1.2.2.3", EXPLICIT)
LISTED = encode_identifier(
    [Element((FAILED_SOP_INSTANCE_UID_LIST,), "UI", b"1.2.3\\1.2.44")], EXPLICIT
)


@pytest.mark.parametrize("kind", [CGetResponse, CMoveResponse])
def test_the_list_of_failures_is_found_in_the_data_set(
    kind: type[CGetResponse | CMoveResponse],
) -> None:
    told = sub_operations(kind(1, status=0xB000, failed=2), LISTED, CONTEXT)
    assert (told.failed, told.failed_sop_instance_uids) == (2, ("1.2.3", "1.2.44"))


@pytest.mark.parametrize("kind", [CGetResponse, CMoveResponse])
@pytest.mark.parametrize("dataset", [b"", b"garbled"], ids=["no data set", "a garbled one"])
def test_the_list_of_failures_is_found_behind_the_command_set(
    kind: type[CGetResponse | CMoveResponse], dataset: bytes
) -> None:
    response = kind(1, status=0xB000, failed=1, failed_sop_instance_uids=("1.2.3",))
    assert sub_operations(response, dataset, CONTEXT).failed_sop_instance_uids == ("1.2.3",)


@pytest.mark.anyio
async def test_a_peer_is_heard_of_while_a_count_changes_and_no_longer() -> None:
    count, heard = 0, asyncio.Event()
    with heeding(lambda: count, heard.set, patience_s=0.008):
        await asyncio.sleep(0.05)
        assert not heard.is_set()
        count += 1
        await heard.wait()
        heard.clear()
        await asyncio.sleep(0.05)
        assert not heard.is_set()
    count += 1
    await asyncio.sleep(0.05)
    assert not heard.is_set()


def test_where_nobody_counts_there_is_nothing_to_heed() -> None:
    with heeding(None, lambda: pytest.fail("nobody was heard of"), patience_s=1):
        pass
