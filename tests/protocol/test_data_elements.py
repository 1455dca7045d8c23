"""Elements read from bytes at rest: what is found, where, and what is refused."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import FetchError, LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol import data_elements
from asyncdicom.protocol.data_elements import (
    ElementFound,
    ElementReader,
    FragmentsFound,
    ItemBegan,
    SequenceBegan,
    SequenceEnded,
    SourceBytes,
)
from asyncdicom.protocol.part10_vocabulary import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    Part10Limits,
    encoding_of,
)
from asyncdicom.storage.data_dictionary import vr_of
from tests.support import dicom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.data_elements import Event
    from asyncdicom.protocol.part10_vocabulary import Encoding

OPEN = 0xFFFFFFFF


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Return an element in Explicit VR Little Endian."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in ("OB", "OW", "SQ", "UN", "UT"):
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def item(content: bytes, byte_count: int | None = None) -> bytes:
    return (
        struct.pack("<HHI", 0xFFFE, 0xE000, len(content) if byte_count is None else byte_count)
        + content
    )


def delimiter(number: int) -> bytes:
    return struct.pack("<HHI", 0xFFFE, number, 0)


ITEM_END, SEQUENCE_END = delimiter(0xE00D), delimiter(0xE0DD)


def open_sequence(tag: int, content: bytes, vr: str = "SQ") -> bytes:
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode(), 0, OPEN) + content


LONG = element(0x00081140, "SQ", item(element(0x00081150, "UI", b"1.2\0")))


def read(
    content: bytes, encoding: Encoding = EXPLICIT, *, start: int = 0, **settings: Any
) -> list[Event]:
    return list(
        ElementReader(SourceBytes(content), encoding, vr_of=vr_of, **settings).events(start)
    )


def flattened(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield depth and tag as pydicom reads them from a Part 10 file."""

    def walk(dataset: pydicom.Dataset, depth: int) -> Iterator[tuple[int, int]]:
        for one in dataset:
            yield depth, int(one.tag)
            if one.VR == "SQ":
                for inner in one.value:
                    yield from walk(inner, depth + 1)

    yield from walk(pydicom.dcmread(io.BytesIO(content)), 0)


@pytest.mark.parametrize("name", [name for name in dicom.samples() if name != "deflated"])
def test_elements_are_those_that_pydicom_reads(name: str) -> None:
    content = dicom.samples()[name]
    syntax = pydicom.dcmread(io.BytesIO(content)).file_meta.TransferSyntaxUID
    events = read(content, encoding_of(syntax), start=dicom.data_set_offset(content))
    found = [
        (event.depth, event.tag)
        for event in events
        if isinstance(event, ElementFound | SequenceBegan | FragmentsFound)
    ]
    assert found == list(flattened(content))


def test_a_value_is_a_place() -> None:
    content = element(0x00100020, "LO", b"P-42") + element(0x7FE00010, "OW", bytes(6))
    assert read(content) == [
        ElementFound(0, 0x00100020, "LO", 8, 4, EXPLICIT),
        ElementFound(0, 0x7FE00010, "OW", 24, 6, EXPLICIT),
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            element(0x00081140, "SQ", item(element(0x00081150, "UI", b"1.2\0"))), id="defined"
        ),
        pytest.param(
            open_sequence(
                0x00081140,
                item(element(0x00081150, "UI", b"1.2\0") + ITEM_END, OPEN) + SEQUENCE_END,
            ),
            id="undefined",
        ),
        pytest.param(
            open_sequence(0x00081140, item(element(0x00081150, "UI", b"1.2\0")) + SEQUENCE_END),
            id="an item of defined length in an open sequence",
        ),
    ],
)
def test_sequences_are_entered(content: bytes) -> None:
    after = element(0x00100020, "LO", b"P1")
    assert read(content + after) == [
        SequenceBegan(0, 0x00081140),
        ItemBegan(0, 12),
        ElementFound(1, 0x00081150, "UI", 28, 4, EXPLICIT),
        SequenceEnded(0, 0x00081140, 1),
        ElementFound(0, 0x00100020, "LO", len(content) + 8, 2, EXPLICIT),
    ]


