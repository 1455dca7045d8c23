"""Who we are: values for the Authorization field, and how they are renewed.

Workers ask for a value before each request. When a server rejects one (401),
they ask again and say which; whoever asks first renews it, the others wait
for that and get the same new value, so that one expired token costs one
renewal and not one per worker.

Rule: no secret is in a repr, a message or a log. Renewal begins before the
expiry, and as long as the old value holds, nobody waits for the new one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import netrc
import shlex
import time
from abc import ABC, abstractmethod
from asyncio.subprocess import PIPE
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from asyncdicom.errors import AsyncDicomError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "CommandCredentials",
    "Credentials",
    "Grant",
    "RenewedCredentials",
    "StaticCredentials",
    "basic",
    "bearer",
    "jwt_expiry_s",
    "read_netrc",
]

MARGIN_S = 60.0
"""A token is renewed so long before it expires, or a tenth of its life if that is less."""

FAILURE_HOLDS_S = 5.0
"""After a failed renewal nobody tries again for so long, in seconds."""

MAX_OUTPUT_BYTES = 64 * 1024
"""Far above any token; beyond it a command does not print one."""


class Credentials(Protocol):
    """Gives the value of the Authorization field (RFC 9110 §11.6.2)."""

    async def authorization(self, *, rejected: str | None = None) -> str | None:
        """Return the value to send, or None to send none.

        Args:
            rejected: A value that the server has just refused; another one is
                returned if there can be one, else the same.

        Raises:
            AsyncDicomError: If a value was to be renewed and could not.

        """


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """A value that never changes.

    Raises:
        ConfigError: If it is empty or holds characters that no field can carry.

    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_value(self.value)

    async def authorization(self, *, rejected: str | None = None) -> str | None:  # noqa: ARG002 -- there is no other
        """Return the value, whatever the server thinks of it."""
        return self.value


def basic(username: str, password: str) -> StaticCredentials:
    """Return credentials of the Basic scheme (RFC 7617 §2, in UTF-8)."""
    if ":" in username:
        raise ConfigError("a user name of the Basic scheme holds no colon")
    try:
        pair = f"{username}:{password}".encode()
    except UnicodeEncodeError:
        # It holds the password.
        raise ConfigError("the user name or password is not text in UTF-8") from None
    return StaticCredentials("Basic " + base64.b64encode(pair).decode("ascii"))


def bearer(token: str) -> StaticCredentials:
    """Return credentials of the Bearer scheme (RFC 6750 §2.1)."""
    return StaticCredentials(_bearer_value(token))


def read_netrc(path: Path, url: str) -> StaticCredentials | None:
    """Look up the host of a URL in a netrc file.

    Returns:
        Basic credentials, or None if the file does not know the host.

    Raises:
        ConfigError: If the file cannot be read or understood.

    """
    try:
        found = netrc.netrc(str(path)).authenticators(urlsplit(url).hostname or "")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except netrc.NetrcParseError as error:
        # Its text may quote the line, and with it a password.
        raise ConfigError(f"{path} is not a netrc file (line {error.lineno})") from None
    except UnicodeDecodeError:
        # It holds the content of the file.
        raise ConfigError(f"{path} is not a netrc file in UTF-8") from None
    if found is None:
        return None
    login, _account, password = found
    return basic(login or "", password or "")


@dataclass(frozen=True, slots=True)
class Grant:
    """A value, and how long it holds."""

    value: str = field(repr=False)
    expires_in_s: float | None = None
    """From now, in seconds; None if nobody said."""


