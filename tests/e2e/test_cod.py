"""`cod stats` and `cod get` as real processes: against stores that their own writer made, and
against a server with faults. Everything that other readers of these stores do wrong has a test."""

from __future__ import annotations

import gzip
import io
import json
import signal
import subprocess
import threading
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pydicom
import pytest
from pydicom.encaps import generate_frames

from asyncdicom.protocol.cod.places import series_prefix, tar_key
from tests.e2e.support import (
    PROGRAM,
    Completed,
    assert_speaks_plainly,
    clean_environ,
    cli,
    files_below,
    reading_report,
)
from tests.support.cod import ROOT, CodObjects
from tests.support.cod_store import BUCKET, SERIES, running_cod_store
from tests.support.dicom import ct, small_instance
from tests.support.gcs_scripted import CutAfter, ScriptedGcs, StallAfter, Status
from tests.support.peers import require_peer
from tests.support.rclone import running_rclone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cod import SeriesMaker
    from tests.support.cod_store import CodStore

LEFT = ".asyncdicom-"
"""Begins every name that is no result."""
TOKEN = "ya29.secret-token"
STUDIES = sorted({one.study_uid for one in SERIES})
ALL = [word for study in STUDIES for word in ("--study", study)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodStore]:
    for peer in ("cloud-optimized-dicom", "fake-gcs-server"):
        require_peer(peer)
    with running_cod_store(tmp_path_factory.mktemp("cod")) as store:
        yield store


def truth_of(store: CodStore, *, in_zip: bool = False) -> dict[str, bytes]:
    found = {}
    for name, series in store.series.items():
        folder = series.series_uid if in_zip else f"{series.study_uid}/{series.series_uid}"
        for uid, content in store.instances(name).items():
            found[f"{folder}/instances/{uid}.dcm"] = content
    return found


pytest_peer = pytest.mark.peer("cloud-optimized-dicom")


@pytest_peer
def test_what_the_writer_wrote_comes_back_byte_by_byte(written: CodStore, tmp_path: Path) -> None:
    done = cli("cod", "get", written.url, *ALL, "-o", str(tmp_path))
    assert_speaks_plainly(done)
    assert done.code == 0
    assert files_below(tmp_path) == truth_of(written)
    again = cli("cod", "get", written.url, *ALL, "-o", str(tmp_path))
    assert again.last_line.startswith("0 stored · 0 missing · 0 corrupt · 22 skipped (verified)")


@pytest_peer
def test_a_zip_per_study_holds_the_same(written: CodStore, tmp_path: Path) -> None:
    done = cli("cod", "get", written.url, *ALL, "--zip", "-o", str(tmp_path))
    assert done.code == 0
    assert sorted(files_below(tmp_path)) == sorted(f"{study}.zip" for study in STUDIES)
    found: dict[str, bytes] = {}
    for content in files_below(tmp_path).values():
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found |= {name: archive.read(name) for name in archive.namelist()}
    assert found == truth_of(written, in_zip=True)


@pytest_peer
def test_statistics_are_those_of_the_store_however_often_they_are_asked(
    written: CodStore, tmp_path: Path
) -> None:
    truth = truth_of(written)
    expected = {
        "series": len(SERIES),
        "savedSeries": 0,
        "instances": len(truth),
        "savedInstances": 0,
        "bytes": sum(map(len, truth.values())),
        "savedBytes": 0,
    }
    for _ in range(2):
        done = cli("cod", "stats", written.url, *ALL, *ALL, "--json")
        assert (done.code, totals(done)) == (0, expected)
    cli("cod", "get", written.url, "--study", STUDIES[0], "-o", str(tmp_path))
    kept = files_below(tmp_path)
    done = cli("cod", "stats", written.url, *ALL, "-o", str(tmp_path), "--json")
    assert totals(done)["savedInstances"] == len(kept)
    assert totals(done)["savedBytes"] == sum(map(len, kept.values()))
    assert [one["study"] for one in json.loads(done.out)["studies"]] == STUDIES


