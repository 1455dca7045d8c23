"""What a Cloud-Optimized DICOM store lists, and how its parts are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConfigError, NotFound, ProtocolError, Truncated
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.ports.objects import ListingPage
from asyncdicom.protocol.cod.places import CodRoot, metadata_key, series_prefix
from asyncdicom.sources.cod import CodSource, SeriesPlace
from tests.support.cod import ROOT, CodObjects, MemoryCodStore
from tests.support.dicom import small_instance

if TYPE_CHECKING:
    from tests.support.cod import SeriesMaker

pytestmark = pytest.mark.anyio

STUDY, SERIES, INSTANCE = Uid("1.2"), Uid("1.2.3"), Uid("1.2.3.4")


@pytest.fixture
def objects() -> CodObjects:
    return CodObjects()


@pytest.fixture
def series(objects: CodObjects) -> SeriesMaker:
    return objects.add_series([small_instance(1), small_instance(2)])


async def test_a_series_is_known_by_its_folder_and_by_its_archive() -> None:
    prefix = series_prefix(ROOT, STUDY)
    keys = ["1.1.tar", "1.1/metadata.json", "1.2.tar", "1.3/metadata.json", "readme.txt", "x/y"]
    memory = MemoryCodStore({prefix + key: b"abc" for key in keys}, page_length=2)
    assert sorted(await CodSource(ROOT, memory).series_of(STUDY), key=str) == [
        SeriesPlace(Uid("1.1"), has_folder=True, archive_bytes=3),
        SeriesPlace(Uid("1.2"), has_folder=False, archive_bytes=3),
        SeriesPlace(Uid("1.3"), has_folder=True, archive_bytes=None),
    ]
    assert len(memory.asked) == 3


async def test_a_study_without_series_is_not_found(objects: CodObjects) -> None:
    with pytest.raises(NotFound, match=r"no series of study 1\.2"):
        await CodSource(ROOT, MemoryCodStore(objects)).series_of(STUDY)


class Circling(MemoryCodStore):
    """Lists some pages over and over."""

    tokens: tuple[str, ...] = ()

    async def page(
        self, bucket: str, prefix: str, *, delimiter: str = "", continuation: str | None = None
    ) -> ListingPage:
        """Return an empty page; the last one leads to the first."""
        self.asked.append(f"list {prefix}")
        assert len(self.asked) < 10, "it would never end"
        at = self.tokens.index(continuation) + 1 if continuation in self.tokens else 0
        return ListingPage((), (), self.tokens[at % len(self.tokens)])


@pytest.mark.parametrize("tokens", [("again",), ("a", "b", "c")])
async def test_a_store_that_lists_in_circles_is_left(tokens: tuple[str, ...]) -> None:
    memory = Circling({})
    memory.tokens = tokens
    with pytest.raises(ProtocolError, match="over and over"):
        await CodSource(ROOT, memory).series_of(STUDY)
    assert len(memory.asked) == len(tokens) + 1


async def test_entries_are_those_of_the_metadata(objects: CodObjects, series: SeriesMaker) -> None:
    source = CodSource(ROOT, MemoryCodStore(objects))
    found = [one async for one in source.entries(series.study, series.series)]
    assert [one.sop_instance_uid for one in found] == list(map(series.uid_of, series.instances))
    key = metadata_key(ROOT, series.study, series.series)
    objects[key] = objects[key][:-20]
    with pytest.raises(Truncated):
        [one async for one in source.entries(series.study, series.series)]


@pytest.mark.parametrize(
    ("target", "url"),
    [
        pytest.param(Target(Resource.STUDY, STUDY), "gs://b/p/studies/1.2/series/", id="study"),
        pytest.param(
            Target(Resource.SERIES, STUDY, SERIES),
            "gs://b/p/studies/1.2/series/1.2.3.tar",
            id="series",
        ),
        pytest.param(
            Target(Resource.INSTANCE, STUDY, SERIES, INSTANCE),
            "gs://b/p/studies/1.2/series/1.2.3.tar://instances/1.2.3.4.dcm",
            id="instance",
        ),
    ],
)
async def test_what_is_reported_has_a_name_without_a_token(target: Target, url: str) -> None:
    source = CodSource(CodRoot("b", "p", token="secret"), MemoryCodStore({}))
    assert source.url_of(target) == url
    assert source.url == "cod+gs://b/p"


async def test_a_store_is_not_searched(objects: CodObjects) -> None:
    with pytest.raises(ConfigError, match="no queries"):
        CodSource(ROOT, MemoryCodStore(objects)).refuse_search()
