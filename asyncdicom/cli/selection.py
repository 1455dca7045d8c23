"""Which studies, series or instances a command names: UIDs from options, files and stdin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from asyncdicom.errors import ConfigError
from asyncdicom.events import target_from_json
from asyncdicom.model import Resource, Target, Uid, parse_uid
from asyncdicom.storage.reports import read_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

__all__ = ["failed_lines", "failed_targets", "read_from_stdin", "selected_targets", "study_uids"]


def study_uids(given: Sequence[str]) -> Iterator[Uid]:
    """Yield UIDs, each once; `-` stands for the lines of stdin, of which empty ones say nothing.

    Raises:
        InvalidUid: If one is not a UID; empty is what an unset variable of a script gives.
        ConfigError: If stdin should say them, and is empty.

    """
    seen: set[Uid] = set()
    for text in given:
        lines = filter(str.strip, sys.stdin) if text == "-" else (text,)
        for uid in map(parse_uid, lines):
            if uid not in seen:
                seen.add(uid)
                yield uid
    if not seen and "-" in given:
        # Whatever should have written the list has failed: nothing is not a success.
        raise ConfigError("no UID came on stdin", hint="write one per line")


def read_from_stdin(options: dict[str, Any]) -> None:
    """Read what `-` stands for, before an event loop runs: in it no signal would end the reading.

    Raises:
        InvalidUid: If a line is not a UID.
        ConfigError: If stdin is empty.

    """
    for name in ("study", "series", "instance"):
        if "-" in options.get(name, ()):
            options[name] = tuple(study_uids(options[name]))


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


def failed_targets(report: str) -> Iterator[Target]:
    """Yield what a report (`--report`) names as failed, each once.

    Raises:
        ConfigError: As `failed_lines`, or if a line names no target.

    """
    seen: set[Target] = set()
    for line in failed_lines(report):
        if (target := _named_in(line, report)) not in seen:
            seen.add(target)
            yield target


def failed_lines(report: str) -> Iterator[Mapping[str, Any]]:
    """Yield the lines of a report that tell of a failure.

    Raises:
        ConfigError: If it cannot be read, or has lines and no outcome: another file names no
            failures either, and that is not a success.

    """
    has_lines = has_outcomes = False
    for line in read_report(report):
        has_lines, outcome = True, line.get("outcome")
        has_outcomes = has_outcomes or outcome is not None
        if outcome == "failed":
            yield line
    if has_lines and not has_outcomes:
        raise ConfigError(f"{report} tells no outcome", hint="give a file that --report wrote")


def _named_in(line: Mapping[str, Any], report: str) -> Target:
    try:
        return target_from_json(line)
    except ConfigError as error:
        hint = "give a file that --report wrote"
        raise ConfigError(f"a line of {report} names no target", hint=hint) from error
