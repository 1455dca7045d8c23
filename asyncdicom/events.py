"""What a run tells the outside: one frozen value per event, as text and as JSON.

Progress bars, `--json`, reports and library users all listen to the same
stream. An event never carries payload bytes, credentials or patient data
beyond UIDs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, assert_never

from asyncdicom.errors import AsyncDicomError, ConfigError, OriginError
from asyncdicom.model import (
    AnyTarget,
    Failed,
    ObjectTarget,
    Outcome,
    Resource,
    Skipped,
    Stored,
    Target,
    Uid,
    parse_uid,
)
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Event",
    "Finished",
    "Listed",
    "Observer",
    "Planned",
    "Remarked",
    "Retrying",
    "RunEnded",
    "Withdrawn",
    "object_from_json",
    "outcome_to_json",
    "target_from_json",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """A study was looked up: what it should hold."""

    study_instance_uid: str
    instances: int
    byte_count: int
    """Estimated from rows, columns and frames; 0 where nobody said."""

    def __str__(self) -> str:
        return f"study {self.study_instance_uid}: {self.instances} instances expected"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "planned",
            "study": self.study_instance_uid,
            "instances": self.instances,
            "estimatedBytes": self.byte_count,
        }


@dataclass(frozen=True, slots=True)
class Listed:
    """The objects below a prefix were listed to the last page."""

    target: ObjectTarget
    objects: int
    """That are wanted."""
    byte_count: int

    def __str__(self) -> str:
        return f"{self.target.url}: {self.objects} objects, {self.byte_count / 1e6:.1f} MB"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "listed",
            "url": self.target.url,
            "objects": self.objects,
            "bytes": self.byte_count,
        }


@dataclass(frozen=True, slots=True)
class Retrying:
    """A try failed and another one follows."""

    what: str
    error: AsyncDicomError
    attempt: int
    """Number of the try that failed, from 1."""
    pause_s: float

    def __str__(self) -> str:
        return f"{self.what}: try {self.attempt} failed: {self.error}; next in {self.pause_s:.1f} s"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "retrying",
            "what": self.what,
            "reason": self.error.reason,
            "message": str(self.error),
            "attempt": self.attempt,
            "pauseInSeconds": round(self.pause_s, 3),
        }


@dataclass(frozen=True, slots=True)
class Finished:
    """A target has its outcome."""

    outcome: Outcome

    def __str__(self) -> str:
        match self.outcome:
            case Stored(target, path, byte_count, remarks=remarks):
                noted = f"; odd: {'; '.join(remarks)}" if remarks else ""
                return f"stored {target}: {path} ({byte_count} bytes){noted}"
            case Skipped(target, path):
                return f"skipped {target}: {path} is there and verified"
            case Failed(target, error, attempts):
                tries = "1 try" if attempts == 1 else f"{attempts} tries"
                return f"failed {target}: {error} ({tries})"
            case unknown:
                assert_never(unknown)

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {"event": "finished", **outcome_to_json(self.outcome)}


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was told as stored turned out to be doubtful, was removed, and is asked for again."""

    target: Target
    error: AsyncDicomError

    def __str__(self) -> str:
        return f"withdrawn {self.target}: {self.error}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        target = _target_to_json(self.target)
        facts = {"reason": self.error.reason, "message": str(self.error)}
        return {"event": "withdrawn", "outcome": "withdrawn", **target, **facts}


