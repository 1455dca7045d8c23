"""Which ids of a selection named nothing, and why: what nobody told, nobody would miss.

Three verdicts: no such id (with what may have been meant), an id that IDC had in
earlier versions, and one that is there but shares no series with the other kinds.

Rule: of the finest kind that is given, each value has to bring something; of a coarser
one, a value that is there but brings nothing is worth a remark, for it may be that
only the others were looked for in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.protocol.idc.selection import COLUMNS, Kind, is_uuid
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.sources.idc_index import IdcIndex
    from asyncdicom.sources.idc_selection import Chosen

__all__ = ["Unmatched", "unmatched_in"]

ANY = "id"

ALIKE = 0.85
"""Similarity (Jaro-Winkler) from which an id may have been meant."""

MAX_VERSIONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An id that selected no series."""

    kind: str
    """What it is an id of: a column of the index, or `id` for one of any kind."""
    value: str
    why: str
    is_missing: bool = True
    """Whether something that was asked for is missing; else it is a remark."""

    def __str__(self) -> str:
        return f"{self.kind} {self.value!r}: {self.why}"


def unmatched_in(chosen: Chosen) -> Iterator[Unmatched]:
    """Yield the ids that brought nothing, in the order in which they were given."""
    index = chosen.index
    kinds = dict(chosen.selection.restrictions())
    if chosen.selection.ids is not None:
        yield from _unmatched_ids(index, is_alone=not kinds)
    finest = next(reversed(kinds), None) if chosen.selection.ids is None else None
    for kind in kinds:
        yield from _unmatched_of(index, kind, is_finest=kind is finest)


def _unmatched_ids(index: IdcIndex, *, is_alone: bool) -> Iterator[Unmatched]:
    unknown = _values(index, "ids", "SELECT n FROM identified")
    for value in unknown:
        yield Unmatched(ANY, value, _why_unknown(index, None, value))
    if is_alone:
        return
    for value in _values(index, "ids", "SELECT n FROM identified JOIN chosen USING (row)"):
        if value not in unknown:
            yield Unmatched(ANY, value, "has no series that the other options select")


def _unmatched_of(index: IdcIndex, kind: Kind, *, is_finest: bool) -> Iterator[Unmatched]:
    name = COLUMNS[kind]
    silent = _values(index, name, f"SELECT n_{name} FROM chosen")  # noqa: S608 -- names of ours
    if not silent:
        return
    tables = ["series", "earlier"] if kind is Kind.CRDC_SERIES else ["series"]
    known = " UNION ".join(
        f"SELECT w.n FROM want_{name} w JOIN {table} s ON s.{kind.value} = w.value"  # noqa: S608 -- as above
        for table in tables
    )
    unknown = set(_values(index, name, known))
    for value in silent:
        if value in unknown:
            yield Unmatched(kind, value, _why_unknown(index, kind, value))
        else:
            why = "has no series that the other options select"
            yield Unmatched(kind, value, why, is_missing=is_finest)


def _values(index: IdcIndex, name: str, met: str) -> list[str]:
    """Return the wanted values whose numbers are not among those met."""
    rows = index.all(
        f"SELECT value FROM want_{name} WHERE n NOT IN (SELECT * FROM ({met}) WHERE COLUMNS(*) "  # noqa: S608 -- names of ours
        "IS NOT NULL) ORDER BY n"
    )
    return [value for (value,) in rows]


def _why_unknown(index: IdcIndex, kind: Kind | None, value: str) -> str:
    if kind in (None, Kind.SERIES) and not is_uuid(value):
        versions = _earlier_versions(index, value)
        if versions:
            return f"not in this version of IDC any more; earlier ones: {versions}"
    alike = _alike(index, kind, value)
    hint = f"; did you mean {alike!r}?" if alike else ""
    return f"not in the index{hint}"


def _earlier_versions(index: IdcIndex, series: str) -> str:
    rows = index.all(
        "SELECT DISTINCT crdc_series_uuid FROM earlier WHERE SeriesInstanceUID = ? LIMIT ?",
        series,
        MAX_VERSIONS_SHOWN,
    )
    return ", ".join(uuid for (uuid,) in rows)


def _alike(index: IdcIndex, kind: Kind | None, value: str) -> str | None:
    """Return the collection or analysis result whose id is nearest, if it is near."""
    columns = [k for k in (Kind.COLLECTION, Kind.ANALYSIS_RESULT) if kind in (None, k)]
    if not columns:
        return None
    names = " UNION ".join(f"SELECT DISTINCT {k.value} AS id FROM series" for k in columns)  # noqa: S608 -- as above
    rows = index.all(
        f"SELECT id FROM ({names}) WHERE jaro_winkler_similarity(id, ?) >= ? "  # noqa: S608 -- as above
        "ORDER BY jaro_winkler_similarity(id, ?) DESC LIMIT 1",
        value.lower().replace("-", "_").replace(" ", "_"),
        ALIKE,
        value.lower().replace("-", "_").replace(" ", "_"),
    )
    return str(rows[0][0]) if rows else None
