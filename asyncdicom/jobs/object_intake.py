"""What the bytes of one object say: a DICOM file or not, which one, whole, and as promised.

    look = ObjectLook(LookOptions())
    look.begin(answer.entry)            # what the store promises
    look.receive_data(data)             # ... each piece as it came, in order
    content = look.receive_eof()        # or, at once: look.receive_whole(content)

What begins as a DICOM file (PS3.10 §7.1) is walked to its last byte; anything else is
taken as it is, and said to be no DICOM file.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from asyncdicom.errors import ContentError, UidMismatch
from asyncdicom.protocol.object_stores.digests import RunningDigests
from asyncdicom.protocol.part10 import DEFAULT_TAGS, Part10Walker, read_file_meta
from asyncdicom.protocol.part10_shapes import DataSetReader
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.model import Buffer
    from asyncdicom.ports.objects import ObjectEntry
    from asyncdicom.protocol.part10 import InstanceFacts

__all__ = ["NO_DICOM_FILE", "LookOptions", "ObjectContent", "ObjectLook", "check_group"]

PREFIX_BYTES = 132
"""PS3.10 §7.1: 128 bytes of preamble, then "DICM"."""

TELLING_BYTES = 256
"""All that stands in front of (0002,0002), Media Storage SOP Class UID, and itself."""

NO_DICOM_FILE = "no DICOM file"

# PS3.10 §7.1: (0002,0002) UI 20, Media Storage Directory Storage (PS3.4 Annex I).
_DICOMDIR = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class ObjectContent:
    """What an object turned out to be."""

    facts: InstanceFacts | None
    """None if it is no DICOM file, or one without an instance (a DICOMDIR)."""
    sha256: str
    """Empty where nobody wants to see it."""
    remarks: tuple[str, ...]
    is_as_promised: bool
    """Whether a digest of the store proves the bytes; False where it promised none."""


class LookOptions:
    """How closely the objects of a run are looked at."""

    __slots__ = ("collect", "computes_sha256", "reader")

    def __init__(
        self, collect: Mapping[int, str] = DEFAULT_TAGS, *, computes_sha256: bool = False
    ) -> None:
        """Prepare.

        Args:
            collect: Keyword by tag of the values that names are made from.
            computes_sha256: Whether somebody will see the digests.

        """
        self.collect = collect
        self.computes_sha256 = computes_sha256
        self.reader = DataSetReader(collect)


class ObjectLook:
    """Looks at the bytes of an object in order; stores nothing."""

    __slots__ = ("_digests", "_head", "_is_decided", "_options", "_remark", "_sha256", "_walker")

    def __init__(self, options: LookOptions) -> None:
        self._options = options
        self._sha256 = hashlib.sha256() if options.computes_sha256 else None
        self._digests: RunningDigests | None = None
        self._head = b""
        self._is_decided = False
        self._remark = NO_DICOM_FILE
        self._walker: Part10Walker | None = None

    def begin(self, entry: ObjectEntry) -> None:
        """Take note of what the store promises; before the first byte."""
        digests = RunningDigests(entry)
        self._digests = None if digests.is_idle else digests

    def receive_data(self, data: Buffer) -> None:
        """Look at the next bytes.

        Raises:
            ProtocolError: If it is a DICOM file and no continuation could make it whole.

        """
        if self._walker is not None:
            self._walker.receive_data(data)
        elif not self._is_decided:
            self._hold(data)
        if self._digests is not None:
            self._digests.update(data)
        if self._sha256 is not None:
            self._sha256.update(data)

    def skip(self, most: int) -> int:
        """Skip bytes that are there, where nobody has to see them; return how many it were.

        Args:
            most: Bytes that are there, behind those that were looked at.

        """
        if not self._is_decided or self._digests is not None or self._sha256 is not None:
            return 0
        if self._walker is None:
            return most
        count = min(most, self._walker.idle_bytes)
        self._walker.skip(count)
        return count

    def receive_eof(self) -> ObjectContent:
        """Confirm the end.

        Raises:
            DigestMismatch: If the bytes are not those that the store promised.
            ProtocolError: If it is a DICOM file that is not whole.

        """
        if not self._is_decided:
            self._decide(self._head)
        walker = self._walker
        return self._judged(None if walker is None else walker.receive_eof)

    def receive_whole(self, content: bytes) -> ObjectContent:
        """Look at all of an object at once, instead of piece by piece; raises as `receive_eof`.

        What is shaped like an instance before is read by comparison: not in several threads.
        """
        if self._digests is not None:
            self._digests.update(content)
        if self._sha256 is not None:
            self._sha256.update(content)
        if not self._is_instance(content):
            return self._judged(None)
        return self._judged(lambda: self._read(content))

    def _read(self, content: bytes) -> InstanceFacts:
        meta, start = read_file_meta(content)
        facts, _ = self._options.reader.read(meta, content, start)
        return facts

    def _judged(self, read: Callable[[], InstanceFacts] | None) -> ObjectContent:
        # First: bytes that were damaged on the way say nothing of what the store holds.
        is_as_promised = self._digests is not None and self._digests.verify()
        sha256 = "" if self._sha256 is None else self._sha256.hexdigest()
        if read is None:
            return ObjectContent(None, sha256, (self._remark,), is_as_promised)
        try:
            facts = read()
        except ContentError as error:
            # The structure stands, but what it says it is cannot be.
            remarks = (f"no DICOM instance: {error}",)
            return ObjectContent(None, sha256, remarks, is_as_promised)
        return ObjectContent(facts, sha256, facts.doubts, is_as_promised)

    def _hold(self, data: Buffer) -> None:
        """Hold the first bytes until they say what kind of object it is."""
        if self._head or len(data) < TELLING_BYTES:
            data = self._head = self._head + bytes(data)
        if len(data) >= TELLING_BYTES:
            self._decide(data)

    def _decide(self, data: Buffer) -> None:
        self._is_decided = True
        self._head = b""
        if self._is_instance(data):
            self._walker = Part10Walker(collect=self._options.collect, collect_doubts=True)
            self._walker.receive_data(data)

    def _is_instance(self, data: Buffer) -> bool:
        """Tell whether an object begins like a DICOM file that holds an instance."""
        if bytes(data[PREFIX_BYTES - 4 : PREFIX_BYTES]) != b"DICM":
            return False
        if _DICOMDIR in bytes(data[PREFIX_BYTES:TELLING_BYTES]):
            self._remark = "a DICOMDIR, no instance"
            return False
        return True


def check_group(group: ObjectGroup, content: ObjectContent) -> None:
    """Compare what an object is with what is known of its group.

    Raises:
        UidMismatch: If it is of another study or series, or another instance; or no instance
            at all where one is expected, unless a digest proves that the store has it so.

    """
    facts = content.facts
    if facts is None and content.is_as_promised and group.sop_instance_uid is None:
        return
    for expected, received in (
        (group.sop_instance_uid, facts and facts.sop_instance_uid),
        (group.series_instance_uid, facts and facts.series_instance_uid),
        (group.study_instance_uid, facts and facts.study_instance_uid),
    ):
        if expected is not None and expected != received:
            raise UidMismatch(expected=expected, received=received or "none")
