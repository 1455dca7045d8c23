"""What a receiver tells the outside: one frozen value per event, as text and as JSON.

Rule: an object is told of once it is settled, by one of `InstanceStored` (kept, and answered
with 0000), `InstanceRefused`, or an `InstanceDuplicated` that says `skipped`. An object
that came too late for its association, or with `--ignore`, is only counted.

Rule: AE titles are as the peer sent them. Texts show them fit for a terminal; JSON escapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from asyncdicom.errors import AsyncDicomError

__all__ = [
    "AssociationBegan",
    "AssociationEnded",
    "AssociationRefused",
    "Caller",
    "ConnectionFailed",
    "DuplicateFate",
    "HookFailed",
    "InstanceDuplicated",
    "InstanceRefused",
    "InstanceStored",
    "Listening",
    "ReceiverEnded",
    "ReceiverEvent",
    "ReceiverObserver",
    "StudyCompleted",
]


@dataclass(frozen=True, slots=True)
class Caller:
    """A peer, and the association it has or wanted."""

    association: int
    """Number of the association since the receiver began, from 1; 0 if there is none."""
    address: str
    """IP address and port."""
    calling_ae: str
    called_ae: str

    def __str__(self) -> str:
        return f"{_shown(self.calling_ae)} ({self.address})"

    def to_json(self) -> dict[str, Any]:
        """Return it as members of a JSON object."""
        number = {"association": self.association} if self.association else {}
        names = {"callingAE": self.calling_ae, "calledAE": self.called_ae}
        return {**number, "address": self.address, **names}


@dataclass(frozen=True, slots=True)
class Listening:
    """Peers may associate from now on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"listening on {self.host} port {self.port}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {"event": "listening", "host": self.host, "port": self.port}


@dataclass(frozen=True, slots=True)
class AssociationBegan:
    """A peer was let in."""

    caller: Caller
    contexts: tuple[tuple[str, str | None], ...] = ()
    """SOP class of each presentation context it proposed, and the transfer syntax that was
    accepted, or None. Up to 128 of them: not part of texts and JSON."""

    def __str__(self) -> str:
        caller = self.caller
        return f"association {caller.association}: {caller} calls {_shown(caller.called_ae)}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {"event": "associationBegan", **self.caller.to_json()}


@dataclass(frozen=True, slots=True)
class AssociationEnded:
    """An association was released, or broke."""

    caller: Caller
    stored: int
    refused: int
    byte_count: int
    """Of data sets, whatever became of them."""
    duration_s: float
    failure: str | None = None
    """Why it ended otherwise than by its release, or None."""

    def __str__(self) -> str:
        how = "released" if self.failure is None else f"broken: {self.failure}"
        counts = f"{self.stored} stored, {self.refused} refused"
        return f"association {self.caller.association}: {self.caller} {how} ({counts})"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "associationEnded",
            **self.caller.to_json(),
            "stored": self.stored,
            "refused": self.refused,
            "bytes": self.byte_count,
            "seconds": round(self.duration_s, 3),
            "failure": self.failure,
        }


@dataclass(frozen=True, slots=True)
class AssociationRefused:
    """A peer was not let in (A-ASSOCIATE-RJ)."""

    caller: Caller
    reason: str
    is_transient: bool
    """Whether it may come again later."""

    def __str__(self) -> str:
        return f"rejected {self.caller}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        facts = {"reason": self.reason, "transient": self.is_transient}
        return {"event": "rejected", **self.caller.to_json(), **facts}


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """No association came of a connection."""

    address: str
    """IP address and port."""
    reason: str
    is_silent: bool
    """Whether the peer left or said nothing, as probes do; else it spoke no TLS or no DICOM."""

    def __str__(self) -> str:
        return f"no association with {self.address}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        facts = {"reason": self.reason, "silent": self.is_silent}
        return {"event": "connectionFailed", "address": self.address, **facts}


class DuplicateFate(StrEnum):
    """What became of an instance whose name was taken."""

    REPLACED = "replaced"
    """The file that was there gave way to it."""
    SKIPPED = "skipped"
    """The very same data set was there; the file that was there stays."""
    KEPT_BESIDE = "kept-beside"
    """Both are there."""


class InstanceStored(NamedTuple):
    """An instance is in place, as durable as was asked for, and its sender will be told so.

    A tuple, as one is made for each instance that arrives.
    """

    caller: Caller
    path: str
    """Relative to the output folder."""
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str | None
    series_instance_uid: str | None
    transfer_syntax_uid: str
    byte_count: int
    """Of the file."""
    sha256: str
    """Of the file, in lower-case hexadecimal digits; empty if nobody wants it."""
    remarks: tuple[str, ...] = ()
    """What is odd about it."""
    fate: DuplicateFate | None = None
    """What became of it because its name was taken, or None; never that it was skipped."""

    def __str__(self) -> str:
        noted = f"; odd: {'; '.join(self.remarks)}" if self.remarks else ""
        return f"stored {_shown(self.path)} ({self.byte_count} bytes) from {self.caller}{noted}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "stored",
            **self.caller.to_json(),
            "path": self.path,
            "sopClass": self.sop_class_uid,
            "instance": self.sop_instance_uid,
            "study": self.study_instance_uid,
            "series": self.series_instance_uid,
            "transferSyntax": self.transfer_syntax_uid,
            "bytes": self.byte_count,
            **({"sha256": self.sha256} if self.sha256 else {}),
            **({"remarks": list(self.remarks)} if self.remarks else {}),
            **({"fate": self.fate.value} if self.fate else {}),
        }


