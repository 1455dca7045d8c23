"""Values for the Authorization field: where they come from, how long they hold, who sees them."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import AsyncDicomError, ConfigError, Unauthorized, UnexpectedContent
from asyncdicom.transports.credentials import (
    FAILURE_HOLDS_S,
    CommandCredentials,
    Grant,
    RenewedCredentials,
    StaticCredentials,
    basic,
    bearer,
    jwt_expiry_s,
    read_netrc,
)
from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.oauth2 import OAuth2Client, OAuth2Credentials
from tests.support.origin import Answer, Origin, Wait, open_origin
from tests.transports.conftest import PATIENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncdicom.ports.http import HttpTransport

pytestmark = pytest.mark.anyio


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Renewed(RenewedCredentials):
    """Numbered values that hold 100 s."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.count = 0
        self.error: AsyncDicomError | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def _obtain(self) -> Grant:
        self.count += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Grant(f"Bearer {self.count}", expires_in_s=100)


class TestStatic:
    async def test_basic_is_utf8_in_base64(self) -> None:
        expected = "Basic " + base64.b64encode("m\u00fcller:p:w".encode()).decode()
        assert await basic("m\u00fcller", "p:w").authorization() == expected

    async def test_bearer_is_one_word(self) -> None:
        assert await bearer("abc").authorization() == "Bearer abc"

    async def test_a_rejected_value_is_all_there_is(self) -> None:
        assert await StaticCredentials("x y").authorization(rejected="x y") == "x y"

    @pytest.mark.parametrize("token", ["", "None", "null", "two words", "\u00e9", "a\r\nb"])
    def test_a_token_that_is_none_is_refused(self, token: str) -> None:
        with pytest.raises(ConfigError) as caught:
            bearer(token)
        assert token == "" or token not in str(caught.value)

    @pytest.mark.parametrize("value", ["", " ", "a\r\nX-Injected: 1", "\u00e9", "a\0"])
    def test_a_value_no_field_can_carry_is_refused(self, value: str) -> None:
        with pytest.raises(ConfigError):
            StaticCredentials(value)

    @pytest.mark.parametrize("pair", [("a\udcff", "c"), ("a", "hunter2\udcff")])
    def test_bytes_of_another_encoding_are_refused(self, pair: tuple[str, str]) -> None:
        with pytest.raises(ConfigError) as caught:
            basic(*pair)
        assert "hunter2" not in repr(caught.value)
        assert caught.value.__cause__ is None

    def test_a_user_with_a_colon_is_refused(self) -> None:
        with pytest.raises(ConfigError):
            basic("a:b", "c")

    @pytest.mark.parametrize(
        "holder",
        [
            StaticCredentials("hunter2"),
            Grant("hunter2"),
            OAuth2Client(token_url="https://x/", client_id="me", client_secret="hunter2"),
            CommandCredentials("print hunter2"),
        ],
    )
    def test_no_secret_is_in_a_repr(self, holder: object) -> None:
        assert "hunter2" not in f"{holder!r} {holder!s}"


class TestNetrc:
    def test_the_host_is_looked_up(self, tmp_path: Path) -> None:
        path = tmp_path / "netrc"
        path.write_text("machine a.example login me password secret\n")
        assert read_netrc(path, "https://a.example:8443/x") == basic("me", "secret")
        assert read_netrc(path, "https://b.example/") is None

    def test_a_missing_file_is_a_configuration_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot read"):
            read_netrc(tmp_path / "none", "https://a/")

    def test_a_file_in_another_encoding_is_told_without_its_secrets(self, tmp_path: Path) -> None:
        path = tmp_path / "netrc"
        path.write_bytes(b"machine a login me password hunter2\xe9\n")
        with pytest.raises(ConfigError, match="not a netrc file") as caught:
            read_netrc(path, "https://a/")
        assert "hunter2" not in repr(caught.value) + repr(caught.value.__cause__)

    def test_a_broken_file_is_told_without_its_secrets(self, tmp_path: Path) -> None:
        path = tmp_path / "netrc"
        path.write_text("machine a login me pasword hunter2\n")
        with pytest.raises(ConfigError) as caught:
            read_netrc(path, "https://a/")
        assert "hunter2" not in repr(caught.value) + repr(caught.value.__cause__)


