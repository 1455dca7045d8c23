"""The guide of idc-index, translated line by line, against rclone over real rows of the index."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom import ConfigError, IDCClient, Incomplete, NotFound
from asyncdicom.library.idc_table import IdcTable
from tests.support.documents import README, blocks_of
from tests.support.idc_index import index_row, write_index
from tests.support.idc_layout import (
    IdcLayout,
    IdcObject,
    IdcSeries,
    collection,
    later_versions,
    prior_versions,
)
from tests.support.peers import require_peer
from tests.support.rclone import RcloneOptions, running_rclone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.rclone import Rclone

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> IdcLayout:
    layout = IdcLayout(tmp_path_factory.mktemp("idc") / "buckets")
    earlier = prior_versions()
    later = later_versions(earlier)
    layout.add([*earlier, *later, *(one for one in of_the_readme() if one not in later)])
    return layout


def of_the_readme() -> list[IdcSeries]:
    """Return the series that the example of the README fetches."""
    return [
        one
        for one in collection("breast_mri_nact_pilot")
        if (one.patient_id, one.instance_count) == ("UCSF-BR-59", 15)
    ]


@pytest.fixture(scope="module")
def server(layout: IdcLayout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    require_peer("rclone")
    options = RcloneOptions()
    with running_rclone(tmp_path_factory.mktemp("rclone"), layout.root, options) as server:
        yield server


@pytest.fixture
def client(server: Rclone, monkeypatch: pytest.MonkeyPatch) -> IDCClient:
    """A client as scripts make it; the environment leads it here, as Amazon's tools."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return IDCClient()


def current(layout: IdcLayout, modality: str = "MR") -> list[IdcObject]:
    """Return the objects of one current series of a modality."""
    first = next(
        one.series
        for one in layout.objects
        if one.series.is_current and one.series.modality == modality
    )
    return layout.objects_of(first.crdc_series_uuid)


