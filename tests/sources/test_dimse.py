"""A DIMSE source: associations are shared, bounded and given up when they broke."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AssociationRejected,
    ConfigError,
    ConnectionLost,
    NotNegotiated,
    OperationFailed,
    ProtocolError,
    Stalled,
    Unreachable,
    UsageError,
)
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.ports.dimse import PresentationContext
from asyncdicom.protocol.dimse.sop_classes import (
    MODALITY_WORKLIST,
    PATIENT_ROOT,
    STUDY_ROOT,
    VERIFICATION,
    QueryLevel,
)
from asyncdicom.protocol.identifiers import Key
from asyncdicom.protocol.urls import DimseRoot
from asyncdicom.sources import dimse_pool
from asyncdicom.sources.dimse import DimseOptions, DimseSource, Tags, unique_keys
from asyncdicom.sources.dimse_pool import AssociationPool
from tests.support.dicom import ct, uid
from tests.support.scripted_dimse import ScriptedPeer, refuse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.dimse import Proposal

pytestmark = pytest.mark.anyio

STUDY = uid("study", 1)
CT = "1.2.840.10008.5.1.4.1.1.2"
A, B, C = (PresentationContext(f"1.2.{n}", ("1.2.840.10008.1.2",)) for n in range(3))
BUSY = AssociationRejected("busy", is_transient=True)


def source_of(peer: ScriptedPeer, **options: Any) -> DimseSource:
    return DimseSource(DimseRoot("archive.test", 104, "PEER"), peer, DimseOptions(**options))


class Swallowing:
    """Storage and sink that take everything and keep nothing."""

    def begin(self, _request: object, /) -> Swallowing:
        return self

    def write(self, *_fragments: object) -> None:
        pass

    async def end(self) -> int:
        return 0

    def end_nowait(self) -> int:
        return 0

    def discard(self) -> None:
        pass


async def used(pool: AssociationPool, *contexts: PresentationContext, **how: Any) -> None:
    async with pool.association(contexts, **how):
        pass


async def test_an_association_is_used_again_where_its_contexts_fit() -> None:
    peer = ScriptedPeer()
    pool = AssociationPool(peer)
    await used(pool, A, B)
    await used(pool, A)
    await used(pool, B, A)
    assert peer.established == [(A, B)]
    await used(pool, C)
    await used(pool, A, alone=True)
    assert peer.established == [(A, B), (C,), (A,)]
    await pool.aclose()
    assert (peer.open_now, peer.aborted) == (0, 0)


@pytest.mark.parametrize(
    ("error", "aborted"),
    [
        pytest.param(OperationFailed("no", status=0xC000), 0, id="an answer that says no"),
        pytest.param(NotNegotiated("no"), 0, id="a context that is not there"),
        pytest.param(ConnectionLost("reset"), 1, id="a broken connection"),
        pytest.param(ProtocolError("garbage"), 1, id="a broken standard"),
    ],
)
async def test_an_association_that_broke_is_not_used_again(error: FetchError, aborted: int) -> None:
    peer = ScriptedPeer()
    pool = AssociationPool(peer)
    with pytest.raises(type(error)):
        async with pool.association([A]):
            raise error
    await used(pool, A)
    assert len(peer.established) == 1 + aborted
    assert peer.aborted == aborted
    await pool.aclose()


async def test_there_are_never_more_than_the_limit() -> None:
    peer = ScriptedPeer()
    pool = AssociationPool(peer, limit=2)
    order: list[int] = []

    async def work(number: int) -> None:
        async with pool.association([(A, B, C)[number % 3]]):
            order.append(number)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(work(number))
    assert sorted(order) == list(range(12))
    assert peer.open_peak == 2
    await pool.aclose()


async def test_what_is_idle_gives_way_to_other_contexts() -> None:
    peer = ScriptedPeer()
    pool = AssociationPool(peer, limit=1)
    for context in (A, B, A):
        await used(pool, context)
    assert peer.established == [(A,), (B,), (A,)]
    assert peer.open_now == 1
    await pool.aclose()


async def test_what_nobody_needs_any_more_is_released_though_nobody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as the association that listed a study, while its instances come for an hour."""
    monkeypatch.setattr(dimse_pool, "IDLE_S", 0.05)
    peer = ScriptedPeer()
    pool = AssociationPool(peer)
    async with pool.association([A]):
        await used(pool, B)
        await used(pool, C)
        async with asyncio.timeout(10):
            while peer.open_now > 1:  # noqa: ASYNC110 -- the peer is a script, and has no events
                await asyncio.sleep(0.01)
    assert (peer.open_now, peer.aborted) == (1, 0)
    await used(pool, B)
    assert len(peer.established) == 4
    await pool.aclose()
    assert peer.open_now == 0


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(BUSY, id="for now"),
        pytest.param(AssociationRejected("no reason given"), id="it does not say for how long"),
    ],
)
async def test_a_peer_that_is_busy_gets_no_more_than_it_takes(refusal: FetchError) -> None:
    peer = ScriptedPeer()
    pool = AssociationPool(peer, limit=4)
    peer.refusals = [None, refusal]
    async with pool.association([A]):
        waiting = asyncio.create_task(used(pool, B))
        while peer.refusals:  # noqa: ASYNC110 -- the peer is a script, and has no events
            await asyncio.sleep(0)
        assert pool.limit == 1
    await waiting
    assert peer.open_peak == 1
    await pool.aclose()


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        pytest.param(BUSY, AssociationRejected, id="busy with others"),
        pytest.param(AssociationRejected("who"), AssociationRejected, id="for good"),
        pytest.param(ProtocolError("HTTP"), Unreachable, id="no DICOM there"),
    ],
)
async def test_a_refusal_is_raised_and_counted_out(
    refusal: FetchError, error: type[FetchError]
) -> None:
    peer = ScriptedPeer()
    peer.refusals = [refusal]
    pool = AssociationPool(peer, limit=1)
    with pytest.raises(error):
        await used(pool, A)
    await used(pool, A)
    await pool.aclose()


