"""What all files of an output folder share on their way to a name."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from asyncdicom.storage.directories import DirectoryCache
    from asyncdicom.storage.system import System
    from asyncdicom.storage.temporaries import TemporaryNames

__all__ = ["CommitRules", "Durability"]


class Durability(StrEnum):
    """What a commit promises for the case that power fails."""

    NONE = "none"
    """Nothing: the kernel writes when it likes. Kill -9 is safe all the same."""
    BATCH = "batch"
    """As full; syncs are shared by the files that are committed together."""
    FULL = "full"
    """File and folder are on disk when the commit returns."""


@dataclass(slots=True)
class CommitRules:
    """What all writers of a folder share."""

    system: System
    directories: DirectoryCache
    temporaries: TemporaryNames
    durability: Durability
    visible_mode: int
    """Permissions of files that had a temporary name: 0666 less the umask."""
    may_be_invisible: bool
    """Whether O_TMPFILE and linking through /proc worked in the root."""
