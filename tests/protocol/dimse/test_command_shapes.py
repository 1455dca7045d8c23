"""A command set that is shaped like one before means what parsing it would say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.dimse import command_shapes as module
from asyncdicom.protocol.dimse.command_set import Element, raw_element, with_group_length
from asyncdicom.protocol.dimse.command_shapes import MAX_SHAPES, CommandReader
from asyncdicom.protocol.dimse.messages import (
    CFindResponse,
    CGetResponse,
    CMoveResponse,
    CStoreRequest,
    ErrorDetails,
    Message,
    parse_command,
)
from tests.protocol.dimse.samples import MESSAGES

CT = "1.2.840.10008.5.1.4.1.1.2"
MODEL = "1.2.840.10008.5.1.4.1.2.2.3"
PENDING = 0xFF00


def read_all(*messages: Message) -> list[Message]:
    reader = CommandReader()
    return [reader.parse(memoryview(one.encode())) for one in messages]


def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what will be parsed instead of compared."""
    calls: list[bytes] = []

    def parse(data: bytes) -> Message:
        calls.append(bytes(data))
        return parse_command(data)

    monkeypatch.setattr(module, "parse_command", parse)
    return calls


@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_is_read_as_it_is_parsed(name: str) -> None:
    sample = MESSAGES[name]
    assert read_all(sample, sample, sample) == [sample] * 3


def test_store_requests_of_a_series_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(monkeypatch)
    requests = [
        CStoreRequest(number, CT, f"2.999.1.{10000 + number}", 2, "MOVER", 7)
        for number in range(1, 100)
    ]
    assert read_all(*requests) == requests
    assert len(calls) == 1


@pytest.mark.parametrize("kind", [CGetResponse, CMoveResponse])
def test_progress_is_parsed_once(
    kind: type[CGetResponse | CMoveResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = parsed(monkeypatch)
    responses = [
        kind(1, PENDING, MODEL, remaining=99 - done, completed=done, failed=1, warning=2)
        for done in range(100)
    ]
    assert read_all(*responses) == responses
    assert len(calls) == 1


def progress(done: int, **differing: object) -> bytes:
    whole = CGetResponse(1, PENDING, MODEL, remaining=99 - done, completed=done)
    return replace(whole, **differing).encode()  # type: ignore[arg-type]  # -- fields of any type


@pytest.mark.parametrize(
    ("before", "data", "is_known"),
    [
        pytest.param([], progress(2), False, id="the first one"),
        pytest.param([progress(1)], progress(2), True, id="one more"),
        pytest.param([progress(1)], progress(2, status=0), False, id="the last one"),
        pytest.param([progress(1)], progress(2, responds_to=2), False, id="of another operation"),
        pytest.param([progress(1)], progress(2, failed=1), False, id="a failure, too"),
        pytest.param(
            [progress(1, has_data_set=True)], progress(2, has_data_set=True), False, id="with UIDs"
        ),
        pytest.param([progress(1, status=0)], progress(2, status=0), False, id="twice the last"),
        pytest.param(
            [CMoveResponse(1, PENDING, MODEL, 9, 1).encode()],
            CMoveResponse(1, PENDING, MODEL, 8, 2).encode(),
            False,
            id="of a C-MOVE",
        ),
    ],
)
def test_progress_is_known_by_what_came_before(
    before: list[bytes],
    data: bytes,
    is_known: bool,  # noqa: FBT001 -- a parameter
) -> None:
    reader = CommandReader()
    for one in before:
        reader.parse(one)
    assert reader.is_progress(data) is is_known


def test_pending_answers_to_a_query_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = parsed(monkeypatch)
    pending = CFindResponse(1, PENDING, MODEL, has_data_set=True)
    final = CFindResponse(1, 0, MODEL)
    assert read_all(pending, pending, pending, final) == [pending, pending, pending, final]
    assert len(calls) == 2


@pytest.mark.parametrize(
    "other",
    [
        CStoreRequest(1, "1.2.840.10008.5.1.4.1.1.4", "2.999.1.10001"),
        CStoreRequest(1, CT, "2.999.1.10001", 1),
        CStoreRequest(1, CT, "2.999.1.10001", has_data_set=False),
        CFindResponse(1, 0xA700, "1.2.840.10008.5.1.4.1.1.2.33.44.55.66.77.88"),
    ],
)
def test_what_differs_elsewhere_is_parsed_anew(other: Message) -> None:
    one = CStoreRequest(1, CT, "2.999.1.10000")
    assert read_all(one, other, one, other) == [one, other, one, other]


def test_final_responses_with_reasons_are_not_mixed_up() -> None:
    pending = CGetResponse(1, PENDING, MODEL, 1, 2, 3, 4)
    failed = replace(pending, status=0xB000, details=ErrorDetails(error_comment="none left"))
    listed = replace(failed, failed_sop_instance_uids=("2.999.1", "2.999.2"))
    messages = [pending, failed, listed, pending, failed, listed]
    assert read_all(*messages) == messages


def test_a_counter_that_is_missing_stays_missing() -> None:
    messages = [CGetResponse(1, PENDING, MODEL, None, number, None, number) for number in range(3)]
    assert read_all(*messages) == messages


def test_a_uid_of_two_bytes_is_no_number() -> None:
    messages = [CStoreRequest(number, CT, "12") for number in range(3)]
    assert read_all(*messages) == messages


def test_elements_out_of_order_are_read() -> None:
    elements = (
        raw_element(Element.AFFECTED_SOP_INSTANCE_UID, b"2.999.12"),
        raw_element(Element.COMMAND_FIELD, b"\1\0"),
        raw_element(Element.MESSAGE_ID, b"\7\0"),
        raw_element(Element.COMMAND_DATA_SET_TYPE, b"\1\0"),
    )
    raw = with_group_length(*elements)
    reader = CommandReader()
    assert reader.parse(raw) == reader.parse(raw) == CStoreRequest(7, "", "2.999.12")


def test_a_garbled_one_behind_a_good_one_is_refused() -> None:
    raw = CStoreRequest(1, CT, "2.999.1.10000").encode()
    reader = CommandReader()
    reader.parse(raw)
    # Any byte that is no value in a hole: the length of an element, or its tag.
    for at in (4, 12, 16, len(raw) - 16):
        garbled = raw[:at] + bytes((raw[at] ^ 0x40,)) + raw[at + 1 :]
        try:
            expected: Message | None = parse_command(garbled)
        except ProtocolError:
            expected = None
        if expected is None:
            with pytest.raises(ProtocolError):
                reader.parse(garbled)
        else:
            assert reader.parse(garbled) == expected


@given(st.data())
def test_any_change_means_what_parsing_says(data: st.DataObject) -> None:
    samples = [one.encode() for one in MESSAGES.values()]
    reader = CommandReader()
    for raw in samples:
        reader.parse(raw)
    raw = data.draw(st.sampled_from(samples))
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes((data.draw(st.integers(0, 255)),)) + raw[at + 1 :]
    try:
        expected = parse_command(changed)
    except ProtocolError as error:
        with pytest.raises(type(error)):
            reader.parse(changed)
    else:
        assert reader.parse(changed) == expected


def test_memory_is_bounded() -> None:
    reader = CommandReader()
    for length in range(1, 1000):
        reader.parse(CStoreRequest(1, CT, "1" * length).encode())
    assert len(reader._shapes) == MAX_SHAPES
