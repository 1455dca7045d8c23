"""A dump as dicomweb-dump is published: one request at a time, gzip asked for, decoded, written.

    python -m benchmarks.clients.sequential_dump URLS FOLDER CA

It keeps its connection, and so is a little faster than the original.
"""

from __future__ import annotations

import json
import time
import zlib
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

from benchmarks.clients.arguments import Arguments, parse

ACCEPT = {
    "metadata": "application/dicom+json",
    "frames": 'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    "instances": 'multipart/related; type="application/dicom"; transfer-syntax=*',
}


def accept_of(url: str) -> str:
    """Choose by the shape of the path."""
    *_, parent, last = url.split("/")
    return ACCEPT["metadata" if last == "metadata" else parent]


def dump(arguments: Arguments) -> None:
    """Fetch one after another."""
    origin = urlsplit(arguments.urls[0]).netloc
    with closing(HTTPConnection(origin, timeout=120)) as connection:
        for url in arguments.urls:
            fetch(connection, url, arguments)


def fetch(connection: HTTPConnection, url: str, arguments: Arguments) -> None:
    """Fetch one answer, decode it, write it and its record."""
    headers = {"Accept": accept_of(url), "Accept-Encoding": "gzip, deflate, br"}
    start_s = time.perf_counter()
    connection.request("GET", urlsplit(url).path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, f"{url}: {response.status}"
    if response.getheader("Content-Encoding") == "gzip":
        body = zlib.decompress(body, wbits=31)
    path = arguments.path_of(url)
    path.write_bytes(body)
    record = {
        "url": url,
        "request": {"headers": headers},
        "response": {
            "headers": dict(response.getheaders()),
            "statusCode": response.status,
            "timeToLastByteInMS": (time.perf_counter() - start_s) * 1000,
        },
    }
    path.with_name(path.name + ".dump.json").write_text(json.dumps(record))


if __name__ == "__main__":
    job = parse()
    began_s = time.perf_counter()
    dump(job)
    print(json.dumps({"seconds": time.perf_counter() - began_s}))
