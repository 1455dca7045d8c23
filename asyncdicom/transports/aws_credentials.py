"""Who we are at an S3 service: profiles, environment, SSO, roles, machines; and signatures.

    account = AwsAccount(profile=None)
    signer = await account.signer()
    headers = await signer.signed(request, region="us-east-1")

The one home of aiobotocore and botocore (extra `s3`): they find credentials as all tools of Amazon
do, and renew them before they expire. Nothing else of them is used: a request through them costs
ten times what it does through our transports.

Rules:
* Credentials are renewed once for all requests that were refused with them.
* No key, token or signature is in a repr, a message or a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiobotocore.session import AioSession
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    MetadataRetrievalError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from asyncdicom.errors import AsyncDicomError, ConfigError, Unreachable
from asyncdicom.protocol.object_stores.endpoints import ProfileSettings
from asyncdicom.protocol.object_stores.sigv4 import SigV4
from asyncdicom.transports.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncdicom.model import Header
    from asyncdicom.ports.http import HttpRequest

__all__ = ["AwsAccount", "AwsSigner", "map_botocore_errors"]

FAILURE_HOLDS_S = 5.0
"""After a renewal that brought nothing new nobody tries again for so long, in seconds."""


class AwsAccount:
    """The configuration and credentials of a profile.

    Args:
        profile: Its name, or None for the usual way (`AWS_PROFILE`, else `default`).

    """

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile

    def settings(self) -> ProfileSettings:
        """Return what the profile says (reads the configuration files).

        Raises:
            ConfigError: If there is no such profile, or its file cannot be understood.

        """
        with _mapped(self._profile):
            session = self._session()
            scoped = session.get_scoped_config()
            return ProfileSettings(
                scoped.get("region"),
                _endpoint_of(session, scoped),
                _section(scoped.get("s3")).get("addressing_style"),
            )

    async def signer(self) -> AwsSigner:
        """Return what signs with these credentials.

        Raises:
            ConfigError: If there are none, or they cannot be used.
            Unreachable: If a service that gives them could not be reached.

        """
        signer = AwsSigner(self.resolve, await self.resolve(), profile=self._profile)
        await signer.check()
        return signer

    async def resolve(self) -> Any:
        """Return credentials of the library, found anew."""
        with _mapped(self._profile):
            credentials = await self._session().get_credentials()
        if credentials is None:
            raise ConfigError(
                "no credentials were found for S3",
                hint="give --profile, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or read "
                "public buckets with --no-sign-request",
            )
        return credentials

    def _session(self) -> AioSession:
        return AioSession(profile=self._profile)


def _endpoint_of(session: AioSession, scoped: dict[str, Any]) -> str | None:
    """Return the endpoint that a profile gives S3, in its `services` or for all of them."""
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    services = _section(session.full_config.get("services"))
    named = _section(services.get(str(scoped.get("services"))))
    return _section(named.get("s3")).get("endpoint_url") or scoped.get("endpoint_url")


def _section(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class AwsSigner:
    """Signs requests with Signature Version 4 for S3.

    Args:
        resolve: Finds credentials anew.
        credentials: Of the library, as found.
        profile: Where they are from, for messages.
        clock: Monotonic clock, in seconds.

    """

    def __init__(
        self,
        resolve: Callable[[], Any],
        credentials: Any,
        *,
        profile: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolve = resolve
        self._credentials = credentials
        self._profile = profile
        self._clock = clock
        self._lock = asyncio.Lock()
        self._useless_until_s = float("-inf")
        self._signs_with: Any = None
        self._sign = SigV4("", "").signed

    def __repr__(self) -> str:
        return "AwsSigner(<redacted>)"

    async def check(self) -> None:
        """Get the keys once, so that what is wrong with them is told at once.

        Raises:
            ConfigError: If they cannot be had.
            Unreachable: If a service that gives them could not be reached.

        """
        await self._keys()

    async def signed(self, request: HttpRequest, *, region: str) -> tuple[Header, ...]:
        """Return the fields of a request with a signature for a region.

        Raises:
            ConfigError: If the credentials had expired and could not be renewed.
            Unreachable: If a service that renews them could not be reached.

        """
        keys = await self._keys()
        if keys != self._signs_with:
            self._signs_with = keys
            self._sign = SigV4(keys.access_key, keys.secret_key, keys.token).signed
        return self._sign(
            request.method, request.url, request.headers, region=region, now_utc=datetime.now(UTC)
        )

    async def renew(self, rejected: tuple[Header, ...]) -> bool:
        """Find other credentials than those of a request that was refused."""
        async with self._lock:
            keys = await self._keys()
            if not _is_signed_with(keys, rejected):
                return True  # another request was faster
            if self._clock() < self._useless_until_s:
                return False
            self._credentials = await self._resolve()
            is_new = bool(await self._keys() != keys)
            if not is_new:
                self._useless_until_s = self._clock() + FAILURE_HOLDS_S
            return is_new

    async def _keys(self) -> Any:
        with _mapped(self._profile):
            return await self._credentials.get_frozen_credentials()


def _is_signed_with(keys: Any, headers: tuple[Header, ...]) -> bool:
    fields = {name.lower(): value for name, value in headers}
    is_same_key = f"Credential={keys.access_key}/" in fields.get("authorization", "")
    return is_same_key and fields.get("x-amz-security-token", "") == (keys.token or "")


@contextlib.contextmanager
def _mapped(profile: str | None) -> Iterator[None]:
    try:
        yield
    # BotoCoreError and ClientError: the two roots of botocore; OSError: files and processes
    # that a profile names; ValueError: their contents.
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        raise map_botocore_errors(error, profile) from error


def map_botocore_errors(error: Exception, profile: str | None = None) -> AsyncDicomError:
    """Turn an exception of botocore into one of ours; total."""
    why = one_line(str(error))
    match error:
        case ProfileNotFound():
            return ConfigError("there is no such profile", hint=why)
        case PartialCredentialsError():
            return ConfigError(f"only half of the credentials are there: {why}")
        case SSOError() | TokenRetrievalError():
            name = "" if profile is None else f" --profile {profile}"
            return ConfigError(f"the login has ended: {why}", hint=f"run `aws sso login{name}`")
        case BotoConnectionError() | HTTPClientError() | MetadataRetrievalError():
            return Unreachable(f"credentials could not be fetched: {why}")
        case _:
            return ConfigError(f"credentials could not be had: {why}")
