"""The configuration file: who may read what, and that a misspelt option is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncdicom.config import default_path, load, values_for
from asyncdicom.errors import ConfigError

COMMANDS = {"dump": {"concurrency", "max_errors", "strip"}, "get": {"concurrency", "layout"}}


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param(
            {"XDG_CONFIG_HOME": "/etc/xdg"}, "/etc/xdg/asyncdicom/config.toml", id="XDG folder"
        ),
        pytest.param(
            {"XDG_CONFIG_HOME": "~/here"}, "~/here/asyncdicom/config.toml", id="with a tilde"
        ),
        pytest.param({"XDG_CONFIG_HOME": ""}, "~/.config/asyncdicom/config.toml", id="empty"),
        pytest.param({}, "~/.config/asyncdicom/config.toml", id="nothing said"),
    ],
)
def test_the_file_is_in_the_configuration_folder(
    environment: dict[str, str], expected: str
) -> None:
    assert default_path(environment) == Path(expected).expanduser()


def test_where_nobody_knows_a_home_there_is_a_path_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not default_path({}).exists()


def test_a_command_is_given_what_it_has_and_its_own_wins(tmp_path: Path) -> None:
    text = 'concurrency = 16\nlayout = "tree"\n[dump]\nconcurrency = 4\nmax-errors = 5\n'
    content = load(written(tmp_path, text), commands=COMMANDS)
    assert values_for(content, "dump", COMMANDS["dump"]) == {"concurrency": 4, "max_errors": 5}
    assert values_for(content, "get", COMMANDS["get"]) == {"concurrency": 16, "layout": "tree"}


@pytest.mark.parametrize("spelling", ["max-errors", "max_errors"])
def test_dashes_and_underscores_are_one(tmp_path: Path, spelling: str) -> None:
    content = load(written(tmp_path, f"[dump]\n{spelling} = 5\n"), commands=COMMANDS)
    assert values_for(content, "dump", COMMANDS["dump"]) == {"max_errors": 5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            "concurency = 1", r"unknown option 'concurency'; known are: .*max-errors", id="anywhere"
        ),
        pytest.param(
            "[dump]\nlayout = 1",
            r"unknown option 'layout' of \[dump\]; known are: concurrency, max-errors, strip",
            id="of another command",
        ),
        pytest.param(
            "[dmup]\nstrip = true", r"unknown command \[dmup\]; known are: dump, get", id="command"
        ),
        pytest.param("concurrency = ", "is not TOML", id="no TOML"),
    ],
)
def test_what_nobody_would_read_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(written(tmp_path, text), commands=COMMANDS)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'layout = "\xff"')
    with pytest.raises(ConfigError, match="is not TOML"):
        load(path, commands=COMMANDS)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file or directory"):
        load(tmp_path / "none.toml", commands=COMMANDS)
