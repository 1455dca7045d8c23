"""A DICOMweb source: URLs, and an Accept value that is learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConnectionLost, UnexpectedContent
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.pacing import Pacer
from asyncdicom.protocol.urls import Root
from asyncdicom.sources.dicomweb import DicomWebSource, SourceOptions
from asyncdicom.sources.transaction import Transaction
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.http import HttpRequest

pytestmark = pytest.mark.anyio

ROOT = "https://a.test/dicom-web"
FRAME = Target(Resource.FRAME, Uid("1"), Uid("2"), Uid("3"), 1)
METADATA = Target(Resource.METADATA, Uid("1"))


def source_over(
    answer: Callable[[HttpRequest], ScriptedAnswer | FetchError],
    options: SourceOptions | None = None,
) -> tuple[DicomWebSource, ScriptedTransport]:
    transport = ScriptedTransport(answer)
    return DicomWebSource(Root(ROOT), transport, options), transport


def accept_of(request: HttpRequest) -> str:
    return dict(request.headers)["accept"]


def understands(*accepted: str) -> Callable[[HttpRequest], ScriptedAnswer]:
    return lambda request: ScriptedAnswer(200 if accept_of(request) in accepted else 406)


async def ask(source: DicomWebSource, target: Target = FRAME) -> int:
    async with source.transact(target) as transaction:
        return transaction.response.status_code


async def test_a_request_says_what_is_wanted() -> None:
    further = (("X-Site", "A"),)
    source, transport = source_over(
        lambda _: ScriptedAnswer(200),
        SourceOptions(transfer_syntax="1.2.840.10008.1.2.1", further_headers=further),
    )
    await ask(source)
    await ask(source, METADATA)
    frame, metadata = transport.requests
    assert frame.url == f"{ROOT}/studies/1/series/2/instances/3/frames/1"
    assert "transfer-syntax=1.2.840.10008.1.2.1" in accept_of(frame)
    assert dict(frame.headers)["accept-encoding"] == "identity"
    assert dict(metadata.headers)["accept-encoding"] == "gzip"
    assert frame.headers[-1] == ("X-Site", "A")


async def test_the_next_accept_value_is_tried_after_406_and_remembered() -> None:
    source, transport = source_over(understands("*/*"))
    assert await ask(source) == 200
    assert len(transport.requests) == 3
    assert await ask(source) == 200
    assert accept_of(transport.requests[-1]) == "*/*"
    assert len(transport.requests) == 4
    assert transport.open_answers == 0


async def test_what_is_learnt_of_frames_says_nothing_about_metadata() -> None:
    source, transport = source_over(
        lambda r: ScriptedAnswer(200 if accept_of(r) in ("*/*", "application/dicom+json") else 406)
    )
    await ask(source)
    await ask(source, METADATA)
    assert accept_of(transport.requests[-1]) == "application/dicom+json"


async def test_one_odd_instance_changes_nothing_that_was_understood() -> None:
    source, transport = source_over(lambda _: ScriptedAnswer(200))
    await ask(source)
    exact = accept_of(transport.requests[0])
    transport._answer = understands("*/*")
    await ask(source)
    transport._answer = lambda _: ScriptedAnswer(200)
    await ask(source)
    assert accept_of(transport.requests[-1]) == exact


async def test_the_last_406_is_the_answer() -> None:
    source, transport = source_over(lambda _: ScriptedAnswer(406))
    assert await ask(source) == 406
    assert len(transport.requests) == 3
    assert transport.open_answers == 0


@pytest.mark.parametrize("status_code", [404, 500, 206])
async def test_other_refusals_teach_nothing(status_code: int) -> None:
    source, transport = source_over(lambda _: ScriptedAnswer(status_code))
    await ask(source)
    await ask(source)
    assert accept_of(transport.requests[0]) == accept_of(transport.requests[1])
    assert len(transport.requests) == 2


async def test_a_connection_that_breaks_is_not_negotiated_about() -> None:
    source, transport = source_over(lambda _: ConnectionLost("reset"))
    with pytest.raises(ConnectionLost):
        await ask(source)
    assert len(transport.requests) == 1


async def test_bulkdata_elsewhere_keeps_its_own_url() -> None:
    source, transport = source_over(lambda _: ScriptedAnswer(200))
    uri = "https://else.test/b/1"
    uids = (Uid("1"), Uid("2"), Uid("3"))
    await ask(source, Target(Resource.BULKDATA, *uids, bulkdata_uri=uri, attribute="00420011"))
    assert transport.requests[0].url == uri


async def test_a_reference_that_is_no_http_url_is_refused() -> None:
    source, _ = source_over(lambda _: ScriptedAnswer(200))
    target = Target(Resource.BULKDATA, Uid("1"), bulkdata_uri="file:///x", attribute="00420011")
    with pytest.raises(UnexpectedContent):
        source.unsent(target)


async def test_what_was_not_sent_can_be_recorded() -> None:
    source, transport = source_over(
        lambda _: ScriptedAnswer(200), SourceOptions(sends_credentials=True)
    )
    unsent = source.unsent(FRAME)
    assert unsent.request.url == source.url_of(FRAME)
    assert (unsent.sends_credentials, unsent.has_answer) == (True, False)
    assert transport.requests == []


async def test_all_answers_share_one_bandwidth() -> None:
    source, _ = source_over(lambda _: ScriptedAnswer(200), SourceOptions(bytes_per_s=10.0))
    first, second = source.unsent(FRAME), source.unsent(METADATA)
    assert isinstance(first._pacer, Pacer)
    assert first._pacer is second._pacer


async def test_a_twin_makes_its_own_transactions_and_learns_for_both() -> None:
    class Other(Transaction):
        pass

    source, transport = source_over(understands("*/*"))
    twin = source.making(Other)
    async with twin.transact(FRAME) as transaction:
        assert type(transaction) is Other
    await ask(source)
    assert len(transport.requests) == 4
    assert type(source.unsent(FRAME)) is Transaction
