"""`get` from a Cloud-Optimized DICOM store: look up series by series, stream their archives.

    list the series of a study → read the metadata of each → stream the archive of a series, or
    ask for single instances by their spans → what did not come is asked for by its span

Rule: each series is looked up by itself, tried again by itself, and missing by itself: a study
does not suffer from the metadata of one of them.

Rule: a stream that breaks goes on with the first instance that is missing; what came before
is not fetched again.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Generic, NamedTuple

from asyncdicom.errors import ContentError, NotFound
from asyncdicom.jobs.cod_intake import PlaceIntake, SeriesIntake
from asyncdicom.jobs.cod_plan import first_missing
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.jobs.get import GetJob, GetTask
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Failed, Resource, Target
from asyncdicom.ports.objects import ByteSpan
from asyncdicom.protocol.cod.metadata import CodInstance, RefusedInstance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.jobs.get import GetOptions
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.jobs.stores import Reception, Retriever, Store
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Uid
    from asyncdicom.sources.cod import CodSource

__all__ = ["CodFinder", "CodGetJob", "CodRetriever"]

MAX_REMEMBERED = 16
"""Series of which the metadata are kept."""

_NOT_KNOWN_YET = sys.maxsize
"""Instances of a study of which a series was not looked up: it is not complete, whatever came."""


class CodFinder:
    """Says what series hold, by their metadata.

    Memory: what it has read of the last few series, for who asks instance by instance.
    """

    def __init__(self, source: CodSource) -> None:
        self._source = source
        self._listed: set[tuple[Uid, Uid]] = set()
        self._read: dict[tuple[Uid, Uid], _Series] = {}

    async def series_of(self, study: Uid) -> list[Uid]:
        """Return the series of a study.

        Raises:
            NotFound: If there are none.
            FetchError: If the list did not come whole.

        """
        found = [one.series_instance_uid for one in await self._source.series_of(study)]
        self._listed.update((study, one) for one in found)
        return found

    async def expectation_of(self, target: Target) -> Expectation:
        """Return what a series or an instance must hold.

        Raises:
            NotFound: If the store does not have it.
            ContentError: If the metadata has the instance where nothing can be fetched.
            FetchError: If the metadata did not come whole, or is none.

        """
        uid = target.sop_instance_uid
        found = await self.series_at(target)
        if uid is None:
            return found.expected
        for refused in found.refused:
            if refused.sop_instance_uid == uid:
                raise refused.error
        if uid not in found.expected:
            raise NotFound("the metadata does not list the instance", status_code=204)
        return _part_of(found.expected, uid)

    async def series_at(self, target: Target) -> _Series:
        """Return what the metadata of the series of a target says; raises as `expectation_of`."""
        study, series = target.study_instance_uid, target.series_instance_uid
        assert series is not None, "studies are looked up series by series"
        found = self._read.pop((study, series), None)
        if found is None:
            found = await self._read_metadata(study, series)
        self._read[study, series] = found
        if len(self._read) > MAX_REMEMBERED:
            del self._read[next(iter(self._read))]
        return found

    async def _read_metadata(self, study: Uid, series: Uid) -> _Series:
        read = _Series(Expectation(study), [])
        try:
            async for found in self._source.entries(study, series):
                match found:
                    case CodInstance(uid, byte_count=byte_count):
                        read.expected.expect(uid, series, byte_count=byte_count)
                        read.expected.places[uid] = found
                    case RefusedInstance():
                        read.refused.append(found)
        except NotFound as error:
            if (study, series) not in self._listed:
                raise
            raise ContentError("the store has the series, and no metadata of it") from error
        return read


class _Series(NamedTuple):
    """What the metadata of a series says."""

    expected: Expectation
    refused: list[RefusedInstance]
    """What it has, and nothing can be fetched by."""


def _part_of(known: Expectation, uid: Uid) -> Expectation:
    place, series = known.places[uid], known.series_of(uid)
    assert series is not None, "what is known of an instance is known with its series"
    part = Expectation(known.study_instance_uid)
    part.expect(uid, series, byte_count=place.byte_count)
    part.places[uid] = place
    return part


class CodRetriever(Generic[WriterT]):
    """Fetches archives, and spans of them."""

    def __init__(self, source: CodSource) -> None:
        self._source = source

    async def retrieve(self, reception: Reception[WriterT]) -> None:
        """Hand over the instances of a series, or one, as they become whole.

        Raises:
            FetchError: If the status says no, or the archive did not come to its end.
            StorageError: What the reception raises.

        """
        if reception.target.resource is Resource.INSTANCE:
            await self._retrieve_instance(reception)
        else:
            await self._retrieve_series(reception)

    async def _retrieve_series(self, reception: Reception[WriterT]) -> None:
        target = reception.target
        series = target.series_instance_uid
        assert series is not None, "studies are planned series by series"
        if not reception.study.missing(target):
            return  # settled meanwhile, by another task
        resumed = first_missing(reception.study, target)
        span = None if resumed is None else ByteSpan(resumed.first_byte)
        async with self._source.archive(target.study_instance_uid, series, span) as answer:
            if answer.first_byte == 0:
                resumed = None
            intake = SeriesIntake(reception, resumed=resumed)
            try:
                while data := await answer.read():
                    reception.count_bytes(len(data))
                    for arrival in intake.receive_data(data):
                        await reception.take(arrival)
                intake.receive_eof()
            finally:
                intake.discard()

    async def _retrieve_instance(self, reception: Reception[WriterT]) -> None:
        target = reception.target
        series, uid = target.series_instance_uid, target.sop_instance_uid
        assert series is not None, "an instance is named with its series"
        assert uid is not None, "an instance is named"
        place = reception.study.places[uid]
        span = ByteSpan(place.first_byte, place.first_byte + place.byte_count - 1)
        async with self._source.archive(target.study_instance_uid, series, span) as answer:
            intake = PlaceIntake(reception, place, first_byte=answer.first_byte)
            try:
                # The end of the span is read, too, so that its connection serves the next one;
                # that of a whole archive, which was not asked for, is not.
                is_span = answer.first_byte == place.first_byte
                while (is_span or not intake.is_over) and (data := await answer.read()):
                    reception.count_bytes(len(data))
                    intake.receive_data(data)
                arrival = intake.receive_eof()
            finally:
                intake.discard()
            await reception.take(arrival)


class CodGetJob(GetJob[WriterT]):
    """Performs get tasks in a store; driven by a scheduler."""

    def __init__(
        self,
        source: CodSource,
        retriever: Retriever[WriterT],
        store: Store[WriterT],
        tally: Tally,
        options: GetOptions,
    ) -> None:
        self._cod = CodFinder(source)
        super().__init__(retriever, self._cod, store, tally, options)
        self._unknown: dict[Uid, set[Uid]] = {}

    async def _look_up(self, target: Target) -> Iterable[GetTask]:
        uid = target.study_instance_uid
        study = self._studies.setdefault(uid, Expectation(uid))
        if target.resource is Resource.STUDY:
            series = await self._cod.series_of(uid)
            self._unknown.setdefault(uid, set()).update(series)
            study.counted = _NOT_KNOWN_YET
            return [GetTask(Target(Resource.SERIES, uid, one), is_lookup=True) for one in series]
        tasks = await super()._look_up(target)
        if target.resource is Resource.SERIES:
            self._take_note(study, target, await self._cod.series_at(target))
        return tasks

    def _take_note(self, study: Expectation, target: Target, found: _Series) -> None:
        """Name what cannot be fetched; know the study once all of its series are known."""
        series = target.series_instance_uid
        assert series is not None, "a series is looked up"
        refused = [*found.refused, *_elsewhere(study, series, found.expected)]
        for one in refused:
            self._tally.record(Failed(_target_of(target, one.sop_instance_uid), one.error))
        unknown = self._unknown.get(study.study_instance_uid)
        if unknown is None or refused:
            return
        unknown.discard(series)
        if not unknown:
            study.counted = None

    def _is_confirmed(self, target: Target, arrival: Arrival[WriterT]) -> bool:
        """Tell whether the bytes are those that the store holds, however odd they are."""
        study = self._studies[target.study_instance_uid]
        place = study.places.get(arrival.facts.sop_instance_uid)
        is_proven = place is not None and place.crc32c is not None
        return is_proven or super()._is_confirmed(target, arrival)


def _elsewhere(study: Expectation, series: Uid, found: Expectation) -> Iterator[RefusedInstance]:
    """Yield what another series of the study has under the same UID: one name, two instances."""
    for uid in found.instances_of(series):
        if (other := study.series_of(uid)) != series:
            yield RefusedInstance(uid, ContentError(f"series {other} has instance {uid}, too"))


def _target_of(series: Target, instance: Uid | None) -> Target:
    if instance is None:
        return series
    return Target(
        Resource.INSTANCE, series.study_instance_uid, series.series_instance_uid, instance
    )
