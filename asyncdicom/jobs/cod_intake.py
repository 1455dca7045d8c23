"""Turn bytes of an archive into instances that are whole, proven, and named as the store does.

    intake = SeriesIntake(reception)                # a whole archive, or the rest of one
    intake = PlaceIntake(reception, place)          # one instance, from its first byte on
    for arrival in intake.receive_data(data):
        await reception.take(arrival)
    intake.receive_eof()

Rule: an instance arrives when it was walked to its last byte, has the size and the CRC-32C
that the metadata promises, and says of itself what the metadata says it does. One that does
not costs only itself: it will be found missing, and asked for alone.

Rule: a store of hashed UIDs names instances otherwise than their files do. The names of
the store are the names here; the file is kept as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from asyncdicom.errors import ContentError, DigestMismatch, ProtocolError, Truncated, UidMismatch
from asyncdicom.jobs.intake import Arrival, InstanceIntake
from asyncdicom.jobs.stores import WriterT
from asyncdicom.protocol.cod.places import instance_of_member, member_of
from asyncdicom.protocol.cod.tar import (
    MemberBegan,
    MemberData,
    MemberEnded,
    MemberSkipped,
    TarParser,
)
from asyncdicom.protocol.object_stores.digests import RunningDigests
from asyncdicom.protocol.object_stores.values import ObjectDigest, ObjectEntry
from asyncdicom.protocol.payload_events import NEED_DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.jobs.stores import Reception
    from asyncdicom.model import Buffer, Target, Uid
    from asyncdicom.protocol.cod.metadata import CodInstance
    from asyncdicom.protocol.part10 import InstanceFacts

__all__ = ["PlaceIntake", "SeriesIntake"]


class _Proof(Generic[WriterT]):
    """One instance on its way, compared with what the metadata promises."""

    def __init__(self, reception: Reception[WriterT], place: CodInstance) -> None:
        self._target = reception.target
        self._place = place
        self._intake = InstanceIntake(reception.store)
        promised = () if place.crc32c is None else (ObjectDigest("crc32c", place.crc32c),)
        self._digests = RunningDigests(ObjectEntry("", place.byte_count, digests=promised))
        self._byte_count = 0

    def write(self, data: Buffer) -> None:
        self._byte_count += len(data)
        self._digests.update(data)
        self._intake.write(data)

    def end(self) -> Arrival[WriterT]:
        """Confirm that the instance is the one that the metadata means.

        Raises:
            DigestMismatch: If its bytes are other ones.
            ProtocolError: If it is no DICOM file, or not whole.
            ContentError: If it does not say who it is, or is another one.

        """
        place = self._place
        if self._byte_count != place.byte_count:
            raise DigestMismatch(
                f"instance {place.sop_instance_uid} has {self._byte_count} bytes in the archive, "
                f"and {place.byte_count} in the metadata"
            )
        self._digests.verify()
        arrival = self._intake.end()
        try:
            facts = _named_by_the_store(arrival.facts, place, self._target)
        except ContentError:
            arrival.writer.discard()
            raise
        return arrival._replace(facts=facts)

    def discard(self) -> None:
        self._intake.discard()


def _named_by_the_store(facts: InstanceFacts, place: CodInstance, target: Target) -> InstanceFacts:
    """Compare what a file says with what the metadata says it does; return the store's names.

    Raises:
        UidMismatch: If they differ.

    """
    assert target.series_instance_uid is not None, "archives are those of series"
    own = place.own
    for expected, received in (
        (own.sop_instance_uid or place.sop_instance_uid, facts.sop_instance_uid),
        (own.series_instance_uid, facts.series_instance_uid),
        (own.study_instance_uid, facts.study_instance_uid),
    ):
        if expected is not None and expected != received:
            raise UidMismatch(expected=expected, received=received or "none")
    return facts._replace(
        sop_instance_uid=place.sop_instance_uid,
        series_instance_uid=target.series_instance_uid,
        study_instance_uid=target.study_instance_uid,
    )


class SeriesIntake(Generic[WriterT]):
    """Takes the instances that are missing out of an archive."""

    def __init__(
        self, reception: Reception[WriterT], *, resumed: CodInstance | None = None
    ) -> None:
        """Prepare.

        Args:
            reception: What is wanted, and where it goes.
            resumed: The instance with whose first byte what comes begins; None for the
                first byte of the archive.

        """
        self._reception = reception
        self._member: _Proof[WriterT] | None = None
        if resumed is None:
            self._parser = TarParser()
        else:
            name = member_of(resumed.sop_instance_uid)
            self._parser = TarParser.within(name, resumed.byte_count)

    def receive_data(self, data: Buffer) -> Iterator[Arrival[WriterT]]:
        """Yield the instances that have become whole.

        Raises:
            ProtocolError: If this is no archive.
            StorageError: If an instance cannot be kept.

        """
        self._parser.receive_data(data)
        while (event := self._parser.next_event()) is not NEED_DATA:
            match event:
                case MemberData(piece):
                    self._write(piece)
                case MemberBegan(name):
                    self._begin(instance_of_member(name))
                case MemberEnded():
                    yield from self._end()
                case MemberSkipped():
                    pass  # no instance: nobody waits for it

    def receive_eof(self) -> None:
        """Confirm that the archive came to its end.

        Raises:
            Truncated: If it did not.

        """
        self._parser.receive_eof()

    def discard(self) -> None:
        """Drop the instance under way."""
        if self._member is not None:
            self._member.discard()
            self._member = None

    def _begin(self, instance: Uid | None) -> None:
        study = self._reception.study
        place = None if instance is None else study.places.get(instance)
        if place is not None and instance not in study.settled:
            self._member = _Proof(self._reception, place)

    def _write(self, piece: memoryview) -> None:
        if self._member is None:
            return
        try:
            self._member.write(piece)
        except ProtocolError:
            self.discard()

    def _end(self) -> Iterator[Arrival[WriterT]]:
        if self._member is None:
            return
        try:
            arrival = self._member.end()
        except (ProtocolError, ContentError):
            self.discard()
        else:
            self._member = None
            yield arrival


class PlaceIntake(Generic[WriterT]):
    """Takes one instance out of the span that it has in an archive."""

    def __init__(
        self, reception: Reception[WriterT], place: CodInstance, *, first_byte: int
    ) -> None:
        """Prepare.

        Args:
            reception: What is wanted, and where it goes.
            place: Where it is.
            first_byte: Of what comes; a server may send all of the archive.

        Raises:
            ProtocolError: If the instance begins before that.

        """
        if first_byte > place.first_byte:
            raise ProtocolError("the store sent another span than was asked for")
        self._skipped = place.first_byte - first_byte
        self._left = place.byte_count
        self._proof = _Proof(reception, place)

    @property
    def is_over(self) -> bool:
        """Whether all bytes of the instance have come."""
        return not self._left

    def receive_data(self, data: Buffer) -> None:
        """Take those bytes that are of the instance.

        Raises:
            ProtocolError: If it cannot become whole.
            StorageError: If it cannot be kept.

        """
        piece = memoryview(data)[self._skipped :]
        self._skipped -= len(data) - len(piece)
        piece = piece[: self._left]
        self._left -= len(piece)
        if len(piece):
            self._proof.write(piece)

    def receive_eof(self) -> Arrival[WriterT]:
        """Confirm that the instance is whole.

        Raises:
            Truncated: If bytes are missing.
            ProtocolError: If it is no DICOM file, or not whole.
            ContentError: If it is not what the metadata promises.

        """
        if self._left:
            raise Truncated("the span of the archive ends early")
        return self._proof.end()

    def discard(self) -> None:
        """Drop what came."""
        self._proof.discard()
