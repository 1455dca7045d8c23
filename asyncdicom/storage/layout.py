"""Where an instance is stored below the output folder. Pure: looks at no disk.

    layout = Layout(parse_layout("tree"))
    layout.path_for(Instance(sop_instance_uid, series_uid, study_uid, values))
        "BEETHOVEN^LUDWIG/1_Head/2_T1/1.2.3.dcm"

Rule: two patients, studies or series whose names come out the same have
distinct folders: the first has the plain name, the next a suffix (a digest of
what it is, so that it does not depend on the order of those that follow; with
ISO 9660, where eight characters are all there is, a number). "The same" is
judged without regard to case, for media on which case does not count.

Memory: one entry per folder made from values, and with ISO 9660 one per file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from asyncdicom.errors import ConfigError, UnsafeName
from asyncdicom.storage.naming import (
    ISO_CHARACTERS,
    QUARANTINE,
    collision_key,
    iso_name,
    plain_name,
    suffixed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sized

    from asyncdicom.storage.templates import FolderRule, Instance, Rendered

__all__ = ["Layout"]

K = TypeVar("K")

MAX_ISO_FILES = 999_999
"""Per folder: `IM` and six digits are eight characters."""

MAX_ISO_SUFFIX = 99_999
"""Folders of one name in one folder; leaves two characters of the name."""

_EXTENSION = re.compile(r"(?:\.?[A-Za-z0-9_-]{1,16})?")
_NUMBERED = re.compile(r"IM([0-9]{6})")

_OURS = ("", "ours")
"""Identity of names in the root that are not the network's."""


class Layout:
    """Gives each instance its path; the same path when asked again."""

    def __init__(
        self,
        rules: tuple[FolderRule, ...],
        *,
        extension: str = ".dcm",
        is_iso_9660: bool = False,
        names_in: Callable[[str], Iterable[str]] = lambda path: (),  # noqa: ARG005 -- a default
        max_remembered: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            rules: One per level of folders, from `parse_layout`.
            extension: Of the files, with or without its dot, or empty. Not with ISO 9660.
            is_iso_9660: Folders of eight characters, files IM000001, IM000002, ...
            names_in: What a folder holds already; asked once per folder, with
                ISO 9660 alone, so that numbers continue.
            max_remembered: Folders, and numbered files, to remember; beyond, those that were
                not asked for the longest are forgotten, as in a run that begins anew. For
                who names without an end.

        Raises:
            ConfigError: If the extension is none.

        """
        if not _EXTENSION.fullmatch(extension):
            raise ConfigError(
                f"not a file extension: {extension!r}", hint="letters and digits, like .dcm"
            )
        self._rules = rules
        self._extension = f".{extension.lstrip('.')}" if extension else ""
        self._is_iso = is_iso_9660
        self._names_in = names_in
        self._max_remembered = max_remembered
        self._owners: dict[tuple[str, str], tuple[str, ...]] = {
            ("", collision_key(name)): _OURS for name in (QUARANTINE, "DICOMDIR")
        }
        self._folders: dict[tuple[str, str, tuple[str, ...]], str] = {}
        self._last_numbers: dict[str, int] = {}
        self._numbered: dict[tuple[str, str], str] = {}

    def path_for(self, instance: Instance) -> str:
        """Return the path of an instance, relative to the root.

        Raises:
            UnsafeName: If an ISO 9660 folder has 999,999 files.

        """
        path = self.folder_for(instance)
        name = (
            self._number(path, instance.sop_instance_uid)
            if self._is_iso
            else instance.sop_instance_uid + self._extension
        )
        return f"{path}/{name}" if path else name

    def folder_for(self, instance: Instance) -> str:
        """Return the folder of an instance, relative to the root; empty for the root itself."""
        path = ""
        for rule in self._rules:
            name = self._folder(path, rule(instance))
            path = f"{path}/{name}" if path else name
        return path

    def _folder(self, parent: str, wanted: Rendered) -> str:
        """Return the name of a folder in its parent, unlike that of any other identity."""
        key = (parent, wanted.text, wanted.identity)
        known = _recalled(self._folders, key)
        if known is not None:
            return known
        for name in self._candidates(wanted):
            owner = self._owners.setdefault((parent, collision_key(name)), wanted.identity)
            if owner == wanted.identity:
                self._folders[key] = name
                self._forget_folders()
                return name
        raise UnsafeName("too many folders whose names come out the same", path=parent or ".")

    def _candidates(self, wanted: Rendered) -> Iterator[str]:
        if self._is_iso:
            return _iso_candidates(wanted)
        return _plain_candidates(wanted)

    def _number(self, folder: str, uid: str) -> str:
        """Return the numbered name of an instance; the same for a second try."""
        known = _recalled(self._numbered, (folder, uid))
        if known is not None:
            return known
        last = self._last_numbers.get(folder)
        if last is None:
            taken = filter(None, map(_NUMBERED.fullmatch, self._names_in(folder)))
            last = max((int(match[1]) for match in taken), default=0)
        if last >= MAX_ISO_FILES:
            raise UnsafeName(f"more than {MAX_ISO_FILES} files", path=folder)
        self._last_numbers[folder] = last + 1
        name = self._numbered[folder, uid] = f"IM{last + 1:06}"
        if self._is_too_many(self._numbered):
            del self._numbered[next(iter(self._numbered))]
        return name

    def _forget_folders(self) -> None:
        """Forget the folder that was not asked for the longest, if there are too many."""
        if not self._is_too_many(self._folders):
            return
        oldest = next(iter(self._folders))
        name = self._folders.pop(oldest)
        parent, _, _ = oldest
        self._owners.pop((parent, collision_key(name)), None)
        self._last_numbers.pop(f"{parent}/{name}" if parent else name, None)

    def _is_too_many(self, remembered: Sized) -> bool:
        return self._max_remembered is not None and len(remembered) > self._max_remembered


def _recalled(remembered: dict[K, str], key: K) -> str | None:
    """Look something up; it is then the last to be forgotten."""
    found = remembered.pop(key, None)
    if found is not None:
        remembered[key] = found
    return found


def _plain_candidates(wanted: Rendered) -> Iterator[str]:
    name = plain_name(wanted.text)
    yield name
    import hashlib  # noqa: PLC0415 -- 2 ms of a start; hardly any name needs it

    digest = hashlib.sha256("\0".join(wanted.identity).encode("utf-8", "surrogatepass")).hexdigest()
    yield suffixed(name, f"_{digest[:8]}")
    # Only where somebody has the name with its suffix as a name.
    yield suffixed(name, f"_{digest}")


def _iso_candidates(wanted: Rendered) -> Iterator[str]:
    name = iso_name(wanted.text)
    yield name
    for number in range(2, MAX_ISO_SUFFIX + 1):
        yield suffixed(name, f"_{number}", max_bytes=ISO_CHARACTERS)
