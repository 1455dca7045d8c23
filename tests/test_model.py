"""UIDs, targets and outcomes: what is validated, what is shown, what stays as it is."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import InvalidUid, NotFound
from asyncdicom.model import (
    Failed,
    Resource,
    SearchTarget,
    Skipped,
    Stored,
    Target,
    Uid,
    is_uid,
    parse_uid,
)

STUDY, SERIES, INSTANCE = Uid("1.2"), Uid("1.2.3"), Uid("1.2.3.4")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("1.2.840.10008.1.1", True, id="an ordinary UID"),
        pytest.param("0", True, id="one digit"),
        pytest.param("1" * 64, True, id="64 characters"),
        pytest.param("1" * 65, False, id="65 characters"),
        pytest.param("1.02", True, id="a leading zero, which archives hold"),
        pytest.param("", False, id="empty"),
        pytest.param("1..2", False, id="an empty component"),
        pytest.param(".1", False, id="a dot in front"),
        pytest.param("1.", False, id="a dot behind"),
        pytest.param("..", False, id="the folder above"),
        pytest.param("1.2/3", False, id="a separator"),
        pytest.param("1.2\n", False, id="a line end"),
        pytest.param("\u0661.\u0662", False, id="digits of another script"),
    ],
)
def test_a_uid_is_digits_and_dots(text: str, *, expected: bool) -> None:
    assert is_uid(text) is expected


@pytest.mark.parametrize("padded", ["1.2\0", " 1.2", "1.2 \0", "\t1.2\r\n"], ids=repr)
def test_padding_is_no_part_of_a_uid(padded: str) -> None:
    assert parse_uid(padded) == "1.2"


@given(st.text())
def test_any_text_is_either_a_uid_or_refused(text: str) -> None:
    try:
        uid = parse_uid(text)
    except InvalidUid:
        return
    assert is_uid(uid)
    assert uid in text


def test_a_refusal_shows_what_was_given() -> None:
    with pytest.raises(InvalidUid, match=r"not a UID: 'abc'; a UID is digits and dots"):
        parse_uid("abc")


def test_a_refusal_stays_short() -> None:
    with pytest.raises(InvalidUid) as caught:
        parse_uid("x" * 10_000)
    assert "x" * 61 + "...'" in str(caught.value)
    assert len(str(caught.value)) < 140


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        pytest.param(Target(Resource.STUDY, STUDY), "study 1.2", id="a study"),
        pytest.param(Target(Resource.SERIES, STUDY, SERIES), "series 1.2 1.2.3", id="a series"),
        pytest.param(
            Target(Resource.FRAME, STUDY, SERIES, INSTANCE, 7),
            "frame 1.2 1.2.3 1.2.3.4 frame 7",
            id="a frame",
        ),
        pytest.param(
            Target(Resource.METADATA, STUDY, SERIES),
            "metadata 1.2 1.2.3",
            id="metadata",
        ),
    ],
)
def test_a_target_is_told_in_one_line(target: Target, shown: str) -> None:
    assert str(target) == shown


def test_a_search_is_told_without_what_was_searched_for() -> None:
    search = SearchTarget("/studies")
    assert (str(search), search.resource) == ("search /studies", Resource.SEARCH)


def test_equal_targets_are_one_task() -> None:
    assert len({Target(Resource.STUDY, STUDY), Target(Resource.STUDY, Uid("1.2"))}) == 1


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Stored(Target(Resource.STUDY, STUDY), "a", 1, "00"), id="stored"),
        pytest.param(Skipped(Target(Resource.STUDY, STUDY), "a", 1, "00"), id="skipped"),
        pytest.param(
            Failed(Target(Resource.STUDY, STUDY), NotFound("gone", status_code=404)), id="failed"
        ),
    ],
)
def test_an_outcome_does_not_change(outcome: Stored | Skipped | Failed) -> None:
    with pytest.raises(FrozenInstanceError):
        outcome.target = Target(Resource.STUDY, SERIES)  # type: ignore[misc]  # -- the test
