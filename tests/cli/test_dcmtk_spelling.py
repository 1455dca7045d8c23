"""Command files are expanded, spellings become long names, and the last word wins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.cli.dcmtk_spelling import (
    Spelling,
    canonical,
    expand_command_files,
    spellings_of,
)

if TYPE_CHECKING:
    from pathlib import Path

SPELLINGS = {
    **dict.fromkeys(["-aet", "--aetitle"], Spelling("--aetitle", 1)),
    **dict.fromkeys(["-uca", "--use-called-aetitle"], Spelling("--use-called-aetitle", 0)),
    **dict.fromkeys(["+tls", "--enable-tls"], Spelling("--enable-tls", 2)),
    **dict.fromkeys(["-tls", "--disable-tls"], Spelling("--disable-tls", 0)),
    **dict.fromkeys(["-B", "--normal"], Spelling("--normal", 0)),
    **dict.fromkeys(["+B", "--bit-preserving"], Spelling("--bit-preserving", 0)),
    "--ignore": Spelling("--ignore", 0),
    **dict.fromkeys(["-v", "--verbose"], Spelling("--verbose", 0)),
    **dict.fromkeys(["-s", "--no-subdir"], Spelling("--no-subdir", 0)),
    **dict.fromkeys(["-l", "--layout"], Spelling("--layout", 1)),
}
GROUPS = (
    ("--aetitle", "--use-called-aetitle"),
    ("--enable-tls", "--disable-tls"),
    ("--normal", "--bit-preserving", "--ignore"),
)


@pytest.mark.parametrize(
    ("given_words", "words"),
    [
        pytest.param("104 -aet ME", "104 --aetitle ME", id="short"),
        pytest.param("-aet=ME 104", "--aetitle=ME 104", id="with a sign"),
        pytest.param("--aetitle ME", "--aetitle ME", id="long"),
        pytest.param("+B -B", "--normal", id="last of two"),
        pytest.param("-B --ignore +B -v", "--bit-preserving --verbose", id="last of three"),
        pytest.param("-aet ME -uca", "--use-called-aetitle", id="a value goes with its option"),
        pytest.param("-uca -aet ME", "--aetitle ME", id="an option with a value wins"),
        pytest.param("+tls K C -tls -v", "--disable-tls --verbose", id="two values go, too"),
        pytest.param("-aet=ME -uca", "--use-called-aetitle", id="written with a sign"),
        pytest.param("-aet -uca 104", "--aetitle -uca 104", id="a value like an option"),
        pytest.param("+tls -tls -v -B", "--enable-tls -tls -v --normal", id="both values"),
        pytest.param("-B -B", "--normal --normal", id="once more is no contradiction"),
        pytest.param("-vs", "--verbose --no-subdir", id="two flags in one word"),
        pytest.param("-vsB +B", "--verbose --no-subdir --bit-preserving", id="three"),
        pytest.param("-vltree", "--verbose --layout tree", id="with a value"),
        pytest.param("-ltree", "--layout tree", id="a value without a blank"),
        pytest.param("-vx --nope +q", "-vx --nope +q", id="unknown is left alone"),
        pytest.param("-v -- -v", "--verbose -- -v", id="behind two dashes"),
        pytest.param("-aet", "--aetitle", id="a value that is missing"),
        pytest.param("--verbose=3", "--verbose=3", id="a value too many"),
        pytest.param("- + -l", "- + --layout", id="signs alone"),
    ],
)
def test_command_lines_become_canonical(given_words: str, words: str) -> None:
    assert canonical(given_words.split(), SPELLINGS, GROUPS) == words.split()


@given(st.lists(st.sampled_from([*SPELLINGS, "ME", "-x", "--", "-vsl", "=", "--a=b"])))
def test_any_command_line_stays_canonical(words: list[str]) -> None:
    once = canonical(words, SPELLINGS, GROUPS)
    assert canonical(once, SPELLINGS, GROUPS) == once


def test_spellings_are_those_of_the_options() -> None:
    @click.command()
    @click.option("-aet", "--aetitle")
    @click.option("+tls", "--enable-tls", nargs=2)
    @click.option("-B", "--normal", is_flag=True)
    @click.argument("port")
    def command(**_: object) -> None:
        """Do nothing."""

    assert spellings_of(command.params) == {
        "-aet": ("--aetitle", 1),
        "--aetitle": ("--aetitle", 1),
        "+tls": ("--enable-tls", 2),
        "--enable-tls": ("--enable-tls", 2),
        "-B": ("--normal", 0),
        "--normal": ("--normal", 0),
    }


def written(folder: Path, text: str, name: str = "words") -> str:
    file = folder / name
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return f"@{file}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("-aet ME\n\t +B \r\n", ["-aet", "ME", "+B"], id="blanks and lines"),
        pytest.param("-aet \"A B\" -od 'x y'", ["-aet", "A B", "-od", "x y"], id="quotation marks"),
        pytest.param("-fe .'d c'm", ["-fe", ".d cm"], id="within a word"),
        pytest.param("-aet ''", ["-aet", ""], id="nothing between them"),
        pytest.param("-od C:\\x # y", ["-od", "C:\\x", "#", "y"], id="no other sign is special"),
        pytest.param("", [], id="empty"),
        pytest.param("-od gr\u00fcn\udcff", ["-od", "gr\u00fcn\udcff"], id="any bytes"),
    ],
)
def test_a_command_file_stands_for_its_words(tmp_path: Path, text: str, words: list[str]) -> None:
    assert expand_command_files(["-v", written(tmp_path, text), "104"]) == ["-v", *words, "104"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("-v @other", "names another one", id="recursion"),
        pytest.param("-aet 'A", "without end", id="open quotation"),
    ],
)
def test_what_a_command_file_must_not_hold(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        expand_command_files([written(tmp_path, text)])


def test_a_command_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=f"nope.*{os.strerror(2)}"):
        expand_command_files([f"@{tmp_path / 'nope'}"])


def test_an_at_sign_alone_is_a_word() -> None:
    assert expand_command_files(["@", "a@b"]) == ["@", "a@b"]
