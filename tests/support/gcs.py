"""An emulator of Google Cloud Storage: JSON API, XML API, uploads, `x-goog-hash`.

    with running_gcs(folder) as gcs:
        gcs.add_bucket("bucket")
        gcs.upload("bucket", "prefix/name.dcm", content)
        gcs.url                          # for --endpoint-url and STORAGE_EMULATOR_HOST

What it does otherwise than Google (fake-gcs-server, seen): a page never ends within
the common prefixes of a listing with a delimiter; nobody has to say who they are.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.support.peers import peer_program
from tests.support.processes import accepts_connections, free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    Content: TypeAlias = Mapping[str, Mapping[str, bytes]]

__all__ = ["Gcs", "running_gcs"]

START_DEADLINE_S = 40.0
PROJECT = "tests"


@dataclass(frozen=True, slots=True)
class Gcs:
    """A running emulator."""

    port: int
    process_id: int

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def add_bucket(self, bucket: str) -> None:
        """Create a bucket."""
        body = json.dumps({"name": bucket}).encode()
        self._send("POST", f"/storage/v1/b?project={PROJECT}", body, "application/json")

    def upload(
        self, bucket: str, key: str, content: bytes, media_type: str = "application/dicom"
    ) -> None:
        """Store an object; gzip is taken off by the emulator for who does not ask for it."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(key, safe='')}"
        if content.startswith(b"\x1f\x8b"):
            path += "&contentEncoding=gzip"
        self._send("POST", path, content, media_type)

    def download(self, bucket: str, key: str) -> bytes:
        """Return an object as it is stored."""
        return self._send("GET", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}?alt=media")

    def delete(self, bucket: str, key: str) -> None:
        """Take an object away."""
        self._send("DELETE", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}")

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the names of all objects below a prefix."""
        found: list[str] = []
        path = f"/storage/v1/b/{bucket}/o?prefix={quote(prefix, safe='')}"
        page = json.loads(self._send("GET", path))
        while True:
            found += [item["name"] for item in page.get("items", [])]
            if "nextPageToken" not in page:
                return found
            token = quote(page["nextPageToken"], safe="")
            page = json.loads(self._send("GET", f"{path}&pageToken={token}"))

    def _send(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=40)
        # gzip is not taken off what is stored in it (decompressive transcoding).
        headers = {"Accept-Encoding": "gzip"}
        if body is not None:
            headers["Content-Type"] = kind
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert 200 <= answer.status < 300, (method, path, answer.status, content[:200])
        return content


@contextmanager
def running_gcs(folder: Path, buckets: Content | None = None) -> Iterator[Gcs]:
    """Start an emulator that holds its objects in memory; stop it with the block.

    Args:
        folder: An existing folder for the log.
        buckets: What it holds from the beginning: content by key, by bucket.

    Raises:
        AssertionError: If it does not listen in time; the message ends with its log.

    """
    port = free_port()
    log = folder / f"gcs-{port}.log"
    command = [peer_program("fake-gcs-server"), "-backend", "memory", *_words(port)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        is_ready = partial(accepts_connections, port)
        wait_until(is_ready, process, deadline_s=START_DEADLINE_S, log=log)
        gcs = Gcs(port, process.pid)
        for bucket, objects in (buckets or {}).items():
            gcs.add_bucket(bucket)
            for key, content in objects.items():
                gcs.upload(bucket, key, content)
        yield gcs
    finally:
        stop(process)


def _words(port: int) -> list[str]:
    host = f"127.0.0.1:{port}"
    return [
        *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-external-url", f"http://{host}", "-public-host", host, "-log-level", "warn"),
    ]
