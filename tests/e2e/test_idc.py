"""`asyncdicom idc get` against rclone's S3 server over buckets made from rows of the real index.

What idc-index 0.13 does in each of these cases is told where it is not the same.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support import Completed, clean_environ, cli, files_below
from tests.support.idc_layout import (
    IdcLayout,
    IdcObject,
    collection,
    later_versions,
    other_buckets,
    prior_versions,
)
from tests.support.peers import peer_program, require_peer
from tests.support.rclone import RcloneOptions, running_rclone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.rclone import Rclone

pytestmark = [pytest.mark.peer("rclone"), pytest.mark.timeout(180)]

COLLECTION = "prostate_3t"
TWO, CR = "ACRIN-NSCLC-FDG-PET-015", "MIDRC-RICORD-1C-419639-001214"
"""Patients whose series are in the two other buckets."""
NOT_LAID_OUT = "1.3.6.1.4.1.9328.50.1.69736"
"""A series of rider_pilot: in the real index, and not on this server."""
MAX_RSS_BYTES = 120 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Idc:
    """Buckets, a server for them, and a small index of what is in them."""

    layout: IdcLayout
    server: Rclone
    index: Path

    def get(self, *words: str, is_real: bool = False, **settings: Any) -> Completed:
        """Run `idc get`, with the small index or the real one."""
        index = [] if is_real else ["--index", str(self.index)]
        return cli("idc", "get", *words, "--endpoint-url", self.server.url, *index, **settings)

    def truth(
        self, objects: Iterable[IdcObject], template: str = "{c}/{p}/{st}/{m}_{se}"
    ) -> dict[str, bytes]:
        """Return the bytes that each file must have, by path."""
        return {
            f"{folder_of(one, template)}{one.key.partition('/')[2]}": self.layout.path(
                one
            ).read_bytes()
            for one in objects
        }

    def of(self, **values: str) -> list[IdcObject]:
        """Return the objects whose series has these values."""
        return [
            one
            for one in self.layout.objects
            if all(getattr(one.series, name) == value for name, value in values.items())
        ]


def folder_of(one: IdcObject, template: str) -> str:
    series = one.series
    folder = template.format(
        c=series.collection_id,
        p=series.patient_id,
        st=series.study_instance_uid,
        se=series.series_instance_uid,
        m=series.modality,
        u=series.crdc_series_uuid,
    )
    return f"{folder}/" if folder else ""


def stored(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in files_below(folder)}


@pytest.fixture(scope="module")
def idc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idc]:
    require_peer("rclone")
    folder = tmp_path_factory.mktemp("idc")
    layout = IdcLayout(folder / "buckets")
    layout.add(collection(COLLECTION)[:8], scale=0.01)
    layout.add(other_buckets(), scale=0.01)
    # Of their real sizes: the real index proves them.
    earlier = prior_versions()
    layout.add([*earlier, *later_versions(earlier)])
    index = folder / "index"
    index.mkdir()
    layout.write_index(index).prior_versions.rename(index / "prior_versions_index.parquet")
    with running_rclone(folder, layout.root, RcloneOptions()) as server:
        yield Idc(layout, server, index)


@pytest.fixture
def own(idc: Idc, tmp_path: Path) -> Iterator[Idc]:
    """Buckets that a test may damage."""
    layout = IdcLayout(tmp_path / "buckets", list(idc.layout.objects))
    shutil.copytree(idc.layout.root, layout.root)
    with running_rclone(tmp_path, layout.root, RcloneOptions(directory_cache="1ms")) as server:
        yield Idc(layout, server, idc.index)


def test_series_of_all_buckets_come_whole_under_the_names_of_idc_index(
    idc: Idc, tmp_path: Path
) -> None:
    objects = idc.of(collection_id=COLLECTION) + idc.of(patient_id=TWO) + idc.of(patient_id=CR)
    done = idc.get(f"{COLLECTION}, {TWO}", CR, "-o", str(tmp_path))
    assert done.code == 0, done.err
    assert done.last_line.startswith(f"{len(objects)} stored · 0 missing · 0 corrupt · ")
    assert stored(tmp_path) == idc.truth(objects)


def test_a_second_run_fetches_nothing(idc: Idc, tmp_path: Path) -> None:
    """Theirs fetches everything again, unless told to sync."""
    first = idc.get("--patient-id", TWO, "-o", str(tmp_path))
    second = idc.get("--patient-id", TWO, "-o", str(tmp_path))
    count = len(idc.of(patient_id=TWO))
    assert (first.code, second.code) == (0, 0)
    assert f"0 stored · 0 missing · 0 corrupt · {count} skipped (verified)" in second.last_line


def test_sizes_are_proven_to_the_byte_by_the_real_index(idc: Idc, tmp_path: Path) -> None:
    objects = [one for one in idc.layout.objects if one.series.collection_id == "tcga_stad"]
    current = [one for one in objects if one.series.is_current]
    done = idc.get(
        "--crdc-series-uuid", current[0].series.crdc_series_uuid, "-o", str(tmp_path), is_real=True
    )
    assert done.code == 0, done.err
    assert stored(tmp_path) == idc.truth(current)


def test_a_patient_of_a_collection_is_the_patient_in_it(idc: Idc, tmp_path: Path) -> None:
    """Theirs ignores the collection where a patient is given."""
    done = idc.get("--patient-id", TWO, "--collection-id", COLLECTION, "-o", str(tmp_path / "out"))
    assert done.code == 4
    assert f"idc://PatientID/{TWO}: has no series that the other options select" in done.err
    assert not (tmp_path / "out").exists()


def test_an_earlier_version_is_that_version(idc: Idc, tmp_path: Path) -> None:
    """Theirs fetches the current version instead, or nothing with a success."""
    objects = [one for one in idc.layout.objects if not one.series.is_current]
    uuids = ",".join({one.series.crdc_series_uuid for one in objects})
    done = idc.get("--crdc-series-uuid", uuids, "-o", str(tmp_path), is_real=True)
    assert done.code == 0, done.err
    assert stored(tmp_path) == idc.truth(objects)
    assert len(uuids.split(",")) == 6


def test_an_earlier_version_by_its_id_alone(idc: Idc, tmp_path: Path) -> None:
    objects = [one for one in idc.layout.objects if not one.series.is_current][:3]
    uuid = objects[0].series.crdc_series_uuid
    done = idc.get(uuid, "-o", str(tmp_path), "--dir-template", "%crdc_series_uuid")
    assert done.code == 0, done.err
    assert stored(tmp_path) == idc.truth(objects, "{u}")


def test_what_the_server_lacks_is_named_and_the_exit_code_is_not_0(
    idc: Idc, tmp_path: Path
) -> None:
    """Theirs says "Successfully downloaded", and exits with 0."""
    uuid = next(
        one.series.crdc_series_uuid
        for one in idc.layout.objects
        if one.series.is_current and one.series.collection_id == "tcga_stad"
    )
    done = idc.get(f"{uuid},{NOT_LAID_OUT}", "-o", str(tmp_path), is_real=True)
    assert done.code == 1
    assert "listing s3://idc-open-data/247c32f9-efc9-4b8f-b3b2-3a9fe9f802e9/" in done.err
    assert done.last_line.startswith("1 stored · 1 missing · ")


def test_a_series_without_one_of_its_objects_is_named(own: Idc, tmp_path: Path) -> None:
    lost, *rest = own.of(patient_id=TWO)
    own.layout.path(lost).unlink()
    done = own.get("--patient-id", TWO, "-o", str(tmp_path / "out"))
    assert done.code == 1
    assert f"listing s3://{lost.series.bucket}/{lost.series.crdc_series_uuid}/" in done.err
    assert "objects expected" in done.err
    assert stored(tmp_path / "out") == own.truth(rest)


def test_a_damaged_object_is_never_stored(own: Idc, tmp_path: Path) -> None:
    """Theirs stores whatever comes."""
    damaged, *rest = own.of(patient_id=TWO)
    path = own.layout.path(damaged)
    path.write_bytes(path.read_bytes()[:-100])
    done = own.get("--patient-id", TWO, "-o", str(tmp_path / "out"), "-r", "0")
    assert done.code == 1
    assert damaged.key in done.err
    assert stored(tmp_path / "out") == own.truth(rest)


def test_an_object_of_another_series_is_never_stored(own: Idc, tmp_path: Path) -> None:
    swapped, *_ = (
        one
        for one in own.of(patient_id=TWO)
        if one.byte_count == own.of(patient_id=TWO)[0].byte_count
    )
    stranger = next(
        one
        for one in own.layout.objects
        if one.series.series_instance_uid != swapped.series.series_instance_uid
    )
    content = own.layout.path(stranger).read_bytes()
    own.layout.path(swapped).write_bytes(content)
    done = own.get("--patient-id", TWO, "-o", str(tmp_path / "out"), "-r", "0")
    assert done.code == 1
    assert swapped.key in done.err
    assert content not in stored(tmp_path / "out").values()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param([f"{CR},nobody"], 1, id="beside a known one"),
        pytest.param(["--patient-id", f"{CR}, nobody"], 1, id="in an option"),
        pytest.param(["nobody"], 4, id="alone"),
        pytest.param(["--collection-id", "nobody"], 4, id="alone in an option"),
    ],
)
def test_an_unknown_id_is_named(idc: Idc, tmp_path: Path, words: list[str], code: int) -> None:
    """Theirs drops it without a word, and exits with 0."""
    done = idc.get(*words, "-o", str(tmp_path / "out"))
    assert done.code == code
    assert "nobody: not in the index" in done.err
    assert (tmp_path / "out").exists() is (code == 1)


def test_instances_of_one_series_keep_their_own_names(idc: Idc, tmp_path: Path) -> None:
    """Theirs writes all of them to one file, one over the other."""
    by_series = Counter(one.series.series_instance_uid for one in idc.layout.objects)
    series, _ = by_series.most_common(1)[0]
    objects = idc.of(series_instance_uid=series)[:3]
    uids = ",".join(one.sop_instance_uid for one in objects)
    done = idc.get("--series", series, "--sop-instance-uid", f"{uids},1.2.3", "-o", str(tmp_path))
    assert done.code == 1
    assert "idc://SOPInstanceUID/1.2.3: in none of the 1 series selected" in done.err
    assert stored(tmp_path) == idc.truth(objects)


def test_instances_without_any_series_are_refused_with_what_is_needed(
    idc: Idc, tmp_path: Path
) -> None:
    done = idc.get("--sop-instance-uid", "1.2.3", "-o", str(tmp_path / "out"))
    assert done.code == 2
    assert "add --series-instance-uid" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param("", "", id="flat"),
        pytest.param("%Modality/%PatientID", "{m}/{p}", id="of the guide"),
        pytest.param("{PatientID}-{Modality}", "{p}-{m}", id="ours"),
    ],
)
def test_folders_are_as_the_template_says(
    idc: Idc, tmp_path: Path, template: str, expected: str
) -> None:
    done = idc.get(CR, "-o", str(tmp_path), "--dir-template", template)
    assert done.code == 0, done.err
    assert stored(tmp_path) == idc.truth(idc.of(patient_id=CR), expected)


def test_a_wrong_template_is_told_before_anything_is_done(idc: Idc, tmp_path: Path) -> None:
    """Theirs raises an error without a message."""
    done = idc.get(CR, "-o", str(tmp_path / "out"), "--dir-template", "%PatientName/Modality")
    assert done.code == 2
    assert "a variable is written %Modality" in done.err
    assert not (tmp_path / "out").exists()


UNKNOWN_UUID = "00000000-0000-4000-8000-0000000000ff"


def test_a_manifest_is_read_in_every_form(own: Idc, tmp_path: Path) -> None:
    """Theirs misnames, skips or fails on all but the first two, and calls it a success."""
    series = list(dict.fromkeys(one.series for one in own.of(collection_id=COLLECTION)))
    urls = [f"s3://{one.bucket}/{one.crdc_series_uuid}" for one in series]
    single = own.layout.objects_of(series[3].crdc_series_uuid)[0]
    unknown = own.layout.root / "idc-open-data" / UNKNOWN_UUID
    shutil.copytree(own.layout.root / series[7].bucket / series[7].crdc_series_uuid, unknown)
    manifest = tmp_path / "manifest.s5cmd"
    lines = (
        "# a comment",
        f"cp {urls[0]}/* .",
        f"{urls[1]}/*",
        f"{urls[2]}/",
        single.url,
        urls[4].replace("s3://", "gs://") + "/*",
        series[5].series_instance_uid,
        series[6].crdc_series_uuid,
        f"cp {urls[0]}/* elsewhere",
        f"cp s3://idc-open-data/{UNKNOWN_UUID}/* .",
        "what is this",
    )
    manifest.write_text("\n".join(lines))
    done = own.get(str(manifest), "-o", str(tmp_path / "out"))
    wanted = [
        one
        for s in (*series[:3], *series[4:7])
        for one in own.layout.objects_of(s.crdc_series_uuid)
    ]
    truth = own.truth([*wanted, single])
    truth |= {f"not_in_index/{UNKNOWN_UUID}/{f.name}": f.read_bytes() for f in unknown.iterdir()}
    assert stored(tmp_path / "out") == truth
    assert done.code == 1
    assert "idc://manifest/what is this: line 11 names no series" in done.err
    assert f"'s3://idc-open-data/{UNKNOWN_UUID}/': not in the index, it goes to" in done.err
    assert done.last_line.startswith(f"{len(truth)} stored · 1 missing · ")


def test_buckets_of_a_manifest_may_be_mixed(idc: Idc, tmp_path: Path) -> None:
    """Theirs refuses a manifest with both clouds, or sends all to the cloud of the first line."""
    two, cr = idc.of(patient_id=TWO), idc.of(patient_id=CR)
    lines = {f"s3://idc-open-idc1/{one.series.crdc_series_uuid}/*" for one in two}
    lines |= {f"s3://idc-open-data-cr/{one.series.crdc_series_uuid}/*" for one in cr}
    done = idc.get("-", "-o", str(tmp_path), stdin="\n".join(sorted(lines)))
    assert done.code == 0, done.err
    assert stored(tmp_path) == idc.truth([*two, *cr])


def test_a_table_is_a_manifest(idc: Idc, tmp_path: Path) -> None:
    series = {
        (one.series.patient_id, one.series.series_instance_uid) for one in idc.of(patient_id=CR)
    }
    table = tmp_path / "table.csv"
    table.write_text("PatientID,SeriesInstanceUID\n" + "".join(f"{p},{s}\n" for p, s in series))
    done = idc.get("--manifest-file", str(table), "-o", str(tmp_path / "out"))
    assert done.code == 0, done.err
    assert stored(tmp_path / "out") == idc.truth(idc.of(patient_id=CR))


def test_a_manifest_that_is_not_there_is_told(idc: Idc, tmp_path: Path) -> None:
    done = idc.get(str(tmp_path / "nothing.txt"), "-o", str(tmp_path / "out"))
    assert done.code == 2
    assert "cannot read the manifest" in done.err
    assert "No such file" in done.err


def test_the_other_cloud_has_the_same_series_in_its_own_buckets(own: Idc, tmp_path: Path) -> None:
    (own.layout.root / "idc-open-data-two").rename(own.layout.root / "idc-open-idc1")
    done = own.get(TWO, "--source-bucket-location", "gcs", "-o", str(tmp_path / "out"))
    assert done.code == 0, done.err
    assert len(stored(tmp_path / "out")) == len(own.of(patient_id=TWO))


def test_a_dry_run_creates_nothing(idc: Idc, tmp_path: Path) -> None:
    """Theirs creates the folder, and tells nothing that a program could read."""
    output = tmp_path / "out"
    done = idc.get(CR, "--dry-run", "True", "--json", "-o", str(output))
    told = json.loads(done.out)
    objects = idc.of(patient_id=CR)
    assert done.code == 0
    assert told["instances"] == len(objects)
    assert told["bytes"] == sum(one.byte_count for one in objects)
    assert not output.exists()


def test_what_the_disk_cannot_hold_is_not_begun(idc: Idc, tmp_path: Path) -> None:
    done = idc.get("nlst", "-o", str(tmp_path / "out"), is_real=True)
    assert done.code == 2
    assert "26367667.4 MB are to be stored" in done.err
    assert not (tmp_path / "out").exists()


def test_what_failed_is_asked_for_again_by_the_report(own: Idc, tmp_path: Path) -> None:
    lost, *_ = own.of(patient_id=TWO)
    path, away, out = own.layout.path(lost), tmp_path / "away", tmp_path / "out"
    path.rename(away)
    report = str(tmp_path / "run.jsonl")
    first = own.get(TWO, "nobody", "-o", str(out), "--report", report)
    assert first.code == 1
    away.rename(path)
    second = own.get("--retry-failed", report, "-o", str(out))
    assert second.code == 1
    assert "nobody: not in the index" in second.err
    assert stored(out) == own.truth(own.of(patient_id=TWO))


def test_the_commands_of_idc_index_are_understood(idc: Idc, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.txt"
    uuids = {one.series.crdc_series_uuid for one in idc.of(patient_id=CR)}
    manifest.write_text("".join(f"cp s3://idc-open-data-cr/{uuid}/* .\n" for uuid in uuids))
    theirs = {
        "manifest": ["download", str(manifest)],
        "from_manifest": [
            *("download-from-manifest", "--manifest-file", str(manifest), "--quiet", "True"),
            *("--validate-manifest", "False", "--show-progress-bar", "False"),
        ],
        "from_selection": [
            *("download-from-selection", "--patient-id", CR, "--dry-run", "False"),
            *("--use-s5cmd-sync", "False", "--analysis-results", "include", "--log-level", "debug"),
        ],
    }
    truth = idc.truth(idc.of(patient_id=CR))
    for name, words in theirs.items():
        output = tmp_path / name
        where = ("--download-dir", str(output), "--index", str(idc.index))
        done = cli("idc", *words, *where, "--endpoint-url", idc.server.url)
        assert done.code == 0, (name, done.err)
        assert stored(output) == truth, name


@pytest.mark.peer("s5cmd")
def test_a_manifest_of_ours_is_one_of_s5cmd(idc: Idc, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.s5cmd"
    where = ("--index", str(idc.index))
    assert cli("idc", "manifest", "--patient-id", CR, "-o", str(manifest), *where).code == 0
    (tmp_path / "out").mkdir()
    subprocess.run(
        [
            *(peer_program("s5cmd"), "--no-sign-request"),
            *("--endpoint-url", idc.server.url, "run", str(manifest)),
        ],
        cwd=tmp_path / "out",
        env=clean_environ(),
        check=True,
        timeout=50,
        capture_output=True,
    )
    assert stored(tmp_path / "out") == idc.truth(idc.of(patient_id=CR), "")


def test_nothing_is_left_in_the_folder_for_temporary_files(idc: Idc, tmp_path: Path) -> None:
    """Theirs leaves a manifest in it on each run."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environ = clean_environ(TMPDIR=str(temporary))
    done = idc.get(CR, "-o", str(tmp_path / "out"), env=environ, cwd=tmp_path)
    assert done.code == 0, done.err
    assert not files_below(temporary)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tmp"]


