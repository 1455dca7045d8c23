"""Credentials where Amazon's tools look for them, and signatures that a store accepts."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import botocore.auth
import botocore.exceptions
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.tokens import SSOTokenProvider

from asyncdicom.errors import AsyncDicomError, ConfigError, Unreachable
from asyncdicom.ports.http import HttpRequest
from asyncdicom.protocol.object_stores.endpoints import ProfileSettings
from asyncdicom.transports import aws_credentials as module
from asyncdicom.transports.aws_credentials import AwsAccount, AwsSigner, map_botocore_errors
from tests.support.origin import Answer, Origin, open_origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncdicom.model import Header

pytestmark = pytest.mark.anyio

REQUEST = HttpRequest("https://bucket.s3.eu-west-1.amazonaws.com/a%20b?x=1%2F2", headers=())
NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/secret", "a-session-token"


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with open_origin() as found:
        yield found


class Fixed:
    """A clock that stands."""

    @staticmethod
    def now(_: object) -> datetime:
        return NOW


class Home:
    """A folder with the files of Amazon's tools."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))

    def config(self, text: str) -> None:
        (self.folder / "config").write_text(inspect.cleandoc(text))

    def credentials(self, text: str) -> None:
        (self.folder / "credentials").write_text(inspect.cleandoc(text))

    def environment(self, **values: str) -> None:
        for name, value in values.items():
            self._monkeypatch.setenv(name, value)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, monkeypatch)


async def fields_of(signer: AwsSigner, request: HttpRequest = REQUEST) -> dict[str, str]:
    signed = await signer.signed(request, region="eu-west-1")
    return {name.lower(): value for name, value in signed}


async def who(account: AwsAccount) -> tuple[str, str | None]:
    """Return access key and session token of what an account signs with."""
    fields = await fields_of(await account.signer())
    match = re.search("Credential=([^/]+)/", fields["authorization"])
    assert match is not None
    return match[1], fields.get("x-amz-security-token")


def in_one_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_the_environment_holds_credentials(home: Home) -> None:
    home.environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_SESSION_TOKEN=TOKEN)
    assert await who(AwsAccount()) == (KEY, TOKEN)


async def test_profiles_hold_credentials(home: Home) -> None:
    home.credentials(
        f"""
        [default]
        aws_access_key_id = FIRST
        aws_secret_access_key = {SECRET}
        [other]
        aws_access_key_id = SECOND
        aws_secret_access_key = {SECRET}
        """
    )
    assert await who(AwsAccount()) == ("FIRST", None)
    assert await who(AwsAccount("other")) == ("SECOND", None)
    home.environment(AWS_PROFILE="other")
    assert await who(AwsAccount()) == ("SECOND", None)


