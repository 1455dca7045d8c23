"""Bearer tokens from an OAuth 2.0 token endpoint (RFC 6749 §4.4, §6)."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode, urlsplit

from asyncdicom.errors import ConfigError, Unauthorized, UnexpectedContent
from asyncdicom.ports.http import HttpRequest
from asyncdicom.protocol.urls import is_host
from asyncdicom.transports.credentials import Grant, RenewedCredentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.model import Header
    from asyncdicom.ports.http import HttpResponse, HttpTransport

__all__ = ["OAuth2Client", "OAuth2Credentials"]

MAX_ANSWER_BYTES = 256 * 1024
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# RFC 6749 §5.2 gives words; what does not look like one may be anything, a secret too.
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Client:
    """What the token endpoint wants to know.

    Raises:
        ConfigError: If there is no way to a token, or it is not a safe one.

    """

    token_url: str
    """https, unless the host is this machine."""
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    """Used instead of the client credentials grant where present."""
    scope: str | None = None
    audience: str | None = None
    secret_in_body: bool = False
    """For servers that do not take the secret in the Authorization field (RFC 6749 §2.3.1)."""

    def __post_init__(self) -> None:
        if not _is_safe(self.token_url):
            raise ConfigError("the token URL is not an https URL")
        if self.client_secret is None and self.refresh_token is None:
            raise ConfigError("a token needs a client secret or a refresh token")
        sent = (self.client_id, self.client_secret, self.refresh_token, self.scope, self.audience)
        if not all(map(_is_text, filter(None, sent))):
            raise ConfigError("what the token server is told is not text in UTF-8")


def _is_text(text: str) -> bool:
    """Tell whether text can be encoded: bytes of a command line may be of another encoding."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_safe(url: str) -> bool:
    """Tell whether secrets may be sent to a URL: over https, or to this machine."""
    try:
        parts = urlsplit(url)
        is_url = is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        return False
    is_near = parts.scheme == "http" and parts.hostname in LOOPBACK
    return is_url and (parts.scheme == "https" or is_near)


class OAuth2Credentials(RenewedCredentials):
    """A bearer token by client credentials or by refresh token.

    Args:
        client: Who asks, and where.
        transport: Carries the request; redirects are not followed.
        timeout_s: Longest wait for a token, in seconds.
        clock: Monotonic clock, in seconds.

    """

    def __init__(
        self,
        client: OAuth2Client,
        transport: HttpTransport,
        *,
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock=clock)
        self._client = client
        self._transport = transport
        self._timeout_s = timeout_s
        self._refresh_token = client.refresh_token

    async def _obtain(self) -> Grant:
        request = HttpRequest(
            self._client.token_url, method="POST", headers=self._headers(), body=self._body()
        )
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._transport.request(request) as response,
            ):
                answer = await _read_json(response)
                return self._grant_from(response.status_code, answer)
        except TimeoutError:
            told = f"the token server did not answer within {self._timeout_s:g} s"
            raise UnexpectedContent(told) from None

    def _headers(self) -> tuple[Header, ...]:
        client = self._client
        headers = (
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Accept", "application/json"),
        )
        if client.client_secret is None or client.secret_in_body:
            return headers
        # RFC 6749 §2.3.1: both are form-encoded before they become a Basic pair.
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
        return (*headers, ("Authorization", "Basic " + base64.b64encode(pair.encode()).decode()))

    def _body(self) -> bytes:
        client = self._client
        fields = {"grant_type": "client_credentials", "scope": client.scope}
        if self._refresh_token is not None:
            fields |= {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        fields["audience"] = client.audience
        if client.client_secret is None or client.secret_in_body:
            fields |= {"client_id": client.client_id, "client_secret": client.client_secret}
        return urlencode({name: value for name, value in fields.items() if value}).encode()

    def _grant_from(self, status_code: int, answer: dict[str, Any]) -> Grant:
        if status_code != 200:
            code = answer.get("error")
            is_code = isinstance(code, str) and _ERROR_CODE.fullmatch(code) is not None
            told = f"the token server answers {status_code}" + (f" ({code})" if is_code else "")
            raise Unauthorized(told, status_code=status_code)
        token, kind = answer.get("access_token"), answer.get("token_type", "bearer")
        if not isinstance(token, str) or not token or str(kind).lower() != "bearer":
            raise UnexpectedContent("the token server gave no bearer token")
        lifetime_s = answer.get("expires_in")
        is_number = isinstance(lifetime_s, (int, float, str)) and str(lifetime_s).isdecimal()
        renewed = answer.get("refresh_token")
        if isinstance(renewed, str) and self._refresh_token is not None:
            self._refresh_token = renewed
        return Grant(f"Bearer {token}", float(str(lifetime_s)) if is_number else None)


async def _read_json(response: HttpResponse) -> dict[str, Any]:
    body = b""
    while data := await response.read():
        body += data
        if len(body) > MAX_ANSWER_BYTES:
            raise UnexpectedContent("the token server's answer is too large")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {}
