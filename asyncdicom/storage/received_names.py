"""Names of received files as DCMTK's receivers give them. Pure: clock and chance are handed in.

    names = ReceivedNames(NamingScheme.DEFAULT, sources)
    names.path_for(instance)                         "CT.1.2.3"
    ReceivedNames(NamingScheme.SHORT_UNIQUE, sources, extension=".dcm", by_series_date=True)
        "data/2020/03/04/CT_6565f68f0b89d78e.dcm"

| scheme | name |
|---|---|
| DEFAULT | prefix, dot, SOP Instance UID |
| UNIQUE | prefix, `.X.`, a new UID |
| SHORT_UNIQUE | prefix, `_`, 16 hexadecimal digits |
| SYSTEM_TIME | date, time, dot, microseconds, dot, prefix |

The prefix says what kind of object it is (`CT`, `MR`, `SRd`), the extension follows as it
was given. Everything but letters, digits, blanks and `-.:@_` becomes `_`.

Rule: what is called unique is new among the names that are taken, and no name is given out
twice. It is left to whoever commits not to replace what another process wrote meanwhile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.dimse.sop_classes import modality_prefix
from asyncdicom.storage.naming import plain_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from asyncdicom.storage.templates import Instance

__all__ = ["NameSources", "NamingScheme", "ReceivedNames"]

MAX_EXTENSION_CHARACTERS = 64
"""Leaves room for the longest prefix and UID in the 255 bytes of a name."""

WORD_BITS = 32
"""Of the two halves of a short name: when we began, and chance."""

STORED_PRINT = "1.2.840.10008.5.1.1.27"
"""Of the print service, not of the storage service; DCMTK has a prefix for it all the same."""

_MICROSECOND = timedelta(microseconds=1)

# A prefix and a UID, but for names that are devices elsewhere: what nearly all names are.
_USUAL = re.compile(r"(?!(?:CON|PRN|AUX|NUL)\.)[A-Z][A-Za-z]{1,3}\.[0-9.]*[0-9]")
MAX_USUAL_CHARACTERS = 200

_NOT_KEPT = re.compile(r"[^A-Za-z0-9 .:@_-]")

# PS3.5 §6.2 (DA): YYYYMMDD, and YYYY.MM.DD before 1993. Which months have 31 days is not
# asked, as DCMTK does not.
_DATE = re.compile(
    r"(?P<year>[0-9]{4})(?P<dot>\.?)(?P<month>0[1-9]|1[0-2])(?P=dot)"
    r"(?P<day>0[1-9]|[12][0-9]|3[01])"
)


class NamingScheme(Enum):
    """What a file is called."""

    DEFAULT = "default"
    UNIQUE = "unique"
    SHORT_UNIQUE = "short-unique"
    SYSTEM_TIME = "system-time"

    @property
    def is_unique(self) -> bool:
        """Whether each object gets a file of its own, also one that came before."""
        return self is not NamingScheme.DEFAULT


@dataclass(frozen=True, slots=True)
class NameSources:
    """What names depend on beside the instance."""

    now: Callable[[], datetime]
    """Local time."""
    random_bits: Callable[[int], int]
    """As `random.getrandbits`."""
    is_taken: Callable[[str], bool] = lambda path: False  # noqa: ARG005 -- a default
    """Whether a file of that path is in the folder."""


class ReceivedNames:
    """Gives each received object its path (`receiver.settings.Naming`)."""

    def __init__(
        self,
        scheme: NamingScheme,
        sources: NameSources,
        *,
        extension: str = "",
        by_series_date: bool = False,
    ) -> None:
        """Prepare.

        Args:
            scheme: What files are called.
            sources: Clock, chance and folder.
            extension: Appended as it is, at most 64 characters.
            by_series_date: Put files into `data/YYYY/MM/DD`, by the date of their series, or
                `undef/YYYYMMDD`, by the date of today.

        Raises:
            ConfigError: If the extension is too long.

        """
        if len(extension) > MAX_EXTENSION_CHARACTERS:
            raise ConfigError(
                f"file name extension is longer than {MAX_EXTENSION_CHARACTERS} characters"
            )
        self._name_of = {
            NamingScheme.DEFAULT: self._by_uid,
            NamingScheme.UNIQUE: self._by_new_uid,
            NamingScheme.SHORT_UNIQUE: self._by_chance,
            NamingScheme.SYSTEM_TIME: self._by_time,
        }[scheme]
        self._scheme = scheme
        self._sources = sources
        self._extension = extension
        self._by_series_date = by_series_date
        self._last = sources.now()
        self._began = int(self._last.timestamp()) % 2**WORD_BITS
        # A start and an odd stride: each of the 2^32 numbers comes once before one comes again.
        self._number = sources.random_bits(WORD_BITS)
        self._stride = sources.random_bits(WORD_BITS) | 1

    def path_for(self, instance: Instance) -> str:
        """Return the path of an instance, relative to the root; a new one each time if unique."""
        folder = self._folder(instance)
        while True:
            name = _safe(self._name_of(instance) + self._extension)
            path = folder + name
            if not (self._scheme.is_unique and self._sources.is_taken(path)):
                return path

    def _folder(self, instance: Instance) -> str:
        if not self._by_series_date:
            return ""
        date = _DATE.fullmatch(instance.value("SeriesDate").partition("\\")[0].strip(" "))
        if date is None:
            return f"undef/{self._sources.now():%Y%m%d}/"
        return f"data/{date['year']}/{date['month']}/{date['day']}/"

    def _by_uid(self, instance: Instance) -> str:
        return f"{_prefix(instance)}.{instance.sop_instance_uid}"

    def _by_new_uid(self, instance: Instance) -> str:
        # PS3.5 §B.2: 2.25 and a UUID, which is random (RFC 4122 §4.4), as one number.
        number = self._sources.random_bits(128)
        uuid = number & ~(0xF000 << 64) & ~(0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48
        return f"{_prefix(instance)}.X.2.25.{uuid}"

    def _by_chance(self, instance: Instance) -> str:
        self._number = (self._number + self._stride) % 2**WORD_BITS
        return f"{_prefix(instance, unknown='XX')}_{self._began:08x}{self._number:08x}"

    def _by_time(self, instance: Instance) -> str:
        # A clock that is coarse, or that was put back, must not give a name twice.
        self._last = max(self._sources.now(), self._last + _MICROSECOND)
        return f"{self._last:%Y%m%d%H%M%S.%f}.{_prefix(instance)}"


def _prefix(instance: Instance, *, unknown: str = "UNKNOWN") -> str:
    return _prefix_of(instance.value("SOPClassUID"), unknown)


@lru_cache(maxsize=64)
def _prefix_of(sop_class: str, unknown: str) -> str:
    if sop_class == STORED_PRINT:
        return "SP"
    return modality_prefix(sop_class) or unknown


def _safe(name: str) -> str:
    """Replace what DCMTK replaces, byte by byte, and then what no file system should meet."""
    if _USUAL.fullmatch(name) and len(name) <= MAX_USUAL_CHARACTERS:
        return name
    text = name.encode("utf-8", "surrogatepass").decode("latin-1")
    return plain_name(_NOT_KEPT.sub("_", text))
