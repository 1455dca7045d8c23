"""The way to a server as options say it."""

from __future__ import annotations

from typing import Any

import pytest

from asyncdicom import wiring
from asyncdicom.connecting import byte_count, header_of, transport_settings
from asyncdicom.errors import ConfigError


def test_there_is_one_way() -> None:
    assert wiring.byte_count is byte_count
    assert wiring.transport_settings is transport_settings


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("X-A: b", ("X-A", "b")),
        ("x-a:b:c", ("x-a", "b:c")),
        (" X-A :  b ", ("X-A", "b")),
        ("X-A:", ("X-A", "")),
    ],
)
def test_a_field_is_read(text: str, field: tuple[str, str]) -> None:
    assert header_of(text) == field


@pytest.mark.parametrize(
    "text", ["", "X-A", ": b", "X-A: b\r\nX-B: c", "X-A: \0", "X A: b", "(X): b", "X-Ä: b"]
)
def test_what_is_no_field_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        header_of(text)


@pytest.mark.parametrize("text", ["1e400", "infinityk", "nan", "0", "-1k", "10X", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="size"):
        byte_count(text)


@pytest.mark.parametrize(
    ("options", "pause_s"),
    [
        pytest.param({}, 0.0, id="no bound"),
        pytest.param({"bandwidth": "1048576", "concurrency": 32}, 32.0, id="shared by 32"),
        pytest.param({"bandwidth": "2097152", "stream_window": 2048}, 8.0, id="large pieces"),
    ],
)
def test_a_bandwidth_lets_each_wait_for_the_pieces_of_all_others(
    options: dict[str, Any], pause_s: float
) -> None:
    assert transport_settings(options).consumer_pause_s == pause_s
