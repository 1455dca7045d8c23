"""rclone's server of S3 on a folder: its folders are buckets, what is below them objects.

    with running_rclone(folder, layout.root) as server:
        subprocess.run(["asyncdicom", "get", "s3://bucket/prefix", "--endpoint-url", server.url])

What it does otherwise than Amazon (seen with 1.75): a range is answered with status
200 and a Content-Range; without a hash the ETag is empty; in listings it has no quotes.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.support.peers import peer_program
from tests.support.processes import accepts_connections, free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.certificates import Identity

__all__ = ["Rclone", "RcloneOptions", "running_rclone"]

START_DEADLINE_S = 40.0


@dataclass(frozen=True, slots=True)
class RcloneOptions:
    """What differs between the servers that tests ask for."""

    auth_key: tuple[str, str] | None = None
    """Access key and secret without whose signature (SigV4) nothing is given out; None: to all."""
    identity: Identity | None = None
    """Key and certificate: then it speaks TLS only."""
    etag_hash: str = "MD5"
    """`none` costs it nothing; `MD5` reads each file once more, listings included."""
    directory_cache: str = "1s"
    """How long it remembers what a folder holds, as rclone spells durations."""


@dataclass(frozen=True, slots=True)
class Rclone:
    """A running server."""

    port: int
    process_id: int
    scheme: str

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.port}"


@contextmanager
def running_rclone(
    folder: Path, root: Path, options: RcloneOptions | None = None
) -> Iterator[Rclone]:
    """Serve the folders below `root`; stop with the block.

    Args:
        folder: An existing folder for the log.
        root: Holds a folder for each bucket.
        options: What differs from the defaults.

    Raises:
        AssertionError: If it does not listen in time; the message ends with its log.

    """
    chosen = options or RcloneOptions()
    port = free_port()
    log = folder / f"rclone-{port}.log"
    command = [peer_program("rclone"), "serve", "s3", str(root), *_words(port, chosen)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=_environ())
    try:
        is_ready = partial(accepts_connections, port)
        wait_until(is_ready, process, deadline_s=START_DEADLINE_S, log=log)
        yield Rclone(port, process.pid, "https" if chosen.identity else "http")
    finally:
        stop(process)


def _words(port: int, options: RcloneOptions) -> list[str]:
    words = ["--addr", f"127.0.0.1:{port}", "--config", os.devnull, "--read-only"]
    words += ["--etag-hash", options.etag_hash, "--dir-cache-time", options.directory_cache]
    if options.auth_key is not None:
        words += ["--auth-key", ",".join(options.auth_key)]
    if options.identity is not None:
        words += ["--cert", str(options.identity.cert), "--key", str(options.identity.key)]
    return words


def _environ() -> dict[str, str]:
    """Return the environment without settings of rclone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}