def contents(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bytes_of(layout: IdcLayout, objects: list[IdcObject]) -> set[bytes]:
    return {layout.path(one).read_bytes() for one in objects}


@pytest.mark.peer("rclone")
def test_a_series_of_the_guide(client: IDCClient, layout: IdcLayout, tmp_path: Path) -> None:
    objects = current(layout)
    result = client.download_from_selection(
        seriesInstanceUID=[objects[0].series.series_instance_uid],
        downloadDir=str(tmp_path / "selected"),
        dirTemplate="",
    )
    assert result.is_complete
    assert str(result).startswith(f"{len(objects)} stored · 0 missing · 0 corrupt · ")
    assert contents(tmp_path / "selected") == bytes_of(layout, objects)
    assert sorted(path.name for path in (tmp_path / "selected").iterdir()) == sorted(
        one.key.partition("/")[2] for one in objects
    )


@pytest.mark.peer("rclone")
def test_batches_of_the_guide(client: IDCClient, layout: IdcLayout, tmp_path: Path) -> None:
    series = current(layout)[0].series
    results = client.sql_query(f"""
        SELECT SeriesInstanceUID
        FROM index
        WHERE SeriesInstanceUID = '{series.series_instance_uid}' AND Modality = 'MR'
        LIMIT 100
    """)
    batch_size = 10
    for i in range(0, len(results), batch_size):
        batch = results.iloc[i : i + batch_size]
        client.download_from_selection(
            seriesInstanceUID=list(batch["SeriesInstanceUID"].values),
            downloadDir=f"{tmp_path}/batch_{i // batch_size}",
        )
    assert contents(tmp_path / "batch_0") == bytes_of(layout, current(layout))


@pytest.mark.peer("rclone")
def test_the_manifest_of_the_guide(client: IDCClient, layout: IdcLayout, tmp_path: Path) -> None:
    series = current(layout)[0].series
    results = client.sql_query(
        f"SELECT series_aws_url FROM index WHERE SeriesInstanceUID = '{series.series_instance_uid}'"
    )
    with (tmp_path / "ct_manifest.txt").open("w") as f:
        for url in results["series_aws_url"]:
            f.write(url + "\n")
    told: list[tuple[int, int, str, str]] = []
    result = client.download_from_manifest(
        manifestFile=str(tmp_path / "ct_manifest.txt"),
        downloadDir=tmp_path / "ct_data",
        validate_manifest=True,
        quiet=True,
        use_s5cmd_sync=False,
        progress_callback=lambda *values: told.append(values),
    )
    assert result.is_complete
    assert contents(tmp_path / "ct_data") == bytes_of(layout, current(layout))
    assert told[-1] == (series.byte_count, series.byte_count, "B", "Downloading data")


@pytest.mark.peer("rclone")
def test_the_python_of_the_readme_runs(server: Rclone, layout: IdcLayout, tmp_path: Path) -> None:
    (block,) = blocks_of(README, mark="idc")
    (tmp_path / "example.py").write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={**os.environ, "AWS_ENDPOINT_URL": server.url},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted, *stored = done.stdout.splitlines()
    assert counted.startswith(f"{len(of_the_readme())} series, ")
    assert len(stored) == len(of_the_readme())
    assert all(line.startswith("15 stored · 0 missing · 0 corrupt · ") for line in stored)
    folder = tmp_path / "data" / "breast_mri_nact_pilot" / "UCSF-BR-59" / "MR"
    objects = [one for one in layout.objects if one.series in of_the_readme()]
    assert contents(folder) == bytes_of(layout, objects)


@pytest.mark.peer("rclone")
def test_an_incomplete_download_warns_and_says_what_is_missing(
    client: IDCClient, layout: IdcLayout, tmp_path: Path
) -> None:
    uuid = current(layout)[0].series.crdc_series_uuid
    with pytest.warns(UserWarning, match="the download is not complete: listing idc://"):
        result = client.download_from_selection(
            tmp_path, crdc_series_uuid=[uuid, uuid[:-12] + "0" * 12]
        )
    assert not result.is_complete
    assert result.ended is not None
    assert (result.ended.stored, result.ended.missing) == (len(current(layout)), 1)
    assert [failed.error.reason for failed in result.failed] == ["not-found"]
    assert result.unmatched == (f"crdc_series_uuid '{uuid[:-12]}000000000000': not in the index",)
    with pytest.raises(Incomplete, match="1 are missing: listing idc://"):
        result.check()


@pytest.mark.peer("rclone")
def test_single_instances(client: IDCClient, layout: IdcLayout, tmp_path: Path) -> None:
    wanted = current(layout)[:2]
    result = client.download_dicom_instance(
        [one.sop_instance_uid for one in wanted],
        tmp_path,
        seriesInstanceUID=wanted[0].series.series_instance_uid,
    )
    result.check()
    assert contents(tmp_path) == bytes_of(layout, wanted)


@pytest.mark.peer("rclone")
@pytest.mark.anyio
async def test_the_functions_are_awaited(server: Rclone, layout: IdcLayout, tmp_path: Path) -> None:
    events: list[Any] = []
    result = await asyncdicom.download_from_selection(
        tmp_path,
        studyInstanceUID=current(layout)[0].series.study_instance_uid,
        seriesInstanceUID=current(layout)[0].series.series_instance_uid,
        endpoint_url=server.url,
        on_event=events.append,
        durability="none",
    )
    assert result.is_complete
    assert contents(tmp_path) == bytes_of(layout, current(layout))
    assert events[-1] == result.ended


@pytest.mark.peer("rclone")
@pytest.mark.anyio
async def test_the_client_works_beside_a_loop_as_in_a_notebook(
    client: IDCClient, layout: IdcLayout, tmp_path: Path
) -> None:
    uid = current(layout, "SM")[0].series.series_instance_uid
    result = await asyncio.to_thread(client.download_dicom_series, uid, tmp_path)
    assert result.is_complete
    # It waits, as whoever writes no `await` expects; the loop waits with it.
    again = client.download_dicom_series(uid, tmp_path, dry_run=True)
    assert again.is_complete


def test_a_dry_run_says_how_much_and_creates_nothing(tmp_path: Path) -> None:
    result = IDCClient().download_collection("rider_pilot", tmp_path / "out", dry_run=True)
    assert result.is_complete
    assert result.ended is None
    assert (result.series, result.byte_count > 10**9) == (774, True)
    assert "774 series · " in str(result)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param({}, ConfigError, id="nothing is selected"),
        pytest.param({"seriesInstanceUID": []}, ConfigError, id="an empty list is not everything"),
        pytest.param({"patientId": [4711]}, TypeError, id="a number is no id"),
        pytest.param({"patientID": "P1"}, TypeError, id="no such option"),
        pytest.param({"patientId": "P1", "dirTemplate": "x/PatientID"}, ConfigError, id="template"),
    ],
)
def test_wrong_calls_are_refused(
    tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        IDCClient().download_from_selection(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_manifest_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the manifest"):
        IDCClient().download_from_manifest(tmp_path / "no.txt", tmp_path)


ROWS = [
    index_row(PatientSex="F", PatientAge="040Y", StudyDate="2020-01-02", SeriesNumber="1"),
    index_row(PatientID="P2", StudyInstanceUID="1.2.2", SeriesInstanceUID="1.2.2.1", Modality="SM"),
    index_row(
        collection_id="c_two", PatientID="P3", StudyInstanceUID="1.2.3", SeriesInstanceUID="3"
    ),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> IDCClient:
    return IDCClient(write_index(tmp_path_factory.mktemp("index"), ROWS))


def test_the_lists_of_idc_index(small: IDCClient) -> None:
    assert small.get_collections() == ["c_one", "c_two"]
    assert small.get_patients("c_one", outputFormat="list") == ["P1", "P2"]
    assert small.get_patients(["c_one"])[0] == {
        "PatientID": "P1",
        "PatientSex": "F",
        "PatientAge": "040Y",
    }
    (study,) = small.get_dicom_studies("P1")
    assert (study["StudyInstanceUID"], study["SeriesCount"]) == ("1.2.1", 1)
    series = small.get_dicom_series(["1.2.1", "1.2.2"], outputFormat="df")
    assert isinstance(series, IdcTable)
    assert series["Modality"] == ("CT", "SM")
    assert small.get_dicom_series("1.2.1", outputFormat="list") == ["1.2.1.1"]
    assert small.get_series_size("1.2.1.1") == 0.002


def test_what_is_not_in_the_index_is_an_error(small: IDCClient) -> None:
    with pytest.raises(NotFound, match="no PatientID 'nobody' in the index"):
        small.get_dicom_studies("nobody")
    with pytest.raises(NotFound):
        small.get_series_size("1.2.9")


def test_addresses_of_viewers(small: IDCClient) -> None:
    root = "https://viewer.imaging.datacommons.cancer.gov/"
    assert small.get_viewer_URL(studyInstanceUID="1.2.2") == f"{root}slim/studies/1.2.2"
    assert small.get_viewer_URL("1.2.1.1") == (
        f"{root}v3/viewer/?StudyInstanceUIDs=1.2.1&initialSeriesInstanceUID=1.2.1.1"
    )
    assert small.get_viewer_URL("1.2.1.1", viewer_selector="ohif_v2").startswith(f"{root}viewer/")
    with pytest.raises(NotFound, match="of another study"):
        small.get_viewer_URL("1.2.1.1", "1.2.2")
    with pytest.raises(ConfigError, match="which series or study"):
        small.get_viewer_URL()


def test_the_version_and_the_shared_client() -> None:
    assert IDCClient.client() is IDCClient.client()
    assert IDCClient.client().get_idc_version().startswith("v")


def test_a_question_cannot_read_a_file(small: IDCClient) -> None:
    with pytest.raises(ConfigError, match="refused"):
        small.sql_query("SELECT * FROM read_text('/etc/hostname')")


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("download_collection", "collection_id"),
        ("download_analysis_result", "analysis_result_id"),
        ("download_dicom_patients", "patientId"),
        ("download_dicom_studies", "studyInstanceUID"),
        ("download_dicom_series", "seriesInstanceUID"),
    ],
)
def test_each_kind_has_its_method(
    small: IDCClient, tmp_path: Path, method: str, option: str
) -> None:
    with pytest.warns(UserWarning, match="not complete"):
        result = getattr(small, method)("9.9", tmp_path / "out")
    (told,) = result.unmatched
    assert "'9.9': not in the index" in told
    assert not (tmp_path / "out").exists()


def test_a_table_is_used_by_row_column_and_slice() -> None:
    table = IdcTable(["a", "b"], [(1, "x"), (2, "y"), (3, "y")])
    assert (len(table), table.columns) == (3, ("a", "b"))
    assert list(table)[1] == {"a": 2, "b": "y"}
    assert table[-1] == {"a": 3, "b": "y"}
    assert tuple(table["b"]) == ("x", "y", "y")
    assert table["a"].iloc[0] == 1
    assert table["b"].unique().tolist() == ["x", "y"]
    assert table.iloc[1:]["a"].values == (2, 3)
    assert repr(table) == "<IdcTable of 3 rows: a, b>"
    with pytest.raises(KeyError):
        table["c"]
    with pytest.raises(IndexError):
        table[3]
