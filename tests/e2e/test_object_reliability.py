"""Buckets that are busy, suspicious or hostile, and runs that are stopped or meet another one."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.mock import S3Server, SyntheticArchive, SyntheticOptions
from tests.e2e.object_support import LEFT, BucketTruth, get, portal_bucket, s3_environ
from tests.e2e.support import SENTENCE, cli, files_below, reading_report
from tests.e2e.watching import (
    ATTACK_BYTES,
    ON_THE_WAY,
    ON_THE_WAY_S,
    Running,
    peak_bytes,
    wait_for_stall,
    watched,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from tests.e2e.object_support import S3Mock

BUCKET = BucketTruth(series=2, instances=50, rows=16)
EXIT_S = 15.0
"""From a signal to the end of the process, at most: 5 s where nobody else is at work."""
AT_ONCE = 8
"""Requests at once, where they are counted."""


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


def words_for(mock: S3Mock, out: Path, *words: str) -> tuple[str, ...]:
    access = ("--endpoint-url", mock.url, "--no-sign-request", "--durability", "none")
    return ("get", mock.bucket_url, *access, "-o", str(out), *words)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_ends_a_run_in_order_and_its_report_completes_it(
    portal: BlockingPortal, tmp_path: Path, number: int, code: int
) -> None:
    out, report = tmp_path / "out", tmp_path / "report.jsonl"
    with portal_bucket(portal, BUCKET) as mock:
        # One of two series comes at once; silence for the other.
        mock.set_faults("stall:object:path=*.1002/*,at=1000")
        words = words_for(mock, out, "-c", "8", "--report", str(report))
        with closing(Running(words, s3_environ())) as running:
            wait_for_stall(mock, 8)
            running.signal(number)
            done = running.end()
        there, lines = files_below(out), reading_report(report)
        mock.set_faults()
        mock.new_requests()
        again = words_for(mock, out, "--retry-failed", str(report))
        completed = cli(*again, env=s3_environ())
        asked = [r for r in mock.new_requests() if r.path.endswith(".dcm")]

    assert (done.code, completed.code) == (code, 0)
    assert done.seconds < EXIT_S
    assert SENTENCE.match(done.last_line)
    assert there == {key: BUCKET.objects[key] for key in there}
    assert {line["path"] for line in lines if line["outcome"] == "stored"} == set(there)
    named = {line["url"].removeprefix("s3://dicom/") for line in lines}
    assert named == set(BUCKET.keys)
    assert files_below(out) == BUCKET.objects
    assert {r.path.removeprefix("/dicom/") for r in asked} == set(BUCKET.keys) - set(there)


def test_two_runs_into_one_folder_share_it(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_bucket(portal, BUCKET) as mock, ThreadPoolExecutor(2) as pool:
        # Slow answers, so that both are at it all the time.
        mock.set_faults("delay:object:s=0.02")
        words = words_for(mock, tmp_path, "-c", "4")
        both = [pool.submit(cli, *words, env=s3_environ()) for _ in range(2)]
        for one in both:
            assert one.result().code == 0, one.result().err
    assert files_below(tmp_path) == BUCKET.objects
    assert not list(tmp_path.rglob(f"{LEFT}*"))


@pytest.mark.parametrize("kind", ["object:nth=30", "listing:nth=2"])
def test_no_worker_asks_before_the_pause_is_over(
    portal: BlockingPortal, tmp_path: Path, kind: str
) -> None:
    with portal_bucket(portal, BUCKET, max_keys=40) as mock:
        mock.set_faults(f"503:{kind},retry-after=1")
        seen = watched(mock)
        done = cli(*words_for(mock, tmp_path, "-c", str(AT_ONCE)), env=s3_environ())
    assert done.code == 0, done.err
    refused = next(n for n, one in enumerate(seen) if one.request.status == 503)
    heard_s = seen[refused].at_s
    after = [one.at_s - heard_s for one in seen[refused + 1 :]]
    assert sum(ON_THE_WAY_S < at < 1.0 for at in after) <= ON_THE_WAY * AT_ONCE
    assert max(after) >= 1.0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("reset:object:every=3", id="RST, every 3rd"),
        pytest.param("cut:object:at=head,every=5", id="FIN, every 5th"),
        pytest.param("truncate:object:every=10", id="a clean early end, every 10th"),
    ],
)
def test_every_kth_answer_may_break(portal: BlockingPortal, tmp_path: Path, fault: str) -> None:
    every = int(fault.rpartition("=")[2])
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults(fault)
        told = get(mock, BUCKET, tmp_path, "-r", "10")
    assert told.done.code == 0
    assert len(told.fetched) <= len(BUCKET.keys) * (1 + 2 / every)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("gzip-bomb:object:size=3e8,nth=1", id="a gzip bomb for an object"),
        pytest.param("gzip-bomb:listing:size=3e8,nth=1", id="a gzip bomb for a list"),
        pytest.param("endless-page", id="a page without end"),
        pytest.param("endless-header:object", id="a head without end"),
    ],
)
def test_no_answer_takes_the_memory(portal: BlockingPortal, tmp_path: Path, fault: str) -> None:
    few = BucketTruth(instances=4, rows=16)
    with portal_bucket(portal, few) as mock:
        words = ("-r", "0", "-c", "1")
        code, usual_bytes = peak_bytes(words_for(mock, tmp_path / "usual", *words), s3_environ())
        assert code == 0
        # A plain refusal loads what any failure needs; that is not the attack's doing.
        mock.set_faults("500:object")
        _, refused_bytes = peak_bytes(words_for(mock, tmp_path / "refused", *words), s3_environ())
        mock.set_faults(fault)
        code, attacked_bytes = peak_bytes(
            words_for(mock, tmp_path / "attacked", *words), s3_environ()
        )
    assert code == 1
    assert attacked_bytes - max(usual_bytes, refused_bytes) < ATTACK_BYTES


def test_a_long_list_takes_no_memory(portal: BlockingPortal, tmp_path: Path) -> None:
    peaks = []
    for count in (1_000, 8_000):
        many = SyntheticArchive(SyntheticOptions(studies=1, instances=count, rows=4))
        server = S3Server(many)
        with portal.wrap_async_context_manager(server):
            access = ("--endpoint-url", server.url, "--no-sign-request", "--dry-run")
            words = ("get", server.bucket_url, *access, "-o", str(tmp_path))
            code, peak = peak_bytes(words, s3_environ())
            assert code == 0
            peaks.append(peak)
    # Two pages of 1,000 keys; seven further ones are in nobody's memory.
    assert peaks[1] - peaks[0] < 12 * 1024 * 1024
