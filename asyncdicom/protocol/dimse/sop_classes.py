"""SOP classes of queries and of storage, and transfer syntaxes (PS3.4 §B.5, §C.6, PS3.6 §A)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "ALL_TRANSFER_SYNTAXES",
    "DEFLATED",
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "LOSSLESS",
    "LOSSY",
    "MODALITY_WORKLIST",
    "PATIENT_ROOT",
    "PATIENT_STUDY_ONLY",
    "QUERY_MODELS",
    "STUDY_ROOT",
    "UNCOMPRESSED",
    "VERIFICATION",
    "QueryLevel",
    "QueryModel",
    "is_image_class",
    "is_storage_class",
    "modality_prefix",
    "sop_class_name",
    "transfer_syntax_name",
]

VERIFICATION = "1.2.840.10008.1.1"

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
"""Deflated Explicit VR Little Endian (PS3.5 §A.5)."""

UNCOMPRESSED = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""Without big endian, which is retired."""
LOSSLESS: tuple[str, ...] = ()
"""Image compressions that keep every pixel, most likely first."""
LOSSY: tuple[str, ...] = ()
"""Image and video compressions that may lose some, most likely first."""
ALL_TRANSFER_SYNTAXES: tuple[str, ...] = ()
"""Each that an instance may be sent in, most likely first."""


class QueryLevel(StrEnum):
    """Values of (0008,0052) (PS3.4 §C.6.1.1)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


@dataclass(frozen=True, slots=True)
class QueryModel:
    """An information model that can be queried (PS3.4 §C.6, §K.6)."""

    name: str
    find: str
    """SOP Class UID of its C-FIND."""
    move: str
    """SOP Class UID of its C-MOVE, or empty."""
    get: str
    """SOP Class UID of its C-GET, or empty."""
    levels: tuple[QueryLevel, ...]
    """Top first; empty where there are none."""


_ROOT = "1.2.840.10008.5.1.4.1.2"
PATIENT_ROOT = QueryModel(
    "patient", f"{_ROOT}.1.1", f"{_ROOT}.1.2", f"{_ROOT}.1.3", tuple(QueryLevel)
)
STUDY_ROOT = QueryModel(
    "study", f"{_ROOT}.2.1", f"{_ROOT}.2.2", f"{_ROOT}.2.3", tuple(QueryLevel)[1:]
)
PATIENT_STUDY_ONLY = QueryModel(
    "patient-study-only",
    f"{_ROOT}.3.1",
    f"{_ROOT}.3.2",
    f"{_ROOT}.3.3",
    tuple(QueryLevel)[:2],
)
MODALITY_WORKLIST = QueryModel("worklist", "1.2.840.10008.5.1.4.31", "", "", ())
QUERY_MODELS = {
    model.name: model for model in (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY, MODALITY_WORKLIST)
}


def sop_class_name(uid: str) -> str:
    """Return the name of a SOP class, or the UID itself if it is not known."""
    raise NotImplementedError


def is_storage_class(uid: str) -> bool:
    """Tell whether it is a storage SOP class of the standard, retired ones included."""
    raise NotImplementedError


def is_image_class(uid: str) -> bool:
    """Tell whether its instances may be compressed as images; one not known may."""
    raise NotImplementedError


def modality_prefix(uid: str) -> str:
    """Return the short prefix that file names carry, such as `CT`, or an empty string."""
    raise NotImplementedError


def transfer_syntax_name(uid: str) -> str:
    """Return the name of a transfer syntax, or the UID itself if it is not known."""
    raise NotImplementedError
