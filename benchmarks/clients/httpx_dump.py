"""The job of `dump` as one writes it with httpx in ten minutes: body and record, nothing proven.

python -m benchmarks.clients.httpx_dump URLS FOLDER CA [CONCURRENCY]
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from typing import TYPE_CHECKING

import httpx

from benchmarks.clients.arguments import Arguments, parse

if TYPE_CHECKING:
    from collections.abc import Iterator


async def fetch_all(arguments: Arguments) -> None:
    """Share one iterator of URLs between the workers."""
    trust = ssl.create_default_context(cafile=str(arguments.ca_file))
    urls = iter(arguments.urls)
    async with httpx.AsyncClient(http2=True, verify=trust, timeout=60) as client:
        await asyncio.gather(
            *(worker(client, urls, arguments) for _ in range(arguments.concurrency))
        )


async def worker(client: httpx.AsyncClient, urls: Iterator[str], arguments: Arguments) -> None:
    """Fetch until no URL is left."""
    for url in urls:
        start_s = time.perf_counter()
        response = await client.get(url, headers={"Accept": "*/*", "Accept-Encoding": "identity"})
        response.raise_for_status()
        path = arguments.path_of(url)
        path.write_bytes(response.content)
        record = {
            "url": url,
            "request": {"headers": dict(response.request.headers)},
            "response": {
                "headers": dict(response.headers),
                "statusCode": response.status_code,
                "httpVersion": response.http_version,
                "timeToLastByteInMS": (time.perf_counter() - start_s) * 1000,
                "bytesDownloaded": len(response.content),
            },
        }
        path.with_name(path.name + ".dump.json").write_text(json.dumps(record))


if __name__ == "__main__":
    job = parse()
    began_s = time.perf_counter()
    asyncio.run(fetch_all(job))
    print(json.dumps({"seconds": time.perf_counter() - began_s}))
