"""`get s3://` and `verify` as processes against rclone's server: trees, second runs, signals."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.object_support import s3_environ
from tests.e2e.support import PROGRAM, Completed, cli, files_below, killed, reading_report
from tests.support.dicom import ct, small_instance, uid
from tests.support.peers import peer_program
from tests.support.rclone import RcloneOptions, running_rclone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.rclone import Rclone

COUNT = 150
SERIES = {f"series{n % 3}/{n}.dcm": small_instance(n) for n in range(1, COUNT + 1)}
LARGE = ct(number=900, rows=1500, columns=1500)
OBJECTS = {**SERIES, "notes.txt": b"no image", "large/900.dcm": LARGE}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    if peer_program("rclone") is None:
        pytest.skip("rclone is not installed")
    base = tmp_path_factory.mktemp("rclone")
    root = base / "root"
    for key, content in OBJECTS.items():
        path = root / "bucket" / "coll" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with running_rclone(base, root, RcloneOptions(etag_hash="none")) as running:
        yield running


def words_for(server: Rclone, *words: str) -> tuple[str, ...]:
    access = ("--endpoint-url", server.url, "--no-sign-request")
    return (*words, *access)


def run(server: Rclone, *words: str) -> Completed:
    return cli(*words_for(server, *words), env=s3_environ())


def get(server: Rclone, folder: Path, *words: str, source: str = "s3://bucket/coll") -> Completed:
    return run(server, "get", source, "-o", str(folder), "--durability", "none", *words)


def without(objects: dict[str, bytes], *keys: str) -> dict[str, bytes]:
    return {key: content for key, content in objects.items() if key not in keys}


def test_a_folder_becomes_the_same_tree(server: Rclone, tmp_path: Path) -> None:
    done = get(server, tmp_path / "out", "--part-size", "1M")
    assert done.code == 0, done.err
    assert files_below(tmp_path / "out") == OBJECTS
    assert done.err.splitlines()[0].startswith("s3://bucket/coll is no object")
    assert done.last_line.startswith(f"{len(OBJECTS)} stored · 0 missing · 0 corrupt")


@pytest.mark.parametrize(
    ("source", "words", "expected"),
    [
        pytest.param("s3://bucket/coll/notes.txt", (), {"notes.txt"}, id="one object"),
        pytest.param(
            "s3://bucket/coll/series1/1*.dcm",
            (),
            {key.partition("/")[2] for key in SERIES if key.startswith("series1/1")},
            id="a pattern",
        ),
        pytest.param(
            "s3://bucket/coll/",
            ("--include", "series0/*", "--exclude", "*3.dcm"),
            {k for k in SERIES if k.startswith("series0/") and not k.endswith("3.dcm")},
            id="include and exclude",
        ),
        pytest.param(
            "s3://bucket/coll/large/",
            ("--layout", "tree", "--extension", ""),
            {f"Doe^Jane^^Dr/S1_Head and neck/1_axial 1.0/{uid('instance', 900)}"},
            id="a tree by what the file says",
        ),
    ],
)
def test_what_is_chosen_comes(
    server: Rclone, tmp_path: Path, source: str, words: tuple[str, ...], expected: set[str]
) -> None:
    done = get(server, tmp_path, *words, source=source)
    assert done.code == 0, done.err
    assert set(files_below(tmp_path)) == expected


def test_a_dry_run_counts_and_makes_nothing(server: Rclone, tmp_path: Path) -> None:
    done = get(server, tmp_path / "out", "--dry-run", "--json", source="s3://bucket/coll/series0/")
    assert done.code == 0
    listed = json.loads(done.out.splitlines()[0])
    sizes = [len(content) for key, content in SERIES.items() if key.startswith("series0/")]
    assert (listed["objects"], listed["bytes"]) == (len(sizes), sum(sizes))
    assert not (tmp_path / "out").exists()


def test_nothing_there_is_no_match(server: Rclone, tmp_path: Path) -> None:
    assert get(server, tmp_path, source="s3://bucket/none/").code == 4
    assert get(server, tmp_path, source="s3://nobody/none/").code == 4


def test_what_belongs_to_studies_is_a_usage_error(server: Rclone, tmp_path: Path) -> None:
    for words in (("--study", "1.2.3"), ("PatientID=1",), ("--zip",), ("--extension", ".x")):
        done = get(server, tmp_path, *words)
        assert done.code == 2, words
        assert words[0].partition("=")[0] in done.err or "KEY=VALUE" in done.err


def test_the_catalog_spares_the_second_run_and_finds_a_flipped_bit(
    server: Rclone, tmp_path: Path
) -> None:
    out, catalog = tmp_path / "out", str(tmp_path / "catalog.jsonl")
    assert get(server, out, "--catalog", catalog).code == 0
    again = get(server, out, "--catalog", catalog)
    assert again.last_line.startswith(f"0 stored · 0 missing · 0 corrupt · {len(OBJECTS)} skipped")
    assert cli("verify", str(out), "--catalog", catalog).code == 0
    victim = out / "series1" / "1.dcm"
    content = bytearray(victim.read_bytes())
    content[-9] ^= 4
    victim.write_bytes(content)
    assert cli("verify", str(out)).code == 0, "its structure does not show it"
    report = str(tmp_path / "damaged.jsonl")
    verified = cli("verify", str(out), "--catalog", catalog, "--report", report)
    assert verified.code == 1
    assert "s3://bucket/coll/series1/1.dcm: not the bytes that were stored" in verified.err
    mended = get(server, out, "--catalog", catalog, "--retry-failed", report)
    assert mended.last_line.startswith("1 stored · 0 missing · 0 corrupt")
    assert cli("verify", str(out), "--catalog", catalog).code == 0
    assert files_below(out) == OBJECTS


def test_verify_compares_a_folder_with_the_store(server: Rclone, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert get(server, out).code == 0
    source = "s3://bucket/coll/"
    whole = run(server, "verify", str(out), source)
    assert whole.code == 0, whole.err
    assert whole.last_line.startswith(f"{len(OBJECTS) - 1} verified · 0 missing · 0 corrupt")
    (out / "series0" / "3.dcm").unlink()
    (out / "series0" / "6.dcm").write_bytes(b"short")
    damaged = run(server, "verify", str(out), source)
    assert damaged.code == 1
    assert "2 unproven" not in damaged.err
    assert damaged.last_line.startswith(f"{len(OBJECTS) - 3} verified · 1 missing · 1 corrupt")
    assert run(server, "verify", str(tmp_path), "s3://bucket/none/").code == 4


def test_verify_says_that_it_looks_for_names_by_keys(server: Rclone, tmp_path: Path) -> None:
    out, catalog = tmp_path / "out", str(tmp_path / "catalog.jsonl")
    source = "s3://bucket/coll/series1/"
    assert get(server, out, "--layout", "flat", "--catalog", catalog, source=source).code == 0
    lost = run(server, "verify", str(out), source)
    assert lost.code == 1
    assert "s3://bucket/coll/series1/1.dcm: the file is not there: 1.dcm" in lost.err
    assert "if get named them by another --layout, give the --catalog that it wrote" in lost.err
    quiet = run(server, "verify", str(out), source, "-q")
    assert "--layout" not in quiet.err
    found = run(server, "verify", str(out), source, "--catalog", catalog)
    assert found.code == 0, found.err


def test_a_store_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    words = ("s3://bucket/x/", "--endpoint-url", "http://127.0.0.1:1", "--no-sign-request")
    done = cli("get", *words, "-o", str(tmp_path), "-r", "0", env=s3_environ())
    assert done.code == 5
    assert cli("verify", str(tmp_path), *words, "-r", "0", env=s3_environ()).code == 5


def test_killed_runs_leave_nothing_torn_and_the_last_one_completes(
    server: Rclone, tmp_path: Path
) -> None:
    out, catalog = tmp_path / "out", str(tmp_path / "catalog.jsonl")
    words = words_for(server, "get", "s3://bucket/coll/", "-o", str(out), "--catalog", catalog)
    chosen, ended = random.Random(4), []
    for lines in (1, 20, 60, 90, 120):
        _, code = killed(
            (*words, "-c", "4", "--part-size", "1M"),
            after_lines=lines,
            pause_s=chosen.uniform(0, 0.02),
            env=s3_environ(),
        )
        ended.append(code)
        there = files_below(out)
        finals = {k: v for k, v in there.items() if not os.path.basename(k).startswith(".")}  # noqa: PTH119 -- a name
        assert finals.items() <= OBJECTS.items()
    assert -signal.SIGKILL in ended
    done = cli(*words, env=s3_environ())
    assert done.code == 0, done.err
    assert files_below(out) == OBJECTS
    assert cli("verify", str(out), "--catalog", catalog).code == 0


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, id="int"), pytest.param(signal.SIGTERM, 143, id="term")],
)
def test_a_signal_ends_the_run_in_order(
    server: Rclone, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out, report = tmp_path / "out", tmp_path / "report.jsonl"
    words = words_for(server, "get", "s3://bucket/coll/", "-o", str(out), "--report", str(report))
    process = subprocess.Popen(
        [PROGRAM, *words, "--json", "-c", "1", "--rate", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=s3_environ(),
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if '"stored"' in line:
            break
    process.send_signal(number)
    _, told = process.communicate(timeout=40)
    assert process.returncode == code
    assert "stopped: " in told.splitlines()[-1]
    stored = {line["path"] for line in reading_report(report) if line["outcome"] == "stored"}
    assert set(files_below(out)) == stored
    assert cli(*words, env=s3_environ()).code == 0
    assert files_below(out) == OBJECTS
