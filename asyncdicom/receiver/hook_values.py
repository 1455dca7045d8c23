"""What a hook is told of its event: values by placeholder.

Rule: an AE title is as a peer sent it; what no argument may hold (NUL), no line (control
characters) and no name of a file (`/`, and a dot in front) becomes `_`: hooks put it into paths.
Paths are as they are, but a relative one does not begin with `-`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.receiver.events import AssociationEnded, InstanceStored, StudyCompleted

if TYPE_CHECKING:
    from asyncdicom.receiver.events import Caller, ReceiverEvent

__all__ = ["values_of"]


def values_of(event: ReceiverEvent, root: str) -> tuple[str, dict[str, str]]:
    """Return what an event is about, and the values of its placeholders.

    Args:
        event: One that hooks are run for.
        root: Output folder, absolute.

    """
    match event:
        case InstanceStored():
            return event.sop_instance_uid, _of_instance(event, root)
        case AssociationEnded():
            return f"association {event.caller.association}", _of_association(event, root)
        case StudyCompleted():
            return event.study_instance_uid, _of_study(event, root)
        case _:
            raise TypeError(f"no hook is run for {type(event).__name__}")


def _of_caller(caller: Caller) -> dict[str, str]:
    return {
        "association": str(caller.association),
        "address": caller.address,
        "calling_ae": _named(caller.calling_ae),
        "called_ae": _named(caller.called_ae),
    }


def _of_instance(event: InstanceStored, root: str) -> dict[str, str]:
    file = f"{root}/{event.path}"
    return {
        **_of_caller(event.caller),
        "file": file,
        "path": f"./{event.path}" if event.path.startswith("-") else event.path,
        "folder": file.rpartition("/")[0],
        "root": root,
        "bytes": str(event.byte_count),
        "sha256": event.sha256,
        "sop_class_uid": event.sop_class_uid,
        "sop_instance_uid": event.sop_instance_uid,
        "series_instance_uid": event.series_instance_uid or "",
        "study_instance_uid": event.study_instance_uid or "",
        "transfer_syntax_uid": event.transfer_syntax_uid,
    }


def _of_association(event: AssociationEnded, root: str) -> dict[str, str]:
    return {
        **_of_caller(event.caller),
        "root": root,
        "stored": str(event.stored),
        "refused": str(event.refused),
        "bytes": str(event.byte_count),
        "seconds": f"{event.duration_s:.3f}",
        "failure": _printable(event.failure or ""),
    }


def _of_study(event: StudyCompleted, root: str) -> dict[str, str]:
    return {
        "study_instance_uid": event.study_instance_uid,
        "root": root,
        "instances": str(event.instances),
        "replaced": str(event.replaced),
        "bytes": str(event.byte_count),
        # PS3.5 §6.2: no AE title has a backslash, it separates values.
        "calling_aes": "\\".join(map(_named, event.calling_aes)),
    }


def _named(ae_title: str) -> str:
    """Make an AE title fit for the name of a file, which never leads to another folder."""
    text = _printable(ae_title).replace("/", "_")
    return f"_{text[1:]}" if text.startswith(".") else text


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "_" for one in text)
