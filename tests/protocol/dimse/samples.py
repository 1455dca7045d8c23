"""One message of each kind, with every field set and with as few as possible; and strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

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
    Priority,
)
from asyncdicom.protocol.dimse.sop_classes import PATIENT_ROOT, STUDY_ROOT

if TYPE_CHECKING:
    from asyncdicom.protocol.dimse.messages import Message

__all__ = ["CT", "DETAILS", "MESSAGES", "messages"]

CT = "1.2.840.10008.5.1.4.1.1.2"
DETAILS = ErrorDetails((0x00100020, 0x0020000D), "no more room", 17)

MESSAGES: dict[str, Message] = {
    "echo request": CEchoRequest(1),
    "echo response": CEchoResponse(1, 0x0000),
    "store request": CStoreRequest(65535, CT, "2.999.1"),
    "store request of a move": CStoreRequest(
        2, CT, "2.999.12", Priority.LOW, move_originator="MOVER", move_message_id=7
    ),
    "store response": CStoreResponse(2, 0x0000, CT, "2.999.12"),
    "store response without UIDs": CStoreResponse(2, 0xA700, details=DETAILS),
    "find request": CFindRequest(3, STUDY_ROOT.find, Priority.HIGH),
    "pending find response": CFindResponse(3, 0xFF00, STUDY_ROOT.find, has_data_set=True),
    "failed find response": CFindResponse(3, 0xA900, STUDY_ROOT.find, details=DETAILS),
    "get request": CGetRequest(4, PATIENT_ROOT.get),
    "get response": CGetResponse(4, 0xFF00, PATIENT_ROOT.get, 3, 2, 1, 0),
    "last get response": CGetResponse(
        4, 0xB000, PATIENT_ROOT.get, None, 2, 1, 0, has_data_set=True
    ),
    "last get response of Orthanc": CGetResponse(
        4, 0xB000, PATIENT_ROOT.get, 0, 2, 1, 0, failed_sop_instance_uids=("2.999.1", "2.999.2")
    ),
    "move request": CMoveRequest(5, STUDY_ROOT.move, "DEST"),
    "move response": CMoveResponse(5, 0xA801, STUDY_ROOT.move, details=DETAILS),
    "cancel": CCancelRequest(5),
}


def messages() -> st.SearchStrategy[Message]:
    """Draw any message that a command set can hold."""
    number = st.integers(0, 0xFFFF)
    maybe = st.none() | number
    text = st.text(st.characters(codec="latin-1"), max_size=70).map(lambda text: text.strip("\0 "))
    uid = st.text("0123456789.", max_size=64)
    flag = st.booleans()
    details = st.builds(
        ErrorDetails,
        st.lists(st.integers(0, 0xFFFFFFFF), max_size=4).map(tuple),
        text,
        maybe,
    )
    counts: dict[str, Any] = dict.fromkeys(("remaining", "completed", "failed", "warning"), maybe)
    plain = {"has_data_set": flag, "details": details}
    some = st.text("0123456789.", min_size=1, max_size=64)
    counts["failed_sop_instance_uids"] = st.lists(some, max_size=3).map(tuple)
    return st.one_of(
        st.builds(CEchoRequest, number, uid, flag),
        st.builds(CEchoResponse, number, number, uid, **plain),
        st.builds(CStoreRequest, number, uid, uid, number, text, maybe, flag),
        st.builds(CStoreResponse, number, number, uid, uid, **plain),
        st.builds(CFindRequest, number, uid, number, flag),
        st.builds(CFindResponse, number, number, uid, **plain),
        st.builds(CGetRequest, number, uid, number, flag),
        st.builds(CGetResponse, number, number, uid, **counts, **plain),
        st.builds(CMoveRequest, number, uid, text, number, flag),
        st.builds(CMoveResponse, number, number, uid, **counts, **plain),
        st.builds(CCancelRequest, number, flag),
    )
