"""Queries and retrievals over any archive (PS3.4 §C.6): what matches, as `qido` matches it.

Rule: keys of levels above need not be given, as in relational queries (PS3.4 §C.4.1.3),
which most archives perform without being asked to negotiate them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from asyncdicom.errors import OperationFailed
from asyncdicom.mock import qido
from asyncdicom.mock.dimse_identifiers import CANNOT_MATCH
from asyncdicom.mock.dimse_objects import sop_class_of
from asyncdicom.mock.routes import Level, Route
from asyncdicom.model import Resource
from asyncdicom.protocol.dimse.sop_classes import QUERY_MODELS, QueryLevel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncdicom.mock.archive import Archive, Attributes, Instance, Study
    from asyncdicom.mock.dimse_identifiers import Asked
    from asyncdicom.protocol.dimse.sop_classes import QueryModel

T = TypeVar("T")

__all__ = ["Answers", "level_of", "matching_instances", "model_of"]

PATIENT_ID, STUDY_UID, SERIES_UID, SOP_UID = "00100020", "0020000D", "0020000E", "00080018"
SOP_CLASSES_IN_STUDY = "00080062"
RETRIEVE_AE_TITLE = "00080054"

UNIQUE_KEYS = {
    QueryLevel.PATIENT: PATIENT_ID,
    QueryLevel.STUDY: STUDY_UID,
    QueryLevel.SERIES: SERIES_UID,
    QueryLevel.IMAGE: SOP_UID,
}
"""PS3.4 §C.6.1.1."""

LEVELS = {
    QueryLevel.STUDY: Level.STUDY,
    QueryLevel.SERIES: Level.SERIES,
    QueryLevel.IMAGE: Level.INSTANCE,
}


def model_of(sop_class_uid: str) -> QueryModel | None:
    """Return the information model that a SOP class belongs to, None if it is no query."""
    models = (m for m in QUERY_MODELS.values() if m.levels)
    return next((m for m in models if sop_class_uid in (m.find, m.get, m.move)), None)


def level_of(asked: Asked, model: QueryModel) -> QueryLevel:
    """Return the level of a request.

    Raises:
        OperationFailed: A900 if the model has no such level (PS3.4 §C.4.1.1.3).

    """
    if asked.level not in model.levels:
        raise OperationFailed("the model has no such level", status=CANNOT_MATCH)
    return QueryLevel(asked.level)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to queries.

    Attributes:
        archive: What is searched.
        ae_title: Where it can be retrieved from (0008,0054).
        lists_sop_classes: Whether (0008,0062) is known; many archives leave it empty.

    """

    archive: Archive
    ae_title: str
    lists_sop_classes: bool = False

    def find(self, asked: Asked, level: QueryLevel) -> Iterator[Attributes]:
        """Produce the attributes of each match, in the order of the archive."""
        for attributes in self._records(asked, level):
            attributes[RETRIEVE_AE_TITLE] = {"vr": "AE", "Value": [self.ae_title]}
            if qido.matches_all(attributes, asked.matches):
                yield attributes

    def _records(self, asked: Asked, level: QueryLevel) -> Iterator[Attributes]:
        if level is QueryLevel.PATIENT:
            yield from self._patients()
            return
        for route in routes(asked, LEVELS[level]):
            for record in qido.RECORDS[route.level](self.archive, route):
                attributes = dict(record.attributes)
                if self.lists_sop_classes and SOP_CLASSES_IN_STUDY in asked.wanted:
                    classes = sorted(set(map(sop_class_of, instances_of(record.study))))
                    attributes[SOP_CLASSES_IN_STUDY] = {"vr": "UI", "Value": classes}
                yield attributes

    def _patients(self) -> Iterator[Attributes]:
        """Produce one record per patient, with how many studies there are (PS3.4 Table C.3-1)."""
        found: dict[str, Attributes] = {}
        counts: dict[str, list[int]] = {}
        for study in self.archive.studies:
            attributes = qido.first_instance(study.all_series[0])
            patient = patient_id(attributes)
            found.setdefault(patient, attributes)
            counted = counts.setdefault(patient, [0, 0, 0])
            counted[0] += 1
            counted[1] += len(study.all_series)
            counted[2] += sum(len(series.instances) for series in study.all_series)
        for patient, attributes in found.items():
            own = {tag: e for tag, e in attributes.items() if tag[:4] == "0010"}
            numbers = zip(("00201200", "00201202", "00201204"), counts[patient], strict=True)
            yield own | {tag: {"vr": "IS", "Value": [count]} for tag, count in numbers}


def routes(asked: Asked, level: Resource) -> Iterator[Route]:
    """Return where to look: at the studies and series that are named, or everywhere."""
    for study in asked.values(STUDY_UID) or (None,):
        for series in asked.values(SERIES_UID) or (None,):
            within = series if study and level is Level.INSTANCE else None
            if is_pattern(study):
                study = None  # noqa: PLW2901 -- matched later, like any other key
            yield Route(Resource.SEARCH, level, study, within)
            if within is None:
                break


def is_pattern(uid: str | None) -> bool:
    """Tell a wildcard, which UIDs cannot have, but which clients send."""
    return uid is not None and ("*" in uid or "?" in uid)


def patient_id(attributes: Attributes) -> str:
    """Return the Patient ID, or an empty text."""
    values = attributes.get(PATIENT_ID, {}).get("Value", [])
    return str(values[0]) if values else ""


def instances_of(study: Study) -> Iterator[Instance]:
    """Produce all instances of a study."""
    for series in study.all_series:
        yield from series.instances


def matching_instances(archive: Archive, asked: Asked, level: QueryLevel) -> Iterator[Instance]:
    """Produce what a retrieval asks for (PS3.4 §C.4.2.1.4, §C.4.3.1.3).

    Raises:
        OperationFailed: A900 if the unique key of the level is missing.

    """
    if not asked.values(UNIQUE_KEYS[level]):
        raise OperationFailed("the unique key of the level is missing", status=CANNOT_MATCH)
    for study in matching_studies(archive, asked):
        for series in named(study.all_series, study.series, asked.values(SERIES_UID)):
            yield from named(series.instances, series.instance, asked.values(SOP_UID))


def matching_studies(archive: Archive, asked: Asked) -> Iterator[Study]:
    """Produce the studies that are named, of the patients that are named."""
    patients = asked.values(PATIENT_ID)
    for study in named(archive.studies, archive.study, asked.values(STUDY_UID)):
        if not patients or patient_id(qido.first_instance(study.all_series[0])) in patients:
            yield study


def named(
    every: Sequence[T], look_up: Callable[[str], T | None], uids: Sequence[str]
) -> Iterator[T]:
    """Produce those that are named, or all if none is."""
    if not uids:
        yield from every
    for uid in dict.fromkeys(uids):
        found = look_up(uid)
        if found is not None:
            yield found