def totals(done: Completed) -> dict[str, int]:
    found = json.loads(done.out)
    return {name: value for name, value in found.items() if name not in ("studies", "failed")}


def frames_of(content: bytes) -> list[bytes]:
    dataset = pydicom.dcmread(io.BytesIO(content))
    count = int(dataset.get("NumberOfFrames", 1))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return list(generate_frames(dataset.PixelData, number_of_frames=count))
    size = len(dataset.PixelData) // count
    return [dataset.PixelData[n * size : (n + 1) * size] for n in range(count)]


@pytest_peer
def test_frames_and_metadata_are_those_of_the_files(written: CodStore, tmp_path: Path) -> None:
    done = cli("cod", "frames", written.url, *ALL, "-o", str(tmp_path / "frames"))
    assert_speaks_plainly(done)
    expected = {
        f"{name.removesuffix('.dcm')}/frames/{number}": frame
        for name, content in truth_of(written).items()
        for number, frame in enumerate(frames_of(content), 1)
    }
    assert files_below(tmp_path / "frames") == expected
    done = cli("cod", "metadata", written.url, *ALL, "-o", str(tmp_path / "metadata"))
    assert_speaks_plainly(done)
    found = files_below(tmp_path / "metadata")
    assert len(found) == len(SERIES)
    data_sets = [data_set for content in found.values() for data_set in json.loads(content)]
    assert len(data_sets) == len(truth_of(written))
    assert all(isinstance(one["00080018"]["Value"][0], str) for one in data_sets)


@pytest_peer
def test_the_tables_of_uncompressed_frames_are_off_as_we_take_them_to_be(
    written: CodStore,
) -> None:
    key = written.key("first version, multi-frame", "/metadata.json")
    document = json.loads(gzip.decompress(written.gcs.download(BUCKET, key)))
    for uid, content in written.instances("first version, multi-frame").items():
        (first, *_) = document["cod"]["instances"][uid]["offset_tables"]["CustomOffsetTable"]
        assert content.index(frames_of(content)[0]) == first - 8


@pytest_peer
def test_get_takes_the_url_of_a_store_too(written: CodStore, tmp_path: Path) -> None:
    done = cli("get", written.url, *ALL, "-o", str(tmp_path), "--layout", "{StudyInstanceUID}")
    assert done.code == 0
    assert len(files_below(tmp_path)) == len(truth_of(written))


@pytest.fixture
def objects() -> CodObjects:
    return CodObjects()


@pytest.fixture
def series(objects: CodObjects) -> SeriesMaker:
    return objects.add_series([small_instance(number) for number in range(1, 9)])


@pytest.fixture
def large(objects: CodObjects) -> SeriesMaker:
    return objects.add_series([ct(number=number, rows=256, columns=256) for number in range(1, 9)])


def url_of(gcs: ScriptedGcs, token: str = TOKEN) -> str:
    return f"cod+{gcs.url}/bucket/p?token={token}&other=1"


def names_of(series: SeriesMaker) -> dict[str, bytes]:
    folder = f"{series.study}/{series.series}/instances"
    return {f"{folder}/{series.uid_of(one)}.dcm": one for one in series.instances}


