"""An Authorization field for an object store."""

from __future__ import annotations

import pytest

from asyncdicom.ports.http import HttpRequest
from asyncdicom.transports.authorization_signing import AuthorizationSigner
from asyncdicom.transports.credentials import bearer

pytestmark = pytest.mark.anyio

REQUEST = HttpRequest("https://a.test/b/k", headers=(("range", "bytes=0-1"),))


class Numbered:
    """Gives one number after the other, whenever one is rejected; or none at all."""

    def __init__(self, *values: str | None) -> None:
        self._values = list(values)

    async def authorization(self, *, rejected: str | None = None) -> str | None:
        if rejected == self._values[0] and len(self._values) > 1:
            self._values.pop(0)
        return self._values[0]


async def test_the_value_is_added() -> None:
    signer = AuthorizationSigner(bearer("abc"))
    fields = await signer.signed(REQUEST, region="x")
    assert fields == (*REQUEST.headers, ("Authorization", "Bearer abc"))


async def test_a_value_that_never_changes_is_not_renewed() -> None:
    signer = AuthorizationSigner(bearer("abc"))
    assert not await signer.renew(await signer.signed(REQUEST, region="x"))


async def test_a_rejected_value_is_renewed() -> None:
    signer = AuthorizationSigner(Numbered("1", "2"))
    old = await signer.signed(REQUEST, region="x")
    assert await signer.renew(old)
    assert (await signer.signed(REQUEST, region="x"))[-1] == ("Authorization", "2")
    # Another request was refused with the old one meanwhile.
    assert await signer.renew(old)
    assert (await signer.signed(REQUEST, region="x"))[-1] == ("Authorization", "2")


async def test_no_value_is_no_field() -> None:
    signer = AuthorizationSigner(Numbered(None))
    assert await signer.signed(REQUEST, region="x") == REQUEST.headers
