"""What a person sees: sentences, hints, and a bar on a terminal alone."""

from __future__ import annotations

import asyncio
import io
import os
import pty
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from asyncdicom.cli import progress
from asyncdicom.cli.progress import SHOWN_FAILURES, observers_for, progress_bar
from asyncdicom.errors import NotFound, Truncated, Unauthorized
from asyncdicom.events import Event, Finished, Planned, Remarked, Retrying, RunEnded
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Failed, ObjectTarget, Resource, Stored, Target, Uid

if TYPE_CHECKING:
    from asyncdicom.errors import AsyncDicomError

TARGET = Target(Resource.STUDY, Uid("1"))
STORED = Finished(Stored(TARGET, "a.dcm", 7, "ab"))
PLANNED = Planned("1", 3, 2_000_000)
RETRYING = Retrying("study 1", Truncated("cut"), 1, 0.5)
QUIET = {"verbose": False, "quiet": False, "as_json": False}


def failed(error: AsyncDicomError | None = None) -> Finished:
    return Finished(Failed(TARGET, error or NotFound("gone", status_code=404)))


def ended(stored: int = 1, missing: int = 0) -> RunEnded:
    return RunEnded(
        stored=stored, skipped=0, missing=missing, corrupt=0, byte_count=7, duration_s=0.1
    )


def told(
    capsys: pytest.CaptureFixture[str], *events: Event, **options: Any
) -> tuple[list[str], str]:
    for observe in observers_for(QUIET | options):
        for event in events:
            observe(event)
    captured = capsys.readouterr()
    return captured.err.splitlines(), captured.out


def test_failures_and_the_sum_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    lines, out = told(capsys, PLANNED, STORED, RETRYING, failed(), ended(missing=1))
    assert lines == [str(failed()), str(ended(missing=1))]
    assert out == ""


def test_everything_is_told_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = [PLANNED, STORED, RETRYING, failed(), ended(missing=1)]
    lines, _ = told(capsys, *events, verbose=True)
    assert lines == [str(event) for event in events]


def test_names_of_strangers_do_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    target = ObjectTarget("s3", "bucket", "a\x1b[2J\nb\u202e")
    gone = Finished(Failed(target, NotFound("gone", status_code=404)))
    lines, _ = told(capsys, gone, Remarked("c\rd\udcff", "no DICOM file"), verbose=True)
    assert lines == [
        "failed object s3://bucket/a\\x1b[2J\\x0ab\ufffd: gone (1 try)",
        "c\\x0dd\ufffd: no DICOM file",
    ]


@pytest.mark.parametrize("verbose", [False, True])
def test_many_failures_are_summed_up(capsys: pytest.CaptureFixture[str], *, verbose: bool) -> None:
    count = SHOWN_FAILURES + 5
    lines, _ = told(capsys, *[failed()] * count, ended(missing=count), verbose=verbose)
    assert ("... and 5 more failures (--report names them)" in lines) is not verbose
    assert lines.count(str(failed())) == (count if verbose else SHOWN_FAILURES)


def test_the_next_step_is_told_once_before_the_sum(capsys: pytest.CaptureFixture[str]) -> None:
    refused = failed(Unauthorized("no", status_code=401))
    lines, _ = told(capsys, refused, refused, ended(stored=0, missing=2))
    assert lines[-2:] == [
        "asyncdicom: give --user, --bearer or --authorization",
        str(ended(stored=0, missing=2)),
    ]


def test_no_next_step_is_told_if_something_came(capsys: pytest.CaptureFixture[str]) -> None:
    lines, _ = told(capsys, failed(Unauthorized("no", status_code=401)), ended(missing=1))
    assert not any(line.startswith("asyncdicom:") for line in lines)


def test_events_are_json_lines_on_stdout(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    for observe in observers_for(QUIET | {"as_json": True}):
        for event in (PLANNED, STORED, RETRYING, failed(), ended()):
            observe(event)
    lines = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    expected = ["planned", "finished", "retrying", "finished", "ended"]
    assert [line["event"] for line in lines] == expected


def test_the_quiet_hear_of_failures_and_the_end(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    for observe in observers_for(QUIET | {"as_json": True, "quiet": True}):
        for event in (PLANNED, STORED, RETRYING, failed(), ended()):
            observe(event)
    lines = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["finished", "ended"]


def test_a_dry_run_says_what_it_would_fetch(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = Planned("2", 4, 0)
    lines, _ = told(capsys, PLANNED, unknown, STORED, failed(), ended(), dry_run=True)
    assert lines == [
        f"{PLANNED}, about 2.0 MB",
        str(unknown),
        str(failed()),
        "dry run: 7 instances, about 2.0 MB · nothing was fetched",
    ]


async def seen_on_a_terminal(tally: Tally, *, wanted: bool) -> str:
    """Return what a terminal got while a block ran, the end of it included."""
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w", encoding="utf-8") as stream:
            async with progress_bar(tally, wanted=wanted, stream=stream):
                tally.bytes_received += 5_000_000
                await asyncio.sleep(2 * progress.REFRESH_S)
            stream.write("|end")
            stream.flush()
            return await asyncio.to_thread(read_until_end, master)
    finally:
        os.close(master)


def read_until_end(terminal: int) -> str:
    """Read what a terminal got; it may come in several pieces."""
    shown = ""
    while not shown.endswith("|end"):
        shown += os.read(terminal, 65_536).decode()
    return shown


@pytest.mark.anyio
async def test_a_terminal_shows_a_bar_and_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_S", 0.02)
    monkeypatch.setenv("TERM", "xterm")
    tally = Tally()
    tally.stored, tally.skipped, tally.missing = 3, 2, 1
    shown = await seen_on_a_terminal(tally, wanted=True)
    assert "3 stored · 2 skipped · 1 failed" in shown
    assert "5.0 MB" in shown
    assert "\x1b[2K" in shown, "the line is erased"
    assert shown.endswith("|end")


@pytest.mark.anyio
async def test_a_terminal_shows_nothing_where_nobody_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "REFRESH_S", 0.01)
    assert await seen_on_a_terminal(Tally(), wanted=False) == "|end"


@pytest.mark.anyio
async def test_a_pipe_gets_nothing() -> None:
    stream = io.StringIO()
    async with progress_bar(Tally(), wanted=True, stream=stream):
        await asyncio.sleep(0)
    assert stream.getvalue() == ""


@pytest.mark.anyio
async def test_what_happens_in_the_block_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        async with progress_bar(Tally(), wanted=True, stream=io.StringIO()):
            raise ZeroDivisionError