async def test_a_closed_pool_lends_nothing() -> None:
    peer = ScriptedPeer()
    pool = AssociationPool(peer)
    async with pool.association([A]):
        await pool.aclose()
    assert peer.open_now == 0
    with pytest.raises(UsageError):
        await used(pool, A)


class Ending(ScriptedPeer):
    """A peer that ends each association behind its first operation; we hear of it later."""

    @asynccontextmanager
    async def associate(self, proposal: Proposal) -> AsyncIterator[Any]:
        async with super().associate(proposal) as association:
            yield _Once(association)


class _Once:
    def __init__(self, association: Any) -> None:
        self._association = association
        self._is_over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._association, name)

    async def _perform(self, name: str, *asked: Any) -> AsyncGenerator[Any]:
        if self._is_over:
            raise ConnectionLost("the association is over")
        self._is_over = True
        async for one in getattr(self._association, name)(*asked):
            yield one

    def find(self, *asked: Any) -> AsyncGenerator[Any]:
        return self._perform("find", *asked)

    def get(self, *asked: Any) -> AsyncGenerator[Any]:
        return self._perform("get", *asked)

    def move(self, *asked: Any) -> AsyncGenerator[Any]:
        return self._perform("move", *asked)


STUDIES = [ct(number=n, series=n, study=n) for n in range(1, 4)]


async def test_an_association_that_ended_while_it_was_idle_is_replaced() -> None:
    peer = Ending(STUDIES)
    source = source_of(peer)
    for _ in range(3):
        found = source.find(QueryLevel.STUDY, {Tags.STUDY_INSTANCE_UID: Key("UI")})
        assert len([one async for one in found]) == 3
    assert (len(peer.established), peer.aborted) == (3, 2)
    study = Target(Resource.STUDY, Uid(STUDY))
    for _ in range(2):
        contexts = (PresentationContext(CT, ("1.2.840.10008.1.2.1",), is_scp=True),)
        got = source.get(unique_keys(study), contexts, Swallowing())
        assert [one.status async for one in got][-1] == 0
        moved = source.move(unique_keys(study), "THERE")
        assert [one.is_final async for one in moved][-1]
    await source.aclose()
    assert peer.open_now == 0


@pytest.mark.parametrize("error", [ConnectionLost("reset"), Stalled("silent")])
async def test_an_association_that_is_new_is_not_replaced(error: FetchError) -> None:
    peer = ScriptedPeer(STUDIES)
    peer.find_faults = [error]
    source = source_of(peer)
    with pytest.raises(type(error)):
        [one async for one in source.find(QueryLevel.STUDY, {Tags.STUDY_INSTANCE_UID: Key("UI")})]
    assert peer.asked == ["find STUDY"]
    await source.aclose()


