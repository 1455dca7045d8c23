"""From the options of a command to a source."""

from __future__ import annotations

from typing import Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.jobs.dimse_archive import DimseArchive
from asyncdicom.jobs.web_archive import WebArchive
from asyncdicom.mock import MockServer, SyntheticArchive, SyntheticOptions
from asyncdicom.mock.dicomweb import WebOptions
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.wiring import (
    byte_count,
    check_root,
    open_archive,
    open_source,
    root_of,
    scheduler_settings,
    transport_settings,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500", 500),
        ("500k", 500_000),
        ("10M", 10_000_000),
        ("1.5G", 1_500_000_000),
        ("2t", 2 * 10**12),
        (" 10 MB ", 10_000_000),
        ("7b", 7),
    ],
)
def test_sizes_are_powers_of_ten(text: str, count: int) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize(
    "text", ["", "M", "ten", "10x", "1..5M", "-5M", "0", "0.0001", "inf", "nan"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="size"):
        byte_count(text)


@pytest.mark.parametrize(
    ("options", "max_errors"),
    [
        ({}, None),
        ({"max_errors": 5}, 5),
        ({"abort": True}, 0),
        ({"abort": True, "max_errors": 5}, 0),
    ],
)
def test_abort_is_no_error_allowed(options: dict[str, Any], max_errors: int | None) -> None:
    assert scheduler_settings(options).abort.max_errors == max_errors


def test_a_run_has_its_numbers() -> None:
    settings = scheduler_settings({"concurrency": 3, "retry": 7, "max_error_rate": 0.5})
    assert (settings.concurrency, settings.retry.retries) == (3, 7)
    assert settings.abort.max_error_rate == 0.5


def test_a_transport_has_its_settings() -> None:
    settings = transport_settings(
        {"timeout": 5.0, "stream_window": 64, "cacert": "ca.pem", "insecure": False, "http2": False}
    )
    assert (settings.idle_timeout_s, settings.stream_window_bytes) == (5.0, 65_536)
    assert (str(settings.ca_file), settings.verify, settings.http2) == ("ca.pem", True, False)
    assert not transport_settings({"insecure": True}).verify


@pytest.mark.parametrize(
    "text",
    ["dicom://A@b:104", "s3://b/p", "gs://b/p", "cod+https://b/p", "idc:", "ftp://a", "a", ""],
)
def test_other_sources_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        root_of(text)


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ["auto", "pyreqwest", "httpx", "aiohttp"])
async def test_a_source_speaks_as_the_options_say(engine: str) -> None:
    archive = SyntheticArchive(SyntheticOptions(studies=1, instances=1, rows=8))
    study = Uid(archive.studies[0].study_instance_uid)
    web = WebOptions(require_token="me:secret")
    options = {"user": "me:secret", "header": ["X-Site: A"], "http_engine": engine}
    async with MockServer(archive, web=web) as server:
        async with (
            open_source(server.url, options | {"bandwidth": "10M"}) as source,
            source.transact(Target(Resource.METADATA, study)) as transaction,
        ):
            transaction.judge()
            assert transaction.sends_credentials
        (request,) = server.requests
    fields = {name.lower(): value for name, value in request.headers}
    assert fields["x-site"] == "A"


@pytest.mark.anyio
@pytest.mark.parametrize("text", ["X-Site", ": A", "X-Site: A\r\nX-Other: B"])
async def test_a_header_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--header"):
        await open_source("http://127.0.0.1:9", {"header": [text]}).__aenter__()


@pytest.mark.anyio
async def test_who_says_nothing_sends_nothing() -> None:
    async with open_source("http://127.0.0.1:9/dicom-web", {}) as source:
        unsent = source.unsent(Target(Resource.METADATA, Uid("1")))
        assert not unsent.sends_credentials


@pytest.mark.parametrize("text", ["http://h/dicom-web", "dicom://A@h", "dicoms://A@h:1?calling=B"])
def test_sources_of_each_kind_are_understood(text: str) -> None:
    check_root(text)


@pytest.mark.parametrize("text", ["dicom://h", "s3://b", "x"])
def test_what_names_no_source_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        check_root(text)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "kind", "options"),
    [
        pytest.param("http://127.0.0.1:9/dicom-web", WebArchive, {}, id="DICOMweb"),
        pytest.param("dicom://A@127.0.0.1:9", DimseArchive, {}, id="DIMSE"),
        pytest.param(
            "dicom://A@127.0.0.1:9", DimseArchive, {"dimse_engine": "pynetdicom"}, id="pynetdicom"
        ),
        pytest.param("dicom://A@localhost:9?retrieve=move", DimseArchive, {"move_port": 0}, id="m"),
    ],
)
async def test_an_archive_of_each_kind_is_opened(
    text: str, kind: type, options: dict[str, Any]
) -> None:
    async with open_archive(text, options) as archive:
        assert isinstance(archive, kind)
        await archive.prepare()
        assert archive.url.startswith(text.partition("9")[0][:10])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        pytest.param("dicom://A@h", {"model": "x"}, "no model", id="an unknown model"),
        pytest.param("dicom://A@h", {"transfer_syntax": "x"}, "not a UID", id="no UID"),
        pytest.param("dicom://A@h", {"calling_aet": "\\"}, "AE title", id="no AE title"),
        pytest.param(
            "dicoms://A@127.0.0.1?retrieve=move", {}, "certificate of ours", id="move without cert"
        ),
        pytest.param("dicoms://A@h", {"cert": "no.pem"}, "no.pem", id="no such file"),
        pytest.param("dicom://A@h", {"dimse_engine": "x"}, "no DIMSE engine", id="another engine"),
    ],
)
async def test_what_a_dimse_archive_cannot_be_opened_with_is_said(
    text: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        await open_archive(text, options).__aenter__()


@pytest.mark.anyio
@pytest.mark.parametrize("option", ["authorization", "user", "bearer", "bearer_command"])
@pytest.mark.parametrize("source", ["http://127.0.0.1:9/dicom-web", "dicom://A@127.0.0.1:9"])
async def test_an_empty_credential_is_refused_and_not_taken_for_none(
    source: str, option: str
) -> None:
    """An unset variable of a script must not make a run anonymous."""
    if source.startswith("dicom:") and option != "user":
        return
    with pytest.raises(ConfigError):
        async with open_archive(source, {option: ""}):
            pass


@pytest.mark.parametrize("text", ["http://[::1/dicom-web", "dicom://[::1", "s3://["])
def test_what_cannot_be_taken_apart_is_no_url(text: str) -> None:
    with pytest.raises(ConfigError):
        check_root(text)
