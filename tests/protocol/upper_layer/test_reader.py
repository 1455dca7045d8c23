"""PDUs from bytes cut anywhere: the same PDUs, the same data, the same verdict."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import FetchError, LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AssociateReject,
    Pdu,
    PdvFragment,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)
from asyncdicom.protocol.upper_layer.reader import PduLimits, PduReader
from tests.protocol.upper_layer.draining import drained, drained_at_once
from tests.protocol.upper_layer.samples import (
    ABORT_BYTES,
    ACCEPT,
    ACCEPT_BYTES,
    REJECT_BYTES,
    RELEASE_REQUEST_BYTES,
    RELEASE_RESPONSE_BYTES,
    REQUEST,
    REQUEST_BYTES,
    associate,
    data_pdu,
    item,
    pdus,
)
from tests.support.chunking import bytewise, cut, every_split, feedings, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_PDU_BYTES = 64


def new_reader(limits: PduLimits | None = None) -> PduReader:
    reader = PduReader(limits=limits)
    reader.expect(max_pdu_bytes=MAX_PDU_BYTES, context_ids={1, 3})
    return reader


def told(
    chunks: list[bytes],
    reader: PduReader | None = None,
    drain: Callable[[PduReader], Iterator[Pdu | PdvFragment]] = drained,
) -> list[object]:
    """Return PDUs, joined data and how it ended: all that no cut may change."""
    reader = reader or new_reader()
    seen: list[object] = []
    data = b""
    try:
        for chunk in chunks:
            reader.receive_data(chunk)
            for event in drain(reader):
                if not isinstance(event, PdvFragment):
                    seen.append(event)
                    continue
                data += event.data
                if event.is_last:
                    seen.append((event.context_id, event.is_command, data))
                    data = b""
        reader.receive_eof()
    except FetchError as error:
        return [*seen, data, type(error), str(error), reader.abort_reason]
    return seen


@pytest.mark.parametrize(("context_id", "control"), [(3, 2), (1, 1), (1, 3), (3, 0)])
def test_what_has_no_byte_and_is_not_of_the_data_set_is_not_lost(
    context_id: int, control: int
) -> None:
    reader = new_reader()
    reader.receive_data(
        data_pdu((1, 0, b"da")) + data_pdu((context_id, control, b"")) + ABORT_BYTES
    )
    pieces, has_ended = reader.take_data(1)
    assert ([bytes(piece) for piece in pieces], has_ended) == ([b"da"], False)
    event = reader.next_event()
    assert event == PdvFragment(context_id, bool(control & 1), bool(control & 2), memoryview(b""))


@pytest.mark.parametrize(
    ("data", "pdu"),
    [
        pytest.param(REQUEST_BYTES, REQUEST, id="A-ASSOCIATE-RQ"),
        pytest.param(ACCEPT_BYTES, ACCEPT, id="A-ASSOCIATE-AC"),
        pytest.param(REJECT_BYTES, AssociateReject(1, 1, 7), id="A-ASSOCIATE-RJ"),
        pytest.param(RELEASE_REQUEST_BYTES, ReleaseRequest(), id="A-RELEASE-RQ"),
        pytest.param(RELEASE_RESPONSE_BYTES, ReleaseResponse(), id="A-RELEASE-RP"),
        pytest.param(ABORT_BYTES, Abort(2, 6), id="A-ABORT"),
    ],
)
def test_control_pdus_come_whole(data: bytes, pdu: Pdu) -> None:
    for chunks in feedings(data * 2):
        assert told(chunks) == [pdu, pdu]


MESSAGES = [
    pytest.param([data_pdu((1, 3, b"command"))], [(1, True, b"command")], id="one PDV"),
    pytest.param(
        [data_pdu((1, 1, b"com")), data_pdu((1, 3, b"mand"))],
        [(1, True, b"command")],
        id="two PDUs",
    ),
    pytest.param(
        [data_pdu((1, 1, b"com"), (1, 3, b"mand"), (1, 0, b"da"), (1, 2, b"ta"))],
        [(1, True, b"command"), (1, False, b"data")],
        id="four PDVs in a PDU",
    ),
    pytest.param(
        [data_pdu((1, 3, b"a"), (3, 3, b"b")), RELEASE_REQUEST_BYTES],
        [(1, True, b"a"), (3, True, b"b"), ReleaseRequest()],
        id="two contexts and a release",
    ),
    pytest.param(
        [data_pdu((1, 0, b"data")), data_pdu((1, 2, b""))],
        [(1, False, b"data")],
        id="an empty PDV ends it",
    ),
    pytest.param(
        [data_pdu((1, 3, b""), (1, 2, b""))],
        [(1, True, b""), (1, False, b"")],
        id="nothing but empty PDVs",
    ),
    pytest.param(
        [data_pdu((1, 0b11111110, b"data"))], [(1, False, b"data")], id="reserved bits set"
    ),
    pytest.param([data_pdu((1, 2, bytes(58)))], [(1, False, bytes(58))], id="as long as allowed"),
]


@pytest.mark.parametrize(("written", "expected"), MESSAGES)
def test_data_come_as_they_were_cut_into_pdvs(written: list[bytes], expected: list[object]) -> None:
    for chunks in feedings(b"".join(written)):
        assert told(chunks) == expected


@pytest.mark.parametrize(("written", "expected"), MESSAGES)
def test_what_ends_early_is_truncated_at_every_byte(
    written: list[bytes], expected: list[object]
) -> None:
    data = b"".join(written)
    ends = {0}
    for pdu in written:
        ends.add(max(ends) + len(pdu))
    for length in range(len(data)):
        is_truncated = Truncated in told(whole(data[:length]))
        assert is_truncated == (length not in ends)
        assert told(whole(data[:length])) == told(bytewise(data[:length]))


def test_data_are_handed_out_while_they_arrive_and_never_copied() -> None:
    reader = new_reader()
    pdu = data_pdu((1, 2, b"abcdef"))
    first, second = bytearray(pdu[:15]), bytearray(pdu[15:])
    reader.receive_data(first)
    (begun,) = drained(reader)
    reader.receive_data(second)
    (ended,) = drained(reader)
    assert isinstance(begun, PdvFragment)
    assert isinstance(ended, PdvFragment)
    assert begun[:3] == (1, False, False)
    assert ended[:3] == (1, False, True)
    assert bytes(begun.data) + bytes(ended.data) == b"abcdef"
    assert begun.data.obj is first
    assert ended.data.obj is second


def test_only_the_last_piece_of_a_last_pdv_is_last() -> None:
    reader = new_reader()
    lasts = []
    for chunk in bytewise(data_pdu((1, 0, b"ab"), (1, 2, b"cd"))):
        reader.receive_data(chunk)
        lasts += [event.is_last for event in drained(reader) if isinstance(event, PdvFragment)]
    assert lasts == [False, False, False, True]


def test_no_fragment_is_empty_unless_its_pdv_is() -> None:
    for chunks in feedings(data_pdu((1, 2, b"ab")) * 2):
        reader = new_reader()
        for chunk in chunks:
            reader.receive_data(chunk)
            assert all(event.data for event in drained(reader) if isinstance(event, PdvFragment))


def test_a_buffer_may_be_used_again_once_it_was_drained() -> None:
    reader = new_reader()
    data = data_pdu((1, 3, b"command")) + data_pdu((1, 2, b"data")) + REJECT_BYTES
    for step in range(1, len(data)):
        reader = new_reader()
        buffer = bytearray(step)
        seen = b""
        last: Pdu | PdvFragment | None = None
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            buffer[: len(piece)] = piece
            reader.receive_data(memoryview(buffer)[: len(piece)])
            for last in drained(reader):
                seen += bytes(last.data) if isinstance(last, PdvFragment) else b""
            buffer[:] = b"\xee" * step
        assert seen == b"commanddata"
        assert last == AssociateReject(1, 1, 7)


def test_no_chunk_is_kept_once_it_was_drained() -> None:
    reader = new_reader()
    chunk = bytearray(data_pdu((1, 2, b"data")) + ABORT_BYTES[:5])
    reader.receive_data(chunk)
    list(drained(reader))
    chunk.clear()


def test_chunks_wait_until_events_are_asked_for() -> None:
    reader = new_reader()
    for chunk in (b"", RELEASE_REQUEST_BYTES, b"", RELEASE_RESPONSE_BYTES):
        reader.receive_data(chunk)
    assert list(drained(reader)) == [ReleaseRequest(), ReleaseResponse()]


INVALID, UNRECOGNIZED = 6, 1
LONG = associate(0x01, item(0x99, bytes(100)))

HOSTILE = [
    pytest.param("00 00 00000004 00000000", 0, UNRECOGNIZED, id="type 00"),
    pytest.param("08 00 00000004 00000000", 0, UNRECOGNIZED, id="type 08"),
    pytest.param("FF 00 FFFFFFFF", 0, UNRECOGNIZED, id="type FF"),
    pytest.param(b"GET / HTTP/1.1\r\n".hex(), 0, UNRECOGNIZED, id="HTTP"),
    pytest.param("16 03 01 02 00 01 00 01 FC 03 03", 0, UNRECOGNIZED, id="TLS hello"),
    pytest.param("04 00 00000000", 0, INVALID, id="no PDV"),
    pytest.param("04 00 00000005 0000000103", 0, INVALID, id="half a PDV header"),
    pytest.param("04 00 00000041", 0, INVALID, id="a byte longer than announced"),
    pytest.param("04 00 FFFFFFFF", 0, INVALID, id="as long as can be"),
    pytest.param("04 00 00000006 00000000 01 03", 6, INVALID, id="PDV of 0 bytes"),
    pytest.param("04 00 00000006 00000001 01 03", 6, INVALID, id="PDV of 1 byte"),
    pytest.param("04 00 00000006 00000003 01 03 41", 6, INVALID, id="PDV beyond its PDU"),
    pytest.param("04 00 00000007 FFFFFFFF 01 03 41", 6, INVALID, id="PDV as long as can be"),
    pytest.param("04 00 00000008 00000002 01 03 4142", 6, INVALID, id="bytes behind a PDV"),
    pytest.param(
        "04 00 0000000C 00000003 01 03 41 0000000201", 6, INVALID, id="half a header behind a PDV"
    ),
    pytest.param(
        "04 00 0000000E 00000003 01 03 41 00000004 01 03 42", 13, INVALID, id="second PDV beyond"
    ),
    pytest.param("04 00 00000007 00000003 02 03 41", 6, INVALID, id="even context ID"),
    pytest.param("04 00 00000007 00000003 00 03 41", 6, INVALID, id="context ID 0"),
    pytest.param("04 00 00000007 00000003 05 03 41", 6, INVALID, id="context not accepted"),
    pytest.param("03 00 00000003 000101", 0, INVALID, id="short rejection"),
    pytest.param("05 00 00000000", 0, INVALID, id="release of nothing"),
    pytest.param("06 00 FFFFFFFF", 0, INVALID, id="release of 4 GiB"),
    pytest.param("07 00 00000005 0000020600", 0, INVALID, id="long abort"),
    pytest.param("01 00 00000000", 0, INVALID, id="request of nothing"),
    pytest.param("02 00 00000043", 0, INVALID, id="acceptance cut before its items"),
    pytest.param(associate(1, b"\x10\0\0\x01").hex(), 74, INVALID, id="item beyond"),
]


@pytest.mark.parametrize(("hostile", "offset", "reason"), HOSTILE)
def test_hostile_bytes_are_refused_at_the_same_byte_however_cut(
    hostile: str, offset: int, reason: int
) -> None:
    before = data_pdu((1, 3, b"fine"))
    data = before + bytes.fromhex(hostile)
    reader = new_reader()
    reader.receive_data(data)
    with pytest.raises(ProtocolError) as caught:
        list(drained(reader))
    assert caught.value.offset == len(before) + offset
    assert reader.abort_reason == reason
    verdicts = [told(chunks) for chunks in feedings(data)]
    assert verdicts == [verdicts[0]] * len(verdicts)


@pytest.mark.parametrize("pdu_type", [0x01, 0x02])
def test_a_long_association_pdu_is_refused_at_its_header(pdu_type: int) -> None:
    limits = PduLimits(max_associate_bytes=100)
    header = bytes((pdu_type, 0)) + (101).to_bytes(4, "big")
    for chunks in feedings(header):
        assert LimitExceeded in told(chunks, new_reader(limits))
    assert LimitExceeded not in told([LONG], new_reader(PduLimits(max_associate_bytes=172)))
    assert LimitExceeded in told([LONG], new_reader(PduLimits(max_associate_bytes=171)))


def test_nothing_follows_an_error() -> None:
    reader = new_reader()
    reader.receive_data(b"GET / HTTP/1.1")
    with pytest.raises(ProtocolError):
        reader.next_event()
    with pytest.raises(UsageError):
        reader.next_event()
    with pytest.raises(UsageError):
        reader.receive_data(b"x")
    with pytest.raises(UsageError):
        reader.receive_eof()


def test_the_end_is_told_behind_the_events() -> None:
    reader = new_reader()
    reader.receive_data(ABORT_BYTES)
    with pytest.raises(UsageError):
        reader.receive_eof()


def test_before_anything_was_agreed_on_any_odd_context_and_length_will_do() -> None:
    pdu = data_pdu((255, 2, bytes(100_000)))
    assert told([pdu], PduReader()) == [(255, False, bytes(100_000))]
    assert ProtocolError in told([data_pdu((254, 2, b"x"))], PduReader())


def test_no_limit_is_none() -> None:
    reader = PduReader()
    reader.expect(max_pdu_bytes=0, context_ids={1})
    assert told([data_pdu((1, 2, bytes(100_000)))], reader) == [(1, False, bytes(100_000))]


def peak_bytes_while_feeding(reader: PduReader, chunks: list[bytes], times: int) -> int:
    tracemalloc.start()
    try:
        for _ in range(times):
            for chunk in chunks:
                reader.receive_data(chunk)
                list(drained(reader))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_pdu_of_4_gib_takes_no_memory() -> None:
    reader = PduReader()
    header = bytes.fromhex("04 00 FFFFFFFF FFFFFFFB 01 00")
    reader.receive_data(header)
    assert peak_bytes_while_feeding(reader, [bytes(64 * 1024)], 1000) < 64 * 1024


def test_an_association_pdu_of_a_mebibyte_takes_a_few_of_them() -> None:
    reader = PduReader()
    header = bytes((0x01, 0)) + (1024 * 1024).to_bytes(4, "big")
    reader.receive_data(header)
    assert peak_bytes_while_feeding(reader, [bytes(1023)], 1024) < 4 * 1024 * 1024


CONTROLS = st.one_of(st.sampled_from((0, 1, 2, 3)), st.integers(0, 255))
"""What PDVs are, most of them without the reserved bits."""


@given(
    st.lists(
        st.one_of(
            pdus.map(encode),
            st.lists(
                st.tuples(st.sampled_from((1, 3)), CONTROLS, st.binary(max_size=20)),
                min_size=1,
                max_size=2,
            ).map(lambda pdvs: data_pdu(*pdvs)),
            st.binary(max_size=8),
        ),
        max_size=4,
    ),
    st.data(),
)
def test_no_cut_changes_what_is_told(written: list[bytes], draw: st.DataObject) -> None:
    data = b"".join(written)
    expected = told(whole(data))
    places = draw.draw(st.lists(st.integers(0, len(data)), max_size=6))
    assert told(cut(data, places)) == expected
    assert told(whole(data), drain=drained_at_once) == expected
    assert told(cut(data, places), drain=drained_at_once) == expected
    if len(data) < 80:
        assert all(told(chunks) == expected for chunks in every_split(data))
