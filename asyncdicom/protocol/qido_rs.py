"""Search Transactions: from `KEY=VALUE` words to the URL of a search (PS3.18 §10.6, §8.3.4).

    keys = parse_keys(["PatientID=X", "StudyDate=20200101-", "Modality"], lookup)
    query = search_query(keys, level=Level.STUDY)
    url_of("https://host/dicom-web", query.page(offset=0, limit=100))

Rules:
    1. A bare key, and a key with an empty value, ask for the attribute back
       (`includefield`); they match everything, as in C-FIND (PS3.4 §C.2.2.2.3).
    2. One exact Study (and Series) Instance UID above the level of the search
       becomes part of the path: some servers search below a study only.
    3. A key is sent in the form in which it was written, keyword or tag: both
       are attribute ids (PS3.18 §8.3.4.1), and servers know one or the other better.

The dictionary is a callable, so that nothing here depends on a library.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from asyncdicom.errors import ConfigError
from asyncdicom.model import Uid, is_uid, parse_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "Attribute",
    "AttributePath",
    "Dictionary",
    "Keys",
    "Level",
    "Match",
    "SearchQuery",
    "has_escapes",
    "parse_attribute",
    "parse_keys",
    "path_of",
    "query_string",
    "respelled",
    "search_query",
    "url_of",
]


class Level(StrEnum):
    """What one answer of a search describes (PS3.18 Table 10.6.1-1)."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"

    @property
    def resource(self) -> str:
        """Last segment of the path of a search, and the plural in sentences."""
        return _RESOURCES[self]

    def counted(self, count: int) -> str:
        """Say how many: `1 study`, `3 studies`."""
        return f"{count} {self.value if count == 1 else self.resource}"


_RESOURCES = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}

