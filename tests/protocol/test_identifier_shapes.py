"""Identifiers read by comparison: what a walk would say, whatever came before."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol import identifier_shapes
from asyncdicom.protocol.dimse.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from asyncdicom.protocol.identifier_shapes import TextReader
from asyncdicom.protocol.identifiers import Key, encode_identifier, texts_in

if TYPE_CHECKING:
    from collections.abc import Callable

LEVEL, PATIENT_NAME, PATIENT_ID = 0x00080052, 0x00100010, 0x00100020
STUDY_UID, SERIES_UID, INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018
SOP_CLASS, CHARACTER_SET = 0x00080016, 0x00080005
WANTED = (INSTANCE_UID, SOP_CLASS)
SYNTAXES = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)


def answer(
    uid: str, syntax: str = IMPLICIT_VR_LITTLE_ENDIAN, *, sop_class: str = "1.2.840"
) -> bytes:
    keys = {
        LEVEL: Key("CS", "IMAGE"),
        INSTANCE_UID: Key("UI", uid),
        SOP_CLASS: Key("UI", sop_class),
        STUDY_UID: Key("UI", "1.2.3"),
    }
    return encode_identifier(keys, syntax)


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Identifiers that were walked."""
    walked: list[bytes] = []

    def walk(identifier: bytes, syntax: str, tags: tuple[int, ...]) -> dict[int, str]:
        walked.append(identifier)
        return texts_in(identifier, syntax, tags)

    monkeypatch.setattr(identifier_shapes, "texts_in", walk)
    return walked


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_one_like_another_is_not_walked(walks: list[bytes], syntax: str) -> None:
    reader = TextReader(WANTED)
    for number in range(10, 20):
        found = reader.read(answer(f"1.2.{number}", syntax), syntax)
        assert found == {INSTANCE_UID: f"1.2.{number}", SOP_CLASS: "1.2.840"}
    assert len(walks) == 1


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "another study": lambda raw: raw.replace(b"1.2.3", b"1.2.4"),
    "another tag": lambda raw: raw.replace(b"\x20\0\x0d\0", b"\x20\0\x0f\0"),
    "another length": lambda raw: raw + bytes.fromhex("40000100 02000000 4142"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_differs_outside_of_the_wanted_values_is_walked(
    walks: list[bytes], change: Callable[[bytes], bytes]
) -> None:
    reader = TextReader(WANTED)
    reader.read(answer("1.2.10"), IMPLICIT_VR_LITTLE_ENDIAN)
    other = change(answer("1.2.11"))
    assert reader.read(other, IMPLICIT_VR_LITTLE_ENDIAN)[INSTANCE_UID] == "1.2.11"
    assert len(walks) == 2


def test_what_is_damaged_is_refused_whatever_came_before() -> None:
    reader = TextReader(WANTED)
    whole = answer("1.2.10")
    reader.read(whole, IMPLICIT_VR_LITTLE_ENDIAN)
    at = whole.index(b"1.2.3") - 4
    damaged = whole[:at] + b"\xff\0\0\0" + whole[at + 4 :]
    with pytest.raises(ProtocolError, match="damaged"):
        reader.read(damaged, IMPLICIT_VR_LITTLE_ENDIAN)


def test_texts_are_decoded_by_the_character_set_of_their_shape(walks: list[bytes]) -> None:
    reader = TextReader((PATIENT_NAME,))
    for name in ("Jérôme", "Jérômu", ""):
        keys = {PATIENT_NAME: Key("PN", name), PATIENT_ID: Key("LO", "Ä")}
        raw = encode_identifier(keys, EXPLICIT_VR_LITTLE_ENDIAN)
        assert reader.read(raw, EXPLICIT_VR_LITTLE_ENDIAN) == ({PATIENT_NAME: name} if name else {})
    assert len(walks) == 2, "the empty one is of another length"


def test_who_wants_the_character_set_itself_gets_it_by_a_walk(walks: list[bytes]) -> None:
    reader = TextReader((CHARACTER_SET, PATIENT_NAME))
    raw = encode_identifier({PATIENT_NAME: Key("PN", "Jérôme")}, EXPLICIT_VR_LITTLE_ENDIAN)
    for _ in range(2):
        found = reader.read(raw, EXPLICIT_VR_LITTLE_ENDIAN)
        assert found == {CHARACTER_SET: "ISO_IR 192", PATIENT_NAME: "Jérôme"}
    assert len(walks) == 2


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(answer("1.2.10")[:30] * 2, id="a tag that comes twice"),
        pytest.param(answer("1.2.10" + "0" * 5000), id="a long one"),
    ],
)
def test_what_is_unusual_is_not_remembered(walks: list[bytes], raw: bytes) -> None:
    reader = TextReader(WANTED)
    wanted = []
    for _ in range(2):
        try:
            wanted.append(reader.read(raw, IMPLICIT_VR_LITTLE_ENDIAN))
        except ProtocolError:
            wanted.append({})
    assert wanted[0] == wanted[1]
    assert len(walks) == 2


def test_few_shapes_are_kept(walks: list[bytes]) -> None:
    reader = TextReader(WANTED)
    many = identifier_shapes.MAX_SHAPES + 1
    for _ in range(2):
        for number in range(many):
            reader.read(answer("1.2." + "1" * 2 * number), IMPLICIT_VR_LITTLE_ENDIAN)
    assert len(walks) == 2 * many


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_no_byte_changed_anywhere_makes_it_say_what_a_walk_does_not(syntax: str) -> None:
    chance = random.Random(7)
    whole = answer("1.2.10", syntax)
    reader = TextReader(WANTED)
    reader.read(whole, syntax)
    for _ in range(3000):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.choice((0, 1, 2, 0xFE, 0xFF, 0x2E))
        raw = bytes(changed)
        assert said(texts_in, raw, syntax, WANTED) == said(reader.read, raw, syntax)


def said(read: Callable[..., dict[int, str]], *words: object) -> dict[int, str] | str:
    try:
        return read(*words)
    except ProtocolError as error:
        return str(error)
