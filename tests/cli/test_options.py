"""Options are declared once, and each of them can be set from the environment."""

from __future__ import annotations

import click
import pytest

from asyncdicom.cli.app import COMMANDS, application
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