# QueryRetrieveLevel (0008,0052) as C-FIND writes it (PS3.4 §C.6).
_LEVELS_OF_C_FIND = {
    "STUDY": Level.STUDY,
    "SERIES": Level.SERIES,
    "IMAGE": Level.INSTANCE,
    "INSTANCE": Level.INSTANCE,
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """An entry of the data dictionary (PS3.6 §6)."""

    tag: str
    """Eight hexadecimal digits in upper case."""
    keyword: str = ""
    """Empty for a tag that the dictionary does not hold."""
    vr: str = ""
    """Value Representation, empty where unknown."""


@dataclass(frozen=True, slots=True)
class Dictionary:
    """How keys are looked up.

    Attributes:
        find: Returns the attribute of a keyword or of eight hexadecimal digits, or None.
        keywords: Returns all keywords, to suggest the one that was meant.

    """

    find: Callable[[str], Attribute | None]
    keywords: Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class AttributePath:
    """An attribute, perhaps inside of sequences."""

    attribute_id: str
    """As it is sent (PS3.18 §8.3.4.1): keywords or tags, joined by dots."""
    steps: tuple[Attribute, ...]
    """The sequences from outside to inside, then the attribute."""

    @property
    def last(self) -> Attribute:
        """The attribute that is meant."""
        return self.steps[-1]

    @property
    def name(self) -> str:
        """Keywords joined by dots; a tag where there is no keyword."""
        return ".".join(step.keyword or step.tag for step in self.steps)

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags from outside to inside."""
        return tuple(step.tag for step in self.steps)


@dataclass(frozen=True, slots=True)
class Match:
    """A matching key: an attribute and what its value has to be."""

    path: AttributePath
    value: str
    """Exact, with wildcards, a range or a list, not escaped (PS3.4 §C.2.2.2)."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What the words of a command line ask for, in order."""

    matches: tuple[Match, ...] = ()
    returned: tuple[AttributePath, ...] = ()
    level: Level | None = None
    """From `QueryRetrieveLevel=`, or None."""

    @property
    def paths(self) -> tuple[AttributePath, ...]:
        """All attributes named, those to match first."""
        return tuple(match.path for match in self.matches) + self.returned


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


def parse_keys(words: Iterable[str], dictionary: Dictionary) -> Keys:
    """Read `KEY=VALUE` and bare `KEY` words.

    Args:
        words: As in the command line. KEY is a keyword (`PatientID`), a tag
            (`00100020`, `0010,0020`, `(0010,0020)`), or a path of those joined by dots.
        dictionary: Where keywords and tags are looked up.

    Raises:
        ConfigError: If a key is unknown or given twice, or a value cannot be matched.

    """
    matches: list[Match] = []
    returned: list[AttributePath] = []
    level = None
    for word in words:
        key, _, value = (part.strip() for part in word.partition("="))
        if key in ("QueryRetrieveLevel", "00080052"):
            level = _level_of(value)
            continue
        path = parse_attribute(key, dictionary)
        if not value:
            returned.append(path)
        elif any(path.tags == match.path.tags for match in matches):
            raise ConfigError(f"{path.name} is given twice", hint="a list of UIDs is A,B,C")
        else:
            matches.append(Match(path, _checked(path, value)))
    return Keys(tuple(matches), tuple(dict.fromkeys(returned)), level)


def _level_of(value: str) -> Level:
    level = _LEVELS_OF_C_FIND.get(value.upper())
    if level is None:
        raise ConfigError(
            f"no level {value!r} in DICOMweb", hint="QueryRetrieveLevel is STUDY, SERIES or IMAGE"
        )
    return level


_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")


def parse_attribute(text: str, dictionary: Dictionary) -> AttributePath:
    """Read a keyword, a tag, or a path of those.

    Raises:
        ConfigError: If it is neither a tag nor a keyword of the dictionary.

    """
    ids = []
    steps = []
    for part in text.strip().split("."):
        tag = _TAG.fullmatch(part)
        key = (tag[1] + tag[2]).upper() if tag else part
        attribute = dictionary.find(key)
        if attribute is None and tag:
            # Private tags and those of a later edition: the server may know them.
            attribute = Attribute(key)
        if attribute is None:
            raise _unknown(part, dictionary)
        ids.append(key)
        steps.append(attribute)
    _check_sequences(steps)
    return AttributePath(".".join(ids), tuple(steps))


def _unknown(part: str, dictionary: Dictionary) -> ConfigError:
    keywords = {keyword.lower(): keyword for keyword in dictionary.keywords()}
    close = [keywords[word] for word in difflib.get_close_matches(part.lower(), keywords)]
    hint = f"perhaps {' or '.join(close)}" if close else "keys are DICOM keywords or tags"
    return ConfigError(f"no attribute {part!r} in the dictionary", hint=hint)


def _check_sequences(steps: list[Attribute]) -> None:
    for step in steps[:-1]:
        if step.vr not in ("SQ", ""):
            raise ConfigError(f"{step.keyword} is no sequence, so nothing can be inside of it")


_DATE = re.compile(r"\d{8}|\d{8}-|-\d{8}|\d{8}-\d{8}|\*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _checked(path: AttributePath, value: str) -> str:
    """Return a value as it is matched.

    Only what no server can understand is refused: a mistyped date or UID
    otherwise matches nothing, and "nothing there" would be believed.
    """
    if _CONTROL.search(value):
        raise ConfigError(f"control character in the value of {path.name}")
    if path.last.vr == "SQ":
        raise ConfigError(
            f"{path.name} is a sequence and has no value", hint=f"use {path.name}.KEYWORD=VALUE"
        )
    if path.last.vr == "DA" and _DATE.fullmatch(value) is None:
        raise ConfigError(
            f"not a date or range of dates: {value!r}",
            hint="expected 20200131, 20200101-, -20201231 or 20200101-20201231",
        )
    if path.last.vr == "UI":
        return _uid_list(value)
    return value


def _uid_list(value: str) -> str:
    # PS3.18 §8.3.4.1: UIDs of a list are separated by commas; C-FIND writes a
    # backslash (PS3.4 §C.2.2.2.2), and people bring that habit along.
    if value == "*":
        return value
    uids = [parse_uid(uid) for uid in re.split(r"[\\,]", value)]
    return ",".join(dict.fromkeys(uids))


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
