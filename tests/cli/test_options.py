"""Options are declared once, and each of them can be set from the environment."""

from __future__ import annotations

import click
import pytest

from asyncdicom.cli.app import COMMANDS, application, main
from asyncdicom.cli.options import option, together


def options_of(name: str) -> list[click.Option]:
    command = application.get_command(click.Context(application), name)
    assert command is not None
    return [p for p in command.params if isinstance(p, click.Option)]


@pytest.mark.parametrize(
    ("names", "variable"),
    [
        (("--rate",), "ASYNCDICOM_RATE"),
        (("-c", "--max-errors"), "ASYNCDICOM_MAX_ERRORS"),
        (("--http2/--no-http2",), "ASYNCDICOM_HTTP2"),
    ],
)
def test_a_variable_is_named_as_the_option(names: tuple[str, ...], variable: str) -> None:
    @option(*names)
    def command(**_: object) -> None:
        """Do nothing."""

    (declared,) = command.__click_params__  # type: ignore[attr-defined]  # -- set by click
    assert declared.envvar == variable


def test_options_are_listed_in_their_order() -> None:
    @click.command()
    @together(option("--first"), option("--second"))
    def command(**_: object) -> None:
        """Do nothing."""

    assert [p.name for p in command.params] == ["first", "second"]


@pytest.mark.parametrize("name", ["dump", "get"])
def test_every_option_has_help_and_most_a_variable(name: str) -> None:
    for one in options_of(name):
        assert one.help, one.opts
    without = {one.name for one in options_of(name) if one.envvar is None}
    assert without <= {"studies", "patient_key", "study_key", "series_key", "image_key"}


def test_no_two_options_of_a_command_share_a_name_or_a_variable() -> None:
    for name in COMMANDS:
        if name == "config":
            continue
        spelled = [s for one in options_of(name) for s in (*one.opts, *one.secondary_opts)]
        assert len(spelled) == len(set(spelled)), name
        variables = [one.envvar for one in options_of(name) if one.envvar is not None]
        assert len(variables) == len(set(map(str, variables))), name


NOBODY = "http://127.0.0.1:1/x"
COMMANDS_WITH_SOURCES = {
    "get": ["get", "URL", "--study", "1.2"],
    "find": ["find", "URL"],
    "verify": ["verify", ".", "URL"],
    "echo": ["echo", "URL"],
    "probe": ["probe", "URL"],
    "move": ["move", "URL", "--to", "X", "--study", "1.2"],
    "dump": ["dump", "-w", "URL", "-s", "1.2", "-o", "out"],
    "cod get": ["cod", "get", "URL", "--study", "1.2"],
}


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["http://[::1/x", "dicom://A@[::1", "s3://[b/c", "cod+https://[b/c"]
)
@pytest.mark.parametrize("words", COMMANDS_WITH_SOURCES.values(), ids=COMMANDS_WITH_SOURCES)
def test_what_can_be_no_url_is_refused_in_a_line(
    words: list[str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused([url if word == "URL" else word for word in words], capsys)
    assert told.startswith("asyncdicom: not a URL")


@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["get", NOBODY, "--study", "1", "--timeout"], id="silence"),
        pytest.param(["get", NOBODY, "--study", "1", "--connect-timeout"], id="connecting"),
        pytest.param(["echo", NOBODY, "--repeat", "2", "--interval"], id="interval"),
    ],
)
def test_a_time_that_cannot_be_waited_for_is_refused(
    words: list[str], value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"Invalid value for '{words[-1]}'" in refused([*words, value], capsys)


@pytest.mark.parametrize("name", ["--rate", "--max-error-rate"])
def test_what_is_no_number_is_no_rate(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(["get", NOBODY, "--study", "1", name, "nan"], capsys)
    assert f"Invalid value for '{name}': nan is not a number" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["get"], "s3, gs: 20).", id="get"),
        pytest.param(["idc", "get"], "Requests at once.  [default: 20;", id="idc get"),
        pytest.param(["verify"], "[default: (two per core);", id="verify"),
    ],
)
def test_the_help_says_how_much_happens_at_once(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    assert told in " ".join(capsys.readouterr().out.split()).replace(". [", ".  [")


@pytest.mark.parametrize("words", [["move"], ["cod", "get"]])
def test_only_get_takes_keys_of_records_by_s(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    assert "--series-key" not in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--include", "--exclude", "--catalog"])
@pytest.mark.parametrize("source", [NOBODY, "dicom://A@127.0.0.1:1", "cod+gs://bucket/prefix"])
def test_what_is_of_objects_alone_is_not_silently_left_undone(
    source: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(["get", source, "--study", "1.2", option, "x"], capsys)
    assert f"{option} goes with s3:// and gs:// alone" in told


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["get", NOBODY], id="get"),
        pytest.param(["move", "dicom://A@127.0.0.1:1", "--to", "X"], id="move"),
    ],
)
@pytest.mark.parametrize("key", ["", " "])
def test_an_empty_key_does_not_stand_for_the_whole_archive(
    words: list[str], key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "a KEY=VALUE is empty" in refused([*words, key], capsys)
