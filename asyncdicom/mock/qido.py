"""Search Transactions over any archive (QIDO-RS, PS3.18 §10.6; matching: PS3.4 §C.2.2.2)."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydicom.datadict import tag_for_keyword

from asyncdicom.mock.archive import instance_count, modalities_in
from asyncdicom.mock.routes import Level, Refused, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncdicom.mock.archive import Archive, Attributes, Instance, Series, Study

__all__ = ["Query", "Record", "parse_query", "search"]


def tag_set(text: str) -> frozenset[str]:
    """Read a table of tags."""
    return frozenset(text.split())


STUDY_TAGS = tag_set("""
    00080005 00080020 00080030 00080050 00080090 00081030 00100010 00100020 00100021
    00100030 00100040 00101010 00101030 00104000 0020000D 00200010
""")
"""Elements of the patient and study levels (PS3.18 Table 10.6.1-5 and more of PS3.3 §C.7.2)."""

SERIES_TAGS = tag_set("""
    00080021 00080031 00080060 00080070 00080080 0008103E 00081050 00081090 00180015
    00181030 00185100 0020000E 00200011 00200052 00200060 00400244 00400245 00400275
""")
"""Elements of the series level (PS3.18 Table 10.6.1-5 and more of PS3.3 §C.7.3)."""

STUDY_RETURNS = tag_set("""
    00080005 00080020 00080030 00080050 00080056 00080061 00080090 00081030 00081190
    00100010 00100020 00100030 00100040 0020000D 00200010 00201206 00201208
""")
"""PS3.18 Table 10.6.3-3, and Study Description."""

SERIES_RETURNS = tag_set("""
    00080005 00080060 0008103E 00081190 0020000D 0020000E 00200011 00201209
    00400244 00400245 00400275
""")
"""PS3.18 Table 10.6.3-4."""

INSTANCE_RETURNS = tag_set("""
    00080005 00080016 00080018 00080056 00081190 0020000D 0020000E 00200013 00280008
    00280010 00280011 00280100
""")
"""PS3.18 Table 10.6.3-5."""

RANGE_VRS = frozenset({"DA", "TM", "DT"})
NUMBER_VRS = tag_set("DS FD FL IS SL SS SV UL US UV")

TAG = re.compile(r"[0-9A-Fa-f]{8}")


@dataclass(frozen=True, slots=True)
class Query:
    """A search, as the query component of its URL says it (PS3.18 §8.3.4)."""

    matches: tuple[tuple[tuple[str, ...], str], ...] = ()
    """Path of tags, outermost first, and the value to match."""
    include: frozenset[str] = frozenset()
    """Tags of additional elements to return."""
    include_all: bool = False
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One result before it is cut down to what is to be returned."""

    attributes: Attributes
    study: Study
    series: Series | None = None
    instance: Instance | None = None


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Read the query component.

    Raises:
        Refused: 400 if a name is no element, or a number is none.

    """
    fields: dict[str, Any] = {}
    matches: list[tuple[tuple[str, ...], str]] = []
    include: set[str] = set()
    for name, value in pairs:
        match name:
            case "limit" | "offset":
                fields[name] = parse_count(name, value)
            case "fuzzymatching":
                fields["fuzzy"] = value == "true"
            case "includefield":
                include.update(value.split(","))
            case "accept" | "charset" | "emptyvaluematching" | "multiplevaluematching":
                continue
            case _:
                matches.append((parse_attribute(name), value))
    fields["include_all"] = "all" in include
    tags = frozenset(parse_attribute(name)[0] for name in include - {"all", ""})
    return Query(matches=tuple(matches), include=tags, **fields)


def parse_count(name: str, value: str) -> int:
    """Read an unsigned number (PS3.18 §8.3.4.4)."""
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise Refused(400, f"{name} is not an unsigned number: {value[:70]!r}")
    return int(value)


def parse_attribute(name: str) -> tuple[str, ...]:
    """Read an attribute: tags or keywords, separated by dots (PS3.18 §8.3.4.1)."""
    return tuple(parse_tag(piece) for piece in name.split("."))


def parse_tag(text: str) -> str:
    """Read a tag or a keyword."""
    if TAG.fullmatch(text):
        return text.upper()
    tag = tag_for_keyword(text)
    if tag is None:
        raise Refused(400, f"neither a tag nor a keyword: {text[:70]!r}")
    return f"{tag:08X}"


def search(archive: Archive, route: Route, query: Query) -> Iterator[Record]:
    """Find all records that match, in the order of the archive; paging is the caller's."""
    records = RECORDS[route.level](archive, route)
    return (record for record in records if matches_all(record.attributes, query.matches))


def study_records(archive: Archive, route: Route) -> Iterator[Record]:
    """Produce a record per study."""
    for study in studies_of(archive, route):
        attributes = only(first_instance(study.all_series[0]), STUDY_TAGS)
        yield Record(attributes | study_counts(study), study)


