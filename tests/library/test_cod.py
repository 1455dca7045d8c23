"""`CodDownload`: the example of cod-retrieve, line by line, and what it must not do as it does."""

from __future__ import annotations

import inspect
import io
import re
import textwrap
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom import (
    CodDownload,
    ConfigError,
    Downloaded,
    Extracted,
    InvalidUid,
    NotFound,
    Progress,
    Resource,
    Stored,
    Target,
    Unauthorized,
    UsageError,
)
from asyncdicom.protocol.cod.places import CodRoot, tar_key
from tests.jobs.support import files_in
from tests.support.cod import ROOT, CodObjects
from tests.support.dicom import small_instance
from tests.support.gcs_scripted import CutAfter, ScriptedGcs, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cod import SeriesMaker

pytestmark = pytest.mark.anyio

TOKEN = "my-token"
COUNT = 5


@pytest.fixture
def objects() -> CodObjects:
    return CodObjects()


@pytest.fixture
def series(objects: CodObjects) -> SeriesMaker:
    return objects.add_series([small_instance(number) for number in range(1, COUNT + 1)])


@pytest.fixture
def gcs(objects: CodObjects, series: SeriesMaker) -> Iterator[ScriptedGcs]:
    with ScriptedGcs(objects, token=TOKEN) as server:
        yield server


def url_of(gcs: ScriptedGcs, token: str = TOKEN) -> str:
    return f"{gcs.url}/bucket/p?token={token}"


def names_of(series: SeriesMaker) -> dict[str, bytes]:
    folder = f"{series.study}/{series.series}/instances"
    return {f"{folder}/{series.uid_of(one)}.dcm": one for one in series.instances}


async def test_the_example_of_cod_retrieve_translates_line_by_line(
    gcs: ScriptedGcs, series: SeriesMaker, tmp_path: Path
) -> None:
    cod_download = CodDownload()
    cod_download.init_directory(tmp_path)
    cod_download.init_bucket(url_of(gcs))
    study_instance_uids = [series.study]
    stats = await cod_download.get_stats(study_instance_uids)
    job = cod_download.download(study_instance_uids)
    told: list[Any] = []
    job.on_progress(told.append)
    job.on_download(told.append)
    job.on_extract(told.append)
    job.on_save(told.append)
    job.on_complete(told.append)
    job.on_error(told.append)
    ended = await job.start()
    await cod_download.aclose()
    assert (stats.series_count, stats.saved_series_count, stats.instance_count) == (1, 0, COUNT)
    assert stats.byte_count == sum(map(len, series.instances))
    assert files_in(tmp_path) == names_of(series)
    archive = gcs.objects[tar_key(ROOT, series.study, series.series)]
    assert isinstance(archive, bytes)
    archive_bytes = len(archive)
    url = f"gs://bucket/{tar_key(ROOT, series.study, series.series)}"
    progress = [one for one in told if isinstance(one, Progress)]
    assert {(one.url, one.total_bytes) for one in progress} == {(url, archive_bytes)}
    assert sum(one.byte_count for one in progress) == archive_bytes
    assert [one for one in told if isinstance(one, Downloaded)] == [Downloaded(url, archive_bytes)]
    (extracted,) = [one for one in told if isinstance(one, Extracted)]
    assert (extracted.url, len(extracted.sop_instance_uids)) == (url, COUNT)
    assert len([one for one in told if isinstance(one, Stored)]) == COUNT
    assert told[-1] is ended
    assert ended.is_complete


EXAMPLE = re.compile(r"^Example:\n((?:(?:    .*)?\n)+)", re.MULTILINE)


