"""`asyncdicom report`: what it writes where, and the exit codes that scripts rely on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson
import pytest

from asyncdicom.cli.app import main
from tests.support.dump_records import INSTANCE, frame_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

FRAME = f"{INSTANCE}/frames/1"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the configuration file of whoever runs the tests out of them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_record(tmp_path / "out", FRAME)
    return tmp_path / "out"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["report", *(str(argument) for argument in arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_text_goes_to_stdout_and_nothing_to_stderr(
    out: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(out) == 0
    captured = capsysbinary.readouterr()
    assert b"1 request, 0 failed" in captured.out
    assert captured.err == b""


def test_json_is_one_document(out: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(out, "--format", "json") == 0
    assert orjson.loads(capsysbinary.readouterr().out)["total"]["requests"] == 1


def test_html_goes_to_stdout_as_a_whole_document(
    out: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(out, "--format", "html") == 0
    page = capsysbinary.readouterr().out
    assert page.startswith(b"<!doctype html>")
    assert page.rstrip().endswith(b"</html>")


def test_html_goes_to_a_file_beside_the_text(
    out: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    page = tmp_path / "page" / "report.html"
    page.parent.mkdir()
    page.write_text("an older report")
    assert run(out, "--html", page) == 0
    captured = capsysbinary.readouterr()
    assert page.read_text().startswith("<!doctype html>")
    assert [file.name for file in page.parent.iterdir()] == ["report.html"]
    assert b"Report of" in captured.out
    assert captured.err == f"wrote {page}\n".encode()


def test_links_and_pipes_stay_what_they_are(out: Path, tmp_path: Path) -> None:
    link, page, pipe = tmp_path / "link", tmp_path / "page.html", tmp_path / "pipe"
    page.write_text("an older report")
    link.symlink_to(page)
    os.mkfifo(pipe)
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert [run(out, "--html", link), run(out, "--html", pipe)] == [0, 0]
    assert os.read(fd, 15) == b"<!doctype html>"
    os.close(fd)
    assert (link.is_symlink(), pipe.is_fifo()) == (True, True)
    assert page.read_text().startswith("<!doctype html>")


def test_a_file_that_cannot_be_written_is_a_usage_error(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(out, "--html", tmp_path / "missing" / "report.html") == 2
    assert "no such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_a_comparison_has_every_form(
    out: Path, tmp_path: Path, form: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    write_record(tmp_path / "other", FRAME, frame_record(20, 24))
    assert run(out, "--compare", tmp_path / "other", "--format", form) == 0
    shown = capsysbinary.readouterr().out
    if form == "json":
        ratios = orjson.loads(shown)["ratios"]
        assert ratios["frame"]["timeToLastByteP50"] == pytest.approx(2, rel=0.01)
    else:
        assert b"2.00x" in shown


@pytest.mark.parametrize("compared", [False, True], ids=["alone", "as the other side"])
def test_a_folder_without_records_says_what_was_looked_for(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, compared: bool
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(*((out, "--compare", empty) if compared else (empty,))) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"no records found in {empty}" in captured.err
    assert "*.dump.json" in captured.err


def test_a_folder_of_broken_records_only_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(tmp_path, "bro\x1b[31mken", b"{")
    assert run(tmp_path) == 4
    assert "damaged: bro\\x1b[31mken.dump.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_a_usage_error(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(tmp_path / name) == 2
    assert str(tmp_path / name) in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("--slowest", "-1"), ("--format", "pdf"), ("--nonsense",)],
    ids=" ".join,
)
def test_options_out_of_range_are_usage_errors(out: Path, arguments: tuple[str, ...]) -> None:
    assert run(out, *arguments) == 2


def test_as_many_slow_requests_are_listed_as_asked_for(
    out: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for number in range(2, 6):
        write_record(out, f"{INSTANCE}/frames/{number}", frame_record(10, 12 + number))
    assert run(out, "--format", "json", "--slowest", "2") == 0
    slowest = orjson.loads(capsysbinary.readouterr().out)["slowest"]
    assert [one["timeToLastByteInMS"] for one in slowest] == [17, 16]


def test_a_terminal_without_blocks_gets_question_marks(
    out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_record(out, f"{INSTANCE}/frames/2", frame_record(startedAt="2025-03-04T09:31:00Z"))
    with (tmp_path / "terminal").open("w", encoding="latin-1") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        assert run(out) == 0
    assert "data/s      ?" in (tmp_path / "terminal").read_text(encoding="latin-1")
