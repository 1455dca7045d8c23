"""What the bytes of one object say: a DICOM file or not, which one, whole, and as promised.

    look = ObjectLook()
    look.begin(answer.entry)            # what the store promises
    look.receive_data(data)             # ... each piece as it came, in order
    content = look.receive_eof()

What begins as a DICOM file (PS3.10 §7.1) is walked to its last byte; anything else is
taken as it is, and said to be no DICOM file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import ContentError, UidMismatch
from asyncdicom.protocol.object_stores.digests import RunningDigests
from asyncdicom.protocol.part10 import DEFAULT_TAGS, Part10Walker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.model import Buffer
    from asyncdicom.ports.objects import ObjectEntry
    from asyncdicom.protocol.part10 import InstanceFacts

__all__ = ["NO_DICOM_FILE", "ObjectContent", "ObjectLook", "check_group"]

PREFIX_BYTES = 132
"""PS3.10 §7.1: 128 bytes of preamble, then "DICM"."""

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


class ObjectLook:
    """Looks at the bytes of an object in order; stores nothing."""

    __slots__ = ("_collect", "_digests", "_head", "_is_decided", "_remark", "_sha256", "_walker")

    def __init__(
        self, *, collect: Mapping[int, str] = DEFAULT_TAGS, computes_sha256: bool = False
    ) -> None:
        """Prepare.

        Args:
            collect: Keyword by tag of the values that names are made from.
            computes_sha256: Whether somebody will see the digest.

        """
        self._collect = collect
        self._sha256 = hashlib.sha256() if computes_sha256 else None
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
            self._decide(data)
        if self._digests is not None:
            self._digests.update(data)
        if self._sha256 is not None:
            self._sha256.update(data)

    def receive_eof(self) -> ObjectContent:
        """Confirm the end.

        Raises:
            DigestMismatch: If the bytes are not those that the store promised.
            ProtocolError: If it is a DICOM file that is not whole.

        """
        # First: bytes that were damaged on the way say nothing of what the store holds.
        is_as_promised = self._digests is not None and self._digests.verify()
        sha256 = "" if self._sha256 is None else self._sha256.hexdigest()
        facts, remarks = self._judge()
        return ObjectContent(facts, sha256, remarks, is_as_promised)

    def _judge(self) -> tuple[InstanceFacts | None, tuple[str, ...]]:
        if self._walker is None:
            return None, (self._remark,)
        try:
            facts = self._walker.receive_eof()
        except ContentError as error:
            # The structure stands, but what it says it is cannot be.
            return None, (f"no DICOM instance: {error}",)
        return facts, facts.doubts

    def _decide(self, data: Buffer) -> None:
        if self._head or len(data) < PREFIX_BYTES:
            data = self._head = self._head + bytes(data)
            if len(data) < PREFIX_BYTES:
                return
        self._is_decided = True
        self._head = b""
        if bytes(data[PREFIX_BYTES - 4 : PREFIX_BYTES]) != b"DICM":
            return
        if _DICOMDIR in bytes(data[PREFIX_BYTES : PREFIX_BYTES + 256]):
            self._remark = "a DICOMDIR, no instance"
        else:
            self._walker = Part10Walker(collect=self._collect, collect_doubts=True)
            self._walker.receive_data(data)


def check_group(group: ObjectGroup, facts: InstanceFacts) -> None:
    """Compare a DICOM file with what is known of its group.

    Raises:
        UidMismatch: If it is of another study or series, or another instance.

    """
    for expected, received in (
        (group.sop_instance_uid, facts.sop_instance_uid),
        (group.series_instance_uid, facts.series_instance_uid),
        (group.study_instance_uid, facts.study_instance_uid),
    ):
        if expected is not None and expected != received:
            raise UidMismatch(expected=expected, received=received or "none")
