"""Search Transactions: the URL of a search (PS3.18 §10.6, §8.3.4).

    query = search_query(keys, level=Level.STUDY)
    url_of("https://host/dicom-web", query.page(offset=0, limit=100))

Rules:
    1. One exact Study (and Series) Instance UID above the level of the search
       becomes part of the path: some servers search below a study only.
    2. What RFC 3986 lets stand in a query is not escaped, for there are servers
       that do not decode; what it does not is, and `respelled` is the second try.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from asyncdicom.errors import ConfigError
from asyncdicom.model import Uid, is_uid
from asyncdicom.protocol.qido_keys import Keys, Level, Match

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "SearchQuery",
    "has_escapes",
    "path_of",
    "query_string",
    "respelled",
    "search_query",
    "url_of",
]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One request of a search; `page` moves it on."""

    level: Level = Level.STUDY
    matches: tuple[Match, ...] = ()
    include_fields: tuple[str, ...] = ()
    """Attribute ids, or `all` (PS3.18 §8.3.4.3)."""
    fuzzy: bool = False
    """Ask for fuzzy matching of person names (PS3.18 §8.3.4.2); servers may refuse."""
    study_instance_uid: Uid | None = None
    """Search below this study only."""
    series_instance_uid: Uid | None = None
    """Search below this series only; needs the study."""
    offset: int = 0
    """Matches to skip, at least 0."""
    limit: int | None = None
    """Matches to return at most, at least 1; None leaves it to the server."""
    leaves_carets: bool = False
    """Whether `^` is sent as it is; see `respelled`."""
    at_most: int | None = field(default=None, compare=False)
    """How many there can be at most, where UIDs in the keys say it."""

    def page(self, *, offset: int, limit: int | None) -> SearchQuery:
        """Return the same search for another page."""
        return replace(self, offset=offset, limit=limit)


_STUDY_INSTANCE_UID = ("0020000D",)
_SERIES_INSTANCE_UID = ("0020000E",)
_UNIQUE_KEYS = {
    Level.STUDY: _STUDY_INSTANCE_UID,
    Level.SERIES: _SERIES_INSTANCE_UID,
    Level.INSTANCE: ("00080018",),
}


def search_query(
    keys: Keys,
    *,
    level: Level | None = None,
    include_fields: Iterable[str] = (),
    fuzzy: bool = False,
) -> SearchQuery:
    """Make a search of keys.

    Args:
        keys: What `parse_keys` found.
        level: Level asked for besides the keys; None takes theirs, else studies.
        include_fields: Further attribute ids to return, or `all`.
        fuzzy: Whether to ask for fuzzy matching of person names.

    Raises:
        ConfigError: If the keys and the level contradict each other.

    """
    if level is not None and keys.level not in (None, level):
        raise ConfigError(f"QueryRetrieveLevel says {keys.level}, --level says {level}")
    level = level or keys.level or Level.STUDY
    matches, study, series = _scope(keys.matches, level)
    # Matching keys come back by themselves (PS3.18 §10.6.3.3).
    wanted = [path.attribute_id for path in keys.returned]
    fields = tuple(dict.fromkeys([*wanted, *include_fields]))
    return SearchQuery(
        level,
        matches,
        ("all",) if "all" in fields else fields,
        fuzzy,
        study_instance_uid=study,
        series_instance_uid=series,
        at_most=_at_most(matches, level),
    )


def _scope(
    matches: tuple[Match, ...], level: Level
) -> tuple[tuple[Match, ...], Uid | None, Uid | None]:
    """Move one exact UID of each higher level from the keys into the path."""
    if level is Level.STUDY:
        return matches, None, None
    rest, study = _taken_out(matches, _STUDY_INSTANCE_UID)
    if level is Level.SERIES or study is None:
        return rest, study, None
    rest, series = _taken_out(rest, _SERIES_INSTANCE_UID)
    return rest, study, series


def _taken_out(
    matches: tuple[Match, ...], tags: tuple[str, ...]
) -> tuple[tuple[Match, ...], Uid | None]:
    for match in matches:
        if match.path.tags == tags and is_uid(match.value):
            return tuple(other for other in matches if other is not match), Uid(match.value)
    return matches, None


def _at_most(matches: tuple[Match, ...], level: Level) -> int | None:
    for match in matches:
        if match.path.tags == _UNIQUE_KEYS[level] and match.value != "*":
            return match.value.count(",") + 1
    return None


def path_of(query: SearchQuery) -> str:
    """Return the path of a search below the root (PS3.18 Table 10.6.1-2)."""
    path = ""
    if query.study_instance_uid is not None:
        path += f"/studies/{query.study_instance_uid}"
        if query.series_instance_uid is not None:
            path += f"/series/{query.series_instance_uid}"
    return f"{path}/{query.level.resource}"


def query_string(query: SearchQuery) -> str:
    """Return the query component, escaped, without the question mark; perhaps empty.

    `offset=0` is left out: it is the default, and a server that does not know
    paging is asked nothing it could refuse.
    """
    pairs = [(match.path.attribute_id, match.value) for match in query.matches]
    # One parameter per attribute: understood by all editions. The list with
    # commas came with the edition of 2019.
    pairs += [("includefield", name) for name in query.include_fields]
    if query.fuzzy:
        pairs.append(("fuzzymatching", "true"))
    if query.limit is not None:
        pairs.append(("limit", str(query.limit)))
    if query.offset:
        pairs.append(("offset", str(query.offset)))
    safe = _SAFE + "^" if query.leaves_carets else _SAFE
    return "&".join(f"{name}={quote(value, safe=safe)}" for name, value in pairs)


# RFC 3986 §3.4 lets these stand in a query. What may stand is left alone, for
# there are servers that do not decode (Orthanc 1.10: `%3F` matches nothing).
_SAFE = "*,:?/@"


def respelled(query: SearchQuery) -> SearchQuery | None:
    """Return the same search for servers that do not decode, or None if it is spelled alike.

    RFC 3986 has no place for `^`, but browsers send it as it is (WHATWG URL
    §1.3), so servers take it; and no person name is without.
    """
    if query.leaves_carets or not any("^" in match.value for match in query.matches):
        return None
    return replace(query, leaves_carets=True)


def has_escapes(query: SearchQuery) -> bool:
    """Tell whether a value holds what a server has to decode."""
    return "%" in query_string(query)


def url_of(root: str, query: SearchQuery) -> str:
    """Return the absolute URL of a search."""
    words = query_string(query)
    url = root + path_of(query)
    return f"{url}?{words}" if words else url
