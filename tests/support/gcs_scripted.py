"""The JSON API of Google Cloud Storage with faults on purpose: what the emulator cannot be told.

    with ScriptedGcs({"key": b"content"}, token="sesame") as gcs:
        gcs.fault("key", Status(503))           # for the next request; the one after it is served
        gcs.url                                 # http://127.0.0.1:PORT
        gcs.asked                               # what was asked for, in order

An object may be made while it is sent (`Made`), so that one of many gigabytes takes no room.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["BUCKET", "CutAfter", "Made", "ScriptedGcs", "StallAfter", "Status"]

BUCKET = "bucket"
_PATH = re.compile(r"/storage/v1/b/([^/]+)/o(?:/(.+))?")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
PATIENCE_S = 40.0


@dataclass(frozen=True, slots=True)
class Made:
    """An object that is made while it is sent."""

    byte_count: int
    pieces: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Status:
    """A refusal."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CutAfter:
    """A body that ends early, with its connection."""

    byte_count: int


@dataclass(frozen=True, slots=True)
class StallAfter:
    """A body that goes on when the event is set."""

    byte_count: int
    go_on: threading.Event


Fault = Status | CutAfter | StallAfter


class ScriptedGcs:
    """A server in a thread.

    Attributes:
        asked: Kind and name of each request, in order.

    """

    def __init__(
        self,
        objects: Mapping[str, bytes | Made],
        *,
        token: str | None = None,
        page_length: int = 1000,
    ) -> None:
        self.objects = dict(objects)
        self.token = token
        self.page_length = page_length
        self.asked: list[str] = []
        self._faults: dict[str, deque[Fault]] = {}
        handler = type("Handler", (_Handler,), {"store": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fault(self, key: str, *faults: Fault) -> None:
        """Let the next requests for a key, or for a prefix, meet something."""
        self._faults.setdefault(key, deque()).extend(faults)

    def next_fault(self, key: str) -> Fault | None:
        """Return what the next request for a key meets."""
        waiting = self._faults.get(key)
        return waiting.popleft() if waiting else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: ScriptedGcs

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        match = _PATH.fullmatch(parts.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.store.token and self.headers.get("authorization") != f"Bearer {self.store.token}":
            self._answer(401, json.dumps({"error": {"code": 401, "message": "no"}}).encode())
        elif match is None or match[1] != BUCKET:
            self._answer(404, b'{"error": {"code": 404}}')
        elif match[2] is None:
            self._list(query)
        else:
            self._send_object(unquote(match[2]))

    def _list(self, query: Mapping[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        self.store.asked.append(f"list {prefix}")
        fault = self.store.next_fault(prefix)
        if isinstance(fault, Status):
            self._answer(fault.code, b"{}", fault.headers)
            return
        names = set()
        for key in self.store.objects:
            if key.startswith(prefix):
                rest, found, _ = key.removeprefix(prefix).partition(delimiter or "\0")
                names.add(prefix + rest + found)
        there = sorted(name for name in names if name > query.get("pageToken", ""))
        page = there[: self.store.page_length]
        listing: dict[str, Any] = {"kind": "storage#objects"}
        items = [self._item(name) for name in page if name in self.store.objects]
        folders = [name for name in page if name not in self.store.objects]
        listing |= {"items": items} if items else {}
        listing |= {"prefixes": folders} if folders else {}
        listing |= {"nextPageToken": page[-1]} if len(there) > len(page) else {}
        self._answer(200, json.dumps(listing).encode())

    def _item(self, key: str) -> dict[str, str]:
        content = self.store.objects[key]
        size = content.byte_count if isinstance(content, Made) else len(content)
        return {"name": key, "size": str(size), "generation": "1"}

    def _send_object(self, key: str) -> None:
        asked = self.headers.get("range")
        self.store.asked.append(f"get {key}{f' {asked}' if asked else ''}")
        fault = self.store.next_fault(key)
        content = self.store.objects.get(key)
        if isinstance(fault, Status):
            self._answer(fault.code, b"{}", fault.headers)
        elif content is None:
            self._answer(404, b"Not Found")
        elif isinstance(content, Made):
            self._head(200, content.byte_count, {})
            for piece in content.pieces():
                self.wfile.write(piece)
        else:
            self._send_bytes(content, fault)

    def _send_bytes(self, content: bytes, fault: Fault | None) -> None:
        headers = {"x-goog-generation": "1"}
        if content.startswith(b"\x1f\x8b"):
            if "gzip" in self.headers.get("accept-encoding", ""):
                headers["content-encoding"] = "gzip"
            else:
                content = gzip.decompress(content)
        status, match = 200, _RANGE.fullmatch(self.headers.get("range", ""))
        if match is not None:
            first, size = int(match[1]), len(content)
            if first >= size:
                self._answer(416, b"")
                return
            last = min(int(match[2] or size), size - 1)
            headers["content-range"] = f"bytes {first}-{last}/{size}"
            content, status = content[first : last + 1], 206
        self._head(status, len(content), headers)
        if isinstance(fault, CutAfter):
            self.wfile.write(content[: fault.byte_count])
            self.close_connection = True
            return
        if isinstance(fault, StallAfter):
            self.wfile.write(content[: fault.byte_count])
            fault.go_on.wait(PATIENCE_S)
            content = content[fault.byte_count :]
        self.wfile.write(content)

    def _answer(
        self, status: int, content: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        self._head(status, len(content), headers or {})
        self.wfile.write(content)

    def _head(self, status: int, byte_count: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(byte_count))
        self.end_headers()