async def test_a_command_gives_credentials(home: Home) -> None:
    found = {"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET, "SessionToken": TOKEN}
    (home.folder / "keys.json").write_text(json.dumps(found))
    home.config(
        f"""
        [profile p]
        credential_process = cat {home.folder}/keys.json
        """
    )
    assert await who(AwsAccount("p")) == (KEY, TOKEN)


def sts_answer(action: str) -> Answer:
    body = f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
    <Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>
    <SessionToken>{TOKEN}</SessionToken><Expiration>{in_one_hour()}</Expiration></Credentials>
    <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId>
    </AssumedRoleUser></{action}Result></{action}Response>"""
    return Answer(200, (("Content-Type", "text/xml"),), body.encode())


async def test_a_role_is_assumed(home: Home, origin: Origin) -> None:
    origin.serve("/", sts_answer("AssumeRole"))
    home.environment(AWS_ENDPOINT_URL_STS=origin.url(""))
    home.credentials(f"[base]\naws_access_key_id = BASE\naws_secret_access_key = {SECRET}")
    home.config(
        """
        [profile r]
        role_arn = arn:aws:iam::123456789012:role/reader
        source_profile = base
        region = eu-west-1
        """
    )
    assert await who(AwsAccount("r")) == ("ROLE", TOKEN)
    (asked,) = origin.requests
    assert parse_qs(asked.body.decode())["Action"] == ["AssumeRole"]


async def test_a_web_identity_is_exchanged(home: Home, origin: Origin) -> None:
    origin.serve("/", sts_answer("AssumeRoleWithWebIdentity"))
    (home.folder / "token").write_text("an-identity")
    home.environment(
        AWS_ENDPOINT_URL_STS=origin.url(""),
        AWS_REGION="eu-west-1",
        AWS_ROLE_ARN="arn:aws:iam::123456789012:role/reader",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(home.folder / "token"),
    )
    assert await who(AwsAccount()) == ("ROLE", TOKEN)
    assert parse_qs(origin.requests[0].body.decode())["WebIdentityToken"] == ["an-identity"]


async def test_a_container_gives_credentials(home: Home, origin: Origin) -> None:
    found = {
        "AccessKeyId": KEY,
        "SecretAccessKey": SECRET,
        "Token": TOKEN,
        "Expiration": in_one_hour(),
    }
    url = origin.serve("/creds", Answer(200, (), json.dumps(found).encode()))
    home.environment(AWS_CONTAINER_CREDENTIALS_FULL_URI=url)
    assert await who(AwsAccount()) == (KEY, TOKEN)


async def test_a_machine_gives_credentials(home: Home, origin: Origin) -> None:
    found = {
        "Code": "Success",
        "AccessKeyId": KEY,
        "SecretAccessKey": SECRET,
        "Token": TOKEN,
        "Expiration": in_one_hour(),
    }
    path = "/latest/meta-data/iam/security-credentials/"
    origin.serve("/latest/api/token", Answer(200, (), b"t"))
    origin.serve(path, Answer(200, (), b"a-role"))
    origin.serve(f"{path}a-role", Answer(200, (), json.dumps(found).encode()))
    home.environment(
        AWS_EC2_METADATA_SERVICE_ENDPOINT=origin.url("/"), AWS_EC2_METADATA_DISABLED="false"
    )
    assert await who(AwsAccount()) == (KEY, TOKEN)


SSO_PROFILE = """
    [profile s]
    sso_session = here
    sso_account_id = 123456789012
    sso_role_name = reader
    [sso-session here]
    sso_start_url = https://start.test/start
    sso_region = eu-west-1
    sso_registration_scopes = sso:account:access
    """


async def test_a_login_gives_credentials(
    home: Home, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library looks for HOME when it is imported.
    monkeypatch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", str(home.folder))
    token = {"accessToken": "sso", "expiresAt": in_one_hour(), "startUrl": "https://start.test"}
    name = hashlib.sha1(b"here").hexdigest()
    (home.folder / f"{name}.json").write_text(json.dumps(token))
    expires = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
    found = {
        "roleCredentials": {
            "accessKeyId": KEY,
            "secretAccessKey": SECRET,
            "sessionToken": TOKEN,
            "expiration": expires,
        }
    }
    origin.serve("/federation/credentials", Answer(200, (), json.dumps(found).encode()))
    home.environment(AWS_ENDPOINT_URL_SSO=origin.url(""))
    home.config(SSO_PROFILE)
    assert await who(AwsAccount("s")) == (KEY, TOKEN)


async def test_a_login_that_has_ended_says_how_to_begin_one(home: Home) -> None:
    home.config(SSO_PROFILE)
    with pytest.raises(ConfigError, match="aws sso login --profile s"):
        await who(AwsAccount("s"))


async def test_no_credentials_say_both_ways_out(home: Home) -> None:
    with pytest.raises(ConfigError) as caught:
        await AwsAccount().signer()
    assert "--profile" in str(caught.value)
    assert "--no-sign-request" in str(caught.value)


async def test_half_of_the_credentials_are_refused(home: Home) -> None:
    home.environment(AWS_ACCESS_KEY_ID=KEY)
    with pytest.raises(ConfigError, match="half"):
        await AwsAccount().signer()


async def test_an_unknown_profile_is_refused(home: Home) -> None:
    with pytest.raises(ConfigError, match=r"no such profile.*nobody"):
        AwsAccount("nobody").settings()
    with pytest.raises(ConfigError, match=r"no such profile.*nobody"):
        await AwsAccount("nobody").signer()


async def test_a_configuration_that_cannot_be_read_is_refused(home: Home) -> None:
    home.config("[profile p\nnonsense")
    with pytest.raises(ConfigError):
        AwsAccount("p").settings()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("region = eu-north-1", ProfileSettings("eu-north-1"), id="a region"),
        pytest.param(
            "endpoint_url = http://a", ProfileSettings(endpoint_url="http://a"), id="an endpoint"
        ),
        pytest.param(
            "endpoint_url = http://a\nservices = o\n[services o]\ns3 =\n  endpoint_url = http://b",
            ProfileSettings(endpoint_url="http://b"),
            id="one of its own for S3",
        ),
        pytest.param(
            "endpoint_url = http://a\nservices = o\n[services o]\nsts =\n  endpoint_url = http://b",
            ProfileSettings(endpoint_url="http://a"),
            id="one of its own for others",
        ),
        pytest.param(
            "s3 =\n  addressing_style = path",
            ProfileSettings(addressing_style="path"),
            id="an addressing style",
        ),
        pytest.param(
            "endpoint_url = http://a\nignore_configured_endpoint_urls = true",
            ProfileSettings(),
            id="endpoints that are not to be used",
        ),
        pytest.param("output = json", ProfileSettings(), id="nothing for us"),
        pytest.param("s3 = nonsense", ProfileSettings(), id="nonsense"),
    ],
)
def test_a_profile_says_where_to_go(home: Home, text: str, found: ProfileSettings) -> None:
    home.config("[profile p]\n" + text)
    assert AwsAccount("p").settings() == found


async def ready(*keys: str) -> AwsSigner:
    """Return a signer with the first key; each renewal takes the next, the last one for ever."""
    rest = [Frozen(key) for key in keys]

    async def resolve() -> Frozen:
        await asyncio.sleep(0)
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return AwsSigner(resolve, await resolve())


class Frozen:
    """Stands for credentials of the library."""

    def __init__(self, key: str) -> None:
        self.keys = ReadOnlyCredentials(key, SECRET, None)

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self.keys


def key_in(headers: tuple[Header, ...]) -> str:
    return dict(headers)["authorization"].partition("Credential=")[2].partition("/")[0]


async def test_credentials_are_renewed_once_for_all_that_were_refused() -> None:
    signer = await ready("1", "2", "3")
    signed = [await signer.signed(REQUEST, region="x") for _ in range(4)]
    assert await asyncio.gather(*[signer.renew(one) for one in signed]) == [True] * 4
    assert key_in(await signer.signed(REQUEST, region="x")) == "2"


async def test_credentials_that_stay_the_same_are_not_asked_for_again_and_again() -> None:
    now_s = 0.0
    asked = 0

    async def resolve() -> Frozen:
        nonlocal asked
        asked += 1
        return Frozen("1" if asked < 3 else "2")

    signer = AwsSigner(resolve, Frozen("1"), clock=lambda: now_s)
    refused = await signer.signed(REQUEST, region="x")
    assert [await signer.renew(refused) for _ in range(3)] == [False] * 3
    assert asked == 1
    now_s = 6.0
    assert not await signer.renew(refused)
    now_s = 12.0
    assert await signer.renew(refused)
    assert asked == 3


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.eu-west-1.amazonaws.com/a%20b%2Bc",
        "http://127.0.0.1:9000/bucket?list-type=2&prefix=a%2Fb%20c",
        "https://s3.eu-west-1.amazonaws.com/bucket/a//b/%C3%A9",
    ],
)
async def test_a_signature_is_that_of_botocore(
    url: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)
    monkeypatch.setattr(module, "datetime", Fixed)
    home.environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_SESSION_TOKEN=TOKEN)
    signer = await AwsAccount().signer()
    headers = (("accept-encoding", "identity"), ("x-amz-checksum-mode", "ENABLED"))
    fields = await fields_of(signer, HttpRequest(url, headers=headers))
    theirs = AWSRequest("GET", url, headers={"x-amz-checksum-mode": "ENABLED"})
    keys = ReadOnlyCredentials(KEY, SECRET, TOKEN)
    S3SigV4Auth(keys, "s3", "eu-west-1").add_auth(theirs)
    expected = {name.lower(): value for name, value in theirs.headers.items()}
    assert fields == expected | {"accept-encoding": "identity"}
    signed = re.search("SignedHeaders=([^,]+)", fields["authorization"])
    assert signed is not None
    # Google and proxies rewrite others.
    assert all(name == "host" or name.startswith("x-amz-") for name in signed[1].split(";"))


async def test_a_slash_that_travels_escaped_is_signed_as_a_slash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)
    monkeypatch.setattr(module, "datetime", Fixed)
    signer = await ready("1")
    plain = HttpRequest("http://a.test/b/x/../y?prefix=a%2Fb")
    escaped = HttpRequest("http://a.test/b/x%2F..%2Fy?prefix=a%2Fb")
    assert await fields_of(signer, plain) == await fields_of(signer, escaped)


async def test_no_secret_is_shown(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    home.environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_SESSION_TOKEN=TOKEN)
    account = AwsAccount()
    signer = await account.signer()
    fields = await fields_of(signer)
    shown = repr(signer) + repr(account) + caplog.text
    signature = fields["authorization"].rpartition("=")[2]
    assert not any(secret in shown for secret in (SECRET, TOKEN, signature))


EXCEPTIONS = [
    kind
    for _, kind in inspect.getmembers(botocore.exceptions, inspect.isclass)
    if issubclass(kind, (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError))
]


def raised(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, "because\nof this")
    return error


@pytest.mark.parametrize("kind", [*EXCEPTIONS, OSError, ValueError], ids=lambda kind: kind.__name__)
def test_every_exception_of_the_library_is_one_of_ours(kind: type[Exception]) -> None:
    error = map_botocore_errors(raised(kind), "p")
    assert isinstance(error, ConfigError | Unreachable)
    assert "\n" not in str(error)


def test_what_cannot_be_reached_is_told_apart() -> None:
    error = botocore.exceptions.EndpointConnectionError(endpoint_url="http://x")
    assert isinstance(map_botocore_errors(error), Unreachable)


async def test_a_service_that_cannot_be_reached_is_an_error_of_ours(home: Home) -> None:
    home.environment(
        AWS_ENDPOINT_URL_STS="http://127.0.0.1:1",
        AWS_MAX_ATTEMPTS="1",
        AWS_REGION="eu-west-1",
        AWS_ROLE_ARN="arn:aws:iam::123456789012:role/reader",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(home.folder / "token"),
    )
    (home.folder / "token").write_text("an-identity")
    with pytest.raises(AsyncDicomError):
        await AwsAccount().signer()
