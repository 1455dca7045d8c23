"""The instances of an archive as objects in a bucket, in the order in which S3 lists keys.

    objects = ArchiveObjects(archive)
    for one in objects.below("1.2.3/"): ...         # lazily, study by study
    objects.find("1.2.3/1.2.3.4/1.2.3.4.5.dcm")

A key is `{study}/{series}/{sop}.dcm`. Each object has another version, of the same
length, whose pixels differ in every byte: what a client gets who asks for a part of
each is neither of them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from asyncdicom.protocol.object_stores.digests import COMPUTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.mock.archive import Archive, Instance
    from asyncdicom.model import Buffer

__all__ = ["ArchiveObjects", "StoredObject", "spanned"]

SUFFIX = ".dcm"

_PIXEL_DATA = re.compile(rb"\xe0\x7f\x10\x00(?:O[BW]\x00\x00)?....", re.DOTALL)
_FLIPPED = bytes(value ^ 1 for value in range(256))


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An instance as an object."""

    key: str
    instance: Instance
    is_other: bool = False
    """Whether this is the other version."""

    def byte_count(self) -> int:
        """Length in bytes, of either version."""
        return self.instance.file_bytes()

    def buffers(self) -> Iterable[Buffer]:
        """Produce its bytes, piece by piece."""
        if not self.is_other:
            return self.instance.file()
        content = b"".join(self.instance.file())
        found = _PIXEL_DATA.search(content)
        at = found.end() if found else len(content) // 2
        return (content[:at], content[at:].translate(_FLIPPED))


class ArchiveObjects:
    """All instances of an archive, by key."""

    def __init__(self, archive: Archive, *, checksum: str = "crc32c") -> None:
        """Look at nothing yet.

        Args:
            archive: Whose instances they are.
            checksum: Which one is promised besides the ETag, as fields of S3 call it.

        """
        self._archive = archive
        self._checksum = checksum
        self._digests: dict[tuple[str, bool], tuple[str, str]] = {}

    def find(self, key: str, *, is_other: bool = False) -> StoredObject | None:
        """Look one object up."""
        pieces = key.split("/")
        if len(pieces) != 3 or not key.endswith(SUFFIX):
            return None
        study = self._archive.study(pieces[0])
        series = study.series(pieces[1]) if study else None
        instance = series.instance(pieces[2].removesuffix(SUFFIX)) if series else None
        return StoredObject(key, instance, is_other) if instance else None

    def below(self, prefix: str = "", after: str = "") -> Iterator[StoredObject]:
        """List objects by key, in ascending order of UTF-8 as S3 does.

        Args:
            prefix: What keys have to begin with.
            after: Keys up to this one are left out.

        """
        for study in sorted(self._archive.studies, key=lambda s: f"{s.study_instance_uid}/"):
            folder = f"{study.study_instance_uid}/"
            if not _may_hold(folder, prefix, after):
                continue
            for series in sorted(study.all_series, key=lambda s: f"{s.series_instance_uid}/"):
                below = f"{folder}{series.series_instance_uid}/"
                if not _may_hold(below, prefix, after):
                    continue
                every = (
                    StoredObject(f"{below}{instance.sop_instance_uid}{SUFFIX}", instance)
                    for instance in series.instances
                )
                for one in sorted(every, key=attrgetter("key")):
                    if one.key.startswith(prefix) and one.key > after:
                        yield one

    def md5(self, one: StoredObject) -> str:
        """Return the MD5 of an object in hexadecimal digits: its ETag."""
        return self._digests_of(one)[0]

    def checksum(self, one: StoredObject) -> str:
        """Return the checksum of an object, big-endian in Base64."""
        return self._digests_of(one)[1]

    def _digests_of(self, one: StoredObject) -> tuple[str, str]:
        name = (one.key, one.is_other)
        if name not in self._digests:
            md5, running = hashlib.md5(usedforsecurity=False), COMPUTED[self._checksum]()
            for buffer in one.buffers():
                md5.update(buffer)
                running.update(buffer)
            checksum = base64.b64encode(running.digest()).decode("ascii")
            self._digests[name] = (md5.hexdigest(), checksum)
        return self._digests[name]


def _may_hold(folder: str, prefix: str, after: str) -> bool:
    """Tell whether keys below a folder can begin with a prefix, and come after a key."""
    is_below = folder.startswith(prefix) or prefix.startswith(folder)
    return is_below and after[: len(folder)] <= folder


def spanned(buffers: Iterable[Buffer], first: int, count: int) -> Iterator[Buffer]:
    """Produce `count` bytes of buffers from an offset, and ask for no more than that."""
    for buffer in buffers:
        if first >= len(buffer):
            first -= len(buffer)
            continue
        piece = memoryview(buffer)[first : first + count]
        yield piece
        first = 0
        count -= len(piece)
        if not count:
            return
