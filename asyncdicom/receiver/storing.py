"""What an association stores: each data set from its first fragment to its answer.

Rule: 0000 is answered when the instance is in place under its final name, as durable as
the output folder promises; anything else means that nothing of it is kept.

Rule: whatever is wrong with one instance is the matter of that instance: its data set is
swallowed to the end, it is answered, and the association goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    NotNegotiated,
    UidMismatch,
    UnexpectedContent,
)
from asyncdicom.jobs.data_set_intake import DataSetIntake
from asyncdicom.model import is_uid, parse_uid
from asyncdicom.policy.store_answers import answer_to
from asyncdicom.protocol.dimse.statuses import Status
from asyncdicom.receiver.events import (
    DuplicateFate,
    InstanceDuplicated,
    InstanceRefused,
    InstanceStored,
)
from asyncdicom.receiver.settings import StorageMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.jobs.data_set_intake import IntakeTerms
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StoreRequest
    from asyncdicom.receiver.associations import OpenAssociation
    from asyncdicom.receiver.events import ReceiverObserver
    from asyncdicom.receiver.keeping import Keeper, Kept
    from asyncdicom.receiver.room import Room
    from asyncdicom.receiver.settings import StoringRules
    from asyncdicom.receiver.statistics import ReceiverStatistics
    from asyncdicom.storage.atomic import FileWriter

__all__ = ["AssociationStorage", "Storing"]


@dataclass(frozen=True, slots=True)
class Storing:
    """What all associations share."""

    rules: StoringRules
    room: Room
    """On the disk of the output folder."""
    keeper: Keeper
    terms: IntakeTerms
    takes: Callable[[str], bool]
    """Tells whether instances of a SOP class are taken."""
    statistics: ReceiverStatistics
    tell: ReceiverObserver

    def check(self, request: StoreRequest) -> None:
        """Refuse what would be in vain to receive.

        Raises:
            NotNegotiated: If the SOP class is not taken; a context for another one is no excuse.
            InvalidUid: If the SOP Instance UID is none.
            DiskFull: If there is too little room.

        """
        if not self.takes(request.sop_class_uid):
            raise NotNegotiated("instances of this SOP class are not taken")
        if not is_uid(request.sop_instance_uid):
            parse_uid(request.sop_instance_uid)
        self.room.require()


class AssociationStorage:
    """Takes the data sets of one association (`ports.dimse.StorageHandler`)."""

    def __init__(self, storing: Storing, association: OpenAssociation) -> None:
        self._storing = storing
        self._association = association

    def begin(self, request: StoreRequest) -> ReceivedDataSet:
        """Begin a data set.

        Raises:
            ConnectionLost: If the receiver ends: the association does, too, before it.

        """
        if self._association.is_ending:
            raise ConnectionLost("the receiver ends, and takes no further object")
        return ReceivedDataSet(self._storing, self._association, request)


class ReceivedDataSet:
    """One data set on its way (`ports.dimse.StoreSink`)."""

    __slots__ = (
        "_arrival",
        "_association",
        "_error",
        "_intake",
        "_is_open",
        "_request",
        "_storing",
    )

    def __init__(
        self, storing: Storing, association: OpenAssociation, request: StoreRequest
    ) -> None:
        self._storing = storing
        self._association = association
        self._request = request
        self._intake: DataSetIntake[FileWriter] | None = None
        self._arrival: Arrival[FileWriter] | None = None
        self._error: AsyncDicomError | None = None
        self._is_open = True
        statistics = storing.statistics
        statistics.in_flight += 1
        statistics.in_flight_peak = max(statistics.in_flight_peak, statistics.in_flight)
        association.in_flight += 1
        try:
            self._begin()
        except AsyncDicomError as error:
            self._fail(error)

    def write(self, *fragments: Buffer) -> None:
        """Take bytes; what is refused or ignored is counted and swallowed."""
        byte_count = sum(map(len, fragments))
        self._storing.statistics.byte_count += byte_count
        self._association.byte_count += byte_count
        if self._intake is not None:
            try:
                self._storing.room.spend(byte_count)
                self._intake.write(*fragments)
            except AsyncDicomError as error:
                self._fail(error)

    async def end(self) -> int:
        """Put the instance in place, and return what to answer."""
        if self._arrival is None and (status := self.end_nowait()) is not None:
            return status
        arrival, self._arrival = self._arrival, None
        assert arrival is not None, "what has to be waited for has arrived"
        try:
            self._stored(arrival, await self._storing.keeper.keep(arrival))
        except AsyncDicomError as error:
            self._fail(error)
        finally:
            arrival.writer.discard()
            self._close()
        return self._answer()

    def end_nowait(self) -> int | None:
        """Put the instance in place where no disk is waited for, and return what to answer."""
        try:
            if self._intake is not None:
                arrival = self._arrived(self._intake)
                kept = self._storing.keeper.keep_nowait(arrival)
                if kept is None:
                    self._arrival = arrival
                    return None
                self._stored(arrival, kept)
            elif self._error is None:
                self._storing.statistics.ignored += 1
        except AsyncDicomError as error:
            self._fail(error)
        except BaseException:
            self._close()
            raise
        self._close()
        return self._answer()

    def discard(self) -> None:
        """Drop what came."""
        if self._intake is not None:
            self._intake.discard()
        if self._arrival is not None:
            self._arrival.writer.discard()
            self._arrival = None
        self._close()

    def _begin(self) -> None:
        self._storing.check(self._request)
        if self._storing.rules.mode is not StorageMode.IGNORE:
            storing = self._storing
            self._intake = DataSetIntake(self._request, storing.terms, storing.keeper.begin)

    def _arrived(self, intake: DataSetIntake[FileWriter]) -> Arrival[FileWriter]:
        """Return the instance, if it is whole and what its command says."""
        arrival = intake.end()
        try:
            self._check_identity(arrival)
        except AsyncDicomError:
            arrival.writer.discard()
            raise
        return arrival

    def _check_identity(self, arrival: Arrival[FileWriter]) -> None:
        """Compare the data set with its command.

        Raises:
            UidMismatch: If it is another instance.
            UnexpectedContent: If it is of another SOP class.

        """
        facts, request = arrival.facts, self._request
        # The file meta information is ours, and says what the command said.
        if facts.sop_instance_uid != facts.media_storage_sop_instance_uid:
            raise UidMismatch(
                expected=facts.media_storage_sop_instance_uid, received=facts.sop_instance_uid
            )
        if facts.sop_class_uid != request.sop_class_uid:
            raise UnexpectedContent(
                f"announced as of SOP class {request.sop_class_uid}, is of {facts.sop_class_uid}"
            )

    def _stored(self, arrival: Arrival[FileWriter], kept: Kept) -> None:
        facts, caller = arrival.facts, self._association.caller
        if kept.fate is not None:
            self._storing.tell(
                InstanceDuplicated(caller, facts.sop_instance_uid, kept.occupied_path, kept.fate)
            )
        if kept.fate is DuplicateFate.SKIPPED:
            return
        self._association.stored += 1
        self._storing.tell(
            InstanceStored(
                caller,
                kept.path,
                facts.sop_class_uid,
                facts.sop_instance_uid,
                facts.study_instance_uid,
                facts.series_instance_uid,
                facts.transfer_syntax_uid,
                facts.byte_count,
                arrival.sha256,
                facts.doubts,
                kept.fate,
            )
        )

    def _fail(self, error: AsyncDicomError) -> None:
        """Give the instance up; the rest of its data set is swallowed."""
        self._error = error
        if self._intake is not None:
            self._intake.discard()
            self._intake = None

    def _answer(self) -> int:
        return Status.SUCCESS if self._error is None else self._refused(self._error)

    def _refused(self, error: AsyncDicomError) -> int:
        status = answer_to(error)
        self._association.refused += 1
        self._storing.tell(
            InstanceRefused(self._association.caller, self._request.sop_instance_uid, status, error)
        )
        return status

    def _close(self) -> None:
        """Take note that the data set is settled, or given up."""
        if self._is_open:
            self._is_open = False
            self._storing.statistics.in_flight -= 1
            self._association.in_flight -= 1