class TestRenewal:
    async def test_a_value_is_kept_while_it_holds(self) -> None:
        clock = Clock()
        renewed = Renewed(clock)
        assert await renewed.authorization() == "Bearer 1"
        clock.now_s += 89
        assert await renewed.authorization() == "Bearer 1"

    async def test_it_is_renewed_before_it_expires(self) -> None:
        clock = Clock()
        renewed = Renewed(clock)
        await renewed.authorization()
        clock.now_s += 91
        assert await renewed.authorization() == "Bearer 2"

    async def test_a_rejected_value_is_renewed(self) -> None:
        renewed = Renewed(Clock())
        await renewed.authorization()
        assert await renewed.authorization(rejected="Bearer 1") == "Bearer 2"
        assert await renewed.authorization(rejected="Bearer 1") == "Bearer 2"
        assert renewed.count == 2

    async def test_nobody_waits_while_the_old_value_still_holds(self) -> None:
        clock = Clock()
        renewed = Renewed(clock)
        await renewed.authorization()
        clock.now_s += 95
        renewed.gate.clear()
        renewal = asyncio.create_task(renewed.authorization())
        await asyncio.sleep(0)
        assert await renewed.authorization() == "Bearer 1"
        renewed.gate.set()
        assert await renewal == "Bearer 2"

    async def test_everybody_waits_once_it_has_expired(self) -> None:
        clock = Clock()
        renewed = Renewed(clock)
        await renewed.authorization()
        clock.now_s += 101
        found = await asyncio.gather(*(renewed.authorization() for _ in range(10)))
        assert set(found) == {"Bearer 2"}

    async def test_a_failed_renewal_is_forgiven_while_the_old_value_holds(self) -> None:
        clock = Clock()
        renewed = Renewed(clock)
        await renewed.authorization()
        renewed.error = ConfigError("down")
        clock.now_s += 95
        assert await renewed.authorization() == "Bearer 1"

    async def test_a_failed_renewal_is_not_repeated_by_every_worker(self) -> None:
        clock = Clock()
        renewed = Renewed(clock)
        renewed.error = ConfigError("down")
        for _ in range(5):
            with pytest.raises(ConfigError, match="down"):
                await renewed.authorization()
        assert renewed.count == 1
        clock.now_s += FAILURE_HOLDS_S
        renewed.error = None
        assert await renewed.authorization() == "Bearer 2"

    async def test_a_cancelled_renewal_is_taken_over(self) -> None:
        renewed = Renewed(Clock())
        renewed.gate.clear()
        first = asyncio.create_task(renewed.authorization())
        second = asyncio.create_task(renewed.authorization())
        await asyncio.sleep(0)
        first.cancel()
        renewed.gate.set()
        assert await second == "Bearer 2"


def python(program: str) -> str:
    return f'"{sys.executable}" -c "{program}"'


class TestCommand:
    async def test_what_it_prints_is_the_token(self) -> None:
        assert await CommandCredentials(python("print('abc')")).authorization() == "Bearer abc"

    async def test_no_shell_is_involved(self, tmp_path: Path) -> None:
        bait = tmp_path / "bait"
        program = "import sys; print(len(sys.argv))"
        command = f"{python(program)} ; touch {bait} $HOME"
        assert await CommandCredentials(command).authorization() == "Bearer 5"
        assert not bait.exists()

    @pytest.mark.parametrize(
        ("command", "told"),
        [
            pytest.param(python("pass"), "empty", id="prints nothing"),
            pytest.param(python("print('hunter2'); exit(3)"), "exit status 3", id="fails"),
            pytest.param(python("print('hunter2 or not')"), "one word", id="prints a sentence"),
            pytest.param(python("print('hunter2' * 20000)"), "more than", id="prints a flood"),
            pytest.param("/nowhere/at/all", "cannot be started", id="is not there"),
            pytest.param(python("print(None)"), "empty", id="prints None"),
        ],
    )
    async def test_what_goes_wrong_is_told_without_the_output(
        self, command: str, told: str
    ) -> None:
        with pytest.raises(ConfigError, match=told) as caught:
            await CommandCredentials(command).authorization()
        assert "hunter2" not in str(caught.value)

    async def test_it_must_end_in_time(self) -> None:
        command = python("import time; time.sleep(60)")
        with pytest.raises(ConfigError, match=r"ran for 0\.3 s"):
            await CommandCredentials(command, timeout_s=0.3).authorization()

    @pytest.mark.parametrize("command", ["", "  ", "a 'b"])
    def test_a_command_that_cannot_be_read_is_refused(self, command: str) -> None:
        with pytest.raises(ConfigError):
            CommandCredentials(command)

    async def test_it_runs_again_only_when_the_token_expires(self, tmp_path: Path) -> None:
        token = jwt({"exp": time.time() + 1000})
        script = tmp_path / "token.py"
        script.write_text(f"open({str(tmp_path / 'log')!r}, 'a').write('x')\nprint({token!r})\n")
        clock = Clock()
        credentials = CommandCredentials(f'"{sys.executable}" "{script}"', clock=clock)
        for later_s in (0, 500, 500):
            clock.now_s += later_s
            assert await credentials.authorization() == f"Bearer {token}"
        assert (tmp_path / "log").read_text() == "xx"


