"""How a hook is written, and that nothing received becomes an argument or an option of its own."""

from __future__ import annotations

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.receiver.hook_commands import PLACEHOLDERS, HookCommand, environment

KNOWN = ("file", "calling_ae")


def filled(text: str, **values: str) -> list[str]:
    return HookCommand.parse(text, KNOWN).arguments({"file": "/x/a.dcm", **values})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("run {file}", ["run", "/x/a.dcm"], id="an argument"),
        pytest.param("run --to={calling_ae}.log", ["run", "--to=CT 01.log"], id="part of one"),
        pytest.param("run '{calling_ae} {file}'", ["run", "CT 01 /x/a.dcm"], id="quoted"),
        pytest.param(r'"a b/run" -v\ x', ["a b/run", "-v x"], id="escaped"),
        pytest.param("run {{file}} }}", ["run", "{file}", "}"], id="braces"),
        pytest.param("run {file}{file}", ["run", "/x/a.dcm/x/a.dcm"], id="twice"),
        pytest.param("run -n 5 --", ["run", "-n", "5", "--"], id="options of the user"),
    ],
)
def test_placeholders_are_replaced_inside_of_single_arguments(
    text: str, expected: list[str]
) -> None:
    assert filled(text, calling_ae="CT 01") == expected


@pytest.mark.parametrize(
    "value",
    ["a b", "'; rm -rf / #", "$(reboot)", "`id`", 'a"b', "*", "~", "a|b>c", "{file}", "{{", "%s"],
)
def test_what_is_received_is_never_more_than_its_argument(value: str) -> None:
    assert filled("run -x {calling_ae} {file}", calling_ae=value) == [
        "run",
        "-x",
        value,
        "/x/a.dcm",
    ]


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        pytest.param("{calling_ae}", "-rf", "_rf", id="short option"),
        pytest.param("{calling_ae}", "--help", "__help", id="long option"),
        pytest.param("{calling_ae}{file}", "-", "_/x/a.dcm", id="only a dash"),
        pytest.param("{calling_ae}", "CT-01", "CT-01", id="a dash inside"),
        pytest.param("--ae={calling_ae}", "-rf", "--ae=-rf", id="behind ="),
        pytest.param("a{calling_ae}", "-rf", "a-rf", id="behind text"),
    ],
)
def test_what_is_received_is_no_option(text: str, value: str, expected: str) -> None:
    assert filled(f"run {text}", calling_ae=value) == ["run", expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("   ", "empty", id="blanks"),
        pytest.param("run 'a", "cannot be read", id="open quote"),
        pytest.param("run {patient}", "unknown placeholder", id="unknown"),
        pytest.param("run {file", "unknown placeholder", id="open brace"),
        pytest.param("run file}", "unknown placeholder", id="closing brace"),
        pytest.param("run {}", "unknown placeholder", id="no name"),
        pytest.param("run {file.__class__}", "unknown placeholder", id="an attribute"),
        pytest.param("{file}", "no placeholder", id="the program"),
        pytest.param("/bin/{calling_ae}", "no placeholder", id="part of the program"),
        pytest.param("run -{calling_ae}", "choose the option", id="a short option of the peer"),
        pytest.param("run --{calling_ae}", "choose the option", id="a long option of the peer"),
        pytest.param("sh -c 'echo {calling_ae}'", "run commands", id="a script"),
        pytest.param("/bin/bash -ec 'x {file}'", "run commands", id="another shell"),
    ],
)
def test_what_could_do_harm_is_refused_when_it_is_read(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HookCommand.parse(text, KNOWN)


def test_a_script_gets_what_was_received_as_its_arguments() -> None:
    text = """sh -c 'echo "$1"' sh {calling_ae}"""
    assert filled(text, calling_ae="$(id)") == ["sh", "-c", 'echo "$1"', "sh", "$(id)"]


def test_values_are_in_the_environment_too() -> None:
    assert environment({"calling_ae": "-rf", "file": "/x"}) == {
        "ASYNCDICOM_CALLING_AE": "-rf",
        "ASYNCDICOM_FILE": "/x",
    }


def test_each_kind_of_hook_knows_its_placeholders() -> None:
    for known in PLACEHOLDERS.values():
        text = " ".join(f"{{{name}}}" for name in known)
        command = HookCommand.parse(f"run {text}", known)
        values = {name: f"<{name}>" for name in known}
        assert command.program == "run"
        assert command.arguments(values) == ["run", *values.values()]
