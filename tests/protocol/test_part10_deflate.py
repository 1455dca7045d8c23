"""Deflated data sets: whole, cut, damaged, padded, and bombs."""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING, TypeAlias

import pytest

from asyncdicom.errors import AsyncDicomError
from asyncdicom.protocol.part10_dataset import DataSetWalker
from asyncdicom.protocol.part10_deflate import DeflatedDataSet
from asyncdicom.protocol.part10_vocabulary import EXPLICIT, Part10Limits, watch_list
from tests.support.chunking import feedings, random_cuts, whole
from tests.support.dicom import explicit

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict: TypeAlias = dict[int, bytes] | tuple[str, str]

PATIENT_ID = 0x00100020
START = 200_000
"""Far behind the beginning, so that what stands before does not count in the ratio."""
LIMITS = Part10Limits(max_zero_padding_bytes=8, inflation_matters_from_bytes=1024 * 1024)
ELEMENT = explicit(PATIENT_ID, "LO", b"P1")
FOUND = {PATIENT_ID: b"P1"}


def deflate(data: bytes, level: int = 9) -> bytes:
    deflater = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def verdict(chunks: Iterable[bytes], limits: Part10Limits = LIMITS) -> Verdict:
    walker = DataSetWalker(EXPLICIT, start=0, watch=watch_list((PATIENT_ID,)), limits=limits)
    stage = DeflatedDataSet(walker, start=START, limits=limits)
    # The first chunk of a file begins before its data set.
    stage.receive_data(bytes(START), 0)
    base = START
    try:
        for chunk in chunks:
            stage.receive_data(chunk, base)
            base += len(chunk)
        stage.receive_eof()
    except AsyncDicomError as error:
        return type(error).__name__, str(error)
    return walker.values


def walked(data: bytes) -> Verdict:
    first, *others = (verdict(chunks) for chunks in feedings(data))
    assert all(other == first for other in others)
    return first


@pytest.mark.parametrize(
    "padding", [pytest.param(size, id=f"{size} zeros behind") for size in (0, 1, 8)]
)
def test_a_whole_stream_is_whole(padding: int) -> None:
    assert walked(deflate(ELEMENT) + bytes(padding)) == FOUND


def test_a_chunk_may_hold_what_stands_before_the_data_set() -> None:
    walker = DataSetWalker(EXPLICIT, start=0, watch=watch_list((PATIENT_ID,)), limits=LIMITS)
    stage = DeflatedDataSet(walker, start=START, limits=LIMITS)
    stage.receive_data(bytes(START) + deflate(ELEMENT), 0)
    stage.receive_eof()
    assert walker.values == FOUND


def test_every_cut_is_noticed() -> None:
    data = deflate(ELEMENT + explicit(0x00104000, "LT", bytes(range(200))))
    for end in range(len(data)):
        assert verdict([data[:end]]) == (
            "Truncated",
            f"the deflated data set ends early at byte {START + end}",
        )


def test_a_whole_stream_may_hold_a_cut_data_set() -> None:
    assert walked(deflate(ELEMENT[:-1])) == (
        "Truncated",
        "the data set ends inside of an element at byte 9",
    )


@pytest.mark.parametrize(
    ("behind", "at"),
    [
        pytest.param(b"\1", 1, id="no zero"),
        pytest.param(bytes(9), 9, id="too many zeros"),
        pytest.param(bytes(5000), 4096, id="zeros over several blocks"),
    ],
)
def test_what_follows_the_stream_is_refused(behind: bytes, at: int) -> None:
    stream = deflate(ELEMENT)
    name, message = verdict([stream + behind])
    assert name == "ProtocolError"
    end = START + min(4096, len(stream) + at)
    assert message == f"other bytes follow the deflated data set at byte {end}"
    assert verdict([stream, behind]) == (name, message)


def test_zeros_behind_are_counted_over_blocks() -> None:
    stream = deflate(ELEMENT)
    patient = Part10Limits(max_zero_padding_bytes=5000)
    assert verdict([stream + bytes(5000)], patient) == FOUND
    assert verdict([stream + bytes(5001)], patient)[0] == "ProtocolError"


def test_a_damaged_stream_is_refused() -> None:
    assert walked(b"\xff" * 20) == (
        "ProtocolError",
        f"the deflated data set is damaged at byte {START + 20}",
    )


def test_a_large_element_passes_in_pieces() -> None:
    noise = random.Random(1).randbytes(300_000)
    data = deflate(explicit(0x00104000, "UT", noise + bytes(700_000)) + ELEMENT)
    assert verdict(whole(data)) == FOUND
    assert verdict(random_cuts(data, random.Random(2), at_most=40)) == FOUND


def test_a_bomb_is_refused_early_and_at_the_same_place() -> None:
    bomb = deflate(explicit(0x00104000, "UT", bytes(20_000_000)))
    refusal = ("LimitExceeded", f"the data set inflates more than 200 times at byte {START + 4096}")
    assert verdict(whole(bomb)) == refusal
    assert verdict([bomb[i : i + 999] for i in range(0, len(bomb), 999)]) == refusal


def test_a_black_frame_is_no_bomb() -> None:
    data = deflate(explicit(0x00104000, "UT", bytes(1_000_000)) + ELEMENT)
    assert len(data) * 900 < 1_000_000
    assert verdict(whole(data)) == FOUND


@pytest.mark.parametrize("size", range(64 * 1024 - 20, 64 * 1024 + 20))
def test_output_left_inside_of_zlib_at_the_end_is_fetched(size: int) -> None:
    # zlib has taken all input when a piece is full, and holds the few bytes beyond it.
    data = deflate(explicit(0x00104000, "UT", bytes(size)), level=1)
    assert verdict(whole(data)) == {}
