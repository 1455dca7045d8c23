"""Reads multipart payloads strictly: anything that is not as RFC 2046 §5.1.1 says is an error."""

from __future__ import annotations

import re

__all__ = ["boundary_of", "split_parts"]


def boundary_of(content_type: str) -> bytes:
    """Return the boundary parameter."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    assert found is not None, content_type
    return found[1].encode()


def split_parts(content_type: str, data: bytes) -> list[tuple[str, bytes]]:
    """Split a whole payload into (Content-Type, content) of its parts."""
    boundary = boundary_of(content_type)
    end = b"--" + boundary + b"--\r\n"
    if data == end:
        return []
    assert data.startswith(b"--" + boundary + b"\r\n"), data[:80]
    assert data.endswith(b"\r\n" + end), data[-80:]
    inside = data[len(boundary) + 4 : -len(end) - 2]
    return [split_part(part) for part in inside.split(b"\r\n--" + boundary + b"\r\n")]


def split_part(part: bytes) -> tuple[str, bytes]:
    """Split one part, and check its Content-Length where there is one."""
    head, blank, content = part.partition(b"\r\n\r\n")
    assert blank
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    assert int(fields.get("Content-Length", len(content))) == len(content)
    return fields["Content-Type"], content
