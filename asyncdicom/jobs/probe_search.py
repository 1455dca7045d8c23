"""What a service makes of a search (PS3.18 §10.6): keys, fields to include, levels, counts.

await probe_keys(asker, report, place)
await probe_fields(asker, report, place)
place = await probe_levels(asker, report, place)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from asyncdicom.jobs.probe import UNKNOWN
from asyncdicom.jobs.probe_paging import text_of
from asyncdicom.model import is_uid

if TYPE_CHECKING:
    from asyncdicom.jobs.probe import ProbeReport
    from asyncdicom.jobs.probe_asking import Asker, Exchange

__all__ = ["Place", "probe_fields", "probe_keys", "probe_levels"]

TOPIC: Final = "search"

NOBODY: Final = "ASYNCDICOM-PROBE-NOBODY"
"""A PatientID that no archive holds."""

COUNTS: Final = {
    "0020000D": "",
    "00201206": "NumberOfStudyRelatedSeries",
    "00201208": "NumberOfStudyRelatedInstances",
}
MANUFACTURER: Final = "00080070"
"""Of the series: no study search returns it without being asked."""


@dataclass(frozen=True, slots=True)
class Place:
    """A study, a series and an instance to ask for; empty where there is none."""

    study: str = ""
    series: str = ""
    instance: str = ""

    @property
    def study_path(self) -> str:
        """Path of the study."""
        return f"/studies/{self.study}"

    @property
    def series_path(self) -> str:
        """Path of the series."""
        return f"{self.study_path}/series/{self.series}"

    @property
    def instance_path(self) -> str:
        """Path of the instance."""
        return f"{self.series_path}/instances/{self.instance}"


async def probe_keys(asker: Asker, report: ProbeReport, place: Place) -> None:
    """Ask with keys: one that nothing matches, and one that has to be decoded first."""
    nobody = await asker.ask(f"/studies?PatientID={NOBODY}&limit=1")
    answers = nobody.answers()
    if answers == []:
        report.add(TOPIC, "no-match", str(nobody.status_code), str(nobody))
    elif answers is None:
        report.add(TOPIC, "no-match", str(nobody.status_code), odd=f"{nobody}, not 204")
    else:
        report.add(TOPIC, "no-match", "ignores keys", odd=f"{nobody} with an answer")
    if not place.study:
        return
    # RFC 3986 §2.4: what is escaped means what it stands for.
    escaped = place.study.replace(".", "%2E")
    seen = await asker.ask(f"/studies?StudyInstanceUID={escaped}&limit=1")
    found = seen.answers()
    if found:
        report.add(TOPIC, "decodes-keys", value=True)
    else:
        report.add(
            TOPIC, "decodes-keys", value=False, odd=f"{seen}, though the study is there with dots"
        )


async def probe_fields(asker: Asker, report: ProbeReport, place: Place) -> None:
    """Ask for attributes back: counts, one that no study has by default, and all of them."""
    path = f"/studies?StudyInstanceUID={place.study}&limit=1"
    named = "&".join(f"includefield={tag}" for tag in ("00201206", "00201208", MANUFACTURER))
    plain, asked = await asker.ask(path), await asker.ask(f"{path}&{named}")
    before, after = _only(plain), _only(asked)
    _note_counts(report, asked, after)
    if before is not None and after is not None:
        _note_field(report, asked, before, after)
    listed = await asker.ask(f"{path}&includefield=00201206,00201208")
    # PS3.18 §8.3.4.3: a list with commas, since the edition of 2019.
    _note_understood(report, "includefield-list", listed)
    every = await asker.ask(f"{path}&includefield=all")
    _note_understood(report, "includefield-all", every, most=len(before or {}))


def _only(exchange: Exchange) -> dict[str, Any] | None:
    answers = exchange.answers()
    return answers[0] if answers else None


def _note_counts(report: ProbeReport, asked: Exchange, answer: dict[str, Any] | None) -> None:
    for tag, name in COUNTS.items():
        if not name:
            continue
        text = text_of(answer or {}, tag)
        if text.isdecimal():
            report.add("counts", name, int(text))
        else:
            report.add("counts", name, None, odd=f"{asked}, without a number in ({tag})")


def _note_field(
    report: ProbeReport, asked: Exchange, before: dict[str, Any], after: dict[str, Any]
) -> None:
    if MANUFACTURER in before:
        report.add(TOPIC, "includefield", UNKNOWN, "all attributes come without being asked for")
    elif MANUFACTURER in after:
        report.add(TOPIC, "includefield", "honoured", f"({MANUFACTURER}) came when asked for")
    else:
        more = sorted(after.keys() - before.keys())
        value = "study attributes only" if more else UNKNOWN
        came = f"{', '.join(more)} came in addition" if more else "nothing came in addition"
        report.add(TOPIC, "includefield", value, f"asked for ({MANUFACTURER}): {came}")
    warnings = asked.warnings
    if warnings:
        report.add(TOPIC, "includefield-warning", warnings[0], str(asked))


def _note_understood(report: ProbeReport, name: str, seen: Exchange, *, most: int = 0) -> None:
    answer = _only(seen)
    if answer is None:
        report.add(TOPIC, name, value=False, odd=str(seen))
    elif most:
        told = f"{len(answer)} attributes, {most} without it"
        report.add(TOPIC, name, value=True if len(answer) > most else UNKNOWN, evidence=told)
    else:
        report.add(TOPIC, name, value=True)


async def probe_levels(asker: Asker, report: ProbeReport, place: Place) -> Place:
    """Search at each level (PS3.18 Table 10.6.1-2), and return an instance to ask for."""
    series = await _level(asker, report, "series of a study", f"{place.study_path}/series")
    place = replace(place, series=_uid(series, "0020000E"))
    if place.series:
        path = f"{place.series_path}/instances"
        found = await _level(asker, report, "instances of a series", path)
        place = replace(place, instance=_uid(found, "00080018"))
    await _level(asker, report, "instances of a study", f"{place.study_path}/instances")
    # PS3.18 Table 10.6.1-2: optional without a study.
    await _level(asker, report, "all series", "/series", is_optional=True)
    await _level(asker, report, "all instances", "/instances", is_optional=True)
    return place


async def _level(
    asker: Asker, report: ProbeReport, name: str, path: str, *, is_optional: bool = False
) -> dict[str, Any] | None:
    seen = await asker.ask(f"{path}?limit=1")
    answer = _only(seen)
    if answer is not None:
        report.add("levels", name, value=True)
    elif is_optional:
        report.add("levels", name, value=False, evidence=str(seen))
    else:
        report.add("levels", name, value=False, odd=f"{seen}, though the study is listed")
    return answer


def _uid(answer: dict[str, Any] | None, tag: str) -> str:
    text = text_of(answer or {}, tag)
    return text if is_uid(text) else ""
