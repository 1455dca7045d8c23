"""The list that everything received is counted against."""

from __future__ import annotations

import pytest

from asyncdicom.jobs.expectation import Expectation
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.granularity import UNKNOWN_INSTANCE_BYTES, SeriesSize
from asyncdicom.protocol.cod.metadata import CodInstance, OwnUids

STUDY, A, B = Uid("1"), Uid("1.1"), Uid("1.2")
A1, A2, B1 = Uid("1.1.1"), Uid("1.1.2"), Uid("1.2.1")


@pytest.fixture
def study() -> Expectation:
    study = Expectation(STUDY)
    study.expect(A1, A, byte_count=100)
    study.expect(A2, A, byte_count=200)
    study.expect(B1, B)
    return study


def test_a_second_mention_changes_nothing(study: Expectation) -> None:
    study.expect(A1, B, byte_count=9000)
    assert len(study) == 3
    assert study.byte_count == 300 + UNKNOWN_INSTANCE_BYTES
    assert A1 in study
    assert Uid("9") not in study
    assert (study.series_of(A1), study.series_of(Uid("9"))) == (A, None)


def test_series_are_told_with_their_sizes(study: Expectation) -> None:
    assert study.series() == [SeriesSize(A, 2, 300), SeriesSize(B, 1, UNKNOWN_INSTANCE_BYTES)]


@pytest.mark.parametrize(
    ("target", "missing"),
    [
        pytest.param(Target(Resource.STUDY, STUDY), [(A, A2), (B, B1)], id="of the study"),
        pytest.param(Target(Resource.SERIES, STUDY, A), [(A, A2)], id="of a series"),
        pytest.param(Target(Resource.SERIES, STUDY, Uid("9")), [], id="of an unknown series"),
        pytest.param(Target(Resource.INSTANCE, STUDY, B, B1), [(B, B1)], id="an instance"),
        pytest.param(Target(Resource.INSTANCE, STUDY, A, A1), [], id="an instance that is there"),
    ],
)
def test_what_is_not_settled_is_missing(
    study: Expectation, target: Target, missing: list[tuple[Uid, Uid]]
) -> None:
    study.settled.add(A1)
    assert study.missing(target) == missing


@pytest.mark.parametrize(("counted", "unlisted"), [(None, 0), (2, 0), (3, 0), (5, 2)])
def test_what_is_counted_beyond_the_list_is_unlisted(
    study: Expectation, counted: int | None, unlisted: int
) -> None:
    study.counted = counted
    assert study.unlisted == unlisted


def test_another_look_adds_what_the_first_one_lacks(study: Expectation) -> None:
    other = Expectation(STUDY)
    other.expect(A1, A, byte_count=7)
    other.expect(Uid("1.2.2"), B, byte_count=50)
    study.absorb(other)
    assert len(study) == 4
    assert study.byte_count == 350 + UNKNOWN_INSTANCE_BYTES


def test_places_come_along_and_say_what_the_file_says(study: Expectation) -> None:
    other = Expectation(STUDY)
    other.expect(A1, A)
    own = OwnUids(Uid("9.9"), None, None)
    other.places[A1] = CodInstance(A1, 1536, 100, b"1234", own)
    other.places[A2] = CodInstance(A2, 4096, 100, None, OwnUids(None, None, None))
    study.absorb(other)
    assert [study.own_uid_of(uid) for uid in (A1, A2, B1)] == [Uid("9.9"), A2, B1]
    assert study.proof_of(A1) == {"byte_count": 100, "crc32c": b"1234"}
    assert study.proof_of(B1) == {}


def test_the_instances_of_a_series_come_in_their_order(study: Expectation) -> None:
    assert list(study.instances_of(A)) == [A1, A2]
    assert list(study.instances_of(Uid("9"))) == []


def test_what_came_on_trust_is_compared_with_the_list() -> None:
    study = Expectation(STUDY, counted=2, is_listed=False)
    assert study.trusts(A1, A)
    assert study.trusts(A2, A)
    assert not study.trusts(B1, B), "there are more than the server counts"
    study.expect(A1, A)
    study.expect(B1, B)
    assert study.end_list() == [(A, A2)]
    assert study.is_listed
    assert not study.trusts(A2, A)
    assert study.end_list() == []