def test_the_documented_url_finds_the_store_and_its_token_goes_nowhere_else(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    objects[f"{series_prefix(ROOT, series.study)}1.2.3/metadata.json"] = b"<html>"
    report = tmp_path / "report"
    with ScriptedGcs(objects, token=TOKEN) as gcs:
        words = ("--study", series.study, "-o", str(tmp_path / "out"))
        done = cli("cod", "get", url_of(gcs), *words, "--json", "-v", "--report", str(report))
        wrong = cli("cod", "get", url_of(gcs, "ya29.wrong-token"), *words, "-v")
    assert files_below(tmp_path / "out") == names_of(series)
    assert done.code == 1
    told = done.out + done.err + report.read_text() + wrong.out + wrong.err
    assert "secret-token" not in told
    assert "wrong-token" not in told


@pytest.mark.parametrize("command", ["stats", "get"])
@pytest.mark.parametrize(
    ("token", "study", "code"),
    [
        pytest.param("ya29.wrong", None, 5, id="a wrong token"),
        pytest.param(TOKEN, "1.2.3", 4, id="no such study"),
    ],
)
def test_a_refusal_is_an_error_and_not_an_empty_study(  # noqa: PLR0917 -- a table
    objects: CodObjects,
    series: SeriesMaker,
    tmp_path: Path,
    command: str,
    token: str,
    study: str | None,
    code: int,
) -> None:
    with ScriptedGcs(objects, token=TOKEN) as gcs:
        study = study or series.study
        done = cli("cod", command, url_of(gcs, token), "--study", study, "-o", str(tmp_path))
    assert done.code == code, done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["stats", "get"])
def test_nobody_who_answers_is_told(tmp_path: Path, command: str) -> None:
    url = "cod+http://127.0.0.1:9/bucket?token=t"
    done = cli("cod", command, url, "--study", "1.2.3", "-o", str(tmp_path), "-r", "0")
    assert done.code == 5
    assert "Traceback" not in done.err


