"""Who proves to an object store who we are, request by request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncdicom.model import Header
    from asyncdicom.ports.http import HttpRequest

__all__ = ["RequestSigner"]


class RequestSigner(Protocol):
    """Adds what proves who we are to requests for one endpoint."""

    async def signed(self, request: HttpRequest, *, region: str) -> tuple[Header, ...]:
        """Return the fields of a request, and those that prove who we are.

        Args:
            request: To an URL of the endpoint: whoever calls has seen to that.
            region: Where the bucket is, for signatures that are made for a region.

        Raises:
            AsyncDicomError: If credentials were to be renewed and could not.

        """

    async def renew(self, rejected: tuple[Header, ...]) -> bool:
        """Get other credentials than those of a request that was refused.

        Args:
            rejected: What `signed` returned for it.

        Returns:
            Whether there are others now, so that another try makes sense.

        """
