"""Settings that contradict each other are told at once, and engines are only loaded when chosen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.pyreqwest import gathered_bytes_of
from asyncdicom.transports.settings import TransportSettings


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"connections": 0}, id="no connection"),
        pytest.param({"idle_timeout_s": 0}, id="no patience"),
        pytest.param({"idle_timeout_s": float("nan")}, id="not a number"),
        pytest.param({"connect_timeout_s": -1}, id="a negative time"),
        pytest.param({"min_bytes_per_s": -1}, id="a negative rate"),
        pytest.param({"read_bytes": 0}, id="nothing to read"),
        pytest.param({"client_key_file": Path("key.pem")}, id="a key without certificate"),
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TransportSettings(**fields)


@pytest.mark.parametrize(
    ("fields", "gathered_bytes"),
    [
        pytest.param({}, 122_880, id="what the least throughput brings in the idle time"),
        pytest.param({"min_bytes_per_s": 1e6}, 131_072, id="at most what is read at once"),
        pytest.param({"min_bytes_per_s": 0}, 1, id="nothing is held back if any trickle is fine"),
        pytest.param({"idle_timeout_s": 1}, 4096, id="less for the impatient"),
    ],
)
def test_no_more_is_gathered_than_a_stall_may_hide(
    fields: dict[str, Any], gathered_bytes: int
) -> None:
    assert gathered_bytes_of(TransportSettings(**fields)) == gathered_bytes


def test_an_unknown_engine_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="known are: auto, pyreqwest, httpx, aiohttp"):
        open_transport("curl", TransportSettings())


def test_aiohttp_does_not_pretend_to_speak_http2_without_tls() -> None:
    with pytest.raises(ConfigError, match=r"HTTP/1\.1 only"):
        open_transport("aiohttp", TransportSettings(h2c=True))


def test_auto_takes_the_fast_engine() -> None:
    assert open_transport("auto", TransportSettings()).name == "pyreqwest"


@pytest.mark.parametrize("engine", ["pyreqwest", "httpx", "aiohttp"])
def test_only_the_chosen_library_is_imported(engine: str) -> None:
    program = (
        "import sys, asyncio\n"
        "from asyncdicom.transports.engines import open_transport\n"
        "from asyncdicom.transports.settings import TransportSettings\n"
        f"open_transport({engine!r}, TransportSettings())\n"
        "print(*sorted({'pyreqwest', 'httpx', 'aiohttp'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=15)
    assert done.stdout.split() == [engine]