def test_the_bucket_of_the_url_is_the_bucket_that_is_listed(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    with ScriptedGcs(objects) as gcs:
        url = f"cod+{gcs.url}/other/p?token=t"
        done = cli("cod", "get", url, "--study", series.study, "-o", str(tmp_path))
        assert gcs.asked == []
    assert done.code == 4


def test_lists_of_many_pages_are_read_to_their_end(objects: CodObjects, tmp_path: Path) -> None:
    made = [
        objects.add_series([small_instance(10 * number, series=number)]) for number in range(1, 12)
    ]
    with ScriptedGcs(objects, page_length=3) as gcs:
        done = cli("cod", "get", url_of(gcs), "--study", made[0].study, "-o", str(tmp_path))
    assert done.code == 0
    assert len(files_below(tmp_path)) == len(made)


def test_an_instance_is_on_disk_before_its_archive_has_ended(
    objects: CodObjects, large: SeriesMaker, tmp_path: Path
) -> None:
    go_on = threading.Event()
    with ScriptedGcs(objects) as gcs:
        gcs.fault(tar_key(ROOT, large.study, large.series), StallAfter(700_000, go_on))
        words = ("cod", "get", url_of(gcs), "--study", large.study, "-o", str(tmp_path), "-q")
        process = subprocess.Popen([PROGRAM, *words], env=clean_environ(), stderr=subprocess.PIPE)
        try:
            wait_for_files(tmp_path, 1)
            assert results_in(tmp_path).items() <= names_of(large).items()
            assert process.poll() is None
        finally:
            go_on.set()
            _, told = process.communicate(timeout=40)
    assert process.returncode == 0, told
    assert files_below(tmp_path) == names_of(large)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(signal.SIGKILL, -9, id="killed"),
        pytest.param(signal.SIGINT, 130, id="interrupted"),
    ],
)
def test_a_run_that_ends_early_leaves_whole_files_and_the_next_one_goes_on(
    objects: CodObjects, large: SeriesMaker, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    go_on = threading.Event()
    key = tar_key(ROOT, large.study, large.series)
    with ScriptedGcs(objects) as gcs:
        gcs.fault(key, StallAfter(700_000, go_on))
        words = ("cod", "get", url_of(gcs), "--study", large.study, "-o", str(tmp_path))
        process = subprocess.Popen([PROGRAM, *words], env=clean_environ(), stderr=subprocess.PIPE)
        try:
            wait_for_files(tmp_path, 2)
            process.send_signal(sent)
            process.communicate(timeout=40)
        finally:
            go_on.set()
        assert process.returncode == code
        kept = results_in(tmp_path)
        assert kept.items() <= names_of(large).items()
        gcs.asked.clear()
        done = cli(*words)
        (asked,) = [line for line in gcs.asked if ".tar" in line]
    assert done.code == 0
    assert f"{len(kept)} skipped" in done.last_line
    assert " bytes=" in asked
    assert results_in(tmp_path) == names_of(large)


def wait_for_files(folder: Path, count: int) -> None:
    deadline_s = time.monotonic() + 40
    while len(results_in(folder)) < count:
        assert time.monotonic() < deadline_s, "nothing is stored while the archive waits"
        time.sleep(0.01)


def results_in(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files_below(folder).items() if LEFT not in name}


def test_an_archive_that_is_cut_goes_on_where_it_was_cut(
    objects: CodObjects, large: SeriesMaker, tmp_path: Path
) -> None:
    key = tar_key(ROOT, large.study, large.series)
    with ScriptedGcs(objects) as gcs:
        gcs.fault(key, CutAfter(700_000), Status(503, {"retry-after": "0"}))
        done = cli("cod", "get", url_of(gcs), "--study", large.study, "-o", str(tmp_path))
        asked = [line for line in gcs.asked if ".tar" in line]
    assert done.code == 0
    assert files_below(tmp_path) == names_of(large)
    assert asked[0] == f"get {key}"
    assert all(" bytes=" in line for line in asked[1:])


def test_what_a_run_could_not_have_the_next_one_gets_alone(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    key = tar_key(ROOT, series.study, series.series)
    whole = objects[key]
    victim = series.instances[3]
    at = whole.index(victim) + 400
    damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    report = tmp_path / "report"
    words = ("--study", series.study, "-o", str(tmp_path / "out"), "--report", str(report))
    with ScriptedGcs({**objects, key: damaged}) as gcs:
        done = cli("cod", "get", url_of(gcs), *words)
        assert_speaks_plainly(done)
        assert done.code == 1
        failed = [line for line in reading_report(report) if line["outcome"] == "failed"]
        assert [line["instance"] for line in failed] == [series.uid_of(victim)]
        assert len(files_below(tmp_path / "out")) == len(series.instances) - 1
        gcs.objects[key] = whole
        gcs.asked.clear()
        output = ("-o", str(tmp_path / "out"))
        done = cli("cod", "get", url_of(gcs), "--retry-failed", str(report), *output)
        start = whole.index(victim)
        span = f"bytes={start}-{start + len(victim) - 1}"
        assert [line for line in gcs.asked if ".tar" in line] == [f"get {key} {span}"]
    assert done.code == 0
    assert files_below(tmp_path / "out") == names_of(series)


@pytest.mark.peer("rclone")
def test_a_store_behind_s3_is_read_whole_and_by_spans(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    require_peer("rclone")
    root, out = tmp_path / "root", tmp_path / "out"
    for key, content in objects.items():
        (root / "bucket" / key).parent.mkdir(parents=True, exist_ok=True)
        (root / "bucket" / key).write_bytes(content)
    with running_rclone(tmp_path, root) as server:
        store = ("cod+s3://bucket/p/dicomweb", "--endpoint-url", server.url, "--no-sign-request")
        words = ("cod", "get", *store, "--study", series.study, "-o", str(out))
        assert cli(*words).code == 0
        assert files_below(out) == names_of(series)
        (out / next(iter(names_of(series)))).unlink()
        done = cli(*words)
        assert done.last_line.startswith("1 stored")
        assert files_below(out) == names_of(series)
        done = cli("cod", "stats", *store, "--study", series.study, "-o", str(out), "--json")
    assert totals(done)["savedInstances"] == len(series.instances)


def test_a_store_of_gcs_is_named_by_its_path_and_opened_by_a_token(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    with ScriptedGcs(objects, token=TOKEN) as gcs:
        store = ("cod+gs://bucket/p/dicomweb", "--endpoint-url", gcs.url, "--bearer", TOKEN)
        done = cli("cod", "get", *store, "--study", series.study, "-o", str(tmp_path))
    assert done.code == 0
    assert files_below(tmp_path) == names_of(series)


def test_a_list_of_what_was_saved_once_proves_nothing_and_is_left_alone(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    logs = [f"{series.study}/{series.series}/{series.uid_of(one)}" for one in series.instances]
    log = json.dumps({"logs": logs}).encode()
    (tmp_path / "log.json").write_bytes(log)
    (name, content), *_ = names_of(series).items()
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(content)
    with ScriptedGcs(objects) as gcs:
        words = (url_of(gcs), "--study", series.study, "-o", str(tmp_path))
        found = totals(cli("cod", "stats", *words, "--json"))
        done = cli("cod", "get", *words)
    assert (found["savedSeries"], found["savedInstances"]) == (0, 1)
    assert done.last_line.startswith("7 stored · 0 missing · 0 corrupt · 1 skipped")
    assert files_below(tmp_path) == {**names_of(series), "log.json": log}


def test_hostile_names_in_an_archive_stay_outside_of_the_file_system(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    import tarfile  # noqa: PLC0415 -- here alone

    key = tar_key(ROOT, series.study, series.series)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind in (
            ("../../../evil.dcm", tarfile.REGTYPE),
            ("/tmp/evil.dcm", tarfile.REGTYPE),
            ("instances/link.dcm", tarfile.SYMTYPE),
            ("instances/1.2.3.dcm", tarfile.REGTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    with ScriptedGcs({**objects, key: buffer.getvalue()[:-10240] + objects[key]}) as gcs:
        done = cli("cod", "get", url_of(gcs), "--study", series.study, "-o", str(tmp_path / "out"))
    assert "Traceback" not in done.err
    assert set(files_below(tmp_path)) <= {f"out/{name}" for name in names_of(series)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["cod", "get", "cod+https://h/b"], "--study", id="no study"),
        pytest.param(["cod", "stats", "cod+https://h/b"], "--study", id="no study to count"),
        pytest.param(["cod", "get", "https://h/b", "--study", "1.2"], "store", id="no store"),
        pytest.param(
            ["get", "cod+https://h/bucket", "PatientID=1"], "answers no queries", id="a search"
        ),
        pytest.param(
            ["cod", "get", "cod+https://h/b?token=x", "--bearer", "y", "--study", "1.2"],
            "other credentials",
            id="two credentials",
        ),
        pytest.param(
            ["find", "cod+https://h/bucket", "PatientID=1"], "answers no queries", id="find"
        ),
        pytest.param(
            ["dump", "-w", "cod+https://h/b", "-s", "1.2"], "Cloud-Optimized", id="a dump"
        ),
    ],
)
def test_what_cannot_be_is_said_at_once(words: list[str], message: str, tmp_path: Path) -> None:
    output = () if words[0] == "find" else ("-o", str(tmp_path))
    done = cli(*words, *output)
    assert done.code == 2, done.err
    assert message in done.err


def test_metadata_without_an_archive_is_not_taken_for_nothing(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    del objects[tar_key(ROOT, series.study, series.series)]
    with ScriptedGcs(objects) as gcs:
        done = cli("cod", "get", url_of(gcs), "--study", series.study, "-o", str(tmp_path))
        assert len([line for line in gcs.asked if ".tar" in line]) == 1
    assert done.code == 1
    assert "no archive" in done.err
    assert done.last_line.startswith("0 stored · 8 missing")


def test_a_study_with_one_unknown_series_is_counted_and_the_series_is_named(
    objects: CodObjects, series: SeriesMaker
) -> None:
    objects[f"{series_prefix(ROOT, series.study)}1.2.3.tar"] = b""
    with ScriptedGcs(objects) as gcs:
        done = cli("cod", "stats", url_of(gcs), "--study", series.study)
        machine: dict[str, Any] = json.loads(
            cli("cod", "stats", url_of(gcs), "--study", series.study, "--json").out
        )
    assert done.code == 1
    assert "1.2.3: the store has the series, and no metadata of it" in done.err
    assert machine["instances"] == len(series.instances)
    assert [one["series"] for one in machine["failed"]] == ["1.2.3"]
