"""What `bench_objects` is run in: buckets with real shapes, servers, and command lines.

Rule: each collection has buckets of its own, so that a bucket is a collection to those who
list, and a manifest is one to those who read it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trustme

from benchmarks.common import ASYNCDICOM, Contender, Job
from tests.support.certificates import Identity
from tests.support.idc_layout import IdcLayout
from tests.support.peers import PEERS_PYTHON
from tests.support.rclone import RcloneOptions, running_rclone
from tests.support.s5cmd import s5cmd_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.idc_layout import IdcSeries

__all__ = ["FOLDER", "Arena", "Workload", "running_arena"]

REGION = ("env", "AWS_REGION=us-east-1")
"""Saves s5cmd the question where a bucket is."""
IDC_INDEX_CLIENT = Path(__file__).parent / "clients" / "idc_index_get.py"
FOLDER = "{folder}"
"""The word that stands for the output folder of a run."""
WITHOUT_SYNC = ("--durability", "none")


@dataclass(frozen=True, slots=True)
class Workload:
    """Series as files below buckets, and a manifest of them."""

    name: str
    layout: IdcLayout
    manifest: Path

    @classmethod
    def written(
        cls, folder: Path, name: str, series: Sequence[IdcSeries], *, scale: float = 1.0
    ) -> Workload:
        """Write all objects, and a manifest as the portal hands it out."""
        layout = IdcLayout(folder / name)
        layout.add(series, scale=scale)
        manifest = folder / f"{name}.txt"
        lines = [f"cp s3://{one.bucket}/{one.crdc_series_uuid}/* ." for one in series]
        manifest.write_text("\n".join(lines) + "\n")
        return cls(name, layout, manifest)

    @property
    def bucket(self) -> str:
        """The bucket that all objects are in."""
        (bucket,) = {one.series.bucket for one in self.layout.objects}
        return bucket

    @property
    def job(self) -> Job:
        """How much it is."""
        objects = self.layout.objects
        return Job(len(objects), sum(one.byte_count for one in objects))

    def sync_lines(self, folder: Path) -> Path:
        """Write what s5cmd brings each series up to date by."""
        uuids = dict.fromkeys(one.series.crdc_series_uuid for one in self.layout.objects)
        file = self.manifest.with_suffix(".sync")
        lines = [f'sync "s3://{self.bucket}/{uuid}/*" "{folder}/{uuid}/"' for uuid in uuids]
        file.write_text("\n".join(lines) + "\n")
        return file

    def is_whole_in(self, folder: Path) -> bool:
        """Tell whether a folder holds every object byte by byte, by the names of the keys."""
        found = {path.name: path for path in folder.rglob("*.dcm")}
        names = {one.key.rpartition("/")[2]: one for one in self.layout.objects}
        return found.keys() == names.keys() and all(
            path.read_bytes() == self.layout.path(names[name]).read_bytes()
            for name, path in found.items()
        )


@dataclass(frozen=True, slots=True)
class Arena:
    """A workload behind an endpoint."""

    workload: Workload
    url: str
    ca_file: Path | None = None
    """Whom to trust, if it speaks TLS."""

    @property
    def port(self) -> int:
        """Of the server."""
        return urlsplit(self.url).port or 80

    def ours(self, name: str, *words: str) -> Contender:
        """Return our command; `{folder}` stands for the output folder."""
        return self.contender(name, self.command(*words), probe=(*ASYNCDICOM, "--help"))

    def command(self, *words: str) -> tuple[str, ...]:
        """Return our command line, with the way to the server."""
        trust = () if self.ca_file is None else ("--cacert", str(self.ca_file))
        way = ("--endpoint-url", self.url, "--no-sign-request", *trust)
        return (*ASYNCDICOM, *words, *way, "--quiet")

    def get_words(self, folder: str, key: str = "") -> tuple[str, ...]:
        """Return what `get` of the bucket is called with, or of a key in it."""
        return ("get", f"s3://{self.workload.bucket}/{key}", "-o", folder, *WITHOUT_SYNC)

    def idc_get_words(self, folder: str) -> tuple[str, ...]:
        """Return what `idc get` of the manifest is called with."""
        return ("idc", "get", str(self.workload.manifest), "-o", folder, *WITHOUT_SYNC)

    def s5cmd(self, name: str, *arguments: str, workers: int | None = None) -> Contender:
        """Return s5cmd, working in the output folder, where `.` of a manifest is."""
        command = s5cmd_command(self.url, *arguments, workers=workers)
        inside = ("sh", "-c", 'cd "$0" && exec "$@"', FOLDER)
        trust = () if self.ca_file is None else (f"AWS_CA_BUNDLE={self.ca_file}",)
        return self.contender(
            name, [*inside, *REGION, *trust, *command], probe=(command[0], "version")
        )

    def s5cmd_cp(self, name: str, *, workers: int | None = None) -> Contender:
        """Return s5cmd with the bucket."""
        return self.s5cmd(name, "cp", f"s3://{self.workload.bucket}/*", "./", workers=workers)

    def s5cmd_run(self, name: str) -> Contender:
        """Return s5cmd with the manifest."""
        return self.s5cmd(name, "run", str(self.workload.manifest))

    def idc_index(self, name: str) -> Contender:
        """Return the command of idc-index with the manifest."""
        client = (str(PEERS_PYTHON), str(IDC_INDEX_CLIENT), self.url)
        words = ("download", str(self.workload.manifest), "--download-dir", FOLDER)
        return self.contender(name, [*client, *words], probe=(*client, "--help"))

    def contender(self, name: str, words: Sequence[str], *, probe: Sequence[str]) -> Contender:
        """Return a command that leaves all objects in its folder, if that is among its words."""
        job = self.workload.job
        expected = job.request_count if FOLDER in words else None
        return Contender(name, _filled(words), job, expected_files=expected, probe=probe)


def _filled(words: Sequence[str]) -> Callable[[Path], Sequence[str]]:
    return lambda folder: [str(folder) if word == FOLDER else word for word in words]


@contextmanager
def running_arena(
    folder: Path, workload: Workload, *, etag_hash: str = "none", speaks_tls: bool = False
) -> Iterator[Arena]:
    """Serve a workload with rclone.

    Args:
        folder: For its log, and certificates.
        workload: What it serves.
        etag_hash: `none`, as our baselines have it, or `MD5`.
        speaks_tls: Whether it does, as public stores do.

    """
    identity, ca_file = None, None
    if speaks_tls:
        authority, ca_file = trustme.CA(), folder / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        identity = Identity.issue(authority, folder / "server")
    # What it has read of folders stays in its memory: nothing changes below.
    options = RcloneOptions(identity=identity, etag_hash=etag_hash, directory_cache="1h")
    with running_rclone(folder, workload.layout.root, options) as server:
        yield Arena(workload, server.url, ca_file)
