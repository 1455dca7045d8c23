"""What `receive` shows beside its log: JSON lines, sentences, and counters on a terminal."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncdicom.cli.outlet import Outlet
from asyncdicom.cli.receive_output import JsonLines, Sentences, live_counters
from asyncdicom.errors import DiskFull
from asyncdicom.receiver.events import (
    AssociationBegan,
    AssociationEnded,
    AssociationRefused,
    Caller,
    ConnectionFailed,
    HookFailed,
    InstanceRefused,
    InstanceStored,
    Listening,
    ReceiverEnded,
    StudyCompleted,
)
from asyncdicom.receiver.statistics import ReceiverStatistics

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.receiver.events import ReceiverEvent

CALLER = Caller(1, "127.0.0.1:4711", "CT1", "STORE")
LISTENING = Listening("127.0.0.1", 104)
ENDED = ReceiverEnded(1, 0, 0, 1, 0, 9, 0.1)
GRAVE: list[ReceiverEvent] = [
    LISTENING,
    AssociationRefused(CALLER, "unknown", is_transient=False),
    AssociationEnded(CALLER, 0, 0, 0, 0.1, "aborted"),
    ConnectionFailed("127.0.0.1:4711", "it does not speak TLS", is_silent=False),
    InstanceRefused(CALLER, "1.2.3", 0xA700, DiskFull("disk is full", path="CT.1")),
    HookFailed("study", "program", "1", "ended with 1"),
    ENDED,
]
USUAL: list[ReceiverEvent] = [
    AssociationBegan(CALLER),
    ConnectionFailed("127.0.0.1:4711", "it left", is_silent=True),
    InstanceStored(CALLER, "CT.1", "1.2", "1", "1.2", "1.3", "1.2.840.10008.1.2", 9, "00"),
    AssociationEnded(CALLER, 1, 0, 9, 0.1),
    StudyCompleted("1", 1, 9, ("CT1",)),
]


@pytest.mark.parametrize(
    ("is_quiet", "events"), [(False, GRAVE + USUAL), (True, GRAVE)], ids=["all", "quiet"]
)
def test_events_are_json_lines_and_the_quiet_get_the_gravest(
    is_quiet: Any, events: list[ReceiverEvent], tmp_path: Path
) -> None:
    file = tmp_path / "out"
    with file.open("wb") as out:
        lines = JsonLines(Outlet(out.fileno()), is_quiet=is_quiet)
        for event in GRAVE + USUAL:
            lines(event)
    shown = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert shown == [event.to_json() for event in events]


def test_a_name_that_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    # As Python reads an argument or a folder whose bytes are no UTF-8.
    event = HookFailed("object", "/bin/\udcff", "1.2.3", "cannot be run")
    file = tmp_path / "out"
    with file.open("wb") as out:
        JsonLines(Outlet(out.fileno()), is_quiet=False)(event)
    assert json.loads(file.read_bytes()) == event.to_json()


@pytest.mark.parametrize(
    ("is_quiet", "shown"),
    [(False, f"{LISTENING}\n{ENDED}\n"), (True, f"{ENDED}\n")],
    ids=["all", "quiet"],
)
def test_the_first_and_the_last_word_are_sentences(
    is_quiet: Any, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sentences = Sentences(is_quiet=is_quiet)
    for event in (LISTENING, *USUAL, ENDED):
        sentences(event)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", shown)


class Screen(io.StringIO):
    """A stderr that is a terminal, or none."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


NOTHING_ELSE = {"quiet": False, "verbose": False, "debug": False, "as_json": False}


async def shown_on(screen: Screen, monkeypatch: pytest.MonkeyPatch, **options: bool) -> str:
    """Show counters until they were asked for twice; return what was drawn."""
    counters = ReceiverStatistics(
        associations=2, stored=7, skipped=1, refused=3, byte_count=5_000_000
    )
    asked = anyio.Event()

    def statistics() -> ReceiverStatistics:
        if counters.echoes:
            asked.set()
        counters.echoes += 1
        return counters

    monkeypatch.setattr("sys.stderr", screen)
    async with live_counters(statistics, {**NOTHING_ELSE, **options}):
        if screen.isatty() and not options:
            await asked.wait()
        else:
            await anyio.wait_all_tasks_blocked()
    return screen.getvalue()


@pytest.mark.anyio
async def test_counters_are_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = await shown_on(Screen(is_terminal=True), monkeypatch)
    assert "2 associations · 7 stored · 1 skipped · 3 refused · 5.0 MB · " in drawn


@pytest.mark.anyio
@pytest.mark.parametrize("option", NOTHING_ELSE)
async def test_nothing_is_drawn_beside_what_else_is_said(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await shown_on(Screen(is_terminal=True), monkeypatch, **{option: True}) == ""


@pytest.mark.anyio
async def test_nothing_is_drawn_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await shown_on(Screen(is_terminal=False), monkeypatch) == ""
