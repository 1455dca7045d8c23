"""Hostile PDUs by the item: sound, damaged at the places that matter, in any order."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.protocol.upper_layer.samples import (
    ABORT_BYTES,
    ACCEPT_BYTES,
    REJECT_BYTES,
    RELEASE_REQUEST_BYTES,
    RELEASE_RESPONSE_BYTES,
    REQUEST_BYTES,
    data_pdu,
    item,
    sized,
)
from tests.support.chunking import cut

if TYPE_CHECKING:
    import random

__all__ = [
    "LOCAL_STEPS",
    "AssociationCase",
    "Case",
    "PduCase",
    "StreamCase",
    "case_from_json",
    "case_to_json",
    "pieces_of",
    "random_pdu_case",
]


@dataclass(frozen=True, slots=True)
class PduCase:
    """One PDU, to be decoded."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StreamCase:
    """Bytes of a connection, and where they are cut."""

    data: bytes
    places: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociationCase:
    """What happens to one side of an association: local steps by name, and bytes of the peer."""

    is_requestor: bool
    steps: tuple[str | bytes, ...]
    pieces: int = 1
    """Into how many pieces bytes are cut."""


Case = PduCase | StreamCase | AssociationCase

LOCAL_STEPS = {
    "request": "Evt1",
    "connected": "Evt2",
    "accept": "Evt7",
    "reject": "Evt8",
    "send": "Evt9",
    "release": "Evt11",
    "respond": "Evt14",
    "abort": "Evt15",
    "eof": "Evt17",
    "artim": "Evt18",
}
"""Local steps, and their events; `connected` is Evt5 for an acceptor."""

_UIDS = (b"1.2", b"1.2.840.10008.1.1", b"1.2.840.10008.1.2", b"1.2\0", b" 1 ", b"", b"\xe4\0b")
_NOISE = (b"", b"\0", b"\x01\x02", b"\xff" * 5, b"\x00\x03abc")
_SHORT = (REJECT_BYTES, RELEASE_REQUEST_BYTES, RELEASE_RESPONSE_BYTES, ABORT_BYTES)
_SOUND = (REQUEST_BYTES, ACCEPT_BYTES, *_SHORT)
_IDS = (1, 1, 1, 3, 3, 5, 0, 2, 255)
_CONTROLS = (0, 1, 2, 3, 2, 3, 0xFC, 0xFF)


def random_pdu_case(source: random.Random) -> Case:
    """Make a case: PDUs, streams and associations in equal parts."""
    kind = source.randrange(3)
    if kind == 0:
        return PduCase(_random_pdu(source))
    if kind == 1:
        data = b"".join(_random_piece(source) for _ in range(source.randint(1, 5)))
        places = tuple(source.randint(0, len(data)) for _ in range(source.randint(0, 4)))
        return StreamCase(data, places)
    return _random_association(source)


def _random_pdu(source: random.Random) -> bytes:
    if source.random() < 0.1:
        data = source.choice(_SHORT)
    else:
        count = source.randint(0, 5)
        items = b"".join(_random_item(source) for _ in range(count))
        data = _associate(source, items)
    return _damaged(source, data) if source.random() < 0.4 else data


def _associate(source: random.Random, items: bytes) -> bytes:
    version = source.choice((b"\0\1", b"\0\1", b"\0\0", b"\xff\xff"))
    titles = source.choice((b"ARCHIVE", b"", b" A\0", b"\xe4" * 16)).ljust(
        16, source.choice((b" ", b"\0"))
    )
    value = version + b"\0\0" + titles + b"CLIENT".ljust(16) + bytes(32) + items
    return source.choice((b"\1\0", b"\2\0")) + len(value).to_bytes(4, "big") + value


def _random_item(source: random.Random) -> bytes:
    kind = source.randrange(10)
    if kind < 4:
        return _random_context(source)
    if kind < 8:
        subs = b"".join(_random_sub_item(source) for _ in range(source.randint(0, 4)))
        return item(0x50, subs)
    if kind == 8:
        return item(0x10, source.choice(_UIDS))
    return item(source.choice((0x00, 0x20, 0x21, 0x40, 0x99)), source.choice(_NOISE))


def _random_context(source: random.Random) -> bytes:
    context_id = source.choice((1, 3, 5, 7, 9, 251, 255, 0, 2))
    value = bytes((context_id, 0, source.choice((0, 0, 1, 3, 4, 99)), 0))
    for item_type in source.choice(((0x30, 0x40), (0x30, 0x40, 0x40), (0x40,), (), (0x99, 0x30))):
        value += item(item_type, source.choice(_UIDS))
    return item(source.choice((0x20, 0x21)), value)


