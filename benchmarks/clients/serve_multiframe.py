"""A DIMSE archive that holds one multi-frame object of many megabytes, and sends it in C-GETs.

python -m benchmarks.clients.serve_multiframe PORT MEGABYTES

It serves until it is ended. Pixels are made while they are sent, so it needs little memory itself.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import uvloop

from asyncdicom.ports.dimse import SubOperations
from asyncdicom.protocol.dimse.messages import CStoreRequest
from asyncdicom.protocol.dimse.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    QUERY_MODELS,
    VERIFICATION,
)
from asyncdicom.protocol.identifiers import Key, Tree, encode_identifier, texts_in
from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings
from asyncdicom.transports.associations.services import (
    PENDING,
    SUCCESS,
    Operation,
    Requestor,
    Services,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ROWS = COLUMNS = 512
FRAME_BYTES = ROWS * COLUMNS * 2
SOP_CLASS = "1.2.840.10008.5.1.4.1.1.7.3"
"""Multi-frame Grayscale Word Secondary Capture Image Storage."""
STUDY, SERIES, INSTANCE = "2.999.20251.9", "2.999.20251.9.1", "2.999.20251.9.1.1"
LEVEL = 0x00080052

NAMES: Tree = {
    0x00080016: Key("UI", SOP_CLASS),
    0x00080018: Key("UI", INSTANCE),
    0x00100020: Key("LO", "BENCHMARK"),
    0x0020000D: Key("UI", STUDY),
    0x0020000E: Key("UI", SERIES),
}
ANSWER: Tree = {
    0x00080062: Key("UI", SOP_CLASS),
    0x00201206: Key("IS", "1"),
    0x00201208: Key("IS", "1"),
    0x00201209: Key("IS", "1"),
    **NAMES,
}


class OneObject(Services):
    """Finds and sends its one object, whoever asks for what."""

    def __init__(self, frame_count: int) -> None:
        pixels: Tree = {
            0x00280002: Key("US", "1"),
            0x00280004: Key("CS", "MONOCHROME2"),
            0x00280008: Key("IS", str(frame_count)),
            0x00280010: Key("US", str(ROWS)),
            0x00280011: Key("US", str(COLUMNS)),
            0x00280100: Key("US", "16"),
            0x00280101: Key("US", "16"),
            0x00280102: Key("US", "15"),
            0x00280103: Key("US", "0"),
        }
        self._frame_count = frame_count
        head = encode_identifier({**NAMES, **pixels}, EXPLICIT_VR_LITTLE_ENDIAN)
        length = frame_count * FRAME_BYTES
        self._head = head + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, length)

    def offers(self, _requestor: Requestor, abstract_syntax: str, /) -> bool:
        """Speak verification, queries, and its one SOP class."""
        models = QUERY_MODELS.values()
        spoken = {uid for model in models for uid in (model.find, model.get)}
        return abstract_syntax in spoken | {VERIFICATION, SOP_CLASS}

    async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
        """Answer with the one there is, at each level."""
        syntax = operation.context.transfer_syntax
        level = texts_in(operation.identifier, syntax, (LEVEL,))[LEVEL]
        yield encode_identifier({**ANSWER, LEVEL: Key("CS", level)}, syntax)

    async def get(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
        """Send the object frame by frame."""
        context = operation.storage_context(SOP_CLASS, EXPLICIT_VR_LITTLE_ENDIAN)
        request = CStoreRequest(1, SOP_CLASS, INSTANCE)
        operation.expect_stored(1)
        await operation.send(context.context_id, request.encode(), is_command=True)
        await operation.send(context.context_id, self._head, is_command=False, is_last=False)
        frame = bytes(range(256)) * (FRAME_BYTES // 256)
        for number in range(1, self._frame_count + 1):
            is_last = number == self._frame_count
            await operation.send(context.context_id, frame, is_command=False, is_last=is_last)
        status = await operation.stored(1)
        done = int(status == SUCCESS)
        yield SubOperations(PENDING, remaining=0, completed=done, failed=1 - done)


async def serve(port: int, frame_count: int) -> None:
    """Serve until cancelled."""
    async with AssociationServer(ServerSettings(port=port), OneObject(frame_count)) as server:
        await server.serve()


if __name__ == "__main__":
    own_port, megabytes = sys.argv[1:]
    uvloop.run(serve(int(own_port), int(megabytes) * 1_000_000 // FRAME_BYTES + 1))
