"""`dump` and `get` against Orthanc: what arrives on disk is what was stored there."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import BASIC_CREDENTIALS
from tests.e2e.support import Completed, assert_speaks_plainly, cli, files_below, reading_report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Archive, Truth

pytestmark = pytest.mark.peer("orthanc-dicomweb")

STORED = re.compile(r"(\d+) stored · 0 missing · 0 corrupt · (?:(\d+) skipped \(verified\) · )?")
RECORD_KEYS = [
    *("url", "request", "response", "multipart", "sha256"),
    *("attempts", "startedAt", "error"),
]
RESPONSE_KEYS: dict[str, type | tuple[type, ...]] = {
    "headers": dict,
    "statusCode": int,
    "httpVersion": str,
    "timeWaitingInMS": (int, float),
    "timeToFirstByteInMS": (int, float),
    "timeToLastByteInMS": (int, float),
    "bytesDownloaded": int,
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digests(truth: Truth) -> list[str]:
    """Return the digests of all instances, in order."""
    return sorted(one.sha256 for one in truth.instances.values())


def digests_below(folder: Path) -> list[str]:
    return sorted(sha256(content) for content in files_below(folder).values())


def get(archive: Archive, folder: Path, *words: str) -> Completed:
    return cli("get", archive.url, "-o", str(folder), "--durability", "none", *words)


def dump(archive: Archive, folder: Path, truth: Truth) -> Completed:
    words = ("-w", archive.url, "-s", truth.study_instance_uid, "-o", str(folder))
    return cli("dump", *words, "-i", "-m", "-c", "16")


def counts(done: Completed) -> tuple[int, int]:
    """Return how many were stored and skipped, of a run that says that all is well."""
    match = STORED.match(done.last_line)
    assert match is not None, done.err
    assert_speaks_plainly(done)
    assert done.code == 0
    return int(match[1]), int(match[2] or 0)


@dataclass(frozen=True)
class Dumped:
    """A folder that `dump` wrote."""

    folder: Path
    truth: Truth

    def instance(self, uid: str) -> Path:
        series = self.truth.instances[uid].series_instance_uid
        return self.folder / self.truth.study_instance_uid / f"series/{series}/instances/{uid}"

    def expected(self) -> set[str]:
        """Return every path that DESIGN §5 promises, records left out."""
        study = self.truth.study_instance_uid
        expected = {f"{study}/metadata"}
        for uid, one in self.truth.instances.items():
            series = f"{study}/series/{one.series_instance_uid}"
            instance = f"{series}/instances/{uid}"
            expected |= {f"{series}/metadata", f"{instance}/metadata"}
            expected |= {f"{instance}/_/{uid}", f"{instance}/_/{uid}.bin"}
            for number in range(1, len(one.frame_sha256s) + 1):
                frame = f"{instance}/frames/{number}"
                expected |= {frame, f"{frame}.bin"}
        return expected


@pytest.fixture(scope="module", params=["ct", "small", "mixed"])
def dumped(
    orthanc: Archive, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Dumped:
    truth = orthanc.studies[request.param]
    folder = tmp_path_factory.mktemp(f"dump-{request.param}")
    stored, _ = counts(dump(orthanc, folder, truth))
    series = {one.series_instance_uid for one in truth.instances.values()}
    frames = sum(len(one.frame_sha256s) for one in truth.instances.values())
    assert stored == 1 + len(series) + 2 * len(truth.instances) + frames
    return Dumped(folder, truth)


def record_of(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.with_name(f"{path.name}.dump.json").read_bytes())
    return record


def test_dump_writes_the_tree_and_nothing_else(dumped: Dumped) -> None:
    expected = dumped.expected()
    payloads = {path for path in expected if not path.endswith(".bin")}
    found = {
        str(path.relative_to(dumped.folder))
        for path in dumped.folder.rglob("*")
        if not path.is_dir()
    }
    assert found == expected | {f"{path}.dump.json" for path in payloads}


def test_dumped_instances_and_frames_are_the_stored_bytes(dumped: Dumped) -> None:
    for uid, one in dumped.truth.instances.items():
        folder = dumped.instance(uid)
        assert sha256((folder / f"_/{uid}.bin").read_bytes()) == one.sha256
        frames = [
            sha256((folder / f"frames/{number}.bin").read_bytes())
            for number in range(1, len(one.frame_sha256s) + 1)
        ]
        assert frames == list(one.frame_sha256s)


def test_each_record_describes_the_file_beside_it(dumped: Dumped) -> None:
    for path in dumped.expected():
        if not path.endswith(".bin"):
            check_record(dumped.folder / path)


def check_record(path: Path) -> None:
    """Demand the keys of DESIGN §5, and that each part is where the record says."""
    content, record = path.read_bytes(), record_of(path)
    assert list(record) == RECORD_KEYS
    response = record["response"]
    assert list(response) == list(RESPONSE_KEYS)
    for key, kind in RESPONSE_KEYS.items():
        assert isinstance(response[key], kind), key
    assert response["statusCode"] == 200
    assert (record["error"], record["attempts"]) == (None, 1)
    assert record["startedAt"].endswith("+00:00")
    assert 0 <= response["timeToFirstByteInMS"] <= response["timeToLastByteInMS"]
    assert "accept" in record["request"]["headers"]
    for part in record["multipart"]:
        piece = content[part["offset"] : part["offset"] + part["length"]]
        assert (len(piece), sha256(piece)) == (part["length"], part["sha256"])
        assert piece == path.with_name(f"{path.name}.bin").read_bytes()
    if path.name == "metadata":
        assert record["multipart"] == []
        assert record["sha256"] == sha256(content)
    else:
        assert [part["headers"] for part in record["multipart"]], "a part has its headers"
        assert response["bytesDownloaded"] == len(content)


def test_urls_name_each_instance_under_its_own_series(dumped: Dumped) -> None:
    urls = [json.loads(path.read_bytes())["url"] for path in dumped.folder.rglob("*.dump.json")]
    assert len(set(urls)) == len(urls), "something was asked for twice"
    for uid, one in dumped.truth.instances.items():
        under = {url.split("/instances/")[0] for url in urls if f"/instances/{uid}/" in url}
        assert {url.rsplit("/", 1)[-1] for url in under} == {one.series_instance_uid}
    series = [url for url in urls if "/series/" in url and "/instances/" not in url]
    assert len(series) == len({one.series_instance_uid for one in dumped.truth.instances.values()})


def test_a_second_dump_asks_for_nothing(orthanc: Archive, dumped: Dumped) -> None:
    before = files_below(dumped.folder)
    done = dump(orthanc, dumped.folder, dumped.truth)
    assert counts(done) == (0, len([path for path in before if path.endswith(".dump.json")]))
    assert "0.0 MB" in done.last_line
    assert files_below(dumped.folder) == before


def test_a_dump_mends_exactly_what_is_missing_or_damaged(orthanc: Archive, tmp_path: Path) -> None:
    dumped = Dumped(tmp_path, orthanc.studies["mixed"])
    dump(orthanc, tmp_path, dumped.truth)
    before = payloads_below(tmp_path)
    uid = next(uid for uid, one in dumped.truth.instances.items() if len(one.frame_sha256s) > 1)
    folder = dumped.instance(uid)
    (folder / "frames/1").unlink()
    flip_last_byte(folder / f"_/{uid}")
    (folder / "metadata.dump.json").write_bytes(b"{")
    assert counts(dump(orthanc, tmp_path, dumped.truth))[0] == 3
    assert payloads_below(tmp_path) == before


def payloads_below(folder: Path) -> dict[str, bytes]:
    """Return the files without records, and without the boundaries that differ each time."""
    return {
        name: content
        for name, content in files_below(folder).items()
        if name.endswith((".bin", "/metadata"))
    }


def flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 0xFF]))


WAYS = [
    pytest.param((), id="flat"),
    pytest.param(("--layout", "tree"), id="tree"),
    pytest.param(("--layout", "{PatientID}/{Modality}/{SOPInstanceUID}"), id="template"),
    pytest.param(("--layout", "tree", "--iso-9660"), id="iso 9660"),
    pytest.param(("--granularity", "study"), id="study"),
    pytest.param(("--granularity", "series"), id="series"),
    pytest.param(("--granularity", "instance"), id="instance"),
    pytest.param(("--expect", "metadata"), id="expected from metadata"),
    pytest.param(("--expect", "search"), id="expected from the search"),
]


@pytest.mark.parametrize("words", WAYS)
def test_get_brings_the_bytes_that_were_stored(
    orthanc: Archive, tmp_path: Path, words: tuple[str, ...]
) -> None:
    truth = orthanc.studies["mixed"]
    done = get(orthanc, tmp_path, "--study", truth.study_instance_uid, *words)
    assert counts(done) == (len(truth.instances), 0)
    assert digests_below(tmp_path) == digests(truth)


@pytest.mark.parametrize(
    ("name", "granularity"), [("ct", "auto"), ("small", "auto"), ("small", "instance")]
)
def test_get_brings_large_studies(
    orthanc: Archive, tmp_path: Path, name: str, granularity: str
) -> None:
    truth = orthanc.studies[name]
    words = ("--study", truth.study_instance_uid, "--granularity", granularity)
    assert counts(get(orthanc, tmp_path, *words)) == (len(truth.instances), 0)
    found = {path.name: sha256(path.read_bytes()) for path in tmp_path.iterdir()}
    assert found == {f"{uid}.dcm": one.sha256 for uid, one in truth.instances.items()}


def test_names_say_what_is_in_them(orthanc: Archive, tmp_path: Path) -> None:
    truth = orthanc.studies["mixed"]
    words = ("--study", truth.study_instance_uid, "--layout", "tree", "--iso-9660")
    get(orthanc, tmp_path, *words)
    for name in files_below(tmp_path):
        *folders, file = name.split("/")
        assert re.fullmatch(r"IM\d{6}", file)
        assert all(re.fullmatch(r"[A-Z0-9_]{1,8}", folder) for folder in folders), name


def test_a_zip_holds_the_study(orthanc: Archive, tmp_path: Path) -> None:
    truth = orthanc.studies["mixed"]
    done = get(orthanc, tmp_path, "--study", truth.study_instance_uid, "--zip")
    assert counts(done) == (len(truth.instances), 0)
    assert [path.name for path in tmp_path.iterdir()] == [f"{truth.study_instance_uid}.zip"]
    with zipfile.ZipFile(tmp_path / f"{truth.study_instance_uid}.zip") as archive:
        assert archive.testzip() is None
        assert sorted(sha256(archive.read(name)) for name in archive.namelist()) == digests(truth)
    again = get(orthanc, tmp_path, "--study", truth.study_instance_uid, "--zip")
    assert counts(again) == (0, len(truth.instances))


def test_a_second_run_downloads_nothing(orthanc: Archive, tmp_path: Path) -> None:
    truth = orthanc.studies["ct"]
    folder, report = tmp_path / "out", tmp_path / "run.jsonl"
    words = ("--study", truth.study_instance_uid, "--report", str(report), "--json")
    get(orthanc, folder, *words)
    done = get(orthanc, folder, *words)
    assert counts(done) == (0, 300)
    assert "0.0 MB" in done.last_line
    ended = json.loads(done.out.splitlines()[-1])
    assert (ended["event"], ended["skipped"], ended["bytes"]) == ("ended", 300, 0)
    assert {line["outcome"] for line in reading_report(report)} == {"skipped"}
    assert sorted(line["sha256"] for line in reading_report(report)) == digests(truth)


def test_only_what_is_missing_or_damaged_is_fetched_again(orthanc: Archive, tmp_path: Path) -> None:
    truth = orthanc.studies["small"]
    folder, report = tmp_path / "out", tmp_path / "run.jsonl"
    words = ("--study", truth.study_instance_uid, "--report", str(report))
    get(orthanc, folder, *words)
    deleted, cut, flipped = list(truth.instances)[10:13]
    (folder / f"{deleted}.dcm").unlink()
    (folder / f"{cut}.dcm").write_bytes((folder / f"{cut}.dcm").read_bytes()[:-10])
    (folder / f"{flipped}.dcm").write_bytes(b"no DICOM file")
    assert counts(get(orthanc, folder, *words)) == (3, 997)
    fetched = [line for line in reading_report(report) if line["outcome"] == "stored"]
    assert {line["instance"] for line in fetched} == {deleted, cut, flipped}
    assert digests_below(folder) == digests(truth)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param(["PatientID=P3"], {"1", "2", "3", "4"}, id="a patient"),
        pytest.param(["PatientID=P3", "Modality=KO"], {"4"}, id="a modality, so series"),
        pytest.param(["PatientID=P3", "SeriesNumber=2"], {"2"}, id="a series"),
    ],
)
def test_keys_select_what_matches(
    orthanc: Archive, tmp_path: Path, keys: list[str], expected: set[str]
) -> None:
    truth = orthanc.studies["mixed"]
    wanted = {
        one.sha256
        for one in truth.instances.values()
        if one.series_instance_uid.rsplit(".", 1)[-1] in expected
    }
    assert counts(get(orthanc, tmp_path, *keys)) == (len(expected), 0)
    assert set(digests_below(tmp_path)) == wanted


def test_nothing_matches_is_an_exit_code_of_its_own(orthanc: Archive, tmp_path: Path) -> None:
    assert get(orthanc, tmp_path, "PatientID=nobody").code == 4
    assert get(orthanc, tmp_path, "--study", "2.999.404").code == 4
    assert files_below(tmp_path) == {}


def test_the_right_password_opens_the_archive(
    orthanc_with_password: Archive, tmp_path: Path
) -> None:
    truth = orthanc_with_password.studies["mixed"]
    words = ("--study", truth.study_instance_uid, "--user", ":".join(BASIC_CREDENTIALS))
    assert counts(get(orthanc_with_password, tmp_path, *words)) == (len(truth.instances), 0)
    assert digests_below(tmp_path) == digests(truth)


@pytest.mark.parametrize(
    "words", [("--user", "tester:wrong"), ()], ids=["a wrong password", "no password"]
)
@pytest.mark.parametrize("command", ["get", "dump"])
def test_a_wrong_password_ends_with_5_and_a_hint(
    orthanc_with_password: Archive, tmp_path: Path, command: str, words: tuple[str, ...]
) -> None:
    study = orthanc_with_password.studies["mixed"].study_instance_uid
    source = (orthanc_with_password.url,) if command == "get" else ("-w", orthanc_with_password.url)
    done = cli(command, *source, "--study", study, "-o", str(tmp_path), *words)
    assert done.code == 5
    assert "give --user, --bearer or --authorization" in done.err
    assert "wrong" not in done.err
    assert all(name.endswith((".dump.json", ".error")) for name in files_below(tmp_path))
