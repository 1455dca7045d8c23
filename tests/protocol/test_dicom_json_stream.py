"""Every case is fed whole, bytewise and cut at every offset; the verdict must be the same."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncdicom.errors import AsyncDicomError, LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.dicom_json_stream import JsonArraySplitter, JsonLimits
from asyncdicom.protocol.payload_events import NEED_DATA
from tests.support.chunking import bytewise, cut, feedings, random_cuts, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Verdict: TypeAlias = list[dict[str, Any]] | tuple[str, str]

TINY = JsonLimits(max_element_bytes=40)


def drained(splitter: JsonArraySplitter) -> Iterator[dict[str, Any]]:
    while (element := splitter.next_event()) is not NEED_DATA:
        yield element


def verdict(chunks: Iterable[bytes], limits: JsonLimits | None = None) -> Verdict:
    splitter = JsonArraySplitter(limits)
    found = []
    try:
        for chunk in chunks:
            splitter.receive_data(chunk)
            found += list(drained(splitter))
        splitter.receive_eof()
        found += list(drained(splitter))
    except AsyncDicomError as error:
        return type(error).__name__, str(error)
    return found


def split(payload: bytes, limits: JsonLimits | None = None) -> Verdict:
    first, *others = (verdict(chunks, limits) for chunks in feedings(payload))
    assert all(other == first for other in others)
    return first


def instance(number: int) -> dict[str, Any]:
    return {"00080018": {"vr": "UI", "Value": [f"1.2.{number}"]}, "00400260": {
        "vr": "SQ", "Value": [{"00080018": {"vr": "UI"}}, {"00080018": {"vr": "UI"}}]}}  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "elements"),
    [
        pytest.param(b"[]", [], id="empty array"),
        pytest.param(b" [ \r\n\t] \n", [], id="blanks"),
        pytest.param(b"\xef\xbb\xbf[]", [], id="byte order mark"),
        pytest.param(b'\xef\xbb\xbf {"a":1}', [{"a": 1}], id="byte order mark and object"),
        pytest.param(b'{"a":1}', [{"a": 1}], id="one object instead of an array"),
        pytest.param(b' {"a":{"b":1}}\n', [{"a": {"b": 1}}], id="one object in blanks"),
        pytest.param(b"[{}]", [{}], id="empty object"),
        pytest.param(b'[{"a":1},{"a":2},{"a":3}]', [{"a": 1}, {"a": 2}, {"a": 3}], id="compact"),
        pytest.param(b'[{"a":1} , {"b":2}\n,{"a":3}]', [{"a": 1}, {"b": 2}, {"a": 3}],
                     id="other blanks and keys each time"),
        pytest.param(b'[{"a":"}"},{"a":"{"},{"a":"}]"},{"a":"{{"}]',
                     [{"a": "}"}, {"a": "{"}, {"a": "}]"}, {"a": "{{"}], id="braces in strings"),
        pytest.param(b'[{"a":"\\"}"},{"a":"\\\\"},{"a":"x"}]',
                     [{"a": '"}'}, {"a": "\\"}, {"a": "x"}], id="escapes"),
        pytest.param(b'[{"a":[{"a":1},{"a":2}]},{"a":[{"a":3},{"a":4}]},{"a":[]}]',
                     [{"a": [{"a": 1}, {"a": 2}]}, {"a": [{"a": 3}, {"a": 4}]}, {"a": []}],
                     id="items look like elements"),
        pytest.param('[{"a":"é\N{GRINNING FACE}"}]'.encode(), [{"a": "é\N{GRINNING FACE}"}],
                     id="beyond ASCII"),
        pytest.param(b'[{"a":"' + b"x" * 300 + b'"},{"a":1},{"a":2},{"a":3},{"a":4}]',
                     [{"a": "x" * 300}, {"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}],
                     id="large and small"),
        pytest.param(b'[{"a":1}' + b" " * 300 + b"]" + b" " * 300, [{"a": 1}], id="long blanks"),
        pytest.param(json.dumps([instance(n) for n in range(4)], indent=3).encode(),
                     [instance(n) for n in range(4)], id="indented"),
        pytest.param(orjson.dumps([instance(n) for n in range(4)]),
                     [instance(n) for n in range(4)], id="metadata in one line"),
    ],
)  # fmt: skip
def test_an_array_is_split_however_it_is_cut(
    payload: bytes, elements: list[dict[str, Any]]
) -> None:
    assert split(payload) == elements


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(b"<html>", "this is no JSON array at byte 0", id="a page"),
        pytest.param(b'"text"', "this is no JSON array at byte 0", id="text"),
        pytest.param(b"  nul", "this is no JSON array at byte 2", id="null"),
        pytest.param(b"\xef\xbb[]", "this is no JSON array at byte 2", id="half a mark"),
        pytest.param(b'\xef{"a":1}', "this is no JSON array at byte 1", id="a third of a mark"),
        pytest.param(b" \xef\xbb\xbf[]", "this is no JSON array at byte 1", id="a late mark"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbf[]", "this is no JSON array at byte 3",
                     id="two marks"),
        pytest.param(b"[1]", "an element of the JSON array is no object at byte 1", id="number"),
        pytest.param(b"[[]]", "an element of the JSON array is no object at byte 1", id="array"),
        pytest.param(b"[,]", "an element of the JSON array is no object at byte 1", id="comma"),
        pytest.param(b'[{"a":1},]', "an element of the JSON array is no object at byte 9",
                     id="comma at the end"),
        pytest.param(b'[{"a":1},"b"]', "an element of the JSON array is no object at byte 9",
                     id="text behind an object"),
        pytest.param(b'[{"a":1}{"a":2}]',
                     "a comma or the end of the JSON array is missing at byte 8", id="no comma"),
        pytest.param(b'[{"a":1}}]',
                     "a comma or the end of the JSON array is missing at byte 8",
                     id="a brace too many"),
        pytest.param(b"[] x", "other bytes follow the JSON array at byte 3", id="behind"),
        pytest.param(b"[][]", "other bytes follow the JSON array at byte 2", id="two arrays"),
        pytest.param(b'{"a":1},{"a":2}', "other bytes follow the JSON array at byte 7",
                     id="objects without an array"),
        pytest.param(b'[{"a":1},{"a":x}]', "an element of the JSON array is damaged at byte 9",
                     id="a word"),
        pytest.param(b'[{"a":1},{"a":NaN},{"a":3}]',
                     "an element of the JSON array is damaged at byte 9", id="not a number"),
        pytest.param(b'[{"a":"\xff"}]', "an element of the JSON array is damaged at byte 1",
                     id="not UTF-8"),
        pytest.param(b"[{" + b'"a":{' * 2000 + b"}" * 2001 + b"]",
                     "an element of the JSON array is damaged at byte 1", id="nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_array_of_objects_is_refused(payload: bytes, message: str) -> None:
    expected = (ProtocolError.__name__, message)
    if len(payload) < 1000:
        assert split(payload) == expected
    assert verdict(whole(payload)) == expected
    assert verdict(bytewise(payload)) == expected


WHOLE = b'\xef\xbb\xbf [{"a":"}{\\""},{"a":{"b":[1,2]}} , {"a":3}] '


def test_every_cut_is_noticed() -> None:
    for end in range(len(WHOLE) - 1):
        expected = (Truncated.__name__, f"the JSON array is not closed at byte {end}")
        assert split(WHOLE[:end]) == expected if end else verdict([b""]) == expected
    assert verdict([WHOLE[:-1]]) == verdict([WHOLE])


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'[{"a":"' + b"x" * 33 + b'"},{"b":1}]', id="first"),
        pytest.param(b'[{"a":1},{"a":2},{"a":"' + b"x" * 33 + b'"},{"a":1}]', id="in between"),
        pytest.param(b'[{"a":1},{"a":2},{"a":"' + b"x" * 33 + b'"}]', id="last"),
        pytest.param(b'[{"a":1},{"a":"' + b"x" * 500, id="unfinished"),
        pytest.param(b'{"a":"' + b"x" * 33 + b'"}', id="alone"),
    ],
)
def test_an_element_beyond_the_limit_is_refused_wherever_it_stands(payload: bytes) -> None:
    at = payload.index(b'"' + b"x" * 33) - 5
    message = f"an element of the JSON array exceeds 40 bytes at byte {at}"
    assert split(payload, TINY) == ("LimitExceeded", message)


def test_elements_up_to_the_limit_pass() -> None:
    element = b'{"a":"' + b"x" * 32 + b'"}'
    assert len(element) == TINY.max_element_bytes
    expected = [{"a": "x" * 32}] * 5
    assert split(b"[" + b" ,".join([element] * 5) + b"]", TINY) == expected


def test_small_elements_before_a_limit_that_the_whole_exceeds() -> None:
    payload = b"[" + b",".join([b'{"a":1}', b'{"b":2}'] * 20) + b"]"
    assert split(payload, TINY) == [{"a": 1}, {"b": 2}] * 20


def test_elements_are_handed_over_before_the_end() -> None:
    payload = orjson.dumps([instance(n) for n in range(100)])
    splitter = JsonArraySplitter()
    splitter.receive_data(payload)
    assert list(drained(splitter)) == [instance(n) for n in range(100)]
    splitter.receive_eof()
    assert list(drained(splitter)) == []


def test_equal_elements_are_found_by_what_separates_them() -> None:
    splitter = JsonArraySplitter()
    splitter.receive_data(b"[" + b",".join([b'{"a":1}'] * 50 + [b'\n{"b":1}'] * 50) + b"]")
    assert len(list(drained(splitter))) == 100
    # The first kind of elements had another one.
    assert splitter._separator == b'},\n{"b"'


def test_no_scan_is_needed_where_the_separator_stays() -> None:
    splitter = JsonArraySplitter()
    splitter.receive_data(b"[" + b",".join([b'{"a":1}'] * 6000))
    for _ in range(3000):
        splitter.next_event()
    learnt = splitter._separator
    assert len(list(drained(splitter))) == 2999
    # A scan drops it, so that another one is learnt.
    assert splitter._separator is learnt


def test_a_separator_that_was_cut_is_found() -> None:
    splitter = JsonArraySplitter()
    splitter.receive_data(b"[" + b",".join([b'{"a":1}'] * 6000))
    assert len(list(drained(splitter))) == 5999
    splitter.receive_data(b',{"a":4')
    assert list(drained(splitter)) == [{"a": 1}]


def test_an_unfinished_element_is_refused_once_it_is_too_large() -> None:
    splitter = JsonArraySplitter(TINY)
    splitter.receive_data(b'[{"a":"' + b"x" * 35)
    with pytest.raises(LimitExceeded):
        splitter.next_event()


def test_elements_that_were_late_come_after_the_end_and_before_the_error() -> None:
    splitter = JsonArraySplitter()
    splitter.receive_data(b'[{"a":1},{"b":2} x')
    assert list(drained(splitter)) == []
    with pytest.raises(ProtocolError, match="at byte 17"):
        splitter.receive_eof()
    assert splitter.next_event() == {"a": 1}
    assert splitter.next_event() == {"b": 2}
    with pytest.raises(ProtocolError, match="at byte 17"):
        splitter.next_event()


def test_a_splitter_that_failed_fails_again() -> None:
    splitter = JsonArraySplitter()
    splitter.receive_data(b"<")
    with pytest.raises(ProtocolError) as first:
        splitter.next_event()
    with pytest.raises(ProtocolError) as second:
        splitter.next_event()
    with pytest.raises(ProtocolError) as third:
        splitter.receive_eof()
    assert first.value is second.value
    assert first.value is third.value


def test_no_error_carries_what_it_refuses() -> None:
    splitter = JsonArraySplitter()
    splitter.receive_data(b'[{"00100010":{"Value":["Doe^Jane" x]}}]')
    with pytest.raises(ProtocolError) as caught:
        splitter.receive_eof()
    error: BaseException | None = caught.value
    while error is not None:
        assert "Doe" not in repr(error) + repr(vars(error))
        error = error.__cause__ or error.__context__


def test_memory_is_bounded_by_an_element_not_by_the_array() -> None:
    lot = b"".join(orjson.dumps(instance(n)) + b",\n" for n in range(500))
    splitter = JsonArraySplitter()
    splitter.receive_data(b"[")
    tracemalloc.start()
    for _ in range(30):
        splitter.receive_data(lot)
        for _ in drained(splitter):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(lot) * 30 > 1_500_000
    assert peak < 10 * len(lot)


@pytest.mark.parametrize(
    ("unit", "parts", "behind"),
    [
        pytest.param(b'{"a":1},{"b":1},', (800, 8000), b"{}]", id="keys that alternate"),
        pytest.param(b'{"a":[{"a":1},{"a":1}]},', (600, 6000), b"{}]", id="items like elements"),
        pytest.param(b'}]"' + b'\\"', (10_000, 100_000), b'"}]', id="endings in one string"),
        pytest.param(b"[", (50_000, 500_000), b'"}]', id="one long string"),
    ],
)
def test_the_cost_is_linear(unit: bytes, parts: tuple[int, int], behind: bytes) -> None:
    head = b"[" if unit.startswith(b"{") else b'[{"a":"'
    spent = []
    for count in parts:
        payload = head + unit.replace(b'"\\"', b'\\"') * count + behind
        chunks = [payload[i : i + 1000] for i in range(0, len(payload), 1000)]
        begin = time.process_time()
        verdict(chunks)
        verdict(whole(payload))
        spent.append(time.process_time() - begin)
    # Ten times the bytes; a quadratic cost would be a hundred times.
    assert spent[1] < 35 * max(spent[0], 0.002)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text('{}[]",\\ é:', max_size=6),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text("ab{}", max_size=2), children)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(
    elements=st.lists(st.dictionaries(st.sampled_from(["a", "b", "}"]), JSON_VALUES), max_size=8),
    indent=st.sampled_from([None, 0, 3]),
    seed=st.integers(0, 2**16),
)
def test_any_array_comes_back(
    elements: list[dict[str, Any]], indent: int | None, seed: int
) -> None:
    payload = json.dumps(elements, indent=indent, ensure_ascii=False).encode()
    assert verdict(whole(payload)) == elements
    assert verdict(bytewise(payload)) == elements
    assert verdict(random_cuts(payload, random.Random(seed), at_most=10)) == elements


@settings(max_examples=150)
@given(
    crumbs=st.lists(
        st.sampled_from(
            [
                b"[",
                b"]",
                b"{",
                b"}",
                b'"',
                b"\\",
                b",",
                b'{"a":1}',
                b',{"a":2}',
                b" ",
                b"\xef",
                b"x",
            ]
        ),
        max_size=25,
    ),
    places=st.lists(st.integers(0, 120), max_size=6),
)
def test_garbage_ends_in_a_verdict_that_no_cut_changes(
    crumbs: list[bytes], places: list[int]
) -> None:
    payload = b"[" + b"".join(crumbs)
    expected = verdict(whole(payload))
    assert verdict(cut(payload, (min(p, len(payload)) for p in places))) == expected
    assert verdict(bytewise(payload)) == expected
