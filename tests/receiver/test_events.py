"""What events say, to people and to programs."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from asyncdicom.errors import DiskFull
from asyncdicom.receiver.events import (
    AssociationBegan,
    AssociationEnded,
    AssociationRefused,
    Caller,
    ConnectionFailed,
    DuplicateFate,
    HookFailed,
    InstanceDuplicated,
    InstanceRefused,
    InstanceStored,
    Listening,
    ReceiverEnded,
    ReceiverEvent,
    StudyCompleted,
)

CALLER = Caller(3, "10.1.2.3:4711", "CT01", "STORE")
STRANGER = Caller(0, "10.1.2.3:4711", "CT\x1b[31m", "STORE")
WHO = {
    "association": 3,
    "address": "10.1.2.3:4711",
    "callingAE": "CT01",
    "calledAE": "STORE",
}

TABLE: list[tuple[ReceiverEvent, str, dict[str, Any]]] = [
    (
        Listening("::", 11112),
        "listening on :: port 11112",
        {"event": "listening", "host": "::", "port": 11112},
    ),
    (
        AssociationBegan(CALLER),
        "association 3: CT01 (10.1.2.3:4711) calls STORE",
        {"event": "associationBegan", **WHO},
    ),
    (
        AssociationEnded(CALLER, 12, 1, 5000, 1.23456),
        "association 3: CT01 (10.1.2.3:4711) released (12 stored, 1 refused)",
        {
            "event": "associationEnded",
            **WHO,
            "stored": 12,
            "refused": 1,
            "bytes": 5000,
            "seconds": 1.235,
            "failure": None,
        },
    ),
    (
        AssociationEnded(CALLER, 12, 1, 5000, 1.2, "the peer aborted"),
        "association 3: CT01 (10.1.2.3:4711) broken: the peer aborted (12 stored, 1 refused)",
        {
            "event": "associationEnded",
            **WHO,
            "stored": 12,
            "refused": 1,
            "bytes": 5000,
            "seconds": 1.2,
            "failure": "the peer aborted",
        },
    ),
    (
        AssociationRefused(STRANGER, "its AE title is not allowed", is_transient=False),
        r"rejected CT\x1b[31m (10.1.2.3:4711): its AE title is not allowed",
        {
            "event": "rejected",
            "address": "10.1.2.3:4711",
            "callingAE": "CT\x1b[31m",
            "calledAE": "STORE",
            "reason": "its AE title is not allowed",
            "transient": False,
        },
    ),
    (
        ConnectionFailed("10.1.2.3:4711", "it does not speak TLS", is_silent=False),
        "no association with 10.1.2.3:4711: it does not speak TLS",
        {
            "event": "connectionFailed",
            "address": "10.1.2.3:4711",
            "reason": "it does not speak TLS",
            "silent": False,
        },
    ),
    (
        InstanceStored(CALLER, "a/1.dcm", "1.1", "1.2", "1.3", "1.4", "1.5", 100, "00", ("odd",)),
        "stored a/1.dcm (100 bytes) from CT01 (10.1.2.3:4711); odd: odd",
        {
            "event": "stored",
            **WHO,
            "path": "a/1.dcm",
            "sopClass": "1.1",
            "instance": "1.2",
            "study": "1.3",
            "series": "1.4",
            "transferSyntax": "1.5",
            "bytes": 100,
            "sha256": "00",
            "remarks": ["odd"],
        },
    ),
    (
        InstanceStored(
            *(CALLER, "1.dcm", "1.1", "1.2", None, None, "1.5", 100, "", ()), DuplicateFate.REPLACED
        ),
        "stored 1.dcm (100 bytes) from CT01 (10.1.2.3:4711)",
        {
            "event": "stored",
            **WHO,
            "path": "1.dcm",
            "sopClass": "1.1",
            "instance": "1.2",
            "study": None,
            "series": None,
            "transferSyntax": "1.5",
            "bytes": 100,
            "fate": "replaced",
        },
    ),
    (
        InstanceDuplicated(CALLER, "1.2", "a/1.dcm", DuplicateFate.KEPT_BESIDE),
        "duplicate a/1.dcm from CT01 (10.1.2.3:4711): kept-beside",
        {
            "event": "duplicate",
            **WHO,
            "instance": "1.2",
            "path": "a/1.dcm",
            "fate": "kept-beside",
        },
    ),
    (
        InstanceRefused(CALLER, "../\0", 0xA700, DiskFull("no space", path="a")),
        r"refused ../\x00 from CT01 (10.1.2.3:4711) with A700: no space: a",
        {
            "event": "refused",
            **WHO,
            "instance": "../\0",
            "status": "A700",
            "reason": "disk-full",
            "message": "no space: a",
        },
    ),
    (
        StudyCompleted("1.3", 12, 5000, ("CT01",)),
        "study 1.3: 12 instances, complete",
        {
            "event": "studyComplete",
            "study": "1.3",
            "instances": 12,
            "replaced": 0,
            "bytes": 5000,
            "callingAEs": ["CT01"],
            "idle": True,
        },
    ),
    (
        StudyCompleted("1.3", 1, 5000, ("CT01",), is_idle=False, replaced=2),
        "study 1.3: 1 instance (2 files replaced), complete (the receiver ends)",
        {
            "event": "studyComplete",
            "study": "1.3",
            "instances": 1,
            "replaced": 2,
            "bytes": 5000,
            "callingAEs": ["CT01"],
            "idle": False,
        },
    ),
    (
        HookFailed("object", "mail", "1.2", "ended with 1"),
        "hook on object failed for 1.2: mail ended with 1",
        {
            "event": "hookFailed",
            "hook": "object",
            "program": "mail",
            "what": "1.2",
            "reason": "ended with 1",
        },
    ),
    (
        ReceiverEnded(312, 0, 0, 1, 0, 161_200_000, 1.94),
        "312 stored · 0 refused · 1 association · 161.2 MB in 1.9 s",
        {
            "event": "ended",
            "stored": 312,
            "skipped": 0,
            "refused": 0,
            "associations": 1,
            "aborted": 0,
            "bytes": 161_200_000,
            "seconds": 1.94,
            "reason": None,
        },
    ),
    (
        ReceiverEnded(1, 2, 3, 4, 5, 6_000_000, 7.0, "terminated"),
        (
            "1 stored · 3 refused · 2 skipped (identical) · 4 associations · 5 broken"
            " · 6.0 MB in 7.0 s · stopped: terminated"
        ),
        {
            "event": "ended",
            "stored": 1,
            "skipped": 2,
            "refused": 3,
            "associations": 4,
            "aborted": 5,
            "bytes": 6_000_000,
            "seconds": 7.0,
            "reason": "terminated",
        },
    ),
]
CASES = [pytest.param(*row, id=type(row[0]).__name__) for row in TABLE]


@pytest.mark.parametrize(("event", "text", "json_object"), CASES)
def test_an_event_is_a_line_and_a_json_object(
    event: ReceiverEvent, text: str, json_object: dict[str, Any]
) -> None:
    assert str(event) == text
    assert str(event).isprintable()
    assert event.to_json() == json_object
    assert "\n" not in json.dumps(event.to_json())


def test_each_event_is_in_the_table() -> None:
    assert {type(row[0]) for row in TABLE} == set(get_args(ReceiverEvent))