def jwt(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.sig"


@pytest.mark.parametrize(
    ("token", "expiry_s"),
    [
        pytest.param(jwt({"exp": 12345}), 12345, id="whole seconds"),
        pytest.param(jwt({"exp": 12345.5}), 12345.5, id="fractions"),
        pytest.param(jwt({}), None, id="none"),
        pytest.param(jwt({"exp": "12345"}), None, id="text"),
        pytest.param(jwt({"exp": True}), None, id="a truth value"),
        pytest.param(jwt({"exp": 1e300}), None, id="absurd"),
        pytest.param(jwt([1]), None, id="a list"),
        pytest.param("opaque", None, id="an opaque token"),
        pytest.param("a.!.c", None, id="no base64"),
        pytest.param("a.bm90IGpzb24.c", None, id="no JSON"),
    ],
)
def test_the_expiry_of_a_json_web_token_is_read(token: str, expiry_s: float | None) -> None:
    assert jwt_expiry_s(token) == expiry_s


@pytest.fixture
async def server() -> AsyncIterator[Origin]:
    async with open_origin() as found:
        yield found


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    opened = open_transport("pyreqwest", PATIENT)
    yield opened
    await opened.aclose()


def answer(status: int = 200, **fields: Any) -> Answer:
    return Answer(status, (("Content-Type", "application/json"),), json.dumps(fields).encode())


def client(server: Origin, **fields: Any) -> OAuth2Client:
    fields = {"client_id": "me", "client_secret": "s&cret"} | fields
    return OAuth2Client(token_url=server.url("/token"), **fields)


class TestOAuth2:
    async def test_client_credentials(self, server: Origin, transport: HttpTransport) -> None:
        server.serve("/token", answer(access_token="abc", token_type="Bearer", expires_in=60))
        credentials = OAuth2Credentials(client(server, scope="a b"), transport)
        assert await credentials.authorization() == "Bearer abc"
        request = server.requests[0]
        assert request.body == b"grant_type=client_credentials&scope=a+b"
        expected = "Basic " + base64.b64encode(b"me:s%26cret").decode()
        assert request.header("authorization") == expected

    async def test_the_secret_in_the_body(self, server: Origin, transport: HttpTransport) -> None:
        server.serve("/token", answer(access_token="abc"))
        credentials = OAuth2Credentials(client(server, secret_in_body=True), transport)
        await credentials.authorization()
        assert b"client_id=me&client_secret=s%26cret" in server.requests[0].body
        assert server.requests[0].header("authorization") is None

    async def test_a_refresh_token_may_rotate(
        self, server: Origin, transport: HttpTransport
    ) -> None:
        server.serve("/token", answer(access_token="a", refresh_token="second"))
        server.serve("/token", answer(access_token="b"))
        credentials = OAuth2Credentials(
            client(server, client_secret=None, refresh_token="first"), transport
        )
        assert await credentials.authorization() == "Bearer a"
        assert await credentials.authorization(rejected="Bearer a") == "Bearer b"
        assert b"refresh_token=first" in server.requests[0].body
        assert b"refresh_token=second" in server.requests[1].body

    async def test_it_is_renewed_before_it_expires(
        self, server: Origin, transport: HttpTransport
    ) -> None:
        server.serve("/token", answer(access_token="a", expires_in=3600))
        server.serve("/token", answer(access_token="b", expires_in="3600"))
        clock = Clock()
        credentials = OAuth2Credentials(client(server), transport, clock=clock)
        assert await credentials.authorization() == "Bearer a"
        clock.now_s += 3541
        assert await credentials.authorization() == "Bearer b"

    async def test_a_refusal_is_told_without_secrets(
        self, server: Origin, transport: HttpTransport
    ) -> None:
        server.serve("/token", answer(400, error="invalid_client", error_description="s&cret"))
        with pytest.raises(Unauthorized, match=r"answers 400 \(invalid_client\)") as caught:
            await OAuth2Credentials(client(server), transport).authorization()
        assert "s&cret" not in repr(caught.value)

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(answer(), id="no token"),
            pytest.param(answer(access_token=None), id="a token that is null"),
            pytest.param(answer(access_token=""), id="an empty token"),
            pytest.param(answer(access_token=["a"]), id="a list"),
            pytest.param(answer(access_token="a", token_type="mac"), id="another kind"),
            pytest.param(Answer(200, (), b"<html>"), id="no JSON"),
            pytest.param(Answer(200, (), b"[1]"), id="no object"),
            pytest.param(Answer(200, (), b" " * 300_000), id="a flood"),
        ],
    )
    async def test_an_answer_without_a_token_is_an_error(
        self, server: Origin, transport: HttpTransport, reply: Answer
    ) -> None:
        server.serve("/token", reply)
        with pytest.raises(UnexpectedContent):
            await OAuth2Credentials(client(server), transport).authorization()

    async def test_a_token_that_would_break_the_field_is_refused(
        self, server: Origin, transport: HttpTransport
    ) -> None:
        server.serve("/token", answer(access_token="a\r\nX: y"))
        with pytest.raises(ConfigError):
            await OAuth2Credentials(client(server), transport).authorization()

    async def test_a_server_whose_tokens_no_field_can_carry_is_left_alone_for_a_while(
        self, server: Origin, transport: HttpTransport
    ) -> None:
        server.serve("/token", answer(access_token="\u00e9"))
        credentials = OAuth2Credentials(client(server), transport)
        for _ in range(3):
            with pytest.raises(ConfigError):
                await credentials.authorization()
        assert len(server.requests) == 1

    @pytest.mark.parametrize("lifetime", ["\u00b2", "-1", "1.5", "soon", None, [], True])
    async def test_a_lifetime_that_is_no_number_is_none(
        self, server: Origin, transport: HttpTransport, lifetime: object
    ) -> None:
        server.serve("/token", answer(access_token="a", expires_in=lifetime))
        assert await OAuth2Credentials(client(server), transport).authorization() == "Bearer a"

    async def test_a_redirect_is_not_followed_with_the_secret(
        self, server: Origin, transport: HttpTransport
    ) -> None:
        server.serve("/token", Answer(307, (("Location", "/elsewhere"),)))
        with pytest.raises(Unauthorized, match="answers 307"):
            await OAuth2Credentials(client(server), transport).authorization()
        assert len(server.requests) == 1

    async def test_a_silent_server_is_an_error(
        self, server: Origin, transport: HttpTransport
    ) -> None:
        server.serve("/token", Wait())
        credentials = OAuth2Credentials(client(server), transport, timeout_s=0.1)
        with pytest.raises(UnexpectedContent, match="did not answer"):
            await credentials.authorization()

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({"token_url": "http://archive.example/token"}, id="plain http"),
            pytest.param({"token_url": "ftp://localhost/"}, id="another protocol"),
            pytest.param({"token_url": "https:///"}, id="no host"),
            pytest.param({"token_url": "https://[::1/token"}, id="a broken address"),
            pytest.param({"token_url": "https://x:99999/token"}, id="no port"),
            pytest.param({"client_secret": None}, id="no secret"),
            pytest.param({"token_url": "https://x\udcff/"}, id="a URL that is no text"),
            pytest.param({"client_secret": "\udcff"}, id="a secret that is no text"),
            pytest.param({"scope": "\udcff"}, id="a scope that is no text"),
        ],
    )
    def test_an_unsafe_way_to_a_token_is_refused(self, fields: dict[str, Any]) -> None:
        base = {"token_url": "https://x/token", "client_id": "me", "client_secret": "x"}
        with pytest.raises(ConfigError):
            OAuth2Client(**(base | fields))