async def test_the_example_of_its_documentation_runs(
    gcs: ScriptedGcs,
    series: SeriesMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = EXAMPLE.search(inspect.getdoc(CodDownload) or "")
    assert example is not None
    body = textwrap.dedent(example[1])
    names: dict[str, Any] = {"CodDownload": CodDownload}
    exec(f"async def example(url, study):\n{textwrap.indent(body, '    ')}", names)
    monkeypatch.chdir(tmp_path)
    await names["example"](url_of(gcs), series.study)
    assert capsys.readouterr().out.split() == ["1", "0", str(sum(map(len, series.instances)))]
    assert files_in(tmp_path / "out") == names_of(series)


async def test_what_is_asked_again_is_not_counted_again(
    gcs: ScriptedGcs, series: SeriesMaker, tmp_path: Path
) -> None:
    async with CodDownload(tmp_path) as cod:
        cod.init_bucket(url_of(gcs))
        first = await cod.get_stats([series.study, series.study])
        await cod.download([series.study])
        second = await cod.get_stats(series.study)
    assert first.byte_count == second.byte_count == second.saved_byte_count
    assert (first.saved_instance_count, second.saved_instance_count) == (0, COUNT)


async def test_a_zip_per_study(gcs: ScriptedGcs, series: SeriesMaker, tmp_path: Path) -> None:
    async with CodDownload(tmp_path) as cod:
        cod.init_bucket(url_of(gcs))
        ended = await cod.download([series.study], zip_output=True)
    assert ended.is_complete
    (content,) = files_in(tmp_path).values()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {f"{series.study}/{name}": archive.read(name) for name in archive.namelist()}
    assert names == names_of(series)


async def test_refusals_are_raised_and_name_no_token(
    gcs: ScriptedGcs, series: SeriesMaker, tmp_path: Path
) -> None:
    async with CodDownload(tmp_path) as cod:
        cod.init_bucket(url_of(gcs, "wrong-token"))
        with pytest.raises(Unauthorized) as caught:
            await cod.get_stats([series.study])
        assert "wrong-token" not in str(caught.value)
        ended = await cod.download([series.study])
        assert not ended.is_complete
        cod.init_bucket(url_of(gcs))
        with pytest.raises(NotFound):
            await cod.get_stats(["1.2.3"])


async def test_errors_are_told_and_the_rest_is_saved(
    gcs: ScriptedGcs, series: SeriesMaker, tmp_path: Path
) -> None:
    victim = series.instances[1]
    key = tar_key(ROOT, series.study, series.series)
    whole = gcs.objects[key]
    assert isinstance(whole, bytes)
    at = whole.index(victim) + len(victim) - 1
    gcs.objects[key] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    failed: list[Any] = []
    async with CodDownload(tmp_path, retry=0) as cod:
        cod.init_bucket(url_of(gcs))
        job = cod.download([series.study])
        job.on_error(failed.append)
        ended = await job
    assert (ended.stored, ended.corrupt) == (COUNT - 1, 1)
    assert [one.target.sop_instance_uid for one in failed] == [series.uid_of(victim)]


async def test_a_job_may_be_iterated_over_and_survives_faults(
    gcs: ScriptedGcs, series: SeriesMaker, tmp_path: Path
) -> None:
    gcs.fault(tar_key(ROOT, series.study, series.series), Status(503), CutAfter(10))
    async with CodDownload(tmp_path) as cod:
        cod.init_bucket(url_of(gcs))
        events = [event async for event in cod.download([series.study])]
    assert events[-1].is_complete  # type: ignore[union-attr]  # -- the sum is the last one
    assert files_in(tmp_path) == names_of(series)


async def test_the_object_form_takes_its_prefix_as_it_is() -> None:
    async with CodDownload("out") as cod:
        cod.init_bucket({"bucket": "my-bucket", "bucketPrefix": None, "token": "t"})
        assert cod._root == CodRoot("my-bucket", token="t")
        cod.init_bucket({"bucket": "my-bucket", "bucketPrefix": "my-prefix/dicomweb"})
        assert cod._root == CodRoot("my-bucket", "my-prefix/dicomweb")


async def test_misuse_is_told(tmp_path: Path) -> None:
    async with CodDownload() as cod:
        with pytest.raises(UsageError, match="init_bucket"):
            await cod.get_stats(["1.2"])
        cod.init_bucket({"bucket": "my-bucket"})
        with pytest.raises(UsageError, match="init_directory"):
            cod.download(["1.2"])
        cod.init_directory(tmp_path)
        with pytest.raises(InvalidUid):
            cod.download(["x"])
        for wrong in ("ftp://x", "", "https://host"):
            with pytest.raises(ConfigError):
                cod.init_bucket(wrong)
        with pytest.raises(ConfigError):
            cod.init_bucket({})
    with pytest.raises(ConfigError):
        CodDownload(concurrency=0)
    with pytest.raises(TypeError):
        CodDownload(no_such_option=1)  # type: ignore[call-arg]  # -- that is the test


async def test_connect_takes_a_store_too(
    gcs: ScriptedGcs, series: SeriesMaker, tmp_path: Path
) -> None:
    async with asyncdicom.connect(f"cod+{url_of(gcs)}") as source:
        assert source.url == f"cod+{gcs.url}/bucket/p/dicomweb"
        got = {
            one.sop_instance_uid: bytes(one.data)
            async for one in source.retrieve(study=series.study)
        }
        one = series.instances[2]
        uid = series.uid_of(one)
        (alone,) = [
            instance
            async for instance in source.retrieve(
                study=series.study, series=series.series, instance=uid
            )
        ]
        target = Target(Resource.INSTANCE, series.study, series.series, uid)
        ended = await source.download([target], tmp_path)
        with pytest.raises(ConfigError, match="no queries"):
            [answer async for answer in source.search(PatientID="1")]
    assert got == {series.uid_of(one): one for one in series.instances}
    assert bytes(alone.data) == one
    assert ended.stored == 1
    assert files_in(tmp_path) == {f"{uid}.dcm": one}