@dataclass(frozen=True, slots=True)
class Remarked:
    """Something is odd about a file, though nothing is wrong with it."""

    path: str
    """Relative to the folder."""
    remark: str

    def __str__(self) -> str:
        return f"{self.path}: {self.remark}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {"event": "remarked", "path": self.path, "remark": self.remark}


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing more will come."""

    stored: int
    skipped: int
    missing: int
    corrupt: int
    byte_count: int
    """Received from the network."""
    duration_s: float
    aborted: str | None = None
    """Why policy or a signal ended the run early, or None."""

    @property
    def is_complete(self) -> bool:
        """Whether everything asked for is stored and proven."""
        return self.missing == 0 and self.corrupt == 0 and self.aborted is None

    def __str__(self) -> str:
        parts = [
            f"{self.stored} stored",
            f"{self.missing} missing",
            f"{self.corrupt} corrupt",
        ]
        if self.skipped:
            parts.append(f"{self.skipped} skipped (verified)")
        size = f"{self.byte_count / 1e6:.1f} MB in {self.duration_s:.1f} s"
        sentence = " · ".join([*parts, size])
        return f"{sentence} · stopped: {self.aborted}" if self.aborted else sentence

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "ended",
            "stored": self.stored,
            "skipped": self.skipped,
            "missing": self.missing,
            "corrupt": self.corrupt,
            "bytes": self.byte_count,
            "seconds": round(self.duration_s, 3),
            "complete": self.is_complete,
            "aborted": self.aborted,
        }


Event: TypeAlias = Planned | Listed | Retrying | Finished | Remarked | Withdrawn | RunEnded


class Observer(Protocol):
    """Whoever listens: called on the event loop, must not block."""

    def __call__(self, event: Event, /) -> None:
        """Take notice of an event."""


def _target_to_json(target: AnyTarget) -> dict[str, Any]:
    if isinstance(target, ObjectTarget):
        return _without_none(
            {
                "kind": target.resource.value,
                "url": target.url,
                "study": target.study_instance_uid,
                "series": target.series_instance_uid,
                "instance": target.sop_instance_uid,
            }
        )
    fields = {
        "kind": target.resource.value,
        "study": target.study_instance_uid,
        "series": target.series_instance_uid,
        "instance": target.sop_instance_uid,
        "frame": target.frame_number,
        "uri": target.bulkdata_uri,
        "attribute": target.attribute,
    }
    return _without_none(fields)


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def target_from_json(line: Mapping[str, Any]) -> Target:
    """Return the target that a line of a report names.

    Raises:
        ConfigError: If it names none.

    """
    try:
        return Target(
            Resource(line["kind"]),
            parse_uid(line["study"]),
            _uid_or_none(line.get("series")),
            _uid_or_none(line.get("instance")),
            line.get("frame"),
            line.get("uri"),
            line.get("attribute"),
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise ConfigError("a line of the report names no target") from error


def object_from_json(line: Mapping[str, Any]) -> ObjectTarget | None:
    """Return the object or listing that a line of a report names; None if it names none.

    Raises:
        ConfigError: If its URL, or a UID in it, is none.

    """
    if line.get("kind") not in (Resource.OBJECT, Resource.LISTING):
        return None
    scheme, _, rest = str(line.get("url", "")).partition("://")
    bucket, _, key = rest.partition("/")
    if not (scheme and bucket):
        raise ConfigError("a line of the report names no object")
    return ObjectTarget(
        scheme,
        bucket,
        key,
        Resource(line["kind"]),
        _uid_or_none(line.get("study")),
        _uid_or_none(line.get("series")),
        _uid_or_none(line.get("instance")),
    )


def _uid_or_none(text: object) -> Uid | None:
    return None if text is None else parse_uid(str(text))


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return one line of a report (`--report`), as a JSON object."""
    target = _target_to_json(outcome.target)
    match outcome:
        case Stored(_, path, byte_count, sha256, attempts, remarks):
            found = {"path": path, "bytes": byte_count, "sha256": sha256}
            noted = {"remarks": list(remarks)} if remarks else {}
            return {"outcome": "stored", **target, **found, "attempts": attempts, **noted}
        case Skipped(_, path, byte_count, sha256):
            found = {"path": path, "bytes": byte_count, "sha256": sha256}
            return {"outcome": "skipped", **target, **found}
        case Failed(_, error, attempts):
            facts: dict[str, Any] = {"reason": error.reason, "message": str(error)}
            if isinstance(error, OriginError):
                facts["statusCode"] = error.status_code
            return {"outcome": "failed", **target, **facts, "attempts": attempts}
        case unknown:
            assert_never(unknown)
