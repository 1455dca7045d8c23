"""Keys of a search as a person writes them: `KEY=VALUE`, `KEY`, tags and paths (PS3.18 §8.3.4.1).

    keys = parse_keys(["PatientID=X", "StudyDate=20200101-", "Modality"], dictionary)
    keys.matches, keys.returned, keys.level

Rules:
    1. A bare key, and a key with an empty value, ask for the attribute back;
       they match everything, as in C-FIND (PS3.4 §C.2.2.2.3).
    2. A key keeps the form in which it was written, keyword or tag: both are
       attribute ids (PS3.18 §8.3.4.1), and servers know one or the other better.
    3. What no server can understand is refused here: a mistyped date or UID
       otherwise matches nothing, and "nothing there" would be believed.

The dictionary is a pair of callables, so that nothing here depends on a library.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.model import parse_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "Attribute",
    "AttributePath",
    "Dictionary",
    "Keys",
    "Level",
    "Match",
    "parse_attribute",
    "parse_keys",
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
# Bytes of a command line that are not of the encoding it is read in (PEP 383).
_NO_TEXT = re.compile(r"[\ud800-\udfff]")


def _checked(path: AttributePath, value: str) -> str:
    """Return a value as it is matched (rule 3)."""
    if _CONTROL.search(value):
        raise ConfigError(f"control character in the value of {path.name}")
    if _NO_TEXT.search(value):
        raise ConfigError(f"the value of {path.name} is not text", hint="write it in UTF-8")
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
