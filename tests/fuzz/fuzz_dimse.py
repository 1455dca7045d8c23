"""Fuzz the message layer: command sets against a reference, assembling, identifiers, file meta.

    python -m tests.fuzz.fuzz_dimse --cases 1000000 --seed 7

Each case is made of its seed and number alone; `--only NUMBER` repeats one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from asyncdicom.errors import ProtocolError
from asyncdicom.model import is_uid
from asyncdicom.ports.dimse import StoreRequest
from asyncdicom.protocol.dimse.assembler import (
    DataFragment,
    MessageAssembler,
    MessageBegan,
    MessageEnded,
)
from asyncdicom.protocol.dimse.command_set import (
    MAX_COMMAND_SET_BYTES,
    MAX_ELEMENTS,
    decode_command_set,
    encode_command_set,
)
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.protocol.dimse.identifiers import Element, encode_identifier, identifier_values
from asyncdicom.protocol.dimse.messages import CommandField, OtherCommand, parse_command
from asyncdicom.protocol.dimse.sop_classes import UNCOMPRESSED
from asyncdicom.protocol.dimse.statuses import Operation, failure_of
from asyncdicom.protocol.upper_layer.pdu import PdvFragment
from tests.fuzz.fuzz_parsers import Counterexample
from tests.fuzz.running import run_cases

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from asyncdicom.protocol.dimse.assembler import MessageEvent

__all__ = ["check"]

NUMBERS = (
    *(0x0000, 0x0001, 0x0002, 0x0100, 0x0110, 0x0120, 0x0600, 0x0700, 0x0800, 0x0900),
    *(0x0901, 0x0902, 0x0903, 0x1000, 0x1020, 0x1021, 0x1022, 0x1023, 0x1030, 0x1031, 0x7777),
    *(0x00080000, 0x00080058, 0x00280010),
)
NEEDED = (0x0100, 0x0110, 0x0120, 0x0800, 0x0900)
FIELDS = (*CommandField, 0x0130, 0x8130, 0x0000, 0xFFFF)
TEXTS = (b"", b"1.2.3", b"1.2.840.10008.5.1.4.1.1.2\0", b"AET ", b" \0", b"\xff\\", b"../x", b"\0")
TAGS = (0x00080005, 0x00080052, 0x00100010, 0x0020000D, 0x00400100, 0x300A00C2, 0xFFFEE000)
VRS = ("UI", "CS", "LO", "PN", "SQ", "UN", "OB")

T = TypeVar("T")


def check(source: random.Random) -> str:
    """Draw a case and judge it; return what it came to, for the statistics.

    Raises:
        Counterexample: If a promise was broken.

    """
    return source.choice(_KINDS)(source)


def _command_set(source: random.Random) -> str:
    data = _mutated(_random_command_set(source), source)
    expected = _reference(data)
    try:
        elements = decode_command_set(data)
    except ProtocolError as error:
        _expect(expected is None, f"refused {data!r}: {error}")
        return f"command set: {type(error).__name__}"
    _expect(elements == expected, f"decoded {data!r}")
    if len(data) + 12 + len(elements) > MAX_COMMAND_SET_BYTES:
        return "command set: as long as it may be"
    written = encode_command_set(elements)
    _expect(written == data or not _is_canonical(data), f"written differently: {data!r}")
    _expect(encode_command_set(decode_command_set(written)) == written, f"not stable: {data!r}")
    return f"command set: {_command(data)}"


def _command(data: bytes) -> str:
    """Parse a command set that can be decoded."""
    try:
        message = parse_command(data)
    except ProtocolError as error:
        return type(error).__name__
    written = message.encode()
    # Commands of others keep their values as they came, and odd ones get padded.
    is_odd = isinstance(message, OtherCommand) and len(written) != len(data)
    _expect(is_odd or parse_command(written) == message, f"parsed differently: {data!r}")
    _expect(parse_command(written).encode() == written, f"not stable: {data!r}")
    return message.name


def _reference(data: bytes) -> dict[int, bytes] | None:
    """Take a command set apart without a line in common; None if it is to be refused."""
    if len(data) > MAX_COMMAND_SET_BYTES:
        return None
    tags: list[int] = []
    values: dict[int, bytes] = {}
    rest = data
    own_bytes = 0
    while rest:
        header, rest = rest[:8], rest[8:]
        length = int.from_bytes(header[4:], "little")
        if len(header) < 8 or length > len(rest):
            return None
        group, number = (int.from_bytes(header[i : i + 2], "little") for i in (0, 2))
        tags.append(group * 0x10000 + number)
        values[tags[-1]] = rest[:length]
        own_bytes += 0 if group else 8 + length
        rest = rest[length:]
    group_length = values.pop(0, None)
    is_refused = (
        sorted(tag > 0xFFFF for tag in tags) != [tag > 0xFFFF for tag in tags]
        or len(set(tags)) < len(tags)
        or len(values) > MAX_ELEMENTS
        or (group_length is not None and not _has_group_length(data, own_bytes))
    )
    return None if is_refused else values


def _has_group_length(data: bytes, own_bytes: int) -> bool:
    return data[:12] == b"\0\0\0\0\4\0\0\0" + (own_bytes - 12).to_bytes(4, "little", signed=True)


def _is_canonical(data: bytes) -> bool:
    expected = _reference(data) or {}
    own_bytes = 12 + sum(8 + len(value) for tag, value in expected.items() if tag <= 0xFFFF)
    in_order = list(expected) == sorted(expected)
    is_even = not any(len(value) % 2 for value in expected.values())
    return _has_group_length(data, own_bytes) and in_order and is_even


def _assembled(source: random.Random) -> str:
    """Feed whole messages, cut anywhere, with now and then a fragment that does not belong."""
    fragments: list[PdvFragment] = []
    expected: list[tuple[int, bytes, bytes | None]] = []
    for _ in range(source.randint(1, 3)):
        context_id = source.choice((1, 3, 255))
        command = _random_command_set(source)
        fragments += _fragments(command, source, context_id=context_id, is_command=True)
        data = None
        if _announces_data(command):
            data = source.randbytes(source.randint(0, 30))
            fragments += _fragments(data, source, context_id=context_id, is_command=False)
        expected.append((context_id, command, data))
    is_spoilt = source.random() < 0.5
    if is_spoilt:
        _spoil(fragments, source)
    try:
        found = _messages(fragments)
    except ProtocolError as error:
        broken = any(_tried(parse_command, command) is None for _, command, _ in expected)
        _expect(is_spoilt or broken, f"refused {fragments}: {error}")
        return f"assembler: {type(error).__name__}"
    if is_spoilt:
        return "assembler: spoilt, and whole"
    _expect([(c, d) for c, _, d in found] == [(c, d) for c, _, d in expected], f"{fragments}")
    _expect(all(m == parse_command(e[1]) for (_, m, _), e in zip(found, expected, strict=True)), "")
    return f"assembler: {len(found)} messages"


def _messages(fragments: list[PdvFragment]) -> list[tuple[int, object, bytes | None]]:
    """Return what the assembler makes of fragments: context, command, data set."""
    assembler = MessageAssembler()
    events: list[MessageEvent] = []
    for fragment in fragments:
        events += assembler.receive(fragment)
        _expect(len(assembler._command) <= MAX_COMMAND_SET_BYTES, "memory")
    assembler.receive_eof()
    found: list[tuple[int, object, bytes | None]] = []
    is_open = False
    for event in events:
        match event:
            case MessageBegan(context_id, command):
                _expect(not is_open, "a message inside of another")
                is_open = True
                found.append((context_id, command, b"" if command.has_data_set else None))
            case DataFragment(data):
                context_id, known, before = found.pop()
                _expect(is_open and before is not None and len(data) > 0, "data of nothing")
                found.append((context_id, known, (before or b"") + bytes(data)))
            case MessageEnded():
                _expect(is_open, "an end of nothing")
                is_open = False
    _expect(not is_open, "a message without an end")
    return found


def _spoil(fragments: list[PdvFragment], source: random.Random) -> None:
    at = source.randrange(len(fragments))
    match source.randrange(5):
        case 0:
            del fragments[at]
        case 1:
            fragments.insert(at, source.choice(fragments))
        case 2:
            fragments[at] = fragments[at]._replace(is_last=not fragments[at].is_last)
        case 3:
            fragments[at] = fragments[at]._replace(is_command=not fragments[at].is_command)
        case _:
            fragments[at] = fragments[at]._replace(context_id=7)


def _fragments(
    data: bytes, source: random.Random, *, context_id: int, is_command: bool
) -> list[PdvFragment]:
    places = sorted(source.randint(0, len(data)) for _ in range(source.choice((0, 0, 1, 4))))
    edges = [0, *places, len(data)]
    view = memoryview(data)
    pieces = [view[a:b] for a, b in pairwise(edges)]
    last = len(pieces) - 1
    return [
        PdvFragment(context_id, is_command, number == last, piece)
        for number, piece in enumerate(pieces)
    ]


def _announces_data(command: bytes) -> bool:
    message = _tried(parse_command, command)
    return message is not None and message.has_data_set


def _identifier(source: random.Random) -> str:
    syntax = source.choice(UNCOMPRESSED)
    tags = source.sample(TAGS[:-1], source.randint(0, 5))
    elements = [Element((tag,), "LO", source.choice(TEXTS)) for tag in tags]
    written = encode_identifier(elements, syntax)
    expected = {e.path[0]: e.value.strip(b"\0 ").decode("latin-1") for e in elements}
    _expect(identifier_values(written, syntax, TAGS[:-1]) == expected, f"identifier {written!r}")
    data = _mutated(written + _random_elements(source), source)
    try:
        values = identifier_values(data, syntax, TAGS[:-1])
    except ProtocolError as error:
        return f"identifier: {type(error).__name__}"
    _expect(all(text.encode("latin-1") in data for text in values.values()), "invented")
    return "identifier: read"


def _random_elements(source: random.Random) -> bytes:
    parts = []
    for _ in range(source.randint(0, 3)):
        tag, vr = source.choice(TAGS), source.choice(VRS).encode()
        parts.append((tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little"))
        length = source.choice((0, 2, 4, 0xFFFF, 0xFFFFFFFF))
        parts.append(vr + source.choice((b"\0\0", b"\2\0", b"\0\0\0\0\0\0")))
        parts.append(length.to_bytes(4, "little") + source.choice(TEXTS))
    return b"".join(parts)


def _file(source: random.Random) -> str:
    uids = [source.choice(("1.2", "2.999.1", "", "../x", "1" * 65, "\u0661")) for _ in range(3)]
    title = source.choice(("", "AET", "A" * 17, "\n", "\u4e2d"))
    request = StoreRequest(uids[0], uids[1], uids[2], 1, title)
    try:
        header = file_meta(request)
    except ProtocolError:
        _expect(not all(map(is_uid, uids)), f"file meta of {uids}")
        return "file meta: refused"
    _expect(all(map(is_uid, uids)), f"file meta of {uids}")
    length = int.from_bytes(header[140:144], "little")
    _expect(len(header) == 144 + length and not length % 2, "group length")
    return "file meta: written"


def _status(source: random.Random) -> str:
    status = source.randrange(0x10000)
    error = failure_of(status, source.choice(tuple(Operation)))
    _expect(error.status == status and str(error).isprintable(), f"status {status:04X}")
    return "status"


def _random_command_set(source: random.Random) -> bytes:
    if source.random() < 0.002:
        near = MAX_COMMAND_SET_BYTES + source.randint(-24, 4)
        return source.choice(
            (
                _element(0x7777, bytes(near)),
                b"".join(_element(n, b"") for n in range(1, MAX_ELEMENTS + source.randint(0, 3))),
            )
        )
    numbers = set(source.sample(NUMBERS[1:], source.randint(0, 6)))
    if source.random() < 0.9:
        numbers |= set(NEEDED)
    elements = {number: _value(number, source) for number in numbers}
    if source.random() < 0.8:
        return encode_command_set(elements)
    order = list(elements)
    source.shuffle(order)
    return b"".join(_element(number, elements[number]) for number in order)


def _value(number: int, source: random.Random) -> bytes:
    if number == 0x0100:
        return int(source.choice(FIELDS)).to_bytes(2, "little")
    if number == 0x0800:
        return source.choice((b"\1\1", b"\1\1", b"\0\0", b"\1\0"))
    is_text = number in (0x0002, 0x0600, 0x0902, 0x1000, 0x1030, 0x7777, 0x00080058)
    if is_text or source.random() < 0.02:
        return source.choice(TEXTS)
    if number == 0x0901:
        return source.randbytes(4 * source.randint(0, 3))
    return source.randbytes(2)


def _element(number: int, value: bytes) -> bytes:
    group, element = (part.to_bytes(2, "little") for part in divmod(number, 0x10000))
    return group + element + len(value).to_bytes(4, "little") + value


def _mutated(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(source.choice((0, 0, 0, 1, 1, 2, 5))):
        at = source.randint(0, len(changed))
        match source.randrange(4):
            case 0:
                changed[at : at + 1] = source.randbytes(1)
            case 1:
                del changed[at : at + source.randint(1, 9)]
            case 2:
                changed[at:at] = source.choice(TEXTS)
            case _:
                changed[at : at + 4] = source.choice(
                    (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\2\0\0\0")
                )
    return bytes(changed)


def _tried(function: Callable[[bytes], T], data: bytes) -> T | None:
    try:
        return function(data)
    except ProtocolError:
        return None


def _expect(is_kept: bool, promise: str) -> None:  # noqa: FBT001 -- reads as a sentence
    if not is_kept:
        raise Counterexample(promise)


_KINDS = (*(_command_set,) * 5, *(_assembled,) * 3, _identifier, _identifier, _file, _status)


if __name__ == "__main__":
    raise SystemExit(run_cases(__doc__, check))