def test_only_what_is_wanted_is_handed_out() -> None:
    content = (
        element(0x00080060, "CS", b"CT")
        + LONG
        + open_sequence(0x00082112, item(LONG) + SEQUENCE_END)
        + element(0x00100020, "LO", b"P1")
        + b"\xff" * 20
    )
    found = read(content, wanted=frozenset([0x00080060, 0x00100020]))
    assert [event.tag for event in found if isinstance(event, ElementFound)] == [
        0x00080060,
        0x00100020,
    ]
    assert len(found) == 2
    cut_behind = content[:-20] + element(0x00200010, "SH", b"S1")[:-1]
    assert read(cut_behind, wanted=frozenset([0x00100021])) == []
    inside = read(content, wanted=frozenset([0x00081140]))
    assert [type(event) for event in inside] == [
        SequenceBegan,
        ItemBegan,
        ElementFound,
        SequenceEnded,
    ]


@pytest.mark.parametrize("count", [0, 1, 40, 101, 102, 103, 1000])
def test_any_number_of_others_is_passed_by(count: int) -> None:
    others = b"".join(element(0x00090000 + n, "SH", b"ab") for n in range(count))
    content = others + element(0x00100020, "LO", b"P1") + element(0x00100021, "LO", b"x ")
    found = read(content, wanted=frozenset([0x00100020]))
    assert found == [ElementFound(0, 0x00100020, "LO", len(others) + 8, 2, EXPLICIT)]
    with pytest.raises(Truncated):
        read(others + element(0x00090F00, "SH", b"ab")[:-1], wanted=frozenset([0x00100020]))


def test_what_is_not_wanted_may_still_be_cut() -> None:
    with pytest.raises(Truncated, match="inside of a value"):
        read(LONG[:-1], wanted=frozenset([0x00100020]))


def test_an_empty_open_item_and_an_empty_sequence_have_no_elements() -> None:
    content = open_sequence(0x00081140, item(ITEM_END, OPEN) + SEQUENCE_END)
    assert read(content + element(0x00081199, "SQ", b"")) == [
        SequenceBegan(0, 0x00081140),
        ItemBegan(0, 12),
        SequenceEnded(0, 0x00081140, 1),
        SequenceBegan(0, 0x00081199),
        SequenceEnded(0, 0x00081199, 0),
    ]


def test_fragments_are_measured_not_read() -> None:
    fragments = item(b"") + item(bytes(250)) + item(bytes(2)) + SEQUENCE_END
    content = open_sequence(0x7FE00010, fragments, "OB")
    assert read(content) == [FragmentsFound(0, 0x7FE00010, "OB", 12, len(fragments), (0, 250, 2))]


def test_unknown_vr_of_undefined_length_holds_implicit_items() -> None:
    inner = struct.pack("<HHI", 0x0008, 0x1150, 4) + b"1.2\0"
    content = open_sequence(0x00091010, item(inner) + SEQUENCE_END, "UN")
    assert read(content)[2] == ElementFound(1, 0x00081150, "UI", 28, 4, IMPLICIT)


def test_an_item_without_vrs_is_read_as_implicit() -> None:
    inner = struct.pack("<HHI", 0x0008, 0x1150, 4) + b"1.2\0"
    content = element(0x00081140, "SQ", item(inner))
    assert read(content)[2] == ElementFound(1, 0x00081150, "UI", 28, 4, IMPLICIT)


def test_big_endian_headers_are_read() -> None:
    content = struct.pack(">HH2sHH", 0x0028, 0x0010, b"US", 2, 16)
    assert read(content, BIG_ENDIAN) == [ElementFound(0, 0x00280010, "US", 8, 2, BIG_ENDIAN)]


def test_a_vr_to_come_has_a_long_length() -> None:
    content = struct.pack("<HH2sHI", 0x0008, 0x0001, b"ZZ", 0, 2) + b"ab"
    assert read(content) == [ElementFound(0, 0x00080001, "ZZ", 12, 2, EXPLICIT)]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 4096])
