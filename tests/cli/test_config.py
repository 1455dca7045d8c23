"""Settings come from the file, the environment and flags, and the nearest one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli.app import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_file_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def written(folder: Path, text: str) -> str:
    path = folder / "site.toml"
    path.write_text(text)
    return str(path)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[str, str]]:
    """Return value and origin of each option."""
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert caught.value.code == 0, capsys.readouterr().err
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    return {name: (value, origin) for name, value, origin in (r for r in rows if len(r) == 3)}


FILE = "concurrency = 3\n[get]\nlayout = 'tree'\n[dump]\nconcurrency = 4\n"


@pytest.mark.parametrize(
    ("command", "environment", "expected"),
    [
        pytest.param("get", {}, ("3", "file"), id="shared by the commands"),
        pytest.param("dump", {}, ("4", "file"), id="of one command"),
        pytest.param(
            "get",
            {"ASYNCDICOM_CONCURRENCY": "5"},
            ("5", "environment (ASYNCDICOM_CONCURRENCY)"),
            id="the environment wins",
        ),
    ],
)
def test_the_nearest_setting_wins(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: str,
    environment: dict[str, str],
    expected: tuple[str, str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    path = written(tmp_path, FILE)
    assert shown(capsys, "--config", path, "config", "show", command)["--concurrency"] == expected


def test_a_flag_wins_over_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASYNCDICOM_LAYOUT", "flat")
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "iso-9660 = true\n[get]\nlayout = '{PatientID}'\n")
    refused = "--iso-9660 goes with --layout flat or tree"
    for flags, is_refused in ((["-l", "{Modality}"], True), ([], False)):
        with pytest.raises(SystemExit):
            main(["--config", path, "get", "http://127.0.0.1:9", "--study", "1", *flags])
        assert (refused in capsys.readouterr().err) is is_refused


def test_defaults_are_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    settings = shown(capsys, "config", "show")
    assert settings["--concurrency"] == ("8", "default")
    assert settings["--retry"] == ("3", "default")
    assert settings["--report"] == ("-", "default")


def test_secrets_are_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCDICOM_BEARER", "secret")
    path = written(tmp_path, "user = 'me:secret'\nproxy = 'http://me:secret@p:1'\n")
    settings = shown(capsys, "--config", path, "config", "show", "get")
    for name in ("--bearer", "--user", "--proxy"):
        assert settings[name][0] == "<set>"
    assert not any("secret" in value for value, _ in settings.values())


def test_the_file_of_the_user_is_read_where_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "xdg" / "asyncdicom"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("concurrency = 7\n")
    assert shown(capsys, "config", "show")["--concurrency"] == ("7", "file")


def test_the_file_may_be_named_in_the_environment_or_behind_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, FILE)
    assert shown(capsys, "config", "show", "--config", path)["--layout"] == ("tree", "file")
    monkeypatch.setenv("ASYNCDICOM_CONFIG", path)
    assert shown(capsys, "config", "show")["--layout"] == ("tree", "file")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("concurency = 3", "unknown option 'concurency'", id="a misspelt option"),
        pytest.param("[gett]\nretry = 1", "unknown command [gett]", id="a misspelt command"),
        pytest.param(
            "[get]\nstrip = true", "unknown option 'strip' of [get]", id="of another command"
        ),
        pytest.param("concurrency = ", "is not TOML", id="no TOML"),
        pytest.param("concurrency = 'many'", "many", id="no number"),
    ],
)
def test_what_nobody_would_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    path = written(tmp_path, text)
    arguments = ["--config", path, "get", "http://127.0.0.1:9", "--study", "1"]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(tmp_path / "nowhere"), "config", "show"])
    assert caught.value.code == 2
    assert "cannot read" in capsys.readouterr().err


def test_commands_of_a_group_share_its_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path, "concurrency = 3\n[idc]\ndir-template = '%PatientID'\nby = ['PatientID']"
    )
    settings = shown(capsys, "--config", path, "config", "show", "idc", "get")
    assert settings["--concurrency"] == ("3", "file")
    assert settings["--dir-template"] == ("%PatientID", "file")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["idc"], "name one of its commands: get, select", id="a group"),
        pytest.param(["idc", "gett"], "no command 'idc gett'", id="no command of it"),
        pytest.param(["get", "idc"], "no command 'get idc'", id="no group"),
    ],
)
def test_what_is_no_command_has_no_settings(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["config", "show", *words])
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param("concurrency = [1, 2]", "concurrency takes one value", id="a list"),
        pytest.param("[get]\nmax-errors = {a = 1}", "max-errors takes one value", id="a table"),
        pytest.param('header = "X: a"', "header takes a list; write header = [", id="no list"),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--config", written(tmp_path, line), "get", "http://127.0.0.1:1", "--study", "1.2"])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "site.toml" in error
    assert told in error


def test_headers_of_the_environment_stand_on_lines_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCDICOM_HEADER", "no header")
    with pytest.raises(SystemExit):
        main(["get", "http://127.0.0.1:1", "--study", "1.2", "-r", "0"])
    assert "--header wants" in capsys.readouterr().err
    monkeypatch.setenv("ASYNCDICOM_HEADER", "X-One: a b\nX-Two: c")
    with pytest.raises(SystemExit) as caught:
        main(["get", "http://127.0.0.1:1", "--study", "1.2", "-r", "0"])
    assert caught.value.code == 5  # asked, and nobody is there
