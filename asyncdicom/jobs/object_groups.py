"""What is fetched together from an object store: the objects of one listing, and their names.

A plain prefix is one group without expectations; a series of the Imaging Data
Commons is a group of which the index says how many objects and bytes it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from asyncdicom.model import Uid
    from asyncdicom.ports.objects import ObjectEntry
    from asyncdicom.protocol.part10 import InstanceFacts

__all__ = ["ObjectGroup", "ObjectNaming"]


class ObjectNaming(Protocol):
    """Names the file of an object."""

    @property
    def needs_facts(self) -> bool:
        """Whether a name is made from what the DICOM file says, so only known at its end."""

    def path_of(self, entry: ObjectEntry, facts: InstanceFacts | None) -> str:
        """Return the path of an object below the output folder.

        Args:
            entry: The object.
            facts: What it says of itself, or None if it is no DICOM file (or not read yet,
                where names do not need it).

        Raises:
            UnsafeName: If no name inside the folder can be made.
            UnexpectedContent: If facts are needed and there are none.

        """


@dataclass(frozen=True, slots=True)
class ObjectGroup:
    """Objects of one bucket that are listed, named and counted together."""

    bucket: str
    prefix: str
    """Key prefix that is listed; the key itself if `is_single`."""
    naming: ObjectNaming
    pattern: str | None = None
    """Glob that keys have to match (`*` crosses `/`, as in s5cmd), or None for all."""
    is_single: bool = False
    """One object, named by its key: nothing is listed."""
    expected_count: int | None = None
    """Objects that must be there, or None if nobody said."""
    expected_bytes: int | None = None
    """Size of all of them together, or None."""
    rounded_by_bytes: int = 0
    """How far the expected size may be off, where an index has it rounded."""
    study_instance_uid: Uid | None = None
    """What every DICOM file of the group has to belong to, where it is known."""
    series_instance_uid: Uid | None = None
    sop_instance_uid: Uid | None = None
    """Of a single object."""