def test_zeros_behind_the_data_set_are_padding(count: int) -> None:
    content = element(0x00100020, "LO", b"P1")
    assert len(read(content + bytes(count))) == 1


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        pytest.param(
            element(0x00100020, "LO", b"P1")[:-1], Truncated, "inside of a value", id="a cut value"
        ),
        pytest.param(
            element(0x00100020, "LO", b"P1")[:5], Truncated, "inside of a data", id="a cut header"
        ),
        pytest.param(LONG[:10], Truncated, "inside of a data", id="a cut long header"),
        pytest.param(LONG[:-1], Truncated, "inside of a value", id="a cut sequence"),
        pytest.param(
            open_sequence(0x00081140, item(ITEM_END, OPEN)),
            Truncated,
            "data set",
            id="an open sequence",
        ),
        pytest.param(
            open_sequence(0x00081140, item(b"", OPEN)), Truncated, "data set", id="an open item"
        ),
        pytest.param(
            open_sequence(0x7FE00010, item(b""), "OB"), Truncated, "data set", id="open fragments"
        ),
        pytest.param(
            open_sequence(0x7FE00010, item(b"", 9), "OB"), Truncated, "value", id="a cut fragment"
        ),
        pytest.param(
            open_sequence(0x7FE00010, LONG, "OB"), ProtocolError, "interrupted", id="no fragment"
        ),
        pytest.param(
            element(0x00081140, "SQ", LONG), ProtocolError, "something else", id="no item"
        ),
        pytest.param(
            element(0x00081140, "SQ", item(b"", 9)) + bytes(99),
            ProtocolError,
            "passes the end",
            id="an item beyond its sequence",
        ),
        pytest.param(
            element(0x00081140, "SQ", item(element(0x00081150, "UI", b"1.22")[:-2])) + bytes(9),
            ProtocolError,
            "passes the end",
            id="an element beyond its item",
        ),
        pytest.param(
            element(0x00080016, "UI", b"1\0") + struct.pack("<HHI", 8, 0x18, 0) + bytes(4),
            ProtocolError,
            "no VR",
            id="no VR in between",
        ),
        pytest.param(
            element(0x00081140, "SQ", item(b"", OPEN)) + LONG,
            ProtocolError,
            "passes the end",
            id="an open item in a closed sequence",
        ),
        pytest.param(
            element(0x00081140, "SQ", item(open_sequence(0x00081140, b""))) + LONG,
            ProtocolError,
            "passes the end",
            id="an open sequence in a closed item",
        ),
        pytest.param(
            element(0x00081140, "SQ", item(LONG, len(LONG) - 2) + LONG),
            ProtocolError,
            "passes the end",
            id="a sequence beyond its item",
        ),
        pytest.param(
            element(0x00081140, "SQ", item(open_sequence(0x7FE00010, item(b"", 99), "OB"))),
            ProtocolError,
            "passes the end",
            id="a fragment beyond its item",
        ),
        pytest.param(ITEM_END + LONG, ProtocolError, "no VR", id="a delimiter at the top"),
        pytest.param(bytes(4097), ProtocolError, "no VR", id="too much padding"),
        pytest.param(bytes(8) + b"x", ProtocolError, "no VR", id="zeros, then something"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    content: bytes, error: type[FetchError], message: str
) -> None:
    before = element(0x00080005, "CS", b"ISO_IR 6")
    events = ElementReader(SourceBytes(before + content), EXPLICIT, vr_of=vr_of).events(0)
    found = [next(events)]
    with pytest.raises(error, match=message):
        found.extend(events)
    assert found[0] == ElementFound(0, 0x00080005, "CS", 8, 8, EXPLICIT)


def test_nesting_is_bounded() -> None:
    content = b""
    for _ in range(9):
        content = element(0x00081140, "SQ", item(content))
    assert len(read(content, limits=Part10Limits(max_nesting=9))) == 27
    with pytest.raises(LimitExceeded, match="more than 8 deep"):
        read(content, limits=Part10Limits(max_nesting=8))


def test_fragments_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_elements, "MAX_FRAGMENTS", 3)
    assert read(open_sequence(0x7FE00010, item(b"") * 3 + SEQUENCE_END, "OB"))
    with pytest.raises(LimitExceeded, match="more than 3 fragments"):
        read(open_sequence(0x7FE00010, item(b"") * 4 + SEQUENCE_END, "OB"))


CRUMBS = st.sampled_from(
    [
        element(0x00100020, "LO", b"P1"), LONG, ITEM_END, SEQUENCE_END, item(b""), item(b"", OPEN),
        open_sequence(0x00081140, b""), open_sequence(0x7FE00010, b"", "OB"), b"\0", b"\xff\xfe",
        struct.pack("<HHI", 0x0008, 0x1150, 4),
    ]
)  # fmt: skip


@given(st.lists(CRUMBS, max_size=12), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]))
def test_any_bytes_end_in_events_or_a_fetch_error(crumbs: list[bytes], encoding: Encoding) -> None:
    content = b"".join(crumbs)
    try:
        events = read(content, encoding)
    except FetchError:
        return
    depth = 0
    for event in events:
        depth += isinstance(event, SequenceBegan)
        depth -= isinstance(event, SequenceEnded)
    assert depth == 0
