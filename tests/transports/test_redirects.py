"""What travels where: redirects, credentials, and their renewal."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConfigError, RedirectRefused, UnexpectedContent
from asyncdicom.ports.http import HttpRequest
from asyncdicom.transports.credentials import Grant, RenewedCredentials, StaticCredentials, bearer
from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.redirects import Session
from tests.support.origin import Answer, Origin, Received, Send, Wait, open_origin
from tests.transports.conftest import PATIENT, Authority
from tests.transports.contract import fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncdicom.ports.http import HttpTransport
    from asyncdicom.transports.credentials import Credentials

pytestmark = pytest.mark.anyio

MINE = (("X-Api-Key", "hunter2"), ("Cookie", "hunter2"), ("Accept", "a/b"), ("Range", "bytes=0-"))


def to(location: str, status: int = 302) -> Answer:
    return Answer(status, (("Location", location),), b"elsewhere")


@pytest.fixture
async def transport(authority: Authority) -> AsyncIterator[HttpTransport]:
    opened = open_transport("pyreqwest", replace(PATIENT, ca_file=authority.ca_file))
    yield opened
    await opened.aclose()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with open_origin() as found:
        found.serve("/end", Answer(200, (), b"end"))
        yield found


@pytest.fixture
async def other() -> AsyncIterator[Origin]:
    async with open_origin() as found:
        found.serve("/end", Answer(200, (), b"other end"))
        yield found


@asynccontextmanager
async def tls_origin(authority: Authority) -> AsyncIterator[Origin]:
    async with open_origin(tls=authority.server_context()) as found:
        yield found


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_redirects_are_followed_with_everything_at_home(
        self, transport: HttpTransport, origin: Origin, status: int
    ) -> None:
        session = Session(transport, origin.url(), bearer("secret"))
        found = await fetch(session, origin.serve("/a", to("/end", status)), headers=MINE)
        assert found.body == b"end"
        for request in origin.requests:
            assert request.header("authorization") == "Bearer secret"
            assert request.header("x-api-key") == "hunter2"
        assert origin.connections == 1

    @pytest.mark.parametrize("status", [300, 304, 200, 404])
    async def test_other_statuses_are_answers(
        self, transport: HttpTransport, origin: Origin, status: int
    ) -> None:
        session = Session(transport, origin.url())
        answer = Answer(status, (("Location", "/end"),))
        assert (await fetch(session, origin.serve("/a", answer))).status_code == status

    async def test_no_secret_goes_to_another_port(
        self, transport: HttpTransport, origin: Origin, other: Origin
    ) -> None:
        session = Session(transport, origin.url(), bearer("secret"))
        found = await fetch(session, origin.serve("/a", to(other.url("/end"))), headers=MINE)
        assert found.body == b"other end"
        sent = {name.lower() for name, _value in other.requests[0].headers}
        assert sent == {"accept", "range", "host", "user-agent"}

    async def test_no_secret_goes_to_another_host(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        session = Session(transport, origin.url(), bearer("secret"))
        elsewhere = origin.url("/end").replace("127.0.0.1", "localhost")
        await fetch(session, origin.serve("/a", to(elsewhere)), headers=MINE)
        assert origin.requests[0].header("authorization") == "Bearer secret"
        assert origin.requests[1].header("authorization") is None
        assert origin.requests[1].header("cookie") is None

    async def test_credentials_do_not_come_back_with_a_redirect_home(
        self, transport: HttpTransport, origin: Origin, other: Origin
    ) -> None:
        session = Session(transport, origin.url(), bearer("secret"))
        other.serve("/b", to(origin.url("/end")))
        await fetch(session, origin.serve("/a", to(other.url("/b"))))
        assert [request.path for request in origin.requests] == ["/a", "/end"]
        assert origin.requests[1].header("authorization") is None

    async def test_a_url_of_another_origin_gets_no_secret_at_all(
        self, transport: HttpTransport, origin: Origin, other: Origin
    ) -> None:
        session = Session(transport, origin.url(), bearer("secret"))
        await fetch(session, other.url("/end"), headers=MINE)
        assert other.requests[0].header("authorization") is None
        assert other.requests[0].header("x-api-key") is None

    async def test_user_information_in_a_redirect_is_not_used(
        self, transport: HttpTransport, origin: Origin, other: Origin
    ) -> None:
        session = Session(transport, origin.url())
        url = origin.serve("/a", to(other.url("/end", userinfo="user:hunter2@")))
        await fetch(session, url)
        assert other.requests[0].header("authorization") is None

    @pytest.mark.parametrize(
        "location",
        [
            pytest.param("/a", id="to itself"),
            pytest.param("/b", id="there and back"),
            pytest.param("", id="to nothing"),
            pytest.param("ftp://x/", id="another protocol"),
            pytest.param("file:///etc/passwd", id="a file"),
            pytest.param("http://[", id="no URL"),
        ],
    )
    async def test_hopeless_redirects_are_refused(
        self, transport: HttpTransport, origin: Origin, location: str
    ) -> None:
        origin.serve("/b", to("/a"))
        with pytest.raises(RedirectRefused):
            await fetch(Session(transport, origin.url()), origin.serve("/a", to(location)))
        assert len(origin.requests) <= 2

    async def test_a_redirect_without_location_is_refused(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        with pytest.raises(RedirectRefused, match="nowhere"):
            await fetch(Session(transport, origin.url()), origin.serve("/a", Answer(302)))

    async def test_five_redirects_are_followed_and_not_one_more(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        for number in range(6):
            origin.serve(f"/{number}", to(f"/{number + 1}"))
        origin.serve("/6", Answer())
        session = Session(transport, origin.url())
        assert (await fetch(session, origin.url("/1"))).status_code == 200
        with pytest.raises(RedirectRefused, match="more than 5"):
            await fetch(session, origin.url("/0"))

    async def test_https_never_becomes_http(
        self, transport: HttpTransport, origin: Origin, authority: Authority
    ) -> None:
        async with tls_origin(authority) as secure:
            secure.serve("/a", to(origin.url("/end?token=hunter2")))
            with pytest.raises(RedirectRefused, match="https to http://127") as caught:
                await fetch(Session(transport, secure.url(), bearer("secret")), secure.url("/a"))
        assert "hunter2" not in str(caught.value)
        assert origin.requests == []

    async def test_a_client_certificate_is_not_shown_where_a_reference_leads(
        self, transport: HttpTransport, origin: Origin, other: Origin
    ) -> None:
        session = Session(transport, origin.url(), has_client_certificate=True)
        assert (await fetch(session, origin.url("/end"))).body == b"end"
        with pytest.raises(UnexpectedContent, match="must not see our certificate"):
            await fetch(session, other.url("/end"))
        assert other.connections == 0

    async def test_a_client_certificate_is_not_carried_to_another_origin(
        self, transport: HttpTransport, origin: Origin, other: Origin
    ) -> None:
        session = Session(transport, origin.url(), has_client_certificate=True)
        origin.serve("/home", to("/end"))
        assert (await fetch(session, origin.url("/home"))).body == b"end"
        with pytest.raises(RedirectRefused, match="certificate"):
            await fetch(session, origin.serve("/a", to(other.url("/end"))))
        assert other.requests == []

    async def test_an_endless_body_of_a_redirect_is_not_read(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        head = b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 99999999\r\n\r\n"
        url = origin.serve("/a", Send(head + b"x" * 200_000), Wait())
        assert (await fetch(Session(transport, origin.url()), url)).body == b"end"
        await origin.until(lambda: origin.departures == 1)

    async def test_a_post_is_not_redirected(self, transport: HttpTransport, origin: Origin) -> None:
        session = Session(transport, origin.url())
        found = await fetch(session, origin.serve("/a", to("/end")), method="POST", body=b"x")
        assert found.status_code == 302

    async def test_session_is_a_transport(self, transport: HttpTransport, origin: Origin) -> None:
        session = Session(transport, origin.url())
        await fetch(session, origin.url("/end"))
        assert (session.name, session.statistics().requests) == ("pyreqwest", 1)
        await session.aclose()


class Tokens(RenewedCredentials):
    """Numbered tokens; a gate can hold their renewal."""

    def __init__(self, *, is_broken: bool = False) -> None:
        super().__init__()
        self.count = 0
        self.is_broken = is_broken
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def _obtain(self) -> Grant:
        self.count += 1
        self.asked.set()
        await self.gate.wait()
        if self.is_broken:
            raise ConfigError("no token today")
        return Grant(f"Bearer {self.count}")


@pytest.fixture
def guarded(origin: Origin) -> str:
    """Refuse once, then answer."""
    origin.serve("/guarded", Answer(401, (), b"who?"))
    return origin.serve("/guarded", Answer(200, (), b"yes"))


class TestRenewal:
    async def test_401_renews_once_and_tries_again(
        self, transport: HttpTransport, origin: Origin, guarded: str
    ) -> None:
        tokens = Tokens()
        found = await fetch(Session(transport, origin.url(), tokens), guarded)
        assert (found.status_code, tokens.count) == (200, 2)
        values = [request.header("authorization") for request in origin.requests]
        assert values == ["Bearer 1", "Bearer 2"]

    async def test_a_second_401_is_the_answer(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        tokens = Tokens()
        url = origin.serve("/a", Answer(401))
        assert (await fetch(Session(transport, origin.url(), tokens), url)).status_code == 401
        assert len(origin.requests) == 2

    @pytest.mark.parametrize("status", [403, 404, 407, 503])
    async def test_only_401_renews(
        self, transport: HttpTransport, origin: Origin, status: int
    ) -> None:
        tokens = Tokens()
        await fetch(Session(transport, origin.url(), tokens), origin.serve("/a", Answer(status)))
        assert (tokens.count, len(origin.requests)) == (1, 1)

    @pytest.mark.parametrize(
        "credentials", [None, StaticCredentials("Basic x")], ids=["nobody", "one value only"]
    )
    async def test_what_cannot_be_renewed_is_not_tried_again(
        self, transport: HttpTransport, origin: Origin, credentials: Credentials | None
    ) -> None:
        session = Session(transport, origin.url(), credentials)
        assert (await fetch(session, origin.serve("/a", Answer(401)))).status_code == 401
        assert len(origin.requests) == 1

    async def test_many_rejected_workers_cost_one_renewal(
        self, transport: HttpTransport, origin: Origin
    ) -> None:
        def rule(request: Received) -> Answer:
            return Answer(401 if request.header("authorization") == "Bearer 1" else 200)

        url = origin.decide("/a", rule)
        tokens = Tokens()
        session = Session(transport, origin.url(), tokens)
        found = await asyncio.gather(*(fetch(session, url) for _ in range(20)))
        assert {one.status_code for one in found} == {200}
        assert tokens.count == 2

    async def test_a_renewal_that_fails_fails_the_request_and_frees_it(
        self, transport: HttpTransport, origin: Origin, guarded: str
    ) -> None:
        tokens = Tokens()
        session = Session(transport, origin.url(), tokens)
        await fetch(session, origin.url("/end"))
        tokens.is_broken = True
        with pytest.raises(ConfigError, match="no token today"):
            await fetch(session, guarded)
        assert transport.statistics().in_flight == 0

    async def test_cancelled_during_a_renewal_frees_everything(
        self, transport: HttpTransport, origin: Origin, guarded: str
    ) -> None:
        tokens = Tokens()
        session = Session(transport, origin.url(), tokens)
        await fetch(session, origin.url("/end"))
        tokens.gate.clear()
        tokens.asked.clear()

        async def go() -> None:
            async with session.request(HttpRequest(guarded)):
                raise AssertionError("the gate is closed")

        task = asyncio.create_task(go())
        await tokens.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        tokens.gate.set()
        assert transport.statistics().in_flight == 0
        assert (await fetch(session, origin.url("/end"))).body == b"end"
