"""Names of files for objects: as their keys say, or as the DICOM files say.

    KeyNaming("series/").path_of(entry, None)       "a/1.dcm" for the key "series/a/1.dcm"
    LayoutNaming(layout).path_of(entry, facts)      "1.2.3.dcm"

Rule: a key is as hostile as any text from the network. Each component becomes one
plain name (`naming.plain_name`), an empty one and `..` too, so that two keys may come
out the same; who stores finds the name taken then, and loses nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from asyncdicom.errors import UnexpectedContent
from asyncdicom.storage.naming import plain_name

if TYPE_CHECKING:
    from asyncdicom.ports.objects import ObjectEntry
    from asyncdicom.protocol.part10 import InstanceFacts
    from asyncdicom.storage.layout import Layout

__all__ = ["KeyNaming", "LayoutNaming", "folder_of_prefix"]


def folder_of_prefix(prefix: str) -> str:
    """Return the part of a prefix that is no part of names: up to its last `/`."""
    return prefix[: prefix.rfind("/") + 1]


class KeyNaming:
    """Names a file by the key of its object, below the folder that was asked for."""

    needs_facts = False

    def __init__(self, prefix: str, *, below: str = "") -> None:
        """Prepare.

        Args:
            prefix: What keys begin with; all up to its last `/` is left out of names.
            below: Folder in the output folder, safe already; empty for its root.

        """
        self._dropped = folder_of_prefix(prefix)
        self._below = f"{below}/" if below else ""

    def path_of(self, entry: ObjectEntry, facts: InstanceFacts | None) -> str:  # noqa: ARG002 -- ObjectNaming
        """Return the path of an object."""
        folder, slash, name = entry.key.removeprefix(self._dropped).rpartition("/")
        safe = plain_name(name)
        return f"{self._below}{_safe_folder(folder)}/{safe}" if slash else self._below + safe


class LayoutNaming:
    """Names a file by what it says of itself."""

    needs_facts = True

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def path_of(self, entry: ObjectEntry, facts: InstanceFacts | None) -> str:  # noqa: ARG002 -- ObjectNaming
        """Return the path of an instance.

        Raises:
            UnexpectedContent: If it is no DICOM file.
            UnsafeName: As `Layout.path_for`.

        """
        # Imported here: names made from keys do without.
        from asyncdicom.storage.templates import Instance  # noqa: PLC0415 -- lazy on purpose

        if facts is None:
            raise UnexpectedContent("no DICOM file, and the layout names files by what those say")
        return self._layout.path_for(Instance.of(facts))


# Objects of a page share a few folders.
@lru_cache(maxsize=1024)
def _safe_folder(path: str) -> str:
    return "/".join(map(plain_name, path.split("/")))
