"""Data cut into PDUs: nothing lost, nothing longer than the peer takes (PS3.8 §9.3.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.protocol.upper_layer.p_data import fragment_bytes, p_data
from tests.protocol.upper_layer.samples import data_pdu


@pytest.mark.parametrize(
    ("max_pdu_bytes", "expected"),
    [
        pytest.param(16384, 16378, id="six bytes for the header of the PDV"),
        pytest.param(16385, 16378, id="even, whatever the peer says"),
        pytest.param(128, 122, id="the least"),
        pytest.param(0, 128 * 1024 - 6, id="no limit is a limit of ours"),
        pytest.param(0xFFFFFFFF, 0xFFFFFFF8, id="the most"),
    ],
)
def test_what_fits_into_a_pdu(max_pdu_bytes: int, expected: int) -> None:
    assert fragment_bytes(max_pdu_bytes) == expected


@pytest.mark.parametrize(
    ("data", "is_last", "pdus"),
    [
        pytest.param(b"abcd", True, [(3, b"abcd")], id="fits"),
        pytest.param(b"abcde", True, [(1, b"abcd"), (3, b"e")], id="one byte too many"),
        pytest.param(b"abcdefgh", True, [(1, b"abcd"), (3, b"efgh")], id="twice as much"),
        pytest.param(b"abcde", False, [(1, b"abcd"), (1, b"e")], id="more will follow"),
        pytest.param(b"", True, [(3, b"")], id="nothing, but it ends"),
        pytest.param(b"", False, [], id="nothing at all"),
    ],
)
def test_only_the_last_pdv_is_marked(
    *, data: bytes, is_last: bool, pdus: list[tuple[int, bytes]]
) -> None:
    out = p_data(7, data, is_command=True, is_last=is_last, max_fragment_bytes=4)
    expected = b"".join(data_pdu((7, control, piece)) for control, piece in pdus)
    assert b"".join(out) == expected


@given(
    data=st.binary(max_size=300),
    room=st.integers(1, 100),
    is_command=st.booleans(),
    is_last=st.booleans(),
)
def test_nothing_is_lost(*, data: bytes, room: int, is_command: bool, is_last: bool) -> None:
    out = p_data(1, data, is_command=is_command, is_last=is_last, max_fragment_bytes=room)
    joined = b"".join(out)
    received, control = b"", 0
    while joined:
        length = int.from_bytes(joined[6:10], "big") - 2
        assert length <= room
        control = joined[11]
        received, joined = received + joined[12 : 12 + length], joined[12 + length :]
    assert received == data
    assert not out or control == is_command + 2 * is_last


def test_long_data_are_not_copied() -> None:
    data = bytearray(100_000)
    out = p_data(1, data, is_command=False, is_last=True, max_fragment_bytes=40_000)
    views = [one for one in out if isinstance(one, memoryview)]
    assert [len(view) for view in views] == [40_000, 40_000, 20_000]
    assert all(view.obj is data for view in views)


def test_short_data_travel_with_their_header() -> None:
    out = p_data(1, memoryview(b"command"), is_command=True, is_last=True, max_fragment_bytes=99)
    assert out == [data_pdu((1, 3, b"command"))]
