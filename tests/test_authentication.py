"""Who we are is said in one way, and only one."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from asyncdicom.authentication import credentials_of
from asyncdicom.errors import ConfigError
from asyncdicom.protocol.urls import parse_root
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

ROOT = "https://a.test/dicom-web"
OAUTH2 = {"oauth2_token_url": "https://login.test/token", "oauth2_client_id": "me"}
TOKEN = ScriptedAnswer(
    200,
    (("content-type", "application/json"),),
    orjson.dumps({"access_token": "t0", "token_type": "Bearer", "expires_in": 3600}),
)


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


async def said(options: dict[str, Any], root: str = ROOT) -> str | None:
    transport = ScriptedTransport(lambda _: TOKEN)
    credentials = credentials_of(parse_root(root), options, transport)
    return None if credentials is None else await credentials.authorization()


@pytest.mark.parametrize(
    ("options", "root", "expected"),
    [
        pytest.param({}, ROOT, None, id="nothing said"),
        pytest.param({"authorization": "Token x"}, ROOT, "Token x", id="as it is sent"),
        pytest.param({"user": "me:pass:word"}, ROOT, basic("me:pass:word"), id="a password"),
        pytest.param({}, "https://me:p%40ss@a.test/dicom-web", basic("me:p@ss"), id="in the URL"),
        pytest.param({}, "https://me@a.test/dicom-web", basic("me:"), id="a name in the URL"),
        pytest.param(
            {"user": "you:x"},
            "https://me:y@a.test/dicom-web",
            basic("you:x"),
            id="an option before the URL",
        ),
        pytest.param({"bearer": "abc"}, ROOT, "Bearer abc", id="a token"),
        pytest.param({"bearer_command": "echo abc"}, ROOT, "Bearer abc", id="a command"),
        pytest.param(OAUTH2 | {"oauth2_client_secret": "s"}, ROOT, "Bearer t0", id="OAuth2"),
    ],
)
async def test_each_way_says_who_we_are(
    options: dict[str, Any], root: str, expected: str | None
) -> None:
    assert await said(options, root) == expected


@pytest.mark.parametrize("variable", [True, False], ids=["$NETRC", "~/.netrc"])
async def test_a_password_is_read_from_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, variable: bool
) -> None:
    file = tmp_path / ".netrc"
    file.write_text("machine a.test login me password secret\n")
    file.chmod(0o600)
    monkeypatch.setenv("HOME", "/nonexistent" if variable else str(tmp_path))
    if variable:
        monkeypatch.setenv("NETRC", str(file))
    assert await said({"netrc": True}) == basic("me:secret")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"bearer": "a", "user": "b:c"}, "several credentials: --user, --bearer", id="two ways"
        ),
        pytest.param({"user": "me"}, "NAME:PASSWORD", id="no password"),
        pytest.param(
            {"oauth2_token_url": "https://login.test/"}, "needs --oauth2-client-id", id="no client"
        ),
        pytest.param({"authorization": "a\nb"}, "Authorization|authorization", id="two lines"),
    ],
)
async def test_what_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        await said(options)
    assert "secret" not in str(caught.value)
