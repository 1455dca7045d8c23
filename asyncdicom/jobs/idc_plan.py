"""What a run against the Imaging Data Commons will do, before it does anything.

    plan = plan_selection(index, selection, groups)
    plan = plan_manifest(index, read_manifest(lines), groups)
    plan.groups                 # to be fetched
    plan.unmatched              # to be named

Rule: nothing that was asked for disappears: it is a group, or it is unmatched.

A plan of up to `MAX_HELD` series is held whole, so that the index can be closed (and
its memory given back) before the first byte is fetched; of a longer one the groups are
drawn from the index as they are needed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.jobs.idc_groups import NOT_IN_INDEX
from asyncdicom.jobs.idc_plans import IdcPlan
from asyncdicom.protocol.idc.buckets import IDC_BUCKETS
from asyncdicom.protocol.idc.manifest import ManifestId, ManifestUrl, NotUnderstood
from asyncdicom.protocol.idc.selection import Selection, is_uuid
from asyncdicom.protocol.idc.series import Totals
from asyncdicom.records import dataclass
from asyncdicom.sources.idc_selection import choose
from asyncdicom.sources.idc_unmatched import Unmatched, unmatched_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.jobs.idc_groups import SeriesGroups
    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.protocol.idc.manifest import ManifestEntry
    from asyncdicom.protocol.idc.series import Series
    from asyncdicom.sources.idc_index import IdcIndex
    from asyncdicom.sources.idc_selection import Chosen

__all__ = ["Manifest", "names_whole_series", "plan_manifest", "plan_selection"]

MAX_HELD = 10_000
"""Series whose groups are held at once: some 10 MB."""


def plan_selection(index: IdcIndex, selection: Selection, groups: SeriesGroups) -> IdcPlan:
    """Plan to fetch whole series.

    Raises:
        ConfigError: If the index is damaged.

    """
    chosen = choose(index, selection)
    unmatched = tuple(unmatched_in(chosen))
    found = map(groups.whole, chosen.series(groups.columns))
    return _plan(found, chosen.totals, unmatched)


def plan_manifest(
    index: IdcIndex, entries: Iterable[ManifestEntry], groups: SeriesGroups
) -> IdcPlan:
    """Plan to fetch what a manifest names, each thing once.

    Raises:
        ConfigError: As `plan_selection`.

    """
    manifest = Manifest.of(entries)
    chosen = choose(index, Selection(ids=manifest.ids))
    unmatched = tuple(manifest.unmatched(chosen))
    plan = _plan(manifest.groups(chosen, groups), chosen.totals, unmatched)
    return replace(plan, totals=_totals_of(plan.groups)) if plan.is_held else plan


def _totals_of(groups: Iterable[ObjectGroup]) -> Totals:
    """Sum up groups, which may be single objects of large series."""
    series = {group.prefix.partition("/")[0] for group in groups}
    counts = [1 if group.is_single else group.expected_count for group in groups]
    return Totals(
        len(series),
        sum(count or 0 for count in counts),
        sum(group.expected_bytes or 0 for group in groups),
        counts.count(None),
    )


def _plan(
    groups: Iterator[ObjectGroup], totals: Totals, unmatched: tuple[Unmatched, ...]
) -> IdcPlan:
    if totals.series > MAX_HELD:
        return IdcPlan(groups, totals, unmatched, is_held=False)
    held = list(groups)
    return IdcPlan(held, totals, unmatched, is_empty=not held)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest in order: what it names by address, and what by id."""

    urls: dict[str, tuple[ManifestUrl, ...]]
    """By the UUID of the series, or whatever stands in its place; each once."""
    named: frozenset[str]
    """Ids that stand alone: whole series are meant."""
    lines: tuple[NotUnderstood, ...]

    @classmethod
    def of(cls, entries: Iterable[ManifestEntry]) -> Manifest:
        """Sort the entries of a manifest."""
        urls: dict[str, dict[ManifestUrl, None]] = {}
        named: set[str] = set()
        lines: list[NotUnderstood] = []
        for entry in entries:
            match entry:
                case ManifestUrl():
                    # Without its line, the same address is the same entry.
                    same = _without_line(entry)
                    urls.setdefault(entry.series_uuid.lower(), {})[same] = None
                case ManifestId():
                    # A report names other ids, too, whose letters count.
                    named.add(entry.text.lower() if is_uuid(entry.text) else entry.text)
                case NotUnderstood():
                    lines.append(entry)
        found = {uuid: tuple(of_one) for uuid, of_one in urls.items()}
        return cls(found, frozenset(named), tuple(lines))

    @property
    def ids(self) -> tuple[str, ...]:
        """What the index is asked for. A folder of somebody's own bucket is no id."""
        return tuple(dict.fromkeys([*filter(is_uuid, self.urls), *sorted(self.named)]))

    def unmatched(self, chosen: Chosen) -> Iterator[Unmatched]:
        """Yield what names nothing; an address that no index knows is worth a remark."""
        for line in self.lines:
            yield Unmatched("manifest", line.text, f"line {line.line_number} names no series")
        unknown = list(unmatched_in(chosen))
        for one in unknown:
            if one.value not in self.urls or one.value in self.named:
                yield one
        values = {one.value for one in unknown}
        for uuid, urls in self.urls.items():
            if uuid in values or not is_uuid(uuid):
                why = f"not in the index, it goes to {NOT_IN_INDEX}/"
                yield Unmatched("manifest", str(urls[0]), why, is_missing=False)

    def groups(self, chosen: Chosen, groups: SeriesGroups) -> Iterator[ObjectGroup]:
        """Yield what is to be fetched: what the index knows, then the rest."""
        known: set[str] = set()
        for series in chosen.series(groups.columns):
            known.add(series.crdc_series_uuid)
            yield from self._of_series(series, groups)
        for uuid, urls in self.urls.items():
            if uuid not in known:
                yield from map(groups.unknown, urls)

    def _of_series(self, series: Series, groups: SeriesGroups) -> Iterator[ObjectGroup]:
        urls = self.urls.get(series.crdc_series_uuid, ())
        if not urls or self._is_named(series) or any(map(names_whole_series, urls)):
            yield groups.whole(series, bucket=_own_bucket(urls))
            return
        for url in urls:
            bucket = _own_bucket([url])
            if url.is_single:
                yield groups.single(series, url.prefix, bucket=bucket)
            else:
                yield groups.matching(series, url, bucket=bucket)

    def _is_named(self, series: Series) -> bool:
        ids = (series.crdc_series_uuid, series.series_instance_uid, series.study_instance_uid)
        return not self.named.isdisjoint((*ids, series.patient_id))


def _without_line(url: ManifestUrl) -> ManifestUrl:
    # Written out: `replace` takes three times as long, and manifests have up to a million lines.
    return ManifestUrl(0, url.scheme, url.bucket, url.prefix, url.pattern, url.is_single)


def names_whole_series(url: ManifestUrl) -> bool:
    """Tell whether an address means a series as a whole."""
    is_all = not url.is_single and url.pattern is None
    # Not `uuid/a`, which all keys begin with that match `uuid/a*`.
    return is_all and url.prefix.count("/") == 1 and url.prefix.endswith("/")


def _own_bucket(urls: Iterable[ManifestUrl]) -> str | None:
    """Return the bucket that a manifest names, if it is none of the Imaging Data Commons."""
    return next((url.bucket for url in urls if url.bucket not in IDC_BUCKETS), None)