def series_records(archive: Archive, route: Route) -> Iterator[Record]:
    """Produce a record per series."""
    for study in studies_of(archive, route):
        above = study_counts(study)
        for series in study.all_series:
            attributes = only(first_instance(series), STUDY_TAGS | SERIES_TAGS)
            yield Record(attributes | above | series_counts(series), study, series)


def instance_records(archive: Archive, route: Route) -> Iterator[Record]:
    """Produce a record per instance."""
    for study in studies_of(archive, route):
        above = study_counts(study)
        for series in series_of(study, route):
            counts = above | series_counts(series)
            for instance in series.instances:
                yield Record(instance.attributes() | counts, study, series, instance)


RECORDS = {
    Level.STUDY: study_records,
    Level.SERIES: series_records,
    Level.INSTANCE: instance_records,
}


def studies_of(archive: Archive, route: Route) -> Sequence[Study]:
    """Return the study that the path names, or all."""
    if route.study is None:
        return archive.studies
    study = archive.study(route.study)
    return [study] if study else []


def series_of(study: Study, route: Route) -> Sequence[Series]:
    """Return the series that the path names, or all."""
    if route.series is None:
        return study.all_series
    series = study.series(route.series)
    return [series] if series else []


def first_instance(series: Series) -> Attributes:
    """Return the attributes that stand for the whole series."""
    return series.instances[0].attributes()


def only(attributes: Attributes, tags: frozenset[str]) -> Attributes:
    """Keep some elements."""
    return {tag: element for tag, element in attributes.items() if tag in tags}


def study_counts(study: Study) -> Attributes:
    """Compute what a study is asked for but does not hold (PS3.18 Table 10.6.3-3)."""
    return {
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": modalities_in(study)},
        "00201206": {"vr": "IS", "Value": [len(study.all_series)]},
        "00201208": {"vr": "IS", "Value": [instance_count(study)]},
    }


def series_counts(series: Series) -> Attributes:
    """Compute the Number of Series Related Instances (PS3.18 Table 10.6.3-4)."""
    return {"00201209": {"vr": "IS", "Value": [len(series.instances)]}}


def returned_tags(route: Route) -> frozenset[str]:
    """Tell which elements are returned without being asked for.

    PS3.18 §10.6.3.3: the levels that the path does not fix are returned too.
    """
    tags = {
        Level.STUDY: STUDY_RETURNS,
        Level.SERIES: SERIES_RETURNS,
        Level.INSTANCE: INSTANCE_RETURNS,
    }[route.level]
    if route.level is not Level.STUDY and route.study is None:
        tags |= STUDY_RETURNS
    if route.level is Level.INSTANCE and route.series is None:
        tags |= SERIES_RETURNS
    return tags


def project(record: Record, route: Route, query: Query) -> Attributes:
    """Cut a record down to what is to be returned."""
    if query.include_all:
        return record.attributes
    asked = frozenset(path[0] for path, _ in query.matches)
    return only(record.attributes, returned_tags(route) | query.include | asked)


def matches_all(attributes: Attributes, matches: Iterable[tuple[tuple[str, ...], str]]) -> bool:
    """Tell whether every key matches."""
    return all(matches_path(attributes, path, wanted) for path, wanted in matches)


def matches_path(attributes: Attributes, path: tuple[str, ...], wanted: str) -> bool:
    """Match one key, which may lie in a sequence (PS3.4 §C.2.2.2.6)."""
    if not wanted or set(wanted) == {"*"}:  # PS3.4 §C.2.2.2.3: universal matching
        return True
    tag, *deeper = path
    element = attributes.get(tag, {"vr": "UN"})
    values = element.get("Value", [])
    if deeper:
        return any(matches_path(item, tuple(deeper), wanted) for item in values)
    return any(matches_value(element["vr"], value, wanted) for value in values)


def matches_value(vr: str, value: Any, wanted: str) -> bool:
    """Match one value as its VR demands."""
    if vr == "UI":  # PS3.4 §C.2.2.2.2: list of UID matching
        return value in re.split(r"[,\\]", wanted)
    if vr == "PN":
        groups = value.values() if isinstance(value, dict) else [value]
        return any(wildcard(wanted, re.IGNORECASE).fullmatch(group) for group in groups)
    if vr in RANGE_VRS and "-" in wanted:
        return in_range(value, wanted)
    if vr in NUMBER_VRS:
        return same_number(value, wanted)
    return wildcard(wanted).fullmatch(str(value)) is not None


def in_range(value: str, wanted: str) -> bool:
    """Match dates and times between two, both included (PS3.4 §C.2.2.2.5)."""
    low, _, high = wanted.partition("-")
    # A shorter end stands for all that starts with it: 0900 includes 090059.
    return value >= low and (not high or value[: len(high)] <= high)


def same_number(value: Any, wanted: str) -> bool:
    """Match a number as a number."""
    try:
        return float(value) == float(wanted)
    except ValueError:
        return False


def wildcard(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """Translate `*` and `?` (PS3.4 §C.2.2.2.4); nothing else is special.

    As Python does it, each star takes the shortest that fits, once and for all: `.*.*.*x` would
    be tried in every way there is, which takes for ever.
    """
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")), flags)
