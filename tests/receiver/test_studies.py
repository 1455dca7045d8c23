"""When a study is taken for complete."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.receiver import studies
from asyncdicom.receiver.associations import OpenAssociation
from asyncdicom.receiver.events import Caller, DuplicateFate, InstanceStored, StudyCompleted
from asyncdicom.receiver.settings import Duplicates
from asyncdicom.receiver.studies import StudyWatch
from tests.receiver.support import Told, rules, sending, serving, until
from tests.support.dicom import ct, uid

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


NUMBERS = itertools.count()


def stored(
    study: str | None, *, sender: str = "CT01", association: int = 1, **changes: Any
) -> InstanceStored:
    caller = Caller(association, "127.0.0.1:4711", sender, "STORE")
    instance = f"1.2.{next(NUMBERS)}"
    event = InstanceStored(caller, "a", "1.1", instance, study, "1.4", "1.5", 100, "00")
    return event._replace(**changes)


def watch(told: Told, idle_s: float = 0.02, open_one: OpenAssociation | None = None) -> StudyWatch:
    return StudyWatch(idle_s, told, lambda number: open_one if number == 1 else None)


async def test_a_study_is_told_once_when_it_is_idle() -> None:
    told = Told()
    watched = watch(told)
    for sender in ("CT01", "CT02", "CT01"):
        watched.note(stored("1.2.3", sender=sender))
    assert not told.events
    await told.until(StudyCompleted)
    assert told.events == [StudyCompleted("1.2.3", 3, 300, ("CT01", "CT02"))]
    assert len(watched) == 0


async def test_what_comes_later_begins_anew() -> None:
    told = Told()
    watched = watch(told)
    watched.note(stored("1.2.3"))
    await told.until(StudyCompleted)
    watched.note(stored("1.2.3"))
    events = await told.until(StudyCompleted, 2)
    assert [one.instances for one in events] == [1, 1]


async def test_each_instance_begins_the_time_again() -> None:
    told = Told()
    watched = watch(told, 60)
    watched.note(stored("1"))
    watched.note(stored("2"))
    watched.note(stored("1"))
    watched.close()
    assert [one.study_instance_uid for one in told.of(StudyCompleted)] == ["2", "1"]


async def test_a_study_waits_for_the_data_set_that_is_coming() -> None:
    told = Told()
    association = OpenAssociation(Caller(1, "127.0.0.1:4711", "CT01", "STORE"), 0.0, in_flight=1)
    watched = watch(told, 0.01, association)
    watched.note(stored("1.2.3"))
    watched.note(stored("9.9.9", association=2))
    (other,) = await told.until(StudyCompleted)
    assert other.study_instance_uid == "9.9.9"
    await asyncio.sleep(0.03)
    assert told.events == [other]
    association.in_flight = 0
    assert (await told.until(StudyCompleted, 2))[1].study_instance_uid == "1.2.3"


REPLACED: dict[str, Any] = {"fate": DuplicateFate.REPLACED}
BESIDE: dict[str, Any] = {"fate": DuplicateFate.KEPT_BESIDE}


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        pytest.param({"sop_instance_uid": "9", **REPLACED}, (1, 1, 40), id="replaced"),
        pytest.param({"sop_instance_uid": "9", **BESIDE}, (1, 0, 140), id="kept beside"),
        pytest.param({"sop_instance_uid": "8", **REPLACED}, (2, 1, 140), id="another from before"),
        pytest.param({"sop_instance_uid": "8"}, (2, 0, 140), id="another"),
    ],
)
async def test_instances_count_once_and_bytes_as_they_are_there(
    again: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    told = Told()
    watched = watch(told, 60)
    watched.note(stored("1", sop_instance_uid="9"))
    watched.note(stored("1", byte_count=40, **again))
    watched.close()
    (event,) = told.of(StudyCompleted)
    assert (event.instances, event.replaced, event.byte_count) == expected


async def test_beyond_the_bound_files_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "MAX_KNOWN_INSTANCES", 1)
    told = Told()
    watched = watch(told, 60)
    for number, changes in [(9, {}), (9, REPLACED), (8, {}), (8, REPLACED), (7, REPLACED)]:
        watched.note(stored("1", sop_instance_uid=str(number), **changes))
    watched.close()
    watched.note(stored("2", sop_instance_uid="7", **REPLACED))
    watched.close()
    counted = [(one.instances, one.replaced) for one in told.of(StudyCompleted)]
    assert counted == [(2, 3), (1, 1)]


async def test_at_the_end_the_open_ones_are_told_as_not_idle() -> None:
    told = Told()
    watched = watch(told, 60)
    watched.note(stored("1.2.3"))
    watched.close()
    assert told.events == [StudyCompleted("1.2.3", 1, 100, ("CT01",), is_idle=False)]


async def test_instances_without_a_study_are_no_study() -> None:
    watched = watch(Told())
    watched.note(stored(None))
    assert len(watched) == 0


async def test_studies_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "MAX_OPEN_STUDIES", 2)
    monkeypatch.setattr(studies, "MAX_SENDERS", 2)
    told = Told()
    watched = watch(told, 60)
    for sender in ("A", "B", "C"):
        watched.note(stored("1", sender=sender))
    watched.note(stored("2"))
    watched.note(stored("3"))
    assert told.events == [StudyCompleted("1", 3, 300, ("B", "C"), is_idle=False)]
    watched.close()


async def test_a_receiver_tells_of_its_studies(tmp_path: Path) -> None:
    async with serving(tmp_path, study_idle_s=0.02) as served:
        async with sending(served.port, calling_ae="CT01") as sender:
            for number in (1, 2, 4):
                assert await sender.store(ct(number=number)) == 0
            assert await sender.store(ct(number=3, study=2)) == 0
        completed = served.told.of
        await until(lambda: sum(one.instances for one in completed(StudyCompleted)) == 4)
        assert served.receiver.statistics().open_studies == 0
        counts = Counter[str]()
        for one in served.told.of(StudyCompleted):
            assert one.is_idle
            counts[one.study_instance_uid] += one.instances
    assert counts == {uid("study", 1): 3, uid("study", 2): 1}


async def test_who_sends_a_study_again_does_not_double_it(tmp_path: Path) -> None:
    async with serving(tmp_path, study_idle_s=60) as served, sending(served.port) as sender:
        for number in (1, 2, 1, 2, 3):
            assert await sender.store(ct(number=number)) == 0
    (event,) = served.told.of(StudyCompleted)
    assert (event.instances, event.replaced) == (3, 2)
    assert event.byte_count == sum(map(len, served.files().values()))
    assert str(event).endswith(": 3 instances (2 files replaced), complete (the receiver ends)")


async def test_copies_are_one_instance(tmp_path: Path) -> None:
    storing = rules(duplicates=Duplicates.KEEP_BOTH)
    async with (
        serving(tmp_path, study_idle_s=60, storing=storing) as served,
        sending(served.port) as sender,
    ):
        for _ in range(2):
            assert await sender.store(ct(number=1)) == 0
    (event,) = served.told.of(StudyCompleted)
    assert (event.instances, event.replaced) == (1, 0)
    assert event.byte_count == sum(map(len, served.files().values()))
