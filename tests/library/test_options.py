"""Options of the library are those of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom.cli.get import command
from asyncdicom.library.options import connection_values
from tests.library.support import UID, opened

if TYPE_CHECKING:
    import click

KNOWN = {parameter.name for parameter in command.params}


@pytest.mark.parametrize(
    "name",
    sorted(
        {
            *asyncdicom.ConnectOptions.__annotations__,
            *asyncdicom.DownloadOptions.__annotations__,
            *asyncdicom.ObjectDownloadOptions.__annotations__,
            *asyncdicom.ObjectVerifyOptions.__annotations__,
            *asyncdicom.RetrieveOptions.__annotations__,
        }
        # A mapping, where the command line has lines; named --expect and --trust-etag there; of
        # the library alone.
        - {"headers", "expect", "trust_etag", "prefetch_bytes", "sha256"}
    ),
)
def test_an_option_has_the_name_it_has_on_the_command_line(name: str) -> None:
    assert name in KNOWN


def parameter_named(name: str) -> click.Parameter:
    return next(one for one in command.params if one.name == name)


@pytest.mark.parametrize(("name", "value"), [("concurrency", 8), ("retry", 3), ("timeout", 30.0)])
def test_defaults_are_those_of_the_command_line(name: str, value: float) -> None:
    assert (asyncdicom.connect.__kwdefaults__ or {})[name] == value
    assert parameter_named(name).default == value


@pytest.mark.parametrize(
    ("given", "concurrency", "kib"),
    [
        pytest.param({}, 1, 1024, id="one request has the usual window"),
        pytest.param({}, 8, 1024, id="so have eight"),
        pytest.param({}, 32, 256, id="many share half of the connection"),
        pytest.param({}, 1024, 64, id="down to what HTTP/2 begins with"),
        pytest.param({"stream_window": 2048}, 32, 2048, id="as the user says"),
    ],
)
def test_windows_of_all_requests_fit_their_connection(
    given: dict[str, Any], concurrency: int, kib: int
) -> None:
    values = connection_values(given, concurrency=concurrency, retry=0)
    assert values["stream_window"] == kib


def test_what_is_none_is_not_given() -> None:
    assert "bearer" not in connection_values({"bearer": None}, concurrency=1, retry=0)


def test_a_bandwidth_may_be_a_number() -> None:
    values = connection_values({"bandwidth": 1000}, concurrency=1, retry=0)
    assert values["bandwidth"] == "1000"


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        pytest.param("no url", {}, asyncdicom.ConfigError, id="no URL"),
        pytest.param("http://a.test", {"tiemout": 1}, TypeError, id="misspelled option"),
        pytest.param(
            "http://a.test", {"concurrency": 0}, asyncdicom.ConfigError, id="none at once"
        ),
        pytest.param("http://a.test", {"retry": -1}, asyncdicom.ConfigError, id="fewer than none"),
    ],
)
def test_what_is_wrong_is_told_at_once(
    url: str, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        asyncdicom.connect(url, **options)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "field"),
    [
        pytest.param({"bearer": "abc"}, ("authorization", "Bearer abc"), id="bearer token"),
        pytest.param({"user": "a:b"}, ("authorization", "Basic YTpi"), id="name and password"),
        pytest.param({"headers": {"X-Site": "7"}}, ("x-site", "7"), id="further field"),
    ],
)
async def test_what_is_given_is_sent(options: dict[str, Any], field: tuple[str, str]) -> None:
    async with opened(**options) as (source, server):
        async for _ in source.retrieve(study=UID):
            pass
        sent = [(name.lower(), value) for name, value in server.requests[0].headers]
        assert field in sent


@pytest.mark.anyio
async def test_a_source_tells_its_url_without_credentials() -> None:
    async with asyncdicom.connect("http://me:secret@a.test/dicom-web") as source:
        assert source.url == "http://a.test/dicom-web"
