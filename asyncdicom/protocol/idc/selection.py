"""What a user asks the Imaging Data Commons for, in the words of its index.

    Selection(collection_id=("nlst",), patient_id=("100002", "100004"))

Rule: values of one kind are alternatives; kinds restrict each other. A patient of
a collection is the patient *in* that collection (89 PatientIDs are in two).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["COLUMNS", "AnalysisResults", "Kind", "Selection", "is_uuid", "split_values"]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class AnalysisResults(StrEnum):
    """What to do with series that belong to an analysis result."""

    INCLUDE = "include"
    EXCLUDE = "exclude"
    ONLY = "only"


class Kind(StrEnum):
    """What an id can be of: the columns of the index that identify, coarsest first."""

    COLLECTION = "collection_id"
    ANALYSIS_RESULT = "analysis_result_id"
    PATIENT = "PatientID"
    STUDY = "StudyInstanceUID"
    SERIES = "SeriesInstanceUID"
    CRDC_SERIES = "crdc_series_uuid"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series (or instances of them) are wanted. Empty kinds restrict nothing."""

    ids: tuple[str, ...] | None = None
    """Of any kind; each one is looked for in all of them. None restricts nothing, () to nothing."""
    collection_id: tuple[str, ...] = ()
    analysis_result_id: tuple[str, ...] = ()
    patient_id: tuple[str, ...] = ()
    study_instance_uid: tuple[str, ...] = ()
    series_instance_uid: tuple[str, ...] = ()
    crdc_series_uuid: tuple[str, ...] = ()
    """Of current and of earlier versions."""
    sop_instance_uid: tuple[str, ...] = ()
    """Instances of the series that the others select."""
    analysis_results: AnalysisResults = AnalysisResults.INCLUDE

    @property
    def is_empty(self) -> bool:
        """Whether nothing is restricted: all of the Imaging Data Commons."""
        return self == Selection()

    @property
    def names_series(self) -> bool:
        """Whether anything but SOP Instance UIDs is given."""
        return bool(self.ids) or any(values for _, values in self.restrictions())

    def restrictions(self) -> Iterator[tuple[Kind, tuple[str, ...]]]:
        """Yield each kind that is restricted, with its values."""
        for kind, name in COLUMNS.items():
            values: tuple[str, ...] = getattr(self, name)
            if values:
                yield kind, values


COLUMNS = {
    Kind.COLLECTION: "collection_id",
    Kind.ANALYSIS_RESULT: "analysis_result_id",
    Kind.PATIENT: "patient_id",
    Kind.STUDY: "study_instance_uid",
    Kind.SERIES: "series_instance_uid",
    Kind.CRDC_SERIES: "crdc_series_uuid",
}
"""The field of a selection for each kind."""


def is_uuid(text: str) -> bool:
    """Tell whether text has the form of a CRDC UUID."""
    return _UUID.fullmatch(text) is not None


def split_values(given: Iterable[str]) -> tuple[str, ...]:
    """Return the values of an option that is repeated, or holds a comma list, each once.

    Blanks around values are not part of them; so `a, b` is two ids.
    """
    values = (value.strip() for text in given for value in text.split(","))
    return tuple(dict.fromkeys(filter(None, values)))