class RenewedCredentials(ABC):
    """A value that is obtained, kept, and renewed before it expires or when it is rejected.

    Args:
        clock: Monotonic clock, in seconds.

    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self._grant: Grant | None = None
        self._obtained_at_s = 0.0
        self._failure: AsyncDicomError | None = None
        self._failed_at_s = 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<redacted>)"

    @abstractmethod
    async def _obtain(self) -> Grant:
        """Get a new value.

        Raises:
            AsyncDicomError: If there is none to be had.

        """

    async def authorization(self, *, rejected: str | None = None) -> str | None:
        """Return the value to send; obtains one if there is none, or none that holds."""
        if self._is_good(rejected, early=True):
            return self._value
        if self._lock.locked() and self._is_good(rejected, early=False):
            return self._value
        async with self._lock:
            if not self._is_good(rejected, early=True):
                await self._renew(rejected)
        return self._value

    @property
    def _value(self) -> str | None:
        return None if self._grant is None else self._grant.value

    def _is_good(self, rejected: str | None, *, early: bool) -> bool:
        grant = self._grant
        if grant is None or grant.value == rejected:
            return False
        if grant.expires_in_s is None:
            return True
        margin_s = min(MARGIN_S, grant.expires_in_s / 10) if early else 0.0
        return self._clock() < self._obtained_at_s + grant.expires_in_s - margin_s

    async def _renew(self, rejected: str | None) -> None:
        if self._failure is not None and self._clock() < self._failed_at_s + FAILURE_HOLDS_S:
            raise self._failure
        try:
            grant = await self._obtain()
            _check_value(grant.value)
        except AsyncDicomError as error:
            self._failure, self._failed_at_s = error, self._clock()
            if self._is_good(rejected, early=False):
                return
            raise
        self._grant, self._obtained_at_s, self._failure = grant, self._clock(), None


class CommandCredentials(RenewedCredentials):
    """A bearer token that a command prints (`--bearer-command`).

    The command runs without a shell; its standard error goes to ours. The token is
    kept until it expires (the `exp` claim, if it is a JSON Web Token) or is rejected.

    Args:
        command: Program and arguments, quoted as for a shell.
        timeout_s: Longest run, in seconds.
        clock: Monotonic clock, in seconds.

    Raises:
        ConfigError: If the command is empty or its quotes do not match.

    """

    def __init__(
        self,
        command: str,
        *,
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock=clock)
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise ConfigError(f"the bearer command cannot be read: {error}") from error
        if not self._arguments:
            raise ConfigError("the bearer command is empty")
        self._timeout_s = timeout_s

    async def _obtain(self) -> Grant:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._arguments, stdin=None, stdout=PIPE
            )
        except OSError as error:
            told = f"the bearer command cannot be started: {error.strerror}"
            raise ConfigError(told) from error
        try:
            async with asyncio.timeout(self._timeout_s):
                output = await _read_bounded(process)
                status = await process.wait()
        except TimeoutError:
            raise ConfigError(f"the bearer command ran for {self._timeout_s:g} s") from None
        finally:
            await _end(process)
        if status != 0:
            raise ConfigError(f"the bearer command ended with exit status {status}")
        token = output.decode("utf-8", "replace").strip()
        expiry_s = jwt_expiry_s(token)
        lifetime_s = None if expiry_s is None else max(0.0, expiry_s - time.time())
        return Grant(_bearer_value(token), lifetime_s)


def jwt_expiry_s(token: str) -> float | None:
    """Return the `exp` claim of a JSON Web Token (RFC 7519 §4.1.4) in Unix seconds, or None.

    The signature is not looked at: this is advice on when to renew, not trust.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        expiry = claims["exp"]
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_number = isinstance(expiry, (int, float)) and not isinstance(expiry, bool)
    return float(expiry) if is_number and 0 < expiry < 2**53 else None


async def _read_bounded(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None, "standard output is a pipe"
    output = b""
    while data := await process.stdout.read(MAX_OUTPUT_BYTES):
        output += data
        if len(output) > MAX_OUTPUT_BYTES:
            raise ConfigError(f"the bearer command printed more than {MAX_OUTPUT_BYTES} bytes")
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _bearer_value(token: str) -> str:
    # A token that is missing must not be sent as a word: `Bearer None` has been seen.
    if not token or token in ("None", "null"):
        raise ConfigError("the bearer token is empty")
    if not token.isascii() or any(character.isspace() for character in token):
        raise ConfigError("the bearer token is not one word of ASCII")
    return f"Bearer {token}"


def _check_value(value: str) -> None:
    if not value.strip():
        raise ConfigError("the authorization is empty")
    if not value.isascii() or not value.isprintable():
        raise ConfigError("the authorization holds characters that no HTTP field can carry")