def test_a_catalog_spares_the_second_run_from_reading(idc: Idc, tmp_path: Path) -> None:
    catalog = ("--catalog", str(tmp_path / "catalog.jsonl"))
    for _ in range(2):
        done = idc.get(CR, "-o", str(tmp_path / "out"), *catalog)
        assert done.code == 0, done.err
    assert "skipped" in done.last_line


def test_the_outcomes_name_study_series_and_instance(idc: Idc, tmp_path: Path) -> None:
    done = idc.get(CR, "-o", str(tmp_path), "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    finished = [line for line in lines if line["event"] == "finished"]
    assert {line["instance"] for line in finished} == {
        one.sop_instance_uid for one in idc.of(patient_id=CR)
    }
    assert all(line["url"].startswith("s3://idc-open-data-cr/") for line in finished)


def peak_rss_bytes(folder: Path, *words: str) -> int:
    """Run the program and return the most memory that it had (the process that fetches)."""
    # What wait4 tells includes what this process had when it forked.
    program = folder / "program.py"
    program.write_text(
        "import os, sys\n"
        "from asyncdicom.cli.app import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "for line in open('/proc/self/status'):\n"
        "    if line.startswith('VmHWM'):\n"
        "        print(line.split()[1])\n"
    )
    done = subprocess.run(
        [sys.executable, str(program), *words],
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    return int(done.stdout.split()[-1]) * 1024


def test_memory_is_a_twentieth_of_theirs(idc: Idc, tmp_path: Path) -> None:
    """Theirs takes 2,200 to 4,900 MB."""
    earlier = [one.series for one in idc.layout.objects if not one.series.is_current]
    words = ["idc", "get", earlier[0].crdc_series_uuid, "-o", str(tmp_path / "out")]
    words += ["--endpoint-url", idc.server.url, "-q"]
    assert peak_rss_bytes(tmp_path, *words) < MAX_RSS_BYTES


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["estimate", "nlst"], id="estimate"),
        pytest.param(["select", "nlst", "--format", "csv", "--limit", "10000"], id="select"),
        pytest.param(["sql", "SELECT Modality, count(*) FROM index GROUP BY ALL"], id="sql"),
    ],
)
def test_a_question_takes_less_than_200_mb(tmp_path: Path, words: list[str]) -> None:
    assert peak_rss_bytes(tmp_path, "idc", *words) < 200 * 1024 * 1024
