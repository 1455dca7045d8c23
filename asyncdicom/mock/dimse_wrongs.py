"""DIMSE faults that no acceptor would commit: bytes, silence, and instances that are not whole."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from asyncdicom.mock.dimse_effects import (
    ANYWHERE,
    BYTES,
    QUERIES,
    Outcome,
    interruption,
    transmission,
)
from asyncdicom.mock.dimse_tampering import thrown_uid, with_sop_instance_uid

if TYPE_CHECKING:
    from asyncdicom.mock.dimse_channel import Scene, Sending
    from asyncdicom.mock.registry import Settings
    from asyncdicom.model import Buffer

__all__ = ["forever"]

P_DATA_TF = 0x04
HALF_PDU_BYTES = 1000
BY = "bytes (default: 10)"
TINY_BYTES = 64 * 1024
"""How much of a data set is sent byte by byte; the rest follows in one piece."""


async def forever() -> None:
    """Wait until the association ends."""
    await asyncio.Event().wait()


def pdu_header(pdu_type: int, length: int) -> bytes:
    """Write the header of a PDU (PS3.8 §9.3.1)."""
    return struct.pack(">BxI", pdu_type, length)


def pdv_header(context_id: int, length: int, control: int = 0) -> bytes:
    """Write the header of a PDV of so many bytes (PS3.8 §9.3.5.1).

    Bit 0 of the control header tells a command, bit 1 a last fragment (PS3.8 §E.2).
    """
    return struct.pack(">IBB", length + 2, context_id, control)


@interruption("abort", ("association", *BYTES), "send A-ABORT")
async def abort(scene: Scene, _settings: Settings) -> None:
    """Abort the association."""
    scene.channel.abort()
    await forever()


@interruption("close", ANYWHERE, "close the connection without a word")
async def close(scene: Scene, _settings: Settings) -> None:
    """Close the connection."""
    scene.channel.close()
    await forever()


@interruption("silence", ANYWHERE, "say nothing more, and keep the connection open")
async def silence(_scene: Scene, _settings: Settings) -> None:
    """Fall silent."""
    await forever()


@interruption("late", ANYWHERE, "pause, then go on", s="seconds (default: 1)")
async def late(_scene: Scene, settings: Settings) -> None:
    """Take a while."""
    await asyncio.sleep(settings.decimal("s", 1))


@interruption("half-pdu", BYTES, "stop in the middle of a PDU, and keep the connection open")
async def half_pdu(scene: Scene, _settings: Settings) -> None:
    """Announce more than is sent."""
    header = pdu_header(P_DATA_TF, HALF_PDU_BYTES + 6)
    half = bytes(HALF_PDU_BYTES // 2)
    pdv = pdv_header(scene.context_id, HALF_PDU_BYTES, 0 if scene.is_within_data else 1)
    await scene.channel.write(header + pdv + half)
    await forever()


@interruption("garbage-pdu", ANYWHERE, "send a PDU of a type that does not exist")
async def garbage_pdu(scene: Scene, _settings: Settings) -> None:
    """Speak another language."""
    await scene.channel.write(pdu_header(0x99, 4) + b"\xff\xfe\xfd\xfc")
    await forever()


@interruption(
    "pdu-length",
    BYTES,
    "send a P-DATA-TF of an impossible length",
    length="its length field (default: 0; 4294967295 is FFFFFFFF)",
)
async def pdu_length(scene: Scene, settings: Settings) -> None:
    """Announce nothing, or everything."""
    await scene.channel.write(pdu_header(P_DATA_TF, settings.number("length", 0)))
    await forever()


@interruption("oversize-pdu", BYTES, "send a PDU that is longer than the peer takes", by=BY)
async def oversize_pdu(scene: Scene, settings: Settings) -> None:
    """Ignore the maximum length of the peer (PS3.8 §D.1)."""
    length = (scene.peer_max_pdu_bytes or 64 * 1024 * 1024) + settings.number("by", 10)
    header = pdu_header(P_DATA_TF, length) + pdv_header(scene.context_id, length - 6)
    await scene.channel.write(header + bytes(length - 6))
    await forever()


@interruption("pdv-length", BYTES, "send a PDV that is longer than its PDU", by=BY)
async def pdv_length(scene: Scene, settings: Settings) -> None:
    """Contradict the PDU's own length."""
    pdv = pdv_header(scene.context_id, 100 + settings.number("by", 10)) + bytes(100)
    await scene.channel.write(pdu_header(P_DATA_TF, len(pdv)) + pdv)
    await forever()


@interruption("unknown-context", BYTES, "send data in a presentation context that was not accepted")
async def unknown_context(scene: Scene, _settings: Settings) -> None:
    """Speak of something else."""
    pdv = pdv_header(scene.context_id ^ 0x80, 4, 1) + bytes(4)
    await scene.channel.write(pdu_header(P_DATA_TF, len(pdv)) + pdv)
    await forever()


@interruption("unknown-message", QUERIES, "send a response to a request that was never made")
async def unknown_message(scene: Scene, _settings: Settings) -> None:
    """Respond to nobody, then go on."""
    if scene.respond is not None:
        await scene.respond(scene.message_id ^ 0x1000)


@interruption(
    "ends-twice", QUERIES, "send a final response, then go on as if nothing had been said"
)
async def ends_twice(scene: Scene, _settings: Settings) -> None:
    """Say too early that all is done."""
    if scene.respond is not None:
        await scene.respond(scene.message_id)