@dataclass(frozen=True, slots=True)
class InstanceDuplicated:
    """The name of an instance was taken; unless it was skipped, `InstanceStored` follows."""

    caller: Caller
    sop_instance_uid: str
    path: str
    """Of the file that was there before."""
    fate: DuplicateFate

    def __str__(self) -> str:
        return f"duplicate {_shown(self.path)} from {self.caller}: {self.fate.value}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        facts = {"instance": self.sop_instance_uid, "path": self.path, "fate": self.fate.value}
        return {"event": "duplicate", **self.caller.to_json(), **facts}


@dataclass(frozen=True, slots=True)
class InstanceRefused:
    """An instance was not stored, and its sender will be told so."""

    caller: Caller
    sop_instance_uid: str
    """As sent, so it may be none."""
    status: int
    """What is answered, 0 to FFFF (PS3.4 §B.2.3)."""
    error: AsyncDicomError

    def __str__(self) -> str:
        uid = _shown(self.sop_instance_uid)
        return f"refused {uid} from {self.caller} with {self.status:04X}: {self.error}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "refused",
            **self.caller.to_json(),
            "instance": self.sop_instance_uid,
            "status": f"{self.status:04X}",
            "reason": self.error.reason,
            "message": str(self.error),
        }


@dataclass(frozen=True, slots=True)
class StudyCompleted:
    """Nothing came for a study for so long that it is taken for complete."""

    study_instance_uid: str
    instances: int
    """Stored since the study was last told as complete, each counted once."""
    byte_count: int
    """Of their files that are there, without those that gave way."""
    calling_aes: tuple[str, ...]
    """Who sent them, each once, in the order of their first instance."""
    is_idle: bool = True
    """False if the receiver ended before the time was over."""
    replaced: int = 0
    """How often an older file gave way to one of them, from before or among themselves."""

    def __str__(self) -> str:
        why = "" if self.is_idle else " (the receiver ends)"
        noun = _counted(self.instances, "instance")
        again = f" ({self.replaced} files replaced)" if self.replaced else ""
        return f"study {self.study_instance_uid}: {noun}{again}, complete{why}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "studyComplete",
            "study": self.study_instance_uid,
            "instances": self.instances,
            "replaced": self.replaced,
            "bytes": self.byte_count,
            "callingAEs": list(self.calling_aes),
            "idle": self.is_idle,
        }


@dataclass(frozen=True, slots=True)
class HookFailed:
    """A hook could not be run, or failed; what was received is not touched by that."""

    hook: str
    """`object`, `association` or `study`."""
    program: str
    what: str
    """Instance, association or study that it was run for."""
    reason: str

    def __str__(self) -> str:
        program = _shown(self.program)
        return f"hook on {self.hook} failed for {self.what}: {program} {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        facts = {"program": self.program, "what": self.what, "reason": self.reason}
        return {"event": "hookFailed", "hook": self.hook, **facts}


@dataclass(frozen=True, slots=True)
class ReceiverEnded:
    """Nothing more will come."""

    stored: int
    skipped: int
    refused: int
    associations: int
    """Accepted since the beginning."""
    aborted: int
    """Associations that ended otherwise than by their release."""
    byte_count: int
    """Of data sets, whatever became of them."""
    duration_s: float
    reason: str | None = None
    """Who or what ended the receiver, or None."""

    def __str__(self) -> str:
        parts = [f"{self.stored} stored", f"{self.refused} refused"]
        if self.skipped:
            parts.append(f"{self.skipped} skipped (identical)")
        parts.append(_counted(self.associations, "association"))
        if self.aborted:
            parts.append(f"{self.aborted} broken")
        parts.append(f"{self.byte_count / 1e6:.1f} MB in {self.duration_s:.1f} s")
        sentence = " · ".join(parts)
        return f"{sentence} · stopped: {self.reason}" if self.reason else sentence

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        return {
            "event": "ended",
            "stored": self.stored,
            "skipped": self.skipped,
            "refused": self.refused,
            "associations": self.associations,
            "aborted": self.aborted,
            "bytes": self.byte_count,
            "seconds": round(self.duration_s, 3),
            "reason": self.reason,
        }


ReceiverEvent: TypeAlias = (
    Listening
    | AssociationBegan
    | AssociationEnded
    | AssociationRefused
    | ConnectionFailed
    | InstanceStored
    | InstanceDuplicated
    | InstanceRefused
    | StudyCompleted
    | HookFailed
    | ReceiverEnded
)


class ReceiverObserver(Protocol):
    """Whoever listens: called on the event loop, must not block."""

    def __call__(self, event: ReceiverEvent, /) -> None:
        """Take notice of an event."""


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shown(text: str) -> str:
    """Make text of a peer fit for one line of any terminal or log."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
