"""Who we are, as the options of a command say it: one way, and only one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from asyncdicom.errors import ConfigError
from asyncdicom.transports.credentials import (
    CommandCredentials,
    StaticCredentials,
    basic,
    bearer,
    read_netrc,
)
from asyncdicom.transports.oauth2 import OAuth2Client, OAuth2Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.ports.http import HttpTransport
    from asyncdicom.protocol.urls import Root
    from asyncdicom.transports.credentials import Credentials

__all__ = ["credentials_of"]


def credentials_of(
    root: Root, options: Mapping[str, Any], transport: HttpTransport
) -> Credentials | None:
    """Return who we are, or None.

    Args:
        root: The source; user and password in its URL count as `--user`.
        options: Values of the connection options.
        transport: Fetches OAuth2 tokens.

    Raises:
        ConfigError: If several ways are given, or one cannot be used.

    """
    token_url = options.get("oauth2_token_url")
    user = options.get("user")
    if user is None and root.username is not None:
        user = f"{unquote(root.username)}:{unquote(root.password or '')}"
    ways: dict[str, Callable[[], Credentials | None]] = {}
    if (value := options.get("authorization")) is not None:
        ways["--authorization"] = lambda: StaticCredentials(value)
    if user is not None:
        ways["--user"] = lambda: _basic(user)
    if (token := options.get("bearer")) is not None:
        ways["--bearer"] = lambda: bearer(token)
    if (command := options.get("bearer_command")) is not None:
        ways["--bearer-command"] = lambda: CommandCredentials(command)
    if token_url is not None:
        ways["--oauth2-token-url"] = lambda: _oauth2(token_url, options, transport)
    if options.get("netrc"):
        path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
        ways["--netrc"] = lambda: read_netrc(path, root.url)
    if len(ways) > 1:
        raise ConfigError(f"several credentials: {', '.join(ways)}", hint="give one of them")
    return next(iter(ways.values()))() if ways else None


def _basic(user: str) -> Credentials:
    name, colon, password = user.partition(":")
    if not colon:
        raise ConfigError("--user wants NAME:PASSWORD", hint="or use --netrc")
    return basic(name, password)


def _oauth2(token_url: str, options: Mapping[str, Any], transport: HttpTransport) -> Credentials:
    client_id = options.get("oauth2_client_id")
    if client_id is None:
        raise ConfigError("--oauth2-token-url needs --oauth2-client-id")
    client = OAuth2Client(
        token_url=token_url,
        client_id=client_id,
        client_secret=options.get("oauth2_client_secret"),
        refresh_token=options.get("oauth2_refresh_token"),
        scope=options.get("oauth2_scope"),
    )
    return OAuth2Credentials(client, transport)
