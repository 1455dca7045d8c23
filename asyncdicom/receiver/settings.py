"""What a user can set about receiving, beside where and how to listen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from asyncdicom.policy.admission import Admission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.protocol.dimse.association_profiles import AssociationProfile
    from asyncdicom.storage.templates import Instance
    from asyncdicom.transports.associations.acceptor import ServerSettings

__all__ = [
    "MAX_REMEMBERED",
    "UID_VARIABLES",
    "Admission",
    "Duplicates",
    "HookSettings",
    "Naming",
    "ReceiverSettings",
    "StorageMode",
    "StoringRules",
    "connections_for",
]


MIN_CONNECTIONS = 2048
"""Taken at one time at least, associated or not: silent ones cost little, and pass by."""
MAX_REMEMBERED = 100_000
"""Folders and names that the layout of a receiver remembers, some 50 MB: it runs for months."""
UID_VARIABLES = frozenset(
    {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"}
)
"""Variables of a layout that need not be collected."""


def connections_for(max_associations: int) -> int:
    """Return how many connections there may be, so that each association may have one."""
    return max(MIN_CONNECTIONS, 2 * max_associations)


class StorageMode(Enum):
    """What becomes of a data set."""

    NORMAL = "normal"
    BIT_PRESERVING = "bit-preserving"
    """Both keep the bytes as they came; the names are those of dcmrecv."""
    IGNORE = "ignore"
    """Taken, answered with success, and dropped."""


class Duplicates(Enum):
    """What becomes of an instance whose name is taken."""

    OVERWRITE = "overwrite"
    """The newer one replaces the older one in one step, when it is whole."""
    SKIP = "skip"
    """The same bytes are kept once; other bytes under the name are kept beside it."""
    KEEP_BOTH = "keep-both"


class Naming(Protocol):
    """Gives each instance its path; `storage.layout.Layout` is one."""

    def path_for(self, instance: Instance, /) -> str:
        """Return the path of an instance, relative to the output folder.

        `Instance.values` has what `StoringRules.collect` names, and `SOPClassUID`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class StoringRules:
    """Where instances go, and on what terms."""

    naming: Naming
    collect: Mapping[int, str]
    """Keyword by tag of the values that the naming needs."""
    mode: StorageMode = StorageMode.NORMAL
    duplicates: Duplicates = Duplicates.OVERWRITE
    min_free_bytes: int = 0
    """Below this much room instances are refused with A700, also those that are coming."""
    keeps_doubtful: bool = False
    """Keep, with a remark, what is structurally whole but lacks what such an instance has
    (an image without pixels); else it is refused with C000, for a cut looks like that."""
    computes_digests: bool = True
    """Tell the SHA-256 of each file. Of one of 512 KB it takes as long as everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """Commands that are run, without a shell, when something has happened.

    They are split into arguments once; `{placeholders}` in them are replaced one by one
    (`receiver.hooks` lists them).
    """

    on_object: str | None = None
    """Run for each instance that was stored."""
    on_association: str | None = None
    """Run for each association that ended."""
    on_study: str | None = None
    """Run for each study that is told as complete."""
    max_at_once: int = 4
    """At least 1; the others wait."""
    timeout_s: float = 60.0
    """A command that runs longer is killed, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """All of it."""

    server: ServerSettings
    storing: StoringRules
    admission: Admission = field(default_factory=Admission)
    profile: AssociationProfile | None = None
    """What is negotiated (asconfig); None takes every storage class of the Standard."""
    is_promiscuous: bool = False
    """Take SOP classes that no standard names, too."""
    engine: str = "native"
    """Of DIMSE: `native` or `pynetdicom`."""
    hooks: HookSettings = field(default_factory=HookSettings)
    study_idle_s: float = 10.0
    """A study is told as complete when nothing came for it for so long, in seconds."""