@transmission(
    "fail",
    "send nothing, and count the sub-operation as failed",
    **{"as": "status, four hexadecimal digits (default: A700)"},
)
async def fail(_sending: Sending, settings: Settings) -> Outcome:
    """Fail."""
    return Outcome(int(settings.text("as", "A700"), 16))


@transmission("warn", "send it, and count the sub-operation as one with a warning")
async def warn(sending: Sending, _settings: Settings) -> Outcome:
    """Have something to remark."""
    await sending.channel.store(sending.instance)
    return Outcome(0xB000)


@transmission("lose", "send nothing, and count the sub-operation as completed")
async def lose(_sending: Sending, _settings: Settings) -> Outcome:
    """Lie."""
    return Outcome()


@transmission("short-dataset", "leave the end of the data set out, flagged as complete", by=BY)
async def short_dataset(sending: Sending, settings: Settings) -> Outcome:
    """Cut the data set, and say that this is all."""
    data = memoryview(sending.instance.dataset)
    kept = max(0, len(data) - settings.number("by", 10))
    return Outcome(await sending.transmit(sending.command(), data[:kept]))


@transmission("long-dataset", "send more bytes behind the data set", by=BY)
async def long_dataset(sending: Sending, settings: Settings) -> Outcome:
    """Add what belongs to nothing."""
    extra = b"\xff" * settings.number("by", 10)
    return Outcome(await sending.transmit(sending.command(), sending.instance.dataset, extra))


@transmission("no-dataset", "send a C-STORE request without a data set")
async def no_dataset(sending: Sending, _settings: Settings) -> Outcome:
    """Send a command only."""
    return Outcome(await sending.transmit(sending.command(has_data_set=False)))


@transmission("other-uid", "name another SOP Instance UID in the command than in the data set")
async def other_uid(sending: Sending, _settings: Settings) -> Outcome:
    """Contradict the data set."""
    command = sending.command(sop_instance_uid=f"{sending.instance.sop_instance_uid}.1")
    return Outcome(await sending.transmit(command, sending.instance.dataset))


@transmission(
    "hostile-uid",
    "send a SOP Instance UID that is none",
    uid="text, percent-encoded (default: `../../x`)",
    length="repeat it to so many characters",
    throw="make another one each time, of what harms; a number gives other ones",
    where="command, dataset or both (default: both)",
)
async def hostile_uid(sending: Sending, settings: Settings) -> Outcome:
    """Attack whoever makes a name of a UID."""
    uid = unquote(settings.text("uid", "../../x"))
    if settings.has("throw"):
        where_from = f"{sending.instance.sop_instance_uid} {sending.number}"
        uid = thrown_uid(f"{settings.number('throw', 0)} {where_from}")
    length = settings.number("length", 0)
    if length:
        uid = ((uid or "1") * (length // len(uid or "1") + 1))[:length]
    where = settings.text("where", "both")
    command = sending.command(sop_instance_uid=None if where == "dataset" else uid)
    dataset: Buffer = sending.instance.dataset
    if where != "command":
        dataset = with_sop_instance_uid(dataset, uid)
    return Outcome(await sending.transmit(command, dataset))


@transmission("tiny-pdvs", "send command and data set in fragments of one byte")
async def tiny_pdvs(sending: Sending, _settings: Settings) -> Outcome:
    """Send the most headers for the fewest bytes; legal."""
    context_id = sending.context.context_id
    command = sending.command()
    sending.channel.expect_stored(command.message_id)
    await fragments(sending, context_id, command.encode(), is_command=True)
    await fragments(sending, context_id, sending.instance.dataset, is_command=False)
    return Outcome(await sending.channel.stored(command.message_id))


async def fragments(sending: Sending, context_id: int, data: Buffer, *, is_command: bool) -> None:
    """Send data byte by byte."""
    view = memoryview(data)
    for at in range(min(len(view), TINY_BYTES)):
        is_last = at == len(view) - 1
        piece = view[at : at + 1]
        await sending.channel.send(context_id, piece, is_command=is_command, is_last=is_last)
    if len(view) > TINY_BYTES:
        await sending.channel.send(context_id, view[TINY_BYTES:], is_command=is_command)


@transmission("same-message-id", "give each C-STORE request the same message ID")
async def same_message_id(sending: Sending, _settings: Settings) -> Outcome:
    """Number messages as if there were one only; legal, as each is answered before the next."""
    dataset = sending.instance.dataset
    command = replace(sending.command(), message_id=7)
    return Outcome(await sending.transmit(command, dataset))


@transmission("twice", "send the instance twice")
async def twice(sending: Sending, _settings: Settings) -> Outcome:
    """Send an instance again."""
    await sending.channel.store(sending.instance)
    return Outcome(await sending.channel.store(sending.instance))


@transmission("interleave", "begin a second message inside of a data set")
async def interleave(sending: Sending, _settings: Settings) -> Outcome:
    """Mix two messages, which no window allows (PS3.8 §E.1)."""
    context_id = sending.context.context_id
    data = memoryview(sending.instance.dataset)
    half = len(data) // 2
    command = sending.command()
    await sending.channel.send(context_id, command.encode(), is_command=True)
    await sending.channel.send(context_id, data[:half], is_command=False, is_last=False)
    status = await sending.transmit(replace(command, message_id=7), data)
    await sending.channel.send(context_id, data[half:], is_command=False)
    return Outcome(status)
