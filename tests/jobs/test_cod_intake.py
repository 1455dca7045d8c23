"""What comes out of archives and spans is compared with what the metadata promises."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ContentError, DigestMismatch, ProtocolError, Truncated
from asyncdicom.jobs.cod_intake import PlaceIntake, SeriesIntake
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.library.memory_store import MemoryStore, MemoryWriter
from asyncdicom.library.prefetch import Prefetch
from asyncdicom.model import Resource, Target
from asyncdicom.protocol.cod.metadata import CodInstance, MetadataReader
from asyncdicom.protocol.cod.places import metadata_key, tar_key
from asyncdicom.protocol.payload_events import NEED_DATA
from tests.support.chunking import bytewise, whole
from tests.support.cod import ROOT, CodObjects
from tests.support.dicom import ct, small_instance

if TYPE_CHECKING:
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.jobs.stores import Reception

INSTANCES = [small_instance(number) for number in range(1, 5)]


class Receiving:
    """Implements `stores.Reception` as far as an intake needs it."""

    def __init__(self) -> None:
        objects = CodObjects()
        series = objects.add_series(INSTANCES)
        self.archive = objects[tar_key(ROOT, series.study, series.series)]
        self.target = Target(Resource.SERIES, series.study, series.series)
        self.study = Expectation(series.study)
        reader = MetadataReader(series.study, series.series)
        reader.receive_data(objects[metadata_key(ROOT, series.study, series.series)])
        self.places: list[CodInstance] = []
        while (found := reader.next_event()) is not NEED_DATA:
            assert isinstance(found, CodInstance)
            self.places.append(found)
            self.study.expect(found.sop_instance_uid, series.series)
            self.study.places[found.sop_instance_uid] = found
        self.store = MemoryStore(Prefetch(1 << 30))

    def count_bytes(self, byte_count: int, /) -> None:
        pass

    async def until_listed(self) -> None:
        """Do nothing: it was listed before."""

    def take_nowait(self, arrival: Arrival[MemoryWriter], /) -> bool:
        return False

    async def take(self, arrival: Arrival[MemoryWriter], /) -> None:
        pass

    @property
    def reception(self) -> Reception[MemoryWriter]:
        return self


@pytest.fixture
def receiving() -> Receiving:
    return Receiving()


def arrivals(intake: SeriesIntake[MemoryWriter], *chunks: bytes) -> list[str]:
    return [
        arrival.facts.sop_instance_uid for chunk in chunks for arrival in intake.receive_data(chunk)
    ]


def uids(places: list[CodInstance]) -> list[str]:
    return [place.sop_instance_uid for place in places]


@pytest.mark.parametrize("cut", [whole, bytewise])
def test_an_archive_gives_what_is_missing_of_it(receiving: Receiving, cut: object) -> None:
    receiving.study.settled.add(receiving.places[1].sop_instance_uid)
    intake = SeriesIntake(receiving.reception)
    chunks = cut(receiving.archive)  # type: ignore[operator]  # -- a way to cut
    assert arrivals(intake, *chunks) == uids([receiving.places[n] for n in (0, 2, 3)])
    intake.receive_eof()


def test_an_archive_goes_on_with_the_instance_it_broke_in(receiving: Receiving) -> None:
    place = receiving.places[2]
    intake = SeriesIntake(receiving.reception, resumed=place)
    assert arrivals(intake, receiving.archive[place.first_byte :]) == uids(receiving.places[2:])
    intake.receive_eof()


def test_what_is_not_what_it_should_be_costs_itself_alone(receiving: Receiving) -> None:
    places, archive = receiving.places, bytearray(receiving.archive)
    # Broken as a file, of another checksum, of another size.
    archive[places[0].first_byte + 130] ^= 1
    archive[places[1].first_byte + places[1].byte_count - 1] ^= 1
    uid = places[2].sop_instance_uid
    receiving.study.places[uid] = replace(places[2], byte_count=700)
    intake = SeriesIntake(receiving.reception)
    assert arrivals(intake, bytes(archive)) == uids(places[3:])


def test_an_archive_that_ends_early_is_told(receiving: Receiving) -> None:
    intake = SeriesIntake(receiving.reception)
    end = receiving.places[1].first_byte + 100
    assert arrivals(intake, receiving.archive[:end]) == uids(receiving.places[:1])
    with pytest.raises(Truncated):
        intake.receive_eof()
    intake.discard()
    intake.discard()


def test_a_span_gives_its_instance(receiving: Receiving) -> None:
    place = receiving.places[1]
    for first_byte in (0, place.first_byte):
        intake = PlaceIntake(receiving.reception, place, first_byte=first_byte)
        for chunk in bytewise(receiving.archive[first_byte:]):
            intake.receive_data(chunk)
        assert intake.is_over
        assert intake.receive_eof().facts.sop_instance_uid == place.sop_instance_uid


def test_a_span_that_is_not_what_it_should_be_is_refused(receiving: Receiving) -> None:
    place = receiving.places[1]
    with pytest.raises(ProtocolError, match="another span"):
        PlaceIntake(receiving.reception, place, first_byte=place.first_byte + 1)
    intake = PlaceIntake(receiving.reception, place, first_byte=0)
    intake.receive_data(receiving.archive[: place.first_byte + 50])
    with pytest.raises(Truncated):
        intake.receive_eof()
    intake.discard()
    damaged = bytearray(receiving.archive)
    damaged[place.first_byte + place.byte_count - 1] ^= 1
    intake = PlaceIntake(receiving.reception, place, first_byte=0)
    intake.receive_data(damaged)
    with pytest.raises(DigestMismatch):
        intake.receive_eof()


def test_without_a_checksum_the_structure_is_the_proof(receiving: Receiving) -> None:
    place = replace(receiving.places[1], crc32c=None)
    intake = PlaceIntake(receiving.reception, place, first_byte=0)
    intake.receive_data(receiving.archive)
    assert intake.receive_eof().facts.sop_instance_uid == place.sop_instance_uid


def test_a_file_that_says_it_is_another_one_is_refused(receiving: Receiving) -> None:
    other = ct(number=9)
    place = replace(receiving.places[1], first_byte=0, byte_count=len(other), crc32c=None)
    intake = PlaceIntake(receiving.reception, place, first_byte=0)
    intake.receive_data(other)
    with pytest.raises(ContentError, match="asked for instance"):
        intake.receive_eof()
