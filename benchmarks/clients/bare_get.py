"""The least that a C-GET with our promise costs in Python: one blocking loop, and no layer.

python -m benchmarks.clients.bare_get HOST PORT CALLED_AE STUDY FOLDER

It asks what `asyncdicom get` asks (the study, its series, the instances of each), then
retrieves the study, and answers each C-STORE with 0000 after the data set was walked to its
last byte, digested, written, compared with its command and linked to its name. It knows one
kind of archive, one transfer syntax and no fault: what it takes is a bound, not a program.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.protocol.dimse.messages import CFindRequest, CGetRequest
from asyncdicom.protocol.dimse.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN as EXPLICIT
from asyncdicom.protocol.dimse.sop_classes import IMPLICIT_VR_LITTLE_ENDIAN as IMPLICIT
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT
from asyncdicom.protocol.identifiers import Key, encode_identifier, texts_in
from asyncdicom.protocol.upper_layer.association import AssociationMachine
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal, Party, propose

if TYPE_CHECKING:
    from collections.abc import Iterator

CT = "1.2.840.10008.5.1.4.1.1.2"
LEVEL, STUDY, SERIES, INSTANCE = 0x00080052, 0x0020000D, 0x0020000E, 0x00080018
INSTANCES_IN_STUDY, INSTANCES_IN_SERIES, CLASSES = 0x00201208, 0x00201209, 0x00080062
COMMAND_FIELD, MESSAGE_ID, STATUS, SOP_CLASS, SOP_INSTANCE = 0x100, 0x110, 0x900, 2, 0x1000
PENDING = b"\0\xff"
STORE_REQUEST = b"\1\0"
MAX_PDU_BYTES = 128 * 1024

_PDU = struct.Struct(">BxLLBB")
_ELEMENT = struct.Struct("<HHI")
_EXPLICIT = struct.Struct("<IHH")
_UI = int.from_bytes(b"UI", "little")
_SHORT = frozenset(
    int.from_bytes(vr.encode(), "little")
    for vr in (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
        *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    )
)


@dataclass(frozen=True, slots=True)
class Meta:
    """What file meta information is made from."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str = EXPLICIT
    calling_ae: str = ""