def _random_sub_item(source: random.Random) -> bytes:
    uid, noise = source.choice(_UIDS), source.choice(_NOISE)
    flag = bytes((source.choice((0, 1, 1, 2)),))
    made = (
        item(0x51, source.choice((b"\0\0\0\0", b"\0\0\x40\0", b"\xff\xff\xff\xff", b"\0\0\0\1"))),
        item(0x52, uid),
        item(0x53, source.choice((b"\0\1\0\1", b"\0\0\0\0", b"\xff\xff\xff\xff"))),
        item(0x54, sized(uid) + flag + b"\1"),
        item(0x55, uid),
        item(0x56, sized(uid) + noise),
        item(0x57, sized(uid) + sized(b"1.3") + sized(sized(uid) * source.randint(0, 2)) + noise),
        item(0x58, b"\2" + flag + sized(uid) + sized(b"pass")),
        item(0x59, sized(noise)),
        item(source.choice((0x00, 0x51, 0x54, 0x57, 0x58, 0x59, 0x5A)), noise),
    )
    return source.choice(made)


def _damaged(source: random.Random, data: bytes) -> bytes:
    """Damage a PDU; more often than not its own length is right afterwards."""
    kind = source.randrange(5)
    at = source.randint(0, len(data))
    if kind == 0:
        data = data[:at]
    elif kind == 1:
        data = data[:at] + bytes((source.randrange(256),)) + data[at + 1 :]
    elif kind == 2:
        data = data[:at] + source.choice((b"\0", b"\xff", b"\0\1")) + data[at:]
    elif kind == 3:
        data = data[:at] + data[at + source.randint(1, 4) :]
    else:
        other = source.randint(0, len(data))
        data = data + data[min(at, other) : max(at, other)]
    if len(data) >= 6 and source.random() < 0.8:
        data = data[:2] + (len(data) - 6).to_bytes(4, "big") + data[6:]
    return data


def _random_piece(source: random.Random) -> bytes:
    """Make a PDU for a stream: data mostly."""
    kind = source.randrange(10)
    if kind < 6:
        pdvs = [
            (source.choice(_IDS[:6]), source.choice(_CONTROLS), b"data" * source.randint(0, 4))
            for _ in range(source.choice((1, 1, 1, 2, 3)))
        ]
        return data_pdu(*pdvs)
    if kind < 8:
        return source.choice(_SOUND)
    if kind == 8:
        return _damaged(source, data_pdu((source.choice(_IDS), source.choice(_CONTROLS), b"data")))
    return source.choice(
        (b"GET / ", b"\x16\x03\x01", b"\4\0\xff\xff\xff\xff", b"\1\0\0\x20\0\0", b"")
    )


_OPENINGS: dict[bool, tuple[tuple[str | bytes, ...], ...]] = {
    True: (
        (),
        ("request",),
        ("request", "connected"),
        ("request", "connected", "AC"),
        ("request", "connected", "AC", "release"),
        ("request", "connected", "AC", RELEASE_REQUEST_BYTES),
        ("request", "connected", "AC", "release", RELEASE_REQUEST_BYTES),
        ("request", "connected", "AC", "release", RELEASE_REQUEST_BYTES, "respond"),
    ),
    False: (
        (),
        ("connected",),
        ("connected", "RQ"),
        ("connected", "RQ", "accept"),
        ("connected", "RQ", "accept", "release"),
        ("connected", "RQ", "accept", RELEASE_REQUEST_BYTES),
        ("connected", "RQ", "accept", "release", RELEASE_REQUEST_BYTES),
        ("connected", "RQ", "accept", "release", RELEASE_REQUEST_BYTES + RELEASE_RESPONSE_BYTES),
    ),
}


def _random_association(source: random.Random) -> AssociationCase:
    is_requestor = source.random() < 0.5
    steps = list(source.choice(_OPENINGS[is_requestor]))
    for _ in range(source.randint(1, 4)):
        if source.random() < 0.5:
            steps.append(source.choice(tuple(LOCAL_STEPS)))
        else:
            count = source.choice((1, 1, 2))
            steps.append(b"".join(_random_piece(source) for _ in range(count)))
    return AssociationCase(is_requestor, tuple(steps), source.choice((1, 2, 3, 50)))


def pieces_of(data: bytes, pieces: int) -> list[bytes]:
    """Cut bytes into pieces of like length."""
    places = sorted({len(data) * i // pieces for i in range(1, pieces)})
    return [piece for piece in cut(data, places) if piece]


def case_to_json(case: Case, why: str) -> str:
    """Write a case for the corpus."""
    content: dict[str, Any] = {"why": why, "kind": type(case).__name__}
    if isinstance(case, AssociationCase):
        content["is_requestor"] = case.is_requestor
        content["pieces"] = case.pieces
        content["steps"] = [s if isinstance(s, str) else [_text(s)] for s in case.steps]
    else:
        content["data"] = _text(case.data)
        content["places"] = case.places if isinstance(case, StreamCase) else ()
    return json.dumps(content, indent=1) + "\n"


def case_from_json(text: str) -> Case:
    """Read a case of the corpus."""
    content = json.loads(text)
    if content["kind"] == "AssociationCase":
        steps = tuple(s if isinstance(s, str) else _bytes(s[0]) for s in content["steps"])
        return AssociationCase(content["is_requestor"], steps, content["pieces"])
    data = _bytes(content["data"])
    if content["kind"] == "PduCase":
        return PduCase(data)
    return StreamCase(data, tuple(content["places"]))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
