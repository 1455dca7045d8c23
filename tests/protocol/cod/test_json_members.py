"""Members of nested objects, however the document is cut."""

from __future__ import annotations

import json
import random
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.cod.json_members import JsonMember, JsonMembers, MemberLimits
from asyncdicom.protocol.payload_events import NEED_DATA
from tests.support.chunking import feedings, random_cuts

if TYPE_CHECKING:
    from collections.abc import Iterable

OPENED = frozenset({("cod",), ("cod", "instances")})
DOCUMENT: dict[str, Any] = {
    "study_uid": "1.2",
    "cod": {
        "instances": {
            "1.1": {"a": [1, {"b": "}]\\"}], "c": '\\"{'},
            "1.2": {},
            'k"\\é': {"metadata": "x" * 50},
        },
        "other": None,
    },
    "empty": {},
    "list": [[], [1, 2]],
    "number": -1.5e3,
    "is_true": True,
}


def members_of(reader: JsonMembers, chunks: Iterable[bytes]) -> list[JsonMember]:
    found = []
    for chunk in chunks:
        reader.receive_data(chunk)
        while (member := reader.next_event()) is not NEED_DATA:
            found.append(member)
    return found


def read(chunks: Iterable[bytes], limits: MemberLimits | None = None) -> list[JsonMember]:
    reader = JsonMembers(OPENED, limits)
    found = members_of(reader, chunks)
    reader.receive_eof()
    return found


def flat(document: dict[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in document.items():
        if key == "cod":
            for name, below in value.items():
                if name == "instances":
                    found += [((key, name, uid), entry) for uid, entry in below.items()]
                else:
                    found.append(((key, name), below))
        else:
            found.append(((key,), value))
    return found


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_members_come_whole_however_the_document_is_cut(
    indent: int | None,
    ensure_ascii: bool,  # noqa: FBT001 -- a column
) -> None:
    text = json.dumps(DOCUMENT, indent=indent, ensure_ascii=ensure_ascii).encode()
    for chunks in feedings(text):
        found = read(chunks)
        assert [(member.path, json.loads(member.value)) for member in found] == flat(DOCUMENT)
        for member in found:
            assert text[member.offset :].startswith(member.value)


def test_a_byte_order_mark_is_stepped_over() -> None:
    for chunks in feedings(b'\xef\xbb\xbf{"a": 1}'):
        assert [member.value for member in read(chunks)] == [b"1"]


def test_each_cut_is_a_truncation() -> None:
    text = json.dumps(DOCUMENT).encode()
    for place in range(len(text)):
        with pytest.raises(Truncated):
            read([text[:place]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[]", "no JSON object", id="an array"),
        pytest.param("<html>", "no JSON object", id="html"),
        pytest.param('{"a" 1}', "damaged", id="no colon"),
        pytest.param('{"a": 1 "b": 2}', "damaged", id="no comma"),
        pytest.param('{"a": 1,}', "damaged", id="a comma too many"),
        pytest.param("{1: 1}", "damaged", id="no key"),
        pytest.param('{"a": ,', "missing", id="no value"),
        pytest.param('{"a": }', "missing", id="no value at the end"),
        pytest.param('{"a": ] }', "missing", id="a bracket instead"),
        pytest.param('{"\\x": 1}', "key of the JSON object is damaged", id="a damaged key"),
        pytest.param("{} x", "other bytes follow", id="more behind"),
        pytest.param('{"cod": {"a": 1]', "damaged", id="another bracket"),
    ],
)
def test_what_is_none_is_refused_for_good(text: str, message: str) -> None:
    for chunks in feedings(text.encode()):
        reader = JsonMembers(OPENED)
        with pytest.raises(ProtocolError, match=message):
            members_of(reader, chunks)
        with pytest.raises(ProtocolError, match=message):
            reader.next_event()
        with pytest.raises(ProtocolError, match=message):
            reader.receive_eof()


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        pytest.param('{"a": "%s' % ("x" * 99), MemberLimits(max_value_bytes=50), id="a value"),
        pytest.param('{"%s' % ("x" * 99), MemberLimits(max_key_bytes=50), id="a key"),
    ],
)
def test_each_limit_is_kept(text: str, limits: MemberLimits) -> None:
    for chunks in feedings(text.encode()):
        with pytest.raises(LimitExceeded):
            read(chunks, limits)


def test_memory_is_let_go_and_time_is_linear() -> None:
    durations = []
    for count in (300, 3_000):
        entry = {"metadata": "x" * 900, "headers": {"start_byte": 1}}
        text = json.dumps({"cod": {"instances": {f"1.{i}": entry for i in range(count)}}}).encode()
        chunks = [text[a:b] for a, b in pairwise([*range(0, len(text), 500), len(text)])]
        begun_s = time.thread_time()
        assert len(read(chunks)) == count
        durations.append(time.thread_time() - begun_s)
    assert durations[1] < 40 * durations[0]


def test_one_long_string_in_small_pieces_is_scanned_once() -> None:
    text = b'{"a": "' + b"x" * 2_000_000 + b'"}'
    chunks = [text[a:b] for a, b in pairwise([*range(0, len(text), 1000), len(text)])]
    begun_s = time.thread_time()
    (member,) = read(chunks)
    assert len(member.value) == 2_000_002
    assert time.thread_time() - begun_s < 5


def test_random_documents_come_back() -> None:
    source = random.Random(5)
    crumbs = ["{", "}", "[", "]", '"', "\\", ",", ":", "\u2028", "é", " "]
    for _ in range(200):
        document = {
            "".join(source.choices(crumbs, k=3)) + str(i): "".join(source.choices(crumbs, k=9))
            for i in range(4)
        }
        text = json.dumps({"cod": {"instances": document}}).encode()
        found = read(random_cuts(text, source, at_most=6))
        assert {member.path[-1]: json.loads(member.value) for member in found} == document
