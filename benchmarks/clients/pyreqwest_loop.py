"""What the library below us can do at best: every answer is read, nothing is kept.

python -m benchmarks.clients.pyreqwest_loop URLS FOLDER CA [CONCURRENCY]
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import uvloop
from pyreqwest.client import Client, ClientBuilder

from benchmarks.clients.arguments import Arguments, parse

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        await asyncio.gather(*(worker(client, urls) for _ in range(arguments.concurrency)))


async def worker(client: Client, urls: Iterator[str]) -> None:
    """Fetch until no URL is left."""
    for url in urls:
        response = await client.get(url).build().send()
        await response.bytes()


if __name__ == "__main__":
    job = parse()
    began_s = time.perf_counter()
    uvloop.run(fetch_all(job))
    print(json.dumps({"seconds": time.perf_counter() - began_s}))
