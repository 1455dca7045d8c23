"""Every case is fed whole, bytewise and cut at every offset; the verdict must be the same."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import AsyncDicomError, LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.part10_dataset import DataSetWalker
from asyncdicom.protocol.part10_vocabulary import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    Encoding,
    Part10Limits,
    Tags,
    watch_list,
)
from tests.support.chunking import cut, feedings
from tests.support.dicom import SEQUENCE_END, UNDEFINED, explicit, implicit, item

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict: TypeAlias = tuple[dict[int, bytes], dict[int, int], int | None] | tuple[str, str]

PATIENT_ID = 0x00100020
SEQUENCE = 0x00081140
COMMENT = 0x00104000
START = 10
"""Offset of the data set in the cases below, so that offsets are not mistaken for indices."""
SMALL = Part10Limits(max_value_bytes=8, max_nesting=3, max_zero_padding_bytes=16)


def verdict(
    chunks: Iterable[bytes], encoding: Encoding = EXPLICIT, limits: Part10Limits | None = None
) -> Verdict:
    walker = DataSetWalker(
        encoding, start=START, watch=watch_list((PATIENT_ID,)), limits=limits or SMALL
    )
    base = START
    try:
        for chunk in chunks:
            walker.receive_data(chunk, base)
            base += len(chunk)
        walker.receive_eof()
    except AsyncDicomError as error:
        return type(error).__name__, str(error)
    return walker.values, walker.lengths, walker.fragment_count


def walked(data: bytes, encoding: Encoding = EXPLICIT) -> Verdict:
    whole, *others = (verdict(chunks, encoding) for chunks in feedings(data))
    assert all(other == whole for other in others)
    return whole


def small(value: bytes = b"P1") -> bytes:
    return explicit(PATIENT_ID, "LO", value)


def small_implicit() -> bytes:
    return implicit(PATIENT_ID, b"P1")


SMALL_BIG = explicit(PATIENT_ID, "LO", b"P1", order=">")
END_BIG = implicit(0xFFFEE0DD, order=">")
PIXELS = Tags.PIXEL_DATA
FOUND: Verdict = ({PATIENT_ID: b"P1"}, {}, None)
FRAGMENTS = implicit(0xFFFEE000) + implicit(0xFFFEE000, b"1234") * 2 + SEQUENCE_END


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        pytest.param(small(), EXPLICIT, id="one element"),
        pytest.param(SMALL_BIG, BIG_ENDIAN, id="big endian"),
        pytest.param(small_implicit(), IMPLICIT, id="implicit"),
        pytest.param(
            small() + explicit(SEQUENCE, "SQ", item(small(b"other"))),
            EXPLICIT,
            id="only the top level is collected",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(small()) * 2) + small(),
            EXPLICIT,
            id="after a sequence the top level is watched again",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(small(), length=UNDEFINED) + SEQUENCE_END,
                     length=UNDEFINED) + small(),
            EXPLICIT,
            id="sequence and item of undefined length",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(small(), length=UNDEFINED)) + small(),
            EXPLICIT,
            id="item of undefined length in a sequence of defined length",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(small()) + SEQUENCE_END, length=UNDEFINED) + small(),
            EXPLICIT,
            id="item of defined length in a sequence of undefined length",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(SMALL_BIG, length=UNDEFINED, order=">") + END_BIG,
                     length=UNDEFINED, order=">") + SMALL_BIG,
            BIG_ENDIAN,
            id="big endian sequence",
        ),
        pytest.param(
            implicit(SEQUENCE, item(small_implicit(), length=UNDEFINED) + SEQUENCE_END,
                     length=UNDEFINED) + small_implicit(),
            IMPLICIT,
            id="implicit sequence of undefined length",
        ),
        pytest.param(
            implicit(SEQUENCE, b"\1" * 9) + small_implicit(),
            IMPLICIT,
            id="implicit sequence of defined length is opaque",
        ),
        pytest.param(
            explicit(0x00091010, "UN", item(small_implicit()) + SEQUENCE_END,
                     length=UNDEFINED) + small(),
            EXPLICIT,
            id="UN of undefined length is implicit inside",
        ),
        pytest.param(
            explicit(0x00091010, "UN", item(small_implicit()) + SEQUENCE_END,
                     length=UNDEFINED, order=">") + SMALL_BIG,
            BIG_ENDIAN,
            id="UN of undefined length is little endian in big endian",
        ),
        pytest.param(explicit(0x00091010, "UN", b"\xff" * 30) + small(), EXPLICIT,
                     id="UN of defined length is opaque"),
        pytest.param(explicit(0x00091010, "ZZ", b"") + b"\3\0\0\0abc" + small(), EXPLICIT,
                     id="an unknown VR has a 32-bit length"),
        pytest.param(explicit(COMMENT, "LT", b"odd") + small(), EXPLICIT, id="odd length"),
        pytest.param(small() + explicit(0x00080060, "CS", b"CT"), EXPLICIT, id="out of order"),
        pytest.param(explicit(SEQUENCE, "SQ") + small(), EXPLICIT, id="empty sequence"),
        pytest.param(explicit(SEQUENCE, "SQ", item()) + small(), EXPLICIT, id="empty item"),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(small_implicit() * 2)) + small(),
            EXPLICIT,
            id="an item in implicit VR among explicit ones",
        ),
        pytest.param(small_implicit(), EXPLICIT, id="implicit where explicit was announced"),
        pytest.param(small() + bytes(2), EXPLICIT, id="two zeros behind"),
        pytest.param(small() + bytes(16), EXPLICIT, id="zeros behind up to the limit"),
        pytest.param(small_implicit() + bytes(9), IMPLICIT, id="zeros behind implicit"),
        pytest.param(SMALL_BIG + bytes(3), BIG_ENDIAN, id="zeros behind big endian"),
        pytest.param(small() + explicit(0xFFFCFFFC, "OB", bytes(30)), EXPLICIT,
                     id="data set trailing padding"),
        pytest.param(explicit(SEQUENCE, "SQ", item(implicit(0, b"")), length=None) + small(),
                     EXPLICIT, id="group 0000 in an implicit item is an element"),
    ],
)  # fmt: skip
def test_a_whole_data_set_is_whole_however_it_is_cut(data: bytes, encoding: Encoding) -> None:
    assert walked(data, encoding) == FOUND


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(explicit(PIXELS, "OW", b"1234"), ({}, {PIXELS: 4}, None), id="native"),
        pytest.param(
            explicit(PIXELS, "OB", FRAGMENTS, length=UNDEFINED),
            ({}, {PIXELS: UNDEFINED}, 2),
            id="fragments are counted without the offset table",
        ),
        pytest.param(
            explicit(PIXELS, "UN", FRAGMENTS, length=UNDEFINED),
            ({}, {PIXELS: UNDEFINED}, 2),
            id="pixel data is no sequence, whatever its VR",
        ),
        pytest.param(
            explicit(0x00091010, "OB", FRAGMENTS, length=UNDEFINED),
            ({}, {}, None),
            id="fragments elsewhere are not counted",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(explicit(PIXELS, "OB", FRAGMENTS, length=UNDEFINED))),
            ({}, {}, None),
            id="an icon is not the pixel data",
        ),
        pytest.param(
            explicit(PIXELS, "OB", FRAGMENTS, length=UNDEFINED) + b"\0",
            ({}, {PIXELS: UNDEFINED}, 2),
            id="one zero behind pixel data",
        ),
        pytest.param(
            small(b"123456789") + explicit(0x00080060, "CS", b"CT"),
            ({PATIENT_ID: b"12345678"}, {}, None),
            id="a value is kept up to the limit",
        ),
        pytest.param(
            explicit(Tags.CONTENT_SEQUENCE, "SQ", SEQUENCE_END, length=UNDEFINED),
            ({}, {Tags.CONTENT_SEQUENCE: UNDEFINED}, None),
            id="presence of a sequence",
        ),
        pytest.param(
            explicit(PATIENT_ID, "UT", b"123456789"),
            ({PATIENT_ID: b"12345678"}, {}, None),
            id="a watched value with a 32-bit length",
        ),
    ],
)
def test_watched_elements_are_noted(data: bytes, expected: Verdict) -> None:
    assert walked(data) == expected


def test_fragments_of_implicit_pixel_data_are_no_elements() -> None:
    data = implicit(PIXELS, FRAGMENTS, length=UNDEFINED)
    assert walked(data, IMPLICIT) == ({}, {PIXELS: UNDEFINED}, 2)


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        pytest.param(
            explicit(SEQUENCE, "SQ", item(explicit(COMMENT, "LT", b"", length=5), length=10)
                     + small()),
            EXPLICIT, "a length passes the end of its item or sequence at byte 30",
            id="a short element passes the end of its item",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(explicit(COMMENT, "UT", b"", length=5))) + small(),
            EXPLICIT, "a length passes the end of its item or sequence at byte 30",
            id="a long element passes the end of its item",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(length=None, value=implicit(COMMENT, b"", length=9)))
            + small() + small(),
            EXPLICIT, "a length passes the end of its item or sequence at byte 30",
            id="an implicit element passes the end of its item",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", implicit(Tags.ITEM, b"", length=30)) + small() * 4,
            EXPLICIT, "a length passes the end of its item or sequence at byte 22",
            id="an item passes the end of its sequence",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", b"\xfe\xff\0\xe0") + small() * 4,
            EXPLICIT, "a length passes the end of its item or sequence at byte 22",
            id="the header of an item passes the end of its sequence",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", b"\xfe\xff\0\xe0") + b"\xff\xff\xff\xff" + small() * 4,
            EXPLICIT, "a length passes the end of its item or sequence at byte 22",
            id="the header of an open item passes the end of its sequence",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(b"\x10\0\x20\0")) + b"LO\0\0" + small() * 3,
            EXPLICIT, "a length passes the end of its item or sequence at byte 30",
            id="the header of an element passes the end of its item",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(explicit(SEQUENCE, "SQ", b"", length=1))) + small(),
            EXPLICIT, "a length passes the end of its item or sequence at byte 30",
            id="a sequence passes the end of its item",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", implicit(Tags.ITEM, length=UNDEFINED) + b"\xfe\xff\x0d\xe0")
            + bytes(4) + small() * 3,
            EXPLICIT, "a length passes the end of its item or sequence at byte 30",
            id="the delimiter of an item passes the end of its sequence",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(explicit(SEQUENCE, "SQ", b"\xfe\xff\xdd\xe0",
                                                   length=UNDEFINED))) + bytes(4) + small() * 3,
            EXPLICIT, "a sequence holds something else than items at byte 42",
            id="the delimiter of a sequence passes the end of its item",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(explicit(PIXELS, "OB", implicit(Tags.ITEM, length=9),
                                                   length=UNDEFINED))) + small() * 3,
            EXPLICIT, "a length passes the end of its item or sequence at byte 42",
            id="a fragment passes the end of its item",
        ),
        pytest.param(
            explicit(PIXELS, "OB", implicit(Tags.ITEM, length=UNDEFINED), length=UNDEFINED),
            EXPLICIT, "a length passes the end of its item or sequence at byte 22",
            id="a fragment of undefined length",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(explicit(SEQUENCE, "SQ", item(), length=UNDEFINED)))
            + small(),
            EXPLICIT,
            "a sequence or item is not closed inside of its enclosing one at byte 50",
            id="a sequence without delimiter in an item of defined length",
        ),
        pytest.param(
            explicit(PIXELS, "OB", small(), length=UNDEFINED), EXPLICIT,
            "a sequence holds something else than items at byte 22",
            id="an element where a fragment belongs",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", small()), EXPLICIT,
            "a sequence holds something else than items at byte 22",
            id="an element where an item belongs",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", SEQUENCE_END), EXPLICIT,
            "a sequence holds something else than items at byte 22",
            id="a delimiter in a sequence of defined length",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", implicit(0xFFFEE0DD, length=8), length=UNDEFINED) + small(),
            EXPLICIT, "a sequence holds something else than items at byte 22",
            id="a sequence delimiter with a length",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(implicit(Tags.ITEM_DELIMITATION))), EXPLICIT,
            "a delimiter or zeros stand in between at byte 30",
            id="an item delimiter in an item of defined length",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", implicit(Tags.ITEM, implicit(
                Tags.ITEM_DELIMITATION, length=2), length=UNDEFINED), length=UNDEFINED) + small(),
            EXPLICIT, "a delimiter or zeros stand in between at byte 30",
            id="an item delimiter with a length",
        ),
        pytest.param(
            small() + implicit(Tags.ITEM_DELIMITATION), EXPLICIT,
            "a delimiter or zeros stand in between at byte 20",
            id="an item delimiter at the top level",
        ),
        pytest.param(
            implicit(Tags.ITEM_DELIMITATION), IMPLICIT,
            "a delimiter or zeros stand in between at byte 10",
            id="an item delimiter at the implicit top level",
        ),
        pytest.param(
            implicit(Tags.ITEM, b"x"), IMPLICIT, "(FFFE,E000) does not belong here at byte 10",
            id="an item at the top level",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(explicit(Tags.ITEM, "LO", b"x"))), EXPLICIT,
            "(FFFE,E000) does not belong here at byte 30", id="an item tag with a VR",
        ),
        pytest.param(
            explicit(0x00020010, "UI", b"1.2"), EXPLICIT,
            "(0002,0010) does not belong here at byte 10",
            id="file meta in the data set",
        ),
        pytest.param(small() + small(), EXPLICIT, "(0010,0020) occurs twice at byte 20",
                     id="an identity twice"),
        pytest.param(
            explicit(PIXELS, "OW", b"12") * 2, EXPLICIT, "(7FE0,0010) occurs twice at byte 24",
            id="pixel data twice",
        ),
        pytest.param(small() + b"garbage!", EXPLICIT, "no VR stands where one belongs at byte 20",
                     id="garbage behind"),
        pytest.param(
            SMALL_BIG[:4] + b"?!" + SMALL_BIG[6:], BIG_ENDIAN,
            "no VR stands where one belongs at byte 10", id="no VR in big endian",
        ),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(small_implicit() + small())) + b"garbage!", EXPLICIT,
            "a length passes the end of its item or sequence at byte 40",
            id="an implicit item stays implicit",
        ),
        pytest.param(
            explicit(COMMENT, "UT", b"", length=UNDEFINED), EXPLICIT,
            "a value of undefined length is no sequence at byte 10",
            id="text of undefined length",
        ),
        pytest.param(small() + bytes(9) + b"\1" + bytes(9), EXPLICIT,
                     "other bytes follow the data set at byte 29", id="no zero among the zeros"),
        pytest.param(small() + bytes(17), EXPLICIT,
                     "other bytes follow the data set at byte 36", id="too many zeros"),
        pytest.param(small() + bytes(16) + b"\1", EXPLICIT,
                     "other bytes follow the data set at byte 36",
                     id="no zero behind as many zeros as may be"),
        pytest.param(
            small() + bytes(4) + b"UN\1\1" + bytes(8), EXPLICIT,
            "a delimiter or zeros stand in between at byte 20", id="group 0000 behind",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_structure_is_refused(data: bytes, encoding: Encoding, message: str) -> None:
    assert walked(data, encoding) == (ProtocolError.__name__, message)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        pytest.param(small()[:-1], EXPLICIT, id="inside of a value"),
        pytest.param(small()[:7], EXPLICIT, id="inside of a header"),
        pytest.param(explicit(COMMENT, "UT", b"x")[:11], EXPLICIT, id="inside of a long header"),
        pytest.param(explicit(COMMENT, "LT", b"x", length=999), EXPLICIT, id="value not there"),
        pytest.param(small_implicit()[:-1], IMPLICIT, id="inside of an implicit value"),
        pytest.param(explicit(SEQUENCE, "SQ", length=8), EXPLICIT, id="sequence not there"),
        pytest.param(explicit(SEQUENCE, "SQ", length=UNDEFINED), EXPLICIT, id="not closed"),
        pytest.param(
            explicit(SEQUENCE, "SQ", item(), length=UNDEFINED), EXPLICIT, id="behind an item"
        ),
        pytest.param(
            explicit(PIXELS, "OB", FRAGMENTS[:-8], length=UNDEFINED), EXPLICIT, id="fragments"
        ),
        pytest.param(small() + b"\0", EXPLICIT, id="one zero without pixel data"),
        pytest.param(small() + b"\0\1", EXPLICIT, id="two bytes that are no zeros"),
        pytest.param(
            explicit(PIXELS, "OB", implicit(Tags.ITEM) + b"\0\0", length=UNDEFINED),
            EXPLICIT,
            id="zeros inside of a sequence",
        ),
    ],
)
def test_a_cut_is_noticed(data: bytes, encoding: Encoding) -> None:
    name, message = walked(data, encoding)[:2]
    assert name == Truncated.__name__
    assert str(message).endswith(f"at byte {START + len(data)}")


def test_nesting_up_to_the_limit_passes_and_beyond_is_refused() -> None:
    data = small()
    for _ in range(SMALL.max_nesting):
        data = explicit(SEQUENCE, "SQ", item(data))
    assert walked(data) == ({}, {}, None)
    name, message = walked(explicit(SEQUENCE, "SQ", item(data)))[:2]
    assert name == LimitExceeded.__name__
    assert str(message).startswith("sequences are nested more than 3 deep")


def test_ten_thousand_levels_are_refused_at_the_sixty_fifth() -> None:
    opening = explicit(SEQUENCE, "SQ", implicit(Tags.ITEM, length=UNDEFINED), length=UNDEFINED)
    name, message = verdict([opening * 10_000], limits=Part10Limits())[:2]
    assert name == LimitExceeded.__name__
    assert str(message).endswith(f"at byte {START + 64 * len(opening)}")


def test_values_are_copies() -> None:
    walker = DataSetWalker(EXPLICIT, start=0, watch=watch_list((PATIENT_ID,)), limits=SMALL)
    walker.receive_data(memoryview(bytearray(small())), 0)
    assert type(walker.values[PATIENT_ID]) is bytes


def test_four_gib_are_skipped_without_their_bytes() -> None:
    walker = DataSetWalker(EXPLICIT, start=0, watch=watch_list(()), limits=SMALL)
    head = explicit(COMMENT, "UT", length=UNDEFINED - 1)
    walker.receive_data(head, 0)
    walker.receive_data(small(), len(head) + UNDEFINED - 1)
    walker.receive_eof()
    assert not walker.values


@given(
    places=st.lists(st.integers(0, 400)),
    crumbs=st.lists(
        st.sampled_from(
            (
                small(),
                explicit(SEQUENCE, "SQ", length=UNDEFINED),
                explicit(SEQUENCE, "SQ", length=20),
                explicit(0x00091010, "UN", length=UNDEFINED),
                explicit(PIXELS, "OB", length=UNDEFINED),
                implicit(Tags.ITEM, length=UNDEFINED),
                implicit(Tags.ITEM, length=12),
                implicit(Tags.ITEM_DELIMITATION),
                SEQUENCE_END,
                small_implicit(),
                bytes(5),
                b"\xff",
            )
        ),
        max_size=20,
    ),
    encoding=st.sampled_from((EXPLICIT, IMPLICIT, BIG_ENDIAN)),
)
def test_no_verdict_depends_on_the_cuts(
    places: list[int], crumbs: list[bytes], encoding: Encoding
) -> None:
    data = b"".join(crumbs)
    edges = sorted(min(place, len(data)) for place in places)
    assert all(a <= b for a, b in pairwise(edges))
    assert verdict(cut(data, edges), encoding) == verdict([data], encoding)
