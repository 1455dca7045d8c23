"""SOP classes of verification, queries and storage (PS3.4 §A.4, §B.5, §C.6, §K.6).

    STUDY_ROOT.find, STUDY_ROOT.levels
    sop_class_name("1.2.840.10008.5.1.4.1.1.2")      # "CT Image Storage"

The transfer syntaxes, which are named together with them everywhere, are offered here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from asyncdicom.protocol.dimse.storage_classes import STORAGE_CLASSES, STORAGE_ROOT
from asyncdicom.protocol.dimse.transfer_syntaxes import (
    ALL_TRANSFER_SYNTAXES,
    BIG_ENDIAN,
    COMMON_TRANSFER_SYNTAXES,
    DEFLATED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    LOSSLESS,
    LOSSY,
    UNCOMPRESSED,
    VIDEO,
    transfer_syntax_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ALL_TRANSFER_SYNTAXES",
    "BIG_ENDIAN",
    "COMMON_TRANSFER_SYNTAXES",
    "DEFLATED",
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "LIKELY_STORAGE_CLASSES",
    "LOSSLESS",
    "LOSSY",
    "MODALITY_WORKLIST",
    "PATIENT_ROOT",
    "PATIENT_STUDY_ONLY",
    "QUERY_MODELS",
    "STUDY_ROOT",
    "UNCOMPRESSED",
    "VERIFICATION",
    "VIDEO",
    "QueryLevel",
    "QueryModel",
    "is_image_class",
    "is_storage_class",
    "modality_prefix",
    "sop_class_name",
    "transfer_syntax_name",
]

VERIFICATION: Final = "1.2.840.10008.1.1"


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


_ROOT: Final = "1.2.840.10008.5.1.4.1.2"
PATIENT_ROOT: Final = QueryModel(
    "patient", f"{_ROOT}.1.1", f"{_ROOT}.1.2", f"{_ROOT}.1.3", tuple(QueryLevel)
)
STUDY_ROOT: Final = QueryModel(
    "study", f"{_ROOT}.2.1", f"{_ROOT}.2.2", f"{_ROOT}.2.3", tuple(QueryLevel)[1:]
)
PATIENT_STUDY_ONLY: Final = QueryModel(
    "patient-study-only",
    f"{_ROOT}.3.1",
    f"{_ROOT}.3.2",
    f"{_ROOT}.3.3",
    tuple(QueryLevel)[:2],
)
MODALITY_WORKLIST: Final = QueryModel("worklist", "1.2.840.10008.5.1.4.31", "", "", ())
QUERY_MODELS: Final[Mapping[str, QueryModel]] = {
    model.name: model for model in (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY, MODALITY_WORKLIST)
}
"""By name."""

_NAMES: Final[Mapping[str, str]] = {
    VERIFICATION: "Verification",
    PATIENT_ROOT.find: "Patient Root Query/Retrieve Information Model - FIND",
    PATIENT_ROOT.move: "Patient Root Query/Retrieve Information Model - MOVE",
    PATIENT_ROOT.get: "Patient Root Query/Retrieve Information Model - GET",
    STUDY_ROOT.find: "Study Root Query/Retrieve Information Model - FIND",
    STUDY_ROOT.move: "Study Root Query/Retrieve Information Model - MOVE",
    STUDY_ROOT.get: "Study Root Query/Retrieve Information Model - GET",
    PATIENT_STUDY_ONLY.find: "Patient/Study Only Query/Retrieve Information Model - FIND",
    PATIENT_STUDY_ONLY.move: "Patient/Study Only Query/Retrieve Information Model - MOVE",
    PATIENT_STUDY_ONLY.get: "Patient/Study Only Query/Retrieve Information Model - GET",
    MODALITY_WORKLIST.find: "Modality Worklist Information Model - FIND",
}

# Without "Image Storage" in their names, and yet with pixels (PS3.3 §A.1).
_OTHERS_WITH_PIXELS: Final = frozenset(
    {
        "4.1.1.6.2",  # enhanced ultrasound volume
        "4.1.1.30",  # parametric map
        "4.1.1.66.4",  # segmentation
        "4.1.1.66.7",  # label map segmentation
        "4.1.1.66.8",  # height map segmentation
        "4.1.1.77.1.5.8",  # B-scan volume analysis
        "4.1.1.81.1",  # ophthalmic thickness map
        "4.1.1.82.1",  # corneal topography map
        "4.1.1.481.2",  # dose
        "4.1.1.501.4",  # DICOS AIT, 2D and 3D
        "4.1.1.501.5",
    }
)

LIKELY_STORAGE_CLASSES: Final = tuple(
    f"{STORAGE_ROOT}4.1.1.{suffix}"
    for suffix in (
        *("2", "4", "7", "1", "1.1", "6.1", "3.1", "12.1", "128", "20", "1.2", "12.2"),
        *("88.67", "88.22", "88.33", "88.11", "88.59", "11.1", "104.1", "481.3", "481.5"),
        *("481.2", "481.1", "2.1", "4.1", "13.1.3", "66.4", "66", "7.4", "7.2", "7.3"),
        *("7.1", "4.2", "66.1", "1.1.1", "1.2.1", "1.3", "77.1.4", "77.1.1", "77.1.6"),
        *("77.1.5.1", "77.1.5.4", "9.1.1", "9.1.2", "12.1.1", "130", "11.2", "104.2"),
        *("88.50", "88.34", "67", "66.3", "66.2", "481.8", "481.4", "481.9", "30", "4.3"),
        *("77.1.1.1", "77.1.2", "77.1.4.1", "77.1.5.2", "13.1.1", "12.2.1", "6.2"),
        *("2.2", "4.4", "128.1", "14.1", "9.2.1", "9.4.1", "88.40", "78.7", "80.1"),
    )
)
"""What to try where an archive does not say what it holds, most likely ones first. An estimate
from the modalities in use: it only decides about the order."""


def _entry(uid: str) -> tuple[str, str] | None:
    if not uid.startswith(STORAGE_ROOT):
        return None
    return STORAGE_CLASSES.get(uid.removeprefix(STORAGE_ROOT))


def sop_class_name(uid: str) -> str:
    """Return the name of a SOP class, or the UID itself if it is not known."""
    entry = _entry(uid)
    return _NAMES.get(uid, uid) if entry is None else entry[1]


def is_storage_class(uid: str) -> bool:
    """Tell whether it is a storage SOP class of the standard, retired ones included."""
    return _entry(uid) is not None


def is_image_class(uid: str) -> bool:
    """Tell whether its instances may be compressed as images; one not known may."""
    entry = _entry(uid)
    if entry is None:
        return True
    return "Image Storage" in entry[1] or uid.removeprefix(STORAGE_ROOT) in _OTHERS_WITH_PIXELS


def modality_prefix(uid: str) -> str:
    """Return the short prefix that file names carry, such as `CT`, or an empty string."""
    entry = _entry(uid)
    return "" if entry is None else entry[0]
