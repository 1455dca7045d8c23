"""Messages of pynetdicom as ours, and ours as its own (PS3.7 §9.3)."""

from __future__ import annotations

from io import BytesIO
from typing import Any, TypeAlias

from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    ErrorDetails,
)
from asyncdicom.transports.associations.dialogue import Transmitted

__all__ = ["primitive_of", "transmitted"]

Primitive: TypeAlias = C_CANCEL | C_ECHO | C_FIND | C_GET | C_MOVE | C_STORE


def primitive_of(message: Transmitted) -> Primitive:
    """Return a message of ours as pynetdicom sends it."""
    command = message.command
    if isinstance(command, CCancelRequest):
        cancel = C_CANCEL()
        cancel.MessageIDBeingRespondedTo = command.responds_to
        return cancel
    if isinstance(command, CStoreResponse):
        return _store_response(command)
    if isinstance(command, CEchoRequest):
        echo = C_ECHO()
        echo.MessageID = command.message_id
        echo.AffectedSOPClassUID = UID(command.sop_class_uid)
        return echo
    assert isinstance(command, CFindRequest | CGetRequest | CMoveRequest), "nobody sends others"
    return _query(command, message.dataset)


def _store_response(command: CStoreResponse) -> C_STORE:
    response = C_STORE()
    response.MessageIDBeingRespondedTo = command.responds_to
    response.AffectedSOPClassUID = UID(command.sop_class_uid)
    response.AffectedSOPInstanceUID = UID(command.sop_instance_uid)
    response.Status = command.status
    return response


def _query(
    command: CFindRequest | CGetRequest | CMoveRequest, identifier: memoryview | bytes
) -> C_FIND | C_GET | C_MOVE:
    request: C_FIND | C_GET | C_MOVE
    if isinstance(command, CMoveRequest):
        request = C_MOVE()
        request.MoveDestination = command.move_destination
    else:
        request = C_FIND() if isinstance(command, CFindRequest) else C_GET()
    request.MessageID = command.message_id
    request.AffectedSOPClassUID = UID(command.sop_class_uid)
    request.Priority = command.priority
    request.Identifier = BytesIO(identifier)
    return request


def transmitted(context_id: int, primitive: Any) -> Transmitted:
    """Return a message of the peer as ours.

    Raises:
        ProtocolError: If it is none that an SCP sends us.

    """
    if isinstance(primitive, C_STORE) and primitive.MessageIDBeingRespondedTo is None:
        dataset = primitive.DataSet
        return Transmitted(
            context_id, _store_request(primitive), b"" if dataset is None else dataset.getbuffer()
        )
    responds_to, status = primitive.MessageIDBeingRespondedTo, getattr(primitive, "Status", None)
    if responds_to is None or status is None:
        raise ProtocolError(f"a {type(primitive).__name__} that is no response")
    if isinstance(primitive, C_ECHO):
        return Transmitted(context_id, CEchoResponse(responds_to, status))
    if not isinstance(primitive, C_FIND | C_GET | C_MOVE):
        raise ProtocolError(f"a {type(primitive).__name__} came where none belongs")
    dataset = primitive.Identifier
    identifier = b"" if dataset is None else dataset.getvalue()
    if isinstance(primitive, C_FIND):
        return Transmitted(context_id, CFindResponse(responds_to, status), identifier)
    return Transmitted(context_id, _progress(primitive, responds_to, status), identifier)


def _store_request(primitive: C_STORE) -> CStoreRequest:
    if primitive.MessageID is None:
        raise ProtocolError("a C-STORE request without a message ID")
    return CStoreRequest(
        primitive.MessageID,
        _text(primitive.AffectedSOPClassUID),
        _text(primitive.AffectedSOPInstanceUID),
        primitive.Priority,
        _text(primitive.MoveOriginatorApplicationEntityTitle),
        primitive.MoveOriginatorMessageID,
    )


def _text(value: object) -> str:
    # What pynetdicom leaves out is None, whatever its annotations say.
    return "" if value is None else str(value).strip()


def _progress(
    primitive: C_GET | C_MOVE, responds_to: int, status: int
) -> CGetResponse | CMoveResponse:
    kind = CGetResponse if isinstance(primitive, C_GET) else CMoveResponse
    return kind(
        responds_to,
        status,
        _text(primitive.AffectedSOPClassUID),
        primitive.NumberOfRemainingSuboperations,
        primitive.NumberOfCompletedSuboperations,
        primitive.NumberOfFailedSuboperations,
        primitive.NumberOfWarningSuboperations,
        details=ErrorDetails(error_comment=_text(primitive.ErrorComment)),
    )
