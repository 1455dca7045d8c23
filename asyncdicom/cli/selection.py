"""Which studies, series or instances a command is about: UIDs from options, files and stdin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from asyncdicom.errors import ConfigError, ContentError, Incomplete, NotFound
from asyncdicom.events import target_from_json
from asyncdicom.model import Resource, Target, Uid, parse_uid
from asyncdicom.protocol.dicom_json import (
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    uid,
)
from asyncdicom.protocol.qido_keys import Keys, Level, parse_keys
from asyncdicom.protocol.qido_rs import search_query
from asyncdicom.sources.search import search
from asyncdicom.storage.reports import read_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["failed_targets", "searched_targets", "selected_targets", "study_uids"]


def study_uids(given: Sequence[str]) -> Iterator[Uid]:
    """Yield UIDs, each once; `-` stands for the lines of stdin.

    Raises:
        InvalidUid: If one is not a UID.
        ConfigError: If stdin should say them, and is empty.

    """
    seen: set[Uid] = set()
    for text in given:
        for line in sys.stdin if text == "-" else (text,):
            if line.strip() and (uid := parse_uid(line)) not in seen:
                seen.add(uid)
                yield uid
    if not seen and "-" in given:
        # Whatever should have written the list has failed: nothing is not a success.
        raise ConfigError("no UID came on stdin", hint="write one per line")


def selected_targets(
    studies: Sequence[str], series: Sequence[str], instances: Sequence[str]
) -> Iterator[Target]:
    """Yield what `--study`, `--series` and `--instance` name; the deepest level counts.

    Raises:
        InvalidUid: If one is not a UID.
        click.UsageError: If a level lacks the one above it.

    """
    if series and len(studies) != 1:
        raise click.UsageError("--series needs exactly one --study")
    if instances and len(series) != 1:
        raise click.UsageError("--instance needs exactly one --series")
    for study in study_uids(studies):
        if instances:
            parent = parse_uid(series[0])
            for uid in study_uids(instances):
                yield Target(Resource.INSTANCE, study, parent, uid)
        elif series:
            for uid in study_uids(series):
                yield Target(Resource.SERIES, study, uid)
        else:
            yield Target(Resource.STUDY, study)


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
    from asyncdicom.jobs.find import dictionary  # noqa: PLC0415 -- only for those who search

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


def failed_targets(report: str) -> Iterator[Target]:
    """Yield what a report (`--report`) names as failed, each once.

    Raises:
        ConfigError: If it cannot be read, or a line names no target.

    """
    seen: set[Target] = set()
    for line in read_report(report):
        if line.get("outcome") == "failed" and (target := _named_in(line, report)) not in seen:
            seen.add(target)
            yield target


def _named_in(line: Mapping[str, Any], report: str) -> Target:
    try:
        return target_from_json(line)
    except ConfigError as error:
        hint = "give a file that --report wrote"
        raise ConfigError(f"a line of {report} names no target", hint=hint) from error
