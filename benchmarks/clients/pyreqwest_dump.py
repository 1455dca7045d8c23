"""The least that a dump in one Python process can be: body hashed and written, record, no proof.

Shows what stands between a loop that writes nothing and `dump`, apart from what `dump` does
more: nothing is parsed, verified, renamed, retried or planned here.

python -m benchmarks.clients.pyreqwest_dump URLS FOLDER CA [CONCURRENCY]
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from typing import TYPE_CHECKING

import orjson
import uvloop
from pyreqwest.client import Client, ClientBuilder

from benchmarks.clients.arguments import Arguments, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_BYTES = 128 * 1024


async def fetch_all(arguments: Arguments) -> None:
    """Share one iterator of URLs between the workers."""
    builder = (
        ClientBuilder()
        .error_for_status()
        .add_root_certificate_pem(arguments.ca_file.read_bytes())
        .http2_initial_stream_window_size(1 << 20)
        .http2_initial_connection_window_size(1 << 24)
    )
    urls = iter(arguments.urls)
    async with builder.build() as client:
        await asyncio.gather(
            *(worker(client, urls, arguments) for _ in range(arguments.concurrency))
        )


async def worker(client: Client, urls: Iterator[str], arguments: Arguments) -> None:
    """Fetch until no URL is left."""
    for url in urls:
        start_s = time.perf_counter()
        path = str(arguments.path_of(url))
        digest = hashlib.sha256()
        byte_count = 0
        fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        request = client.get(url).streamed_read_buffer_limit(READ_BYTES).build_streamed()
        async with request as response:
            while (data := await response.body_reader.read(READ_BYTES)) is not None:
                view = memoryview(data)
                digest.update(view)
                byte_count += os.write(fd, view)
        os.close(fd)
        record = {
            "url": url,
            "response": {
                "headers": dict(response.headers.items()),
                "statusCode": response.status,
                "timeToLastByteInMS": (time.perf_counter() - start_s) * 1000,
                "bytesDownloaded": byte_count,
            },
            "sha256": digest.hexdigest(),
        }
        fd = os.open(path + ".dump.json", os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(fd, orjson.dumps(record))
        os.close(fd)


if __name__ == "__main__":
    job = parse()
    began_s = time.perf_counter()
    uvloop.run(fetch_all(job))
    print(json.dumps({"seconds": time.perf_counter() - began_s}))