@pytest.mark.parametrize(
    ("comes", "begun"), [pytest.param(1, False, id="told"), pytest.param(0, True, id="stored")]
)
async def test_what_has_begun_to_come_is_not_asked_for_again(comes: int, begun: bool) -> None:  # noqa: FBT001 -- a parameter
    peer = ScriptedPeer()
    pool = AssociationPool(peer)
    await used(pool, A)

    async def ask(_association: object) -> AsyncGenerator[int]:
        for number in range(comes):
            yield number
        raise ConnectionLost("reset")

    with pytest.raises(ConnectionLost):
        [one async for one in pool.perform([A], ask, has_begun=lambda: begun)]
    assert len(peer.established) == 1
    await pool.aclose()


class Hanging(ScriptedPeer):
    """A peer that never agrees to a release."""

    releases = 0

    @asynccontextmanager
    async def associate(self, proposal: Proposal) -> AsyncIterator[Any]:
        async with super().associate(proposal) as association:
            yield association
            self.releases += 1
            await asyncio.Event().wait()


async def test_who_does_not_agree_to_a_release_does_not_keep_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dimse_pool, "RELEASE_S", 0.1)
    peer = Hanging()
    pool = AssociationPool(peer)
    async with pool.association([A]), pool.association([B]), pool.association([C]):
        assert peer.open_now == 3
    async with asyncio.timeout(10):
        await pool.aclose()
    # All were asked at once, and left in the end.
    assert (peer.releases, peer.open_now, peer.aborted) == (3, 0, 3)


async def test_a_find_that_is_left_early_is_cancelled_and_its_association_kept() -> None:
    peer = ScriptedPeer([ct(number=n, series=n, study=n) for n in range(1, 4)])
    source = source_of(peer)
    async with aclosing(
        source.find(QueryLevel.STUDY, {Tags.STUDY_INSTANCE_UID: Key("UI")})
    ) as found:
        async for _ in found:
            break
    assert (peer.cancelled, peer.aborted) == (1, 0)
    await source.echo()
    await source.aclose()


async def test_an_echo_is_timed() -> None:
    peer = ScriptedPeer()
    source = source_of(peer)
    connected_s, answered_s = await source.echo()
    assert connected_s > 0
    assert answered_s > 0
    assert peer.established[0][0].abstract_syntax == VERIFICATION
    await source.aclose()


async def test_a_refused_query_is_an_error_and_keeps_the_association() -> None:
    peer = ScriptedPeer([ct()])
    peer.find_faults = [refuse(0xA700, is_transient=True)]
    source = source_of(peer)
    with pytest.raises(OperationFailed, match="A700"):
        [one async for one in source.find(QueryLevel.STUDY, {})]
    assert len([one async for one in source.find(QueryLevel.STUDY, {})]) == 1
    assert len(peer.established) == 1
    await source.aclose()


async def test_levels_and_models_are_checked_before_anything_is_sent() -> None:
    peer = ScriptedPeer()
    source = source_of(peer)
    with pytest.raises(ConfigError, match="no level PATIENT"):
        await anext(source.find(QueryLevel.PATIENT, {}))
    worklist = source_of(peer, model=MODALITY_WORKLIST)
    with pytest.raises(ConfigError, match="not retrieved"):
        await anext(worklist.move({}, "X"))
    assert peer.established == []
    assert (source_of(peer, model=PATIENT_ROOT).needs_patient, source.needs_patient) == (
        True,
        False,
    )
    assert source.options.model is STUDY_ROOT


@pytest.mark.parametrize(
    ("target", "level", "tags"),
    [
        pytest.param(Target(Resource.STUDY, Uid("1.2")), "STUDY", 1, id="a study"),
        pytest.param(Target(Resource.SERIES, Uid("1.2"), Uid("1.3")), "SERIES", 2, id="a series"),
        pytest.param(
            Target(Resource.INSTANCE, Uid("1.2"), Uid("1.3"), Uid("1.4")), "IMAGE", 3, id="instance"
        ),
    ],
)
def test_unique_keys_name_a_target_and_what_it_is_in(target: Target, level: str, tags: int) -> None:
    keys = unique_keys(target)
    assert keys.pop(Tags.QUERY_RETRIEVE_LEVEL) == Key("CS", level)
    assert [key.value for _, key in sorted(keys.items()) if key.vr == "UI"].count("1.2") == 1
    assert len(keys) == tags
    assert unique_keys(target, "P1")[Tags.PATIENT_ID] == Key("LO", "P1")
