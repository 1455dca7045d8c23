"""The way to a server as options say it."""

from __future__ import annotations

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
