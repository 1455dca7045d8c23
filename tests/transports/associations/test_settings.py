"""Settings of a DIMSE transport: what is refused, and what never shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.settings import (
    DimseSettings,
    TlsSettings,
    UserIdentity,
)

PLAIN: dict[str, Any] = {"host": "archive", "called_ae": "ARCHIVE"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"host": ""}, id="no host"),
        pytest.param({"port": 0}, id="port 0"),
        pytest.param({"port": 65536}, id="port beyond"),
        pytest.param({"called_ae": ""}, id="no called AE"),
        pytest.param({"called_ae": "   "}, id="blank called AE"),
        pytest.param({"called_ae": "A" * 17}, id="called AE of 17 characters"),
        pytest.param({"calling_ae": "A\\B"}, id="backslash"),
        pytest.param({"calling_ae": "A\nB"}, id="line end"),
        pytest.param({"calling_ae": "ÄRZTE"}, id="not ASCII"),
        pytest.param({"max_pdu_bytes": 4095}, id="tiny PDUs"),
        pytest.param({"max_pdu_bytes": 0}, id="no limit of PDUs"),
        pytest.param({"max_pdu_bytes": 16 * 1024 * 1024 + 1}, id="huge PDUs"),
        pytest.param({"connect_timeout_s": 0}, id="no time to connect"),
        pytest.param({"acse_timeout_s": -1}, id="no time to associate"),
        pytest.param({"idle_timeout_s": float("nan")}, id="no number"),
    ],
)
def test_values_out_of_bounds_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DimseSettings(**(PLAIN | changes))


@pytest.mark.parametrize("title", ["A", "A" * 16, "WITH BLANK", "under_score-1"])
def test_ae_titles_of_the_standard_are_taken(title: str) -> None:
    assert DimseSettings(**(PLAIN | {"called_ae": title})).called_ae == title


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        pytest.param({"port": 104}, "dicom://archive:104", id="plain"),
        pytest.param({"tls": TlsSettings()}, "dicoms://archive:11112", id="TLS"),
        pytest.param({"host": "::1"}, "dicom://[::1]:11112", id="IPv6"),
    ],
)
def test_the_origin_names_the_peer_and_nobody(changes: dict[str, Any], origin: str) -> None:
    assert DimseSettings(**(PLAIN | changes)).origin == origin


def test_an_identity_does_not_show() -> None:
    settings = DimseSettings(**PLAIN, identity=UserIdentity("johndoe", "s3cret"))
    assert "johndoe" not in repr(settings)
    assert "s3cret" not in repr(settings)


def test_an_identity_has_a_name() -> None:
    with pytest.raises(ConfigError):
        UserIdentity("", "s3cret")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"profile": "ssl3"}, id="unknown profile"),
        pytest.param({"client_key_file": Path("key.pem")}, id="key without certificate"),
    ],
)
def test_tls_settings_that_contradict_each_other_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TlsSettings(**values)
