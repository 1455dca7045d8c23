"""What the words of `find` ask for: a QIDO-RS search or a C-FIND, and the columns that show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncdicom.cli.tables import Column, Format
from asyncdicom.errors import ConfigError
from asyncdicom.jobs.find import dictionary
from asyncdicom.protocol.qido_keys import Level, parse_attribute, parse_keys
from asyncdicom.protocol.qido_rs import search_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.jobs.dimse_find import DimseQuery
    from asyncdicom.protocol.qido_keys import Keys
    from asyncdicom.protocol.qido_rs import SearchQuery

__all__ = ["dimse_query", "web_query"]


def web_query(options: Mapping[str, Any], kind: Format) -> tuple[SearchQuery, list[Column]]:
    """Make a search, and the columns that show its answers.

    Raises:
        ConfigError: If a key is unknown, or there is no such level.

    """
    everything, words = _words(options)
    keys = parse_keys(words, dictionary())
    level = _web_level(options["level"])
    fuzzy = options["fuzzy"]
    query = search_query(keys, level=level, include_fields=everything, fuzzy=fuzzy)
    if kind not in (Format.CSV, Format.TABLE):
        return query, []
    columns = _columns(keys, query.level)
    if not keys.returned:
        # Some of the usual columns come only when they are asked for.
        wanted = [*everything, *(column.name for column in columns)]
        query = search_query(keys, level=level, include_fields=wanted, fuzzy=fuzzy)
    return query, columns


def dimse_query(options: Mapping[str, Any], kind: Format) -> tuple[DimseQuery, list[Column]]:
    """Make a query, and the columns that show its answers.

    A C-FIND returns what it is asked for, and nothing else. So where no key is bare,
    the usual attributes of the level are asked for.

    Raises:
        ConfigError: If a key is unknown, or an option is for DICOMweb alone.

    """
    from asyncdicom.jobs.dimse_find import query_of  # noqa: PLC0415 -- only for DIMSE

    everything, words = _words(options)
    if everything or options["fuzzy"]:
        name = "--fuzzy" if options["fuzzy"] else "--includefield all"
        raise ConfigError(f"{name} is for DICOMweb", hint="name the keys to return")
    is_worklist = options["model"] == "worklist"
    keys, query = query_of(words, level=options["level"], has_levels=not is_worklist)
    columns = _columns(keys, "worklist" if query.level is None else query.level.lower())
    if not keys.returned:
        known = dictionary()
        query = query.returning([parse_attribute(column.name, known) for column in columns])
    return query, columns if kind in (Format.CSV, Format.TABLE) else []


def _words(options: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return `all`, if that is among the fields to include, and the keys."""
    fields = [name for given in options["includefield"] for name in given.split(",") if name]
    everything = [name for name in fields if name == "all"]
    return everything, [*options["keys"], *(name for name in fields if name != "all")]


def _web_level(name: str | None) -> Level | None:
    if name == "patient":
        raise ConfigError("DICOMweb has no patients to list", hint="list studies with PatientID")
    return Level("instance" if name == "image" else name) if name else None


_USUAL_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "patient": (
        ("PatientID", "00100020"),
        ("PatientName", "00100010"),
        ("PatientBirthDate", "00100030"),
        ("PatientSex", "00100040"),
        ("NumberOfPatientRelatedStudies", "00201200"),
    ),
    "study": (
        ("StudyDate", "00080020"),
        ("PatientID", "00100020"),
        ("PatientName", "00100010"),
        ("ModalitiesInStudy", "00080061"),
        ("StudyDescription", "00081030"),
        ("NumberOfStudyRelatedInstances", "00201208"),
        ("StudyInstanceUID", "0020000D"),
    ),
    "series": (
        ("Modality", "00080060"),
        ("SeriesNumber", "00200011"),
        ("SeriesDescription", "0008103E"),
        ("NumberOfSeriesRelatedInstances", "00201209"),
        ("SeriesInstanceUID", "0020000E"),
        ("StudyInstanceUID", "0020000D"),
    ),
    "instance": (
        ("InstanceNumber", "00200013"),
        ("SOPClassUID", "00080016"),
        ("NumberOfFrames", "00280008"),
        ("SOPInstanceUID", "00080018"),
        ("SeriesInstanceUID", "0020000E"),
    ),
    "worklist": (
        ("PatientID", "00100020"),
        ("PatientName", "00100010"),
        ("AccessionNumber", "00080050"),
        ("RequestedProcedureID", "00401001"),
        ("ScheduledProcedureStepSequence.Modality", "00400100.00080060"),
        ("ScheduledProcedureStepSequence.ScheduledStationAETitle", "00400100.00400001"),
        ("ScheduledProcedureStepSequence.ScheduledProcedureStepStartDate", "00400100.00400002"),
    ),
}


def _columns(keys: Keys, level: str) -> list[Column]:
    named = [Column(path.name, path.tags) for path in keys.paths]
    if keys.returned:
        return list(dict.fromkeys(named))
    usual = [
        Column(keyword, tuple(tags.split(".")))
        for keyword, tags in _USUAL_COLUMNS["instance" if level == "image" else level]
    ]
    return [column for column in named if column not in usual] + usual
