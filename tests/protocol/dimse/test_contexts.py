"""One context per transfer syntax, a class in one association, likely ones first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.ports import dimse as port
from asyncdicom.protocol.dimse.contexts import (
    MAX_CONTEXTS,
    PresentationContext,
    storage_proposals,
)
from asyncdicom.protocol.dimse.sop_classes import (
    COMMON_TRANSFER_SYNTAXES,
    DEFLATED,
    LIKELY_STORAGE_CLASSES,
    LOSSLESS,
    UNCOMPRESSED,
    is_image_class,
)

STORAGE = "1.2.840.10008.5.1.4.1.1"
CT, MR, SC, REPORT = (f"{STORAGE}.{suffix}" for suffix in ("2", "4", "7", "88.22"))
PRIVATE = "2.999.9.1"


def classes_of(proposal: tuple[PresentationContext, ...]) -> list[str]:
    return list(dict.fromkeys(context.abstract_syntax for context in proposal))


def syntaxes_of(proposal: tuple[PresentationContext, ...], sop_class: str) -> list[str]:
    return [c.transfer_syntaxes[0] for c in proposal if c.abstract_syntax == sop_class]


def test_the_port_offers_the_same_class() -> None:
    assert port.PresentationContext is PresentationContext


def test_each_context_has_one_transfer_syntax_and_our_role() -> None:
    (proposal,) = storage_proposals([CT, PRIVATE], COMMON_TRANSFER_SYNTAXES)
    assert {len(context.transfer_syntaxes) for context in proposal} == {1}
    assert all(context.is_scp for context in proposal)
    assert syntaxes_of(proposal, CT) == list(COMMON_TRANSFER_SYNTAXES)
    assert syntaxes_of(proposal, PRIVATE) == list(COMMON_TRANSFER_SYNTAXES)


def test_the_order_is_that_of_counts_then_of_likelihood() -> None:
    asked = [PRIVATE, REPORT, SC, MR, CT]
    (by_likelihood,) = storage_proposals(asked, UNCOMPRESSED)
    assert classes_of(by_likelihood) == [CT, MR, SC, REPORT, PRIVATE]
    (by_counts,) = storage_proposals(asked, UNCOMPRESSED, counts={PRIVATE: 900, SC: 2})
    assert classes_of(by_counts) == [PRIVATE, SC, CT, MR, REPORT]


def test_what_is_asked_for_twice_is_proposed_once() -> None:
    (proposal,) = storage_proposals([CT, CT], [*UNCOMPRESSED, *UNCOMPRESSED])
    assert [c.transfer_syntaxes for c in proposal] == [(one,) for one in UNCOMPRESSED]


def test_no_compression_is_proposed_for_what_has_no_pixels() -> None:
    wanted = [*LOSSLESS, *UNCOMPRESSED, DEFLATED, "2.999.7"]
    (proposal,) = storage_proposals([CT, REPORT], wanted)
    assert syntaxes_of(proposal, CT) == wanted
    assert syntaxes_of(proposal, REPORT) == [*UNCOMPRESSED, DEFLATED, "2.999.7"]


def test_unless_nothing_else_is_wanted_or_everything_is_tried() -> None:
    (proposal,) = storage_proposals([REPORT], LOSSLESS[:1])
    assert syntaxes_of(proposal, REPORT) == [LOSSLESS[0]]
    wanted = [*UNCOMPRESSED, *LOSSLESS]
    (proposal,) = storage_proposals([REPORT], wanted, is_thorough=True)
    assert syntaxes_of(proposal, REPORT) == wanted


def test_what_one_association_does_not_hold_goes_to_another() -> None:
    wanted = [f"2.999.7.{number}" for number in range(50)]
    first, second = storage_proposals([CT, MR, SC], wanted)
    assert classes_of(first) == [CT, MR]
    assert classes_of(second) == [SC]


def test_what_just_fits_stays_in_one_association() -> None:
    wanted = [f"2.999.7.{number}" for number in range(64)]
    (proposal,) = storage_proposals([CT, MR], wanted, reserved=0)
    assert len(proposal) == MAX_CONTEXTS


def test_small_groups_fill_the_room_that_is_left() -> None:
    wanted = [*UNCOMPRESSED, *LOSSLESS, *(f"1.2.840.10008.1.2.4.{n}" for n in range(50, 94))]
    first, second = storage_proposals([CT, MR, SC, REPORT], wanted)
    assert REPORT in classes_of(first)
    assert REPORT not in classes_of(second)


def test_one_class_with_more_than_fits_is_split() -> None:
    wanted = [f"2.999.7.{number}" for number in range(300)]
    proposals = storage_proposals([CT], wanted)
    assert [len(proposal) for proposal in proposals] == [127, 127, 46]
    assert [one for proposal in proposals for one in syntaxes_of(proposal, CT)] == wanted


def test_where_nothing_is_known_likely_classes_are_tried() -> None:
    proposals = storage_proposals([], UNCOMPRESSED)
    classes = [one for proposal in proposals for one in classes_of(proposal)]
    assert classes == list(LIKELY_STORAGE_CLASSES)
    assert len(proposals) == 2


def test_nothing_wanted_is_nothing_proposed() -> None:
    assert storage_proposals([CT], []) == []


@pytest.mark.parametrize("reserved", [0, 1, 2, 127])
@given(
    classes=st.sets(st.sampled_from([*LIKELY_STORAGE_CLASSES, PRIVATE, "2.999.9.2"]), min_size=1),
    syntaxes=st.lists(st.integers(0, 300).map(lambda n: f"2.999.7.{n}"), unique=True, max_size=60),
)
def test_all_is_proposed_once_and_nothing_beyond_the_room(
    reserved: int, classes: set[str], syntaxes: list[str]
) -> None:
    wanted = [*UNCOMPRESSED, *LOSSLESS, *syntaxes]
    proposals = storage_proposals(sorted(classes), wanted, reserved=reserved)
    assert all(1 <= len(proposal) <= MAX_CONTEXTS - reserved for proposal in proposals)
    pairs = [(c.abstract_syntax, c.transfer_syntaxes[0]) for p in proposals for c in p]
    assert len(set(pairs)) == len(pairs)
    assert {one for one, _ in pairs} == classes
    for sop_class in classes:
        offered = {syntax for one, syntax in pairs if one == sop_class}
        compressed = offered & set(LOSSLESS)
        assert offered - compressed == {*UNCOMPRESSED, *syntaxes}
        assert compressed == (set(LOSSLESS) if is_image_class(sop_class) else set())
        if len(offered) <= MAX_CONTEXTS - reserved:
            assert sum(sop_class in classes_of(proposal) for proposal in proposals) == 1
