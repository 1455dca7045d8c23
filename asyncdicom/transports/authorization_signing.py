"""An Authorization field as what proves who we are to an object store (OAuth2, bearer, Basic)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncdicom.model import Header
    from asyncdicom.ports.http import HttpRequest
    from asyncdicom.transports.credentials import Credentials

__all__ = ["AuthorizationSigner"]

_FIELD = "Authorization"


class AuthorizationSigner:
    """Adds the value that credentials give.

    Args:
        credentials: Who we are at the endpoint; they renew themselves.

    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def signed(self, request: HttpRequest, *, region: str) -> tuple[Header, ...]:  # noqa: ARG002 -- of signatures only
        """Return the fields of a request and the authorization.

        Raises:
            AsyncDicomError: If a value was to be obtained and could not.

        """
        value = await self._credentials.authorization()
        return request.headers if value is None else (*request.headers, (_FIELD, value))

    async def renew(self, rejected: tuple[Header, ...]) -> bool:
        """Get another value than that of a request that was refused."""
        old = next((value for name, value in rejected if name == _FIELD), None)
        return await self._credentials.authorization(rejected=old) != old