class Peer:
    """A blocking association, its messages as dictionaries and bytes."""

    def __init__(
        self, address: tuple[str, int], called_ae: str, *contexts: ContextProposal
    ) -> None:
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1024 * 1024)
        self._at = self._end = 0
        self._machine = machine = AssociationMachine.requestor()
        machine.request(propose(contexts, Party(called_ae, "BARE", MAX_PDU_BYTES)))
        machine.connected()
        self._flush()
        while machine.negotiated is None:
            machine.receive_data(self._socket.recv(65536))
            machine.next_event()

    def send(self, context_id: int, command: bytes, dataset: bytes = b"") -> None:
        """Send a message."""
        self._machine.send_data(context_id, command, is_command=True, is_last=True)
        if dataset:
            self._machine.send_data(context_id, dataset, is_command=False, is_last=True)
        self._flush()

    def answer(self, context_id: int, command: dict[int, bytes]) -> None:
        """Answer a C-STORE with 0000."""
        elements = {
            SOP_CLASS: command[SOP_CLASS],
            COMMAND_FIELD: b"\1\x80",
            0x120: command[MESSAGE_ID],
            0x800: b"\1\1",
            STATUS: b"\0\0",
            SOP_INSTANCE: command[SOP_INSTANCE],
        }
        body = b"".join(
            _ELEMENT.pack(0, tag, len(value)) + value for tag, value in elements.items()
        )
        size = len(body) + 12
        head = _PDU.pack(4, size + 6, size + 2, context_id, 3)
        self._socket.send(head + _ELEMENT.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body)

    def messages(self) -> Iterator[tuple[int, dict[int, bytes], list[memoryview]]]:
        """Yield context, command and data set, without end."""
        command: dict[int, bytes] = {}
        dataset: list[memoryview] = []
        while True:
            context_id, control, data = self._fragment()
            if control & 1:
                command, dataset = _command(bytes(data)), []
                if command[0x800] == b"\1\1":
                    yield context_id, command, dataset
                continue
            dataset.append(data if control & 2 else memoryview(bytes(data)))
            if control & 2:
                yield context_id, command, dataset

    def close(self) -> None:
        """Release."""
        self._machine.release()
        self._flush()
        self._socket.recv(1024)
        self._socket.close()

    def _fragment(self) -> tuple[int, int, memoryview]:
        while True:
            if self._end - self._at >= _PDU.size:
                _, pdu_bytes, _, context_id, control = _PDU.unpack_from(self._buffer, self._at)
                start, self._at = self._at + _PDU.size, self._at + 6 + pdu_bytes
                if self._at <= self._end:
                    return context_id, control, memoryview(self._buffer)[start : self._at]
                self._at = start - _PDU.size
            self._read()

    def _read(self) -> None:
        left = self._end - self._at
        if self._at and (not left or self._end > len(self._buffer) // 2):
            self._buffer[:left] = self._buffer[self._at : self._end]
            self._at, self._end = 0, left
        self._end += self._socket.recv_into(memoryview(self._buffer)[self._end :])
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _flush(self) -> None:
        self._socket.sendall(b"".join(self._machine.data_to_send()))


def _command(raw: bytes) -> dict[int, bytes]:
    elements, at = {}, 0
    while at < len(raw):
        _, tag, length = _ELEMENT.unpack_from(raw, at)
        elements[tag] = raw[at + 8 : at + 8 + length]
        at += 8 + length
    return elements


def walked(data: memoryview) -> bytes:
    """Walk a data set without sequences to its last byte; return its SOP Instance UID."""
    at, end, uid = 0, len(data), b""
    while at < end:
        tag, vr, length = _EXPLICIT.unpack_from(data, at)
        at += 8
        if vr not in _SHORT:
            (length,) = struct.unpack_from("<I", data, at)
            at += 4
        elif tag == 0x00180008 and vr == _UI:  # (0008,0018), as it stands in the file
            uid = bytes(data[at : at + length])
        at += length
    if at != end:
        sys.exit("a data set was cut")
    return uid


def find(peer: Peer, level: str, keys: dict[int, Key], wanted: int) -> list[str]:
    """Return a value of each match."""
    identifier = encode_identifier({LEVEL: Key("CS", level), **keys}, IMPLICIT)
    peer.send(1, CFindRequest(1, STUDY_ROOT.find).encode(), identifier)
    found = []
    for _, command, dataset in peer.messages():
        if command[STATUS] != PENDING:
            break
        found.append(texts_in(bytes(dataset[0]), IMPLICIT, (wanted,))[wanted])
    return found


def look_up(peer: Peer, study: str) -> set[str]:
    """Return the instances of a study, asked for as `asyncdicom get` does."""
    one = {STUDY: Key("UI", study)}
    counts = {INSTANCES_IN_STUDY: Key("IS"), CLASSES: Key("UI")}
    find(peer, "STUDY", {**one, **counts}, STUDY)
    listed = {**one, SERIES: Key("UI"), INSTANCES_IN_SERIES: Key("IS")}
    instances: set[str] = set()
    for series in find(peer, "SERIES", listed, SERIES):
        keys = {**one, SERIES: Key("UI", series), INSTANCE: Key("UI")}
        instances.update(find(peer, "IMAGE", keys, INSTANCE))
    return instances


def get(peer: Peer, study: str, folder: str) -> set[str]:
    """Store the instances of a study; return which."""
    identifier = encode_identifier({LEVEL: Key("CS", "STUDY"), STUDY: Key("UI", study)}, IMPLICIT)
    peer.send(1, CGetRequest(1, STUDY_ROOT.get).encode(), identifier)
    directory, stored = os.open(folder, os.O_RDONLY), set()
    for context_id, command, dataset in peer.messages():
        if command[COMMAND_FIELD] == STORE_REQUEST:
            uid = store(command, dataset, directory)
            peer.answer(context_id, command)
            stored.add(uid)
        elif command[STATUS] != PENDING:
            break
    return stored


def store(command: dict[int, bytes], dataset: list[memoryview], directory: int) -> str:
    """Put an instance in place, whole and verified; return its UID."""
    data = dataset[0] if len(dataset) == 1 else memoryview(b"".join(dataset))
    if walked(data) != command[SOP_INSTANCE]:
        sys.exit("another instance came than was announced")
    uid = command[SOP_INSTANCE].rstrip(b"\0").decode()
    content = file_meta(Meta(CT, uid)) + data
    hashlib.sha256(content).hexdigest()
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=directory)
    os.write(fd, content)
    os.link(f"/proc/self/fd/{fd}", f"{uid}.dcm", dst_dir_fd=directory, follow_symlinks=True)
    os.close(fd)
    return uid


def main(host: str, port: str, called_ae: str, study: str, folder: str) -> None:
    """Retrieve, compare with what was listed, and print the seconds."""
    begun_s = time.perf_counter()
    address = host, int(port)
    peer = Peer(address, called_ae, ContextProposal(STUDY_ROOT.find, (IMPLICIT,)))
    listed = look_up(peer, study)
    peer.close()
    get_context = ContextProposal(STUDY_ROOT.get, (IMPLICIT,))
    store_context = ContextProposal(CT, (EXPLICIT,), is_scu=False, is_scp=True)
    peer = Peer(address, called_ae, get_context, store_context)
    stored = get(peer, study, folder)
    peer.close()
    if stored != listed:
        sys.exit(f"{len(stored)} of {len(listed)} instances came")
    print(json.dumps({"seconds": time.perf_counter() - begun_s, "instances": len(stored)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
