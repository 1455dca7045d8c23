"""Events and report lines: the sentences people read, the JSON scripts read, and the way back."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from asyncdicom.errors import ConfigError, ConnectionLost, InvalidUid, NotFound, Truncated
from asyncdicom.events import (
    Event,
    Finished,
    Planned,
    Retrying,
    RunEnded,
    object_from_json,
    outcome_to_json,
    target_from_json,
)
from asyncdicom.model import Failed, ObjectTarget, Resource, Skipped, Stored, Target, Uid

STUDY, SERIES, INSTANCE = Uid("1.2"), Uid("1.2.3"), Uid("1.2.3.4")
ONE = Target(Resource.INSTANCE, STUDY, SERIES, INSTANCE)
UIDS = {"study": "1.2", "series": "1.2.3", "instance": "1.2.3.4"}


@pytest.mark.parametrize(
    ("event", "shown", "as_json"),
    [
        pytest.param(
            Planned("1.2", 3, 4096),
            "study 1.2: 3 instances expected",
            {"event": "planned", "study": "1.2", "instances": 3, "estimatedBytes": 4096},
            id="planned",
        ),
        pytest.param(
            Retrying(str(ONE), ConnectionLost("reset", origin="http://a:80"), 2, 0.51251),
            "instance 1.2 1.2.3 1.2.3.4: try 2 failed: reset (http://a:80); next in 0.5 s",
            {
                "event": "retrying",
                "what": "instance 1.2 1.2.3 1.2.3.4",
                "reason": "connection-lost",
                "message": "reset (http://a:80)",
                "attempt": 2,
                "pauseInSeconds": 0.513,
            },
            id="retrying",
        ),
        pytest.param(
            Finished(Stored(ONE, "a/b.dcm", 512, "ab", 2)),
            "stored instance 1.2 1.2.3 1.2.3.4: a/b.dcm (512 bytes)",
            {
                "event": "finished",
                "outcome": "stored",
                "kind": "instance",
                **UIDS,
                "path": "a/b.dcm",
                "bytes": 512,
                "sha256": "ab",
                "attempts": 2,
            },
            id="stored",
        ),
        pytest.param(
            Finished(Stored(ONE, "b", 1, "ab", 1, ("no pixels", "no rows"))),
            "stored instance 1.2 1.2.3 1.2.3.4: b (1 bytes); odd: no pixels; no rows",
            {
                "event": "finished",
                "outcome": "stored",
                "kind": "instance",
                **UIDS,
                "path": "b",
                "bytes": 1,
                "sha256": "ab",
                "attempts": 1,
                "remarks": ["no pixels", "no rows"],
            },
            id="stored, though odd",
        ),
        pytest.param(
            Finished(Skipped(ONE, "b.dcm", 512, "ab")),
            "skipped instance 1.2 1.2.3 1.2.3.4: b.dcm is there and verified",
            {
                "event": "finished",
                "outcome": "skipped",
                "kind": "instance",
                **UIDS,
                "path": "b.dcm",
                "bytes": 512,
                "sha256": "ab",
            },
            id="skipped",
        ),
        pytest.param(
            Finished(Failed(ONE, Truncated("cut", offset=9), 4)),
            "failed instance 1.2 1.2.3 1.2.3.4: cut at byte 9 (4 tries)",
            {
                "event": "finished",
                "outcome": "failed",
                "kind": "instance",
                **UIDS,
                "reason": "truncated",
                "message": "cut at byte 9",
                "attempts": 4,
            },
            id="failed",
        ),
        pytest.param(
            Finished(Failed(Target(Resource.STUDY, STUDY), NotFound("gone", status_code=404))),
            "failed study 1.2: gone (1 try)",
            {
                "event": "finished",
                "outcome": "failed",
                "kind": "study",
                "study": "1.2",
                "reason": "not-found",
                "message": "gone",
                "statusCode": 404,
                "attempts": 1,
            },
            id="failed with a status",
        ),
        pytest.param(
            RunEnded(312, 4, 0, 0, 161_200_000, 1.9),
            "312 stored · 0 missing · 0 corrupt · 4 skipped (verified) · 161.2 MB in 1.9 s",
            {
                "event": "ended",
                "stored": 312,
                "skipped": 4,
                "missing": 0,
                "corrupt": 0,
                "bytes": 161_200_000,
                "seconds": 1.9,
                "complete": True,
                "aborted": None,
            },
            id="ended well",
        ),
        pytest.param(
            RunEnded(1, 0, 2, 3, 0, 0.0, "interrupted"),
            "1 stored · 2 missing · 3 corrupt · 0.0 MB in 0.0 s · stopped: interrupted",
            {
                "event": "ended",
                "stored": 1,
                "skipped": 0,
                "missing": 2,
                "corrupt": 3,
                "bytes": 0,
                "seconds": 0.0,
                "complete": False,
                "aborted": "interrupted",
            },
            id="ended early",
        ),
    ],
)
def test_an_event_is_a_sentence_and_an_object(
    event: Event, shown: str, as_json: dict[str, Any]
) -> None:
    assert str(event) == shown
    assert event.to_json() == as_json
    json.dumps(event.to_json())


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        pytest.param(RunEnded(1, 0, 0, 0, 1, 1.0), True, id="all stored"),
        pytest.param(RunEnded(0, 1, 0, 0, 1, 1.0), True, id="all there before"),
        pytest.param(RunEnded(1, 0, 1, 0, 1, 1.0), False, id="one missing"),
        pytest.param(RunEnded(1, 0, 0, 1, 1, 1.0), False, id="one corrupt"),
        pytest.param(RunEnded(1, 0, 0, 0, 1, 1.0, "stopped"), False, id="stopped"),
    ],
)
def test_a_run_is_complete_only_if_nothing_is_left(ended: RunEnded, *, expected: bool) -> None:
    assert ended.is_complete is expected


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(Target(Resource.STUDY, STUDY), id="a study"),
        pytest.param(Target(Resource.METADATA, STUDY, SERIES), id="metadata of a series"),
        pytest.param(ONE, id="an instance"),
        pytest.param(Target(Resource.FRAME, STUDY, SERIES, INSTANCE, 3), id="a frame"),
        pytest.param(
            Target(
                Resource.BULKDATA,
                *(STUDY, SERIES, INSTANCE),
                bulkdata_uri="../bulk/1",
                attribute="00091001",
            ),
            id="bulk data",
        ),
    ],
)
def test_a_target_comes_back_from_a_report(target: Target) -> None:
    line = outcome_to_json(Failed(target, Truncated("cut")))
    assert target_from_json(json.loads(json.dumps(line))) == target


@pytest.mark.parametrize(
    "line",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"kind": "study"}, id="no study"),
        pytest.param({"kind": "picture", "study": "1.2"}, id="an unknown kind"),
        pytest.param({"kind": "study", "study": "../etc"}, id="no UID"),
        pytest.param({"kind": "study", "study": 12}, id="a number"),
    ],
)
def test_a_line_that_names_no_target_is_refused(line: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        target_from_json(line)


def test_a_new_kind_of_outcome_cannot_be_forgotten() -> None:
    unknown: Any = SimpleNamespace(target=ONE)
    with pytest.raises(AssertionError):
        str(Finished(unknown))
    with pytest.raises(AssertionError):
        outcome_to_json(unknown)


@pytest.mark.parametrize(
    "target",
    [
        ObjectTarget("s3", "bucket", "a/b c.dcm"),
        ObjectTarget("gs", "bucket", "", Resource.LISTING),
        ObjectTarget("s3", "bucket", "u/i.dcm", Resource.OBJECT, Uid("1"), Uid("1.2"), Uid("1.3")),
    ],
)
def test_an_object_that_failed_can_be_asked_for_again(target: ObjectTarget) -> None:
    line = outcome_to_json(Failed(target, NotFound("gone", status_code=404)))
    assert object_from_json(line) == target


def test_a_line_about_another_thing_names_no_object() -> None:
    assert object_from_json({"kind": "study", "study": "1.2"}) is None


@pytest.mark.parametrize("url", ["", "s3://", "bucket/key", "s3:///key"])
def test_an_object_without_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="names no object"):
        object_from_json({"kind": "object", "url": url})


@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize("uid", ["x", [], {"1": 2}])
def test_an_object_of_something_without_a_uid_is_refused(level: str, uid: object) -> None:
    with pytest.raises(InvalidUid):
        object_from_json({"kind": "object", "url": "s3://bucket/key", level: uid})
