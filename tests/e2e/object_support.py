"""A bucket with faults, `get` as a real process, and what must hold after each run of it.

    with start_blocking_portal() as portal, portal_bucket(portal, BUCKET) as mock:
        mock.set_faults("cut:object:at=0,times=1")
        told = get(mock, BUCKET, folder)

Rule: as everywhere here, the truth is the mock's own bytes and its own log of requests.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncdicom.mock import S3Options, S3Server, SyntheticArchive, SyntheticOptions
from asyncdicom.mock.s3_faults import S3Plan
from asyncdicom.mock.s3_objects import ArchiveObjects
from tests.e2e.support import (
    PATIENT_S,
    Completed,
    Mock,
    assert_speaks_plainly,
    clean_environ,
    cli,
    files_below,
    reading_report,
)
from tests.mock.s3_support import truth_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.server import Recorded

__all__ = [
    "LEFT",
    "AnyName",
    "BucketTruth",
    "S3Mock",
    "Told",
    "get",
    "other_version",
    "portal_bucket",
    "s3_environ",
]

LEFT = ".asyncdicom-"
"""Begins every name that is no result."""


class BucketTruth:
    """A synthetic archive as a bucket, and the bytes that each of its objects must have."""

    def __init__(self, **options: Any) -> None:
        self.archive = SyntheticArchive(SyntheticOptions(**({"studies": 1} | options)))
        self.objects = truth_of(self.archive)
        self.keys = list(self.objects)


class AnyName(dict[str, bytes]):
    """Files of one content, whatever they are called."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content

    def __missing__(self, _name: str) -> bytes:
        return self._content


def other_version(truth: BucketTruth, key: str) -> bytes:
    """Return the bytes that an object has once it `changed`."""
    found = ArchiveObjects(truth.archive).find(key, is_other=True)
    assert found is not None, key
    return b"".join(map(bytes, found.buffers()))


class S3Mock(Mock):
    """The S3 face in another thread."""

    def __init__(self, portal: BlockingPortal, server: S3Server, folder: Path) -> None:
        super().__init__(portal, server, folder)
        self.bucket_url = server.bucket_url

    def set_faults(self, *faults: str) -> None:
        """Let other things go wrong from now on."""
        self._portal.call(setattr, self._server, "plan", S3Plan(faults))


@contextmanager
def portal_bucket(
    portal: BlockingPortal, truth: BucketTruth, *, max_keys: int = 1000, tls: bool = False
) -> Iterator[S3Mock]:
    """Serve a bucket from the thread of a portal; a bug of the mock is raised at the end."""
    server = S3Server(truth.archive, tls=tls, s3=S3Options(max_keys=max_keys))
    with (
        tempfile.TemporaryDirectory(prefix="mock-") as folder,
        portal.wrap_async_context_manager(server),
    ):
        yield S3Mock(portal, server, Path(folder))


def s3_environ(**changes: str) -> dict[str, str]:
    """Return an environment without credentials and settings of AWS."""
    kept = {name: value for name, value in clean_environ().items() if not name.startswith("AWS_")}
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", **changes}


@dataclass(frozen=True, slots=True)
class Told:
    """One run of the command, and what it left."""

    done: Completed
    report: list[dict[str, Any]]
    requests: list[Recorded]
    there: Mapping[str, bytes]
    """Files afterwards, by the key of the object."""

    @property
    def failed(self) -> dict[str, dict[str, Any]]:
        """Lines of the report that name a failure, by key, or by URL if it is no object."""
        lines = [line for line in self.report if line["outcome"] == "failed"]
        return {line["url"].removeprefix("s3://dicom/"): line for line in lines}

    @property
    def fetched(self) -> list[str]:
        """Keys of the objects that were asked for, in order."""
        asked = [r for r in self.requests if r.method == "GET" and r.path.endswith(".dcm")]
        return [request.path.removeprefix("/dicom/") for request in asked]


def get(
    mock: S3Mock,
    truth: BucketTruth,
    folder: Path,
    *words: str,
    source: str = "",
    also: Mapping[str, bytes] | None = None,
) -> Told:
    """Run `get` into `folder/out`, with a report; check whatever holds for each run.

    Args:
        mock: Serves the bucket.
        truth: What is in it.
        folder: Of the run.
        words: Further arguments.
        source: What to get, or empty for all.
        also: Files that may be there, by path: what is not in the bucket unless a fault says so.

    """
    report, out = folder / "report.jsonl", folder / "out"
    done = cli(
        *("get", source or mock.bucket_url, "--endpoint-url", mock.url, "--no-sign-request"),
        *("-o", str(out), "--durability", "none", "--timeout", PATIENT_S),
        *("--report", str(report), "-r", "1", *words),
        env=s3_environ(),
    )
    lines = reading_report(report) if report.exists() else []
    there = files_below(out) if out.exists() else {}
    told = Told(done, lines, mock.new_requests(), there)
    assert_speaks_plainly(done)
    assert_books_agree(told, truth.objects, {} if also is None else also)
    if done.code == 0 and not source:
        assert set(there) >= set(truth.objects), "exit 0, but something is missing"
    return told


def assert_books_agree(told: Told, objects: Mapping[str, bytes], also: Mapping[str, bytes]) -> None:
    """Demand that report, folder and exit code tell one story, and that nothing is torn."""
    kept = [line for line in told.report if line["outcome"] in ("stored", "skipped")]
    assert sorted(line["path"] for line in kept) == sorted(told.there)
    for name, content in told.there.items():
        true = objects[name] if name in objects and name not in also else also[name]
        assert content == true, f"{name} has other bytes than in the bucket"
    for line in told.failed.values():
        assert line["reason"], line
        assert line["message"], line
        assert line.get("path") not in told.there
    assert (told.done.code == 0) == (not told.failed), (told.done.code, told.done.err)
    stored = sum(line["outcome"] == "stored" for line in kept)
    assert told.done.last_line.startswith(f"{stored} stored · "), told.done.last_line
