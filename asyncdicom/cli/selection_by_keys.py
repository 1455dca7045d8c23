"""Which studies, series or instances match the keys of a command: a search before the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError, ContentError, Incomplete, NotFound
from asyncdicom.jobs.find import dictionary
from asyncdicom.model import Resource, Target
from asyncdicom.protocol.dicom_json import (
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    uid,
)
from asyncdicom.protocol.qido_keys import Keys, Level, parse_keys
from asyncdicom.protocol.qido_rs import search_query
from asyncdicom.sources.cod import CodSource
from asyncdicom.sources.dicomweb import DicomWebSource
from asyncdicom.sources.search import search

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from asyncdicom.sources.dimse import DimseSource

__all__ = ["found_targets", "searched_targets"]


async def found_targets(
    source: DicomWebSource | DimseSource | CodSource, words: Sequence[str], level: str | None = None
) -> list[Target]:
    """Return the studies, series or instances that match, in a source of any kind.

    Args:
        source: Where to search.
        words: `KEY=VALUE`; the patients of DIMSE stand for their studies.
        level: Name of the level, or None.

    Raises:
        ConfigError: If a key or a level is unknown, or nothing can be searched there.
        NotFound: If nothing matches.
        FetchError: As `searched_targets`.

    """
    if isinstance(source, CodSource):
        source.refuse_search()
    if not isinstance(source, DicomWebSource):
        # Imported here: who speaks HTTP does not pay for it.
        from asyncdicom.jobs.dimse_find import query_of  # noqa: PLC0415 -- lazy on purpose
        from asyncdicom.jobs.dimse_targets import find_targets  # noqa: PLC0415 -- as above

        _, query = query_of(words, level=level)
        assert query.level is not None, "models without levels are not retrieved from"
        return await find_targets(source, query.tree, query.level)
    if level == "patient":
        raise ConfigError("DICOMweb has no patients", hint="search studies with PatientID")
    if level is not None:
        words = [*words, f"QueryRetrieveLevel={level}"]
    return await searched_targets(source, words)


async def searched_targets(source: DicomWebSource, words: Sequence[str]) -> list[Target]:
    """Return the studies, series or instances that match `KEY=VALUE` words.

    The level is that of `QueryRetrieveLevel=`, else of the deepest attribute:
    `Modality=CT` means the CT series, not all series of studies with a CT.

    Raises:
        ConfigError: If a key is unknown.
        NotFound: If nothing matches.
        ContentError: If an answer lacks a UID of its level.
        Incomplete: If the server did not list all matches.
        FetchError: If it cannot be searched.

    """
    keys = parse_keys(words, dictionary())
    level = keys.level or _level_of(keys)
    found = search(source, search_query(keys, level=level))
    targets = [_target_of(answer, level) async for answer in found]
    verdict = found.verdict()
    if not verdict.is_complete:
        raise Incomplete(verdict.problem, expected=None, received=len(targets))
    if not targets:
        raise NotFound("nothing matches", status_code=204)
    return targets


# PS3.4 Tables C.6-3 and C.6-4: attributes below the study that people select by.
_SERIES_KEYWORDS = frozenset(
    {"Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesDate"}
    | {"BodyPartExamined", "ProtocolName", "Laterality", "PerformedProcedureStepStartDate"}
)
_INSTANCE_KEYWORDS = frozenset(
    {"SOPInstanceUID", "SOPClassUID", "InstanceNumber", "ContentDate", "NumberOfFrames"}
)


def _level_of(keys: Keys) -> Level:
    keywords = {match.path.last.keyword for match in keys.matches}
    if keywords & _INSTANCE_KEYWORDS:
        return Level.INSTANCE
    return Level.SERIES if keywords & _SERIES_KEYWORDS else Level.STUDY


_RESOURCES = {
    Level.STUDY: Resource.STUDY,
    Level.SERIES: Resource.SERIES,
    Level.INSTANCE: Resource.INSTANCE,
}


def _target_of(answer: Mapping[str, Any], level: Level) -> Target:
    study = uid(answer, STUDY_INSTANCE_UID)
    if study is None:
        raise ContentError("an answer of the search names no study")
    series = uid(answer, SERIES_INSTANCE_UID) if level is not Level.STUDY else None
    instance = uid(answer, SOP_INSTANCE_UID) if level is Level.INSTANCE else None
    # Without its UID a series would be asked for as its whole study.
    if series is None and level is not Level.STUDY:
        raise ContentError("an answer of the search names no series")
    if instance is None and level is Level.INSTANCE:
        raise ContentError("an answer of the search names no instance")
    return Target(_RESOURCES[level], study, series, instance)
