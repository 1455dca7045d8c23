"""What the contract tests do with a transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncdicom.ports.http import HttpRequest

if TYPE_CHECKING:
    from asyncdicom.model import Header
    from asyncdicom.ports.http import HttpTransport


@dataclass(frozen=True)
class Fetched:
    """An answer read to its end."""

    status_code: int
    http_version: str
    headers: tuple[Header, ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


async def fetch(transport: HttpTransport, url: str, **fields: Any) -> Fetched:
    """Send a request and read its answer to the end."""
    request = HttpRequest(url, **fields)
    async with transport.request(request) as response:
        body = b""
        while data := await response.read():
            body += data
        head = (response.status_code, response.http_version, response.headers)
    return Fetched(*head, body)
