"""`get` as a process: selection, pace, credentials, reports, and how it ends."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.mock.dicomweb import WebOptions
from tests.e2e.support import (
    TruthStudy,
    assert_books_agree,
    assert_only_true_files,
    assert_speaks_plainly,
    cli,
    files_below,
    portal_mock,
    reading_report,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from tests.e2e.support import Completed, Mock

STUDY = TruthStudy(series=2, instances=6, rows=16)


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def mock(portal: BlockingPortal) -> Iterator[Mock]:
    with portal_mock(portal, STUDY) as mock:
        yield mock


def get(mock: Mock, folder: Path, *words: str, stdin: str = "") -> Completed:
    return cli("get", mock.url, "-o", str(folder), *words, stdin=stdin)


def retrieves(mock: Mock) -> int:
    """Count the requests since the last call that were no searches."""
    asked = [request.path.rsplit("/", 2) for request in mock.new_requests()]
    return sum(parts[-2] in ("studies", "series", "instances") for parts in asked)


@pytest.mark.parametrize(
    ("words", "stdin", "instances"),
    [
        pytest.param(["--study", STUDY.uid], "", 12, id="a study"),
        pytest.param(["--study", "-"], f"{STUDY.uid}\n\n{STUDY.uid}\n", 12, id="stdin"),
        pytest.param(["--study", STUDY.uid, "--series", STUDY.series[1]], "", 6, id="a series"),
        pytest.param(
            ["--study", STUDY.uid, "--series", STUDY.series[0], "--instance", STUDY.instances[2]],
            "",
            1,
            id="an instance",
        ),
        pytest.param([f"StudyInstanceUID={STUDY.uid}"], "", 12, id="a key"),
        pytest.param([f"SeriesInstanceUID={STUDY.series[0]}"], "", 6, id="the key of a series"),
        pytest.param(["InstanceNumber=3"], "", 2, id="the key of instances"),
    ],
)
def test_what_is_selected_is_stored(
    mock: Mock, tmp_path: Path, words: list[str], stdin: str, instances: int
) -> None:
    report, folder = tmp_path / "run.jsonl", tmp_path / "out"
    done = get(mock, folder, *words, "--report", str(report), stdin=stdin)
    assert_speaks_plainly(done)
    assert len(assert_only_true_files(folder, STUDY)) == instances
    assert sorted(line["outcome"] for line in reading_report(report)) == ["stored"] * instances
    assert done.last_line.startswith(f"{instances} stored · 0 missing · 0 corrupt")
    assert (done.code, done.out) == (0, "")


def test_series_of_a_study_share_one_zip_whatever_the_concurrency(
    mock: Mock, tmp_path: Path
) -> None:
    words = ["--study", STUDY.uid, *(w for uid in STUDY.series for w in ("--series", uid))]
    for concurrency in ("1", "8"):
        folder = tmp_path / concurrency
        assert get(mock, folder, *words, "--zip", "-c", concurrency).code == 0
        with zipfile.ZipFile(folder / f"{STUDY.uid}.zip") as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
        assert found == {f"{uid}.dcm": content for uid, content in STUDY.files.items()}


def test_a_dry_run_counts_and_fetches_nothing(mock: Mock, tmp_path: Path) -> None:
    mock.new_requests()
    done = get(mock, tmp_path, "--study", STUDY.uid, "--dry-run")
    assert done.code == 0
    assert done.last_line.startswith("dry run: 12 instances")
    assert (retrieves(mock), files_below(tmp_path)) == (0, {})


def test_only_what_failed_is_asked_for_again(portal: BlockingPortal, tmp_path: Path) -> None:
    folder, report = tmp_path / "out", tmp_path / "run.jsonl"
    victim = STUDY.instances[4]
    with portal_mock(portal, STUDY, f"404:path=*/instances/{victim}", "500:study+series") as mock:
        first = get(mock, folder, "--study", STUDY.uid, "-r", "0", "--report", str(report))
        assert first.code == 1
        assert_books_agree(first, reading_report(report), folder, STUDY)
        assert victim in first.err
        mock.set_faults()
        mock.new_requests()
        second = get(mock, folder, "--retry-failed", str(report))
        assert (second.code, retrieves(mock)) == (0, 1)
    assert assert_only_true_files(folder, STUDY) == set(STUDY.instances)


@pytest.mark.parametrize(
    ("words", "least_s"),
    [
        pytest.param(["--rate", "20", "--granularity", "instance"], 0.3, id="requests"),
        pytest.param(["--bandwidth", "20k"], 0.5, id="bytes"),
    ],
)
def test_a_pace_is_kept(mock: Mock, tmp_path: Path, words: list[str], least_s: float) -> None:
    done = get(mock, tmp_path, "--study", STUDY.uid, "--json", *words)
    assert done.code == 0
    assert least_s <= done.seconds < 40
    assert assert_only_true_files(tmp_path, STUDY) == set(STUDY.instances)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["--bearer", "open-sesame"], 0, id="the right token"),
        pytest.param(["--bearer", "wrong"], 5, id="a wrong token"),
        pytest.param([], 5, id="no token"),
    ],
)
def test_credentials_open_an_archive_or_not(
    portal: BlockingPortal, tmp_path: Path, words: list[str], code: int
) -> None:
    web = WebOptions(require_token="open-sesame")
    with portal_mock(portal, STUDY, web=web) as mock:
        done = get(mock, tmp_path, "--study", STUDY.uid, *words)
    assert done.code == code
    assert len(files_below(tmp_path)) == (12 if code == 0 else 0)
    if code:
        assert "give --user, --bearer or --authorization" in done.err


@pytest.mark.parametrize("engine", ["pyreqwest", "httpx", "aiohttp"])
def test_every_engine_brings_the_same_bytes_over_tls(
    portal: BlockingPortal, tmp_path: Path, engine: str
) -> None:
    with portal_mock(portal, STUDY, tls=True) as mock:
        words = ("--study", STUDY.uid, "--http-engine", engine, "--cacert", str(mock.ca_file))
        done = get(mock, tmp_path, *words, "--granularity", "instance")
    assert done.code == 0, done.err
    digests = {hashlib.sha256(c).hexdigest() for c in files_below(tmp_path).values()}
    assert digests == {STUDY.digest(uid) for uid in STUDY.instances}


def test_nobody_listens(tmp_path: Path) -> None:
    done = cli(
        "get", "http://127.0.0.1:9/dicom-web", "--study", "1", "-o", str(tmp_path), "-r", "0"
    )
    assert done.code == 5
    assert_speaks_plainly(done)
