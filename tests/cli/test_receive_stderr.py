"""Stderr, while a receiver runs: nobody waits for its reader."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import pytest

from asyncdicom.cli import outlet
from asyncdicom.cli.receive_stderr import patient_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

LINE = "x" * 999 + "\n"


@contextmanager
def piped_stderr() -> Iterator[int]:
    """Let stderr be a pipe, and yield its other end; pytest takes a fixture's away again."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    before = sys.stderr
    with os.fdopen(write_end, "w") as stream:
        sys.stderr = stream
        try:
            yield read_end
        finally:
            sys.stderr = before
            os.close(read_end)


async def test_what_is_said_is_there_at_once() -> None:
    with piped_stderr() as reading:
        with patient_stderr():
            sys.stderr.write("one\n")
            assert os.read(reading, 100) == b"one\n"
            click.echo("two \udcff \u00b7", err=True)
            assert os.read(reading, 100) == b"two \\udcff \xc2\xb7\n"
        sys.stderr.write("after\n")
        sys.stderr.flush()
        assert os.read(reading, 100) == b"after\n"


async def test_nobody_waits_for_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "PATIENCE_S", 0.01)
    with piped_stderr() as reading:
        with patient_stderr():
            for _ in range(1000):
                sys.stderr.write(LINE)
        assert os.read(reading, 1_000_000).startswith(LINE.encode())


async def test_a_reader_that_left_is_no_failure() -> None:
    with piped_stderr() as reading, patient_stderr():
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123, ASYNC230 -- a descriptor is wanted
            os.dup2(nothing.fileno(), reading)
        sys.stderr.write(LINE)


async def test_what_was_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet.Outlet.__init__, "__kwdefaults__", _with_room_for(2000))
    told = b""
    with piped_stderr() as reading, patient_stderr():
        for _ in range(200):
            sys.stderr.write(LINE)
        while b"could not be written" not in told:
            try:
                told += os.read(reading, 100_000)
            except BlockingIOError:
                await asyncio.sleep(0)
    assert told.splitlines()[-1].startswith(b"W: ")


def _with_room_for(byte_count: int) -> dict[str, Any]:
    return {**(outlet.Outlet.__init__.__kwdefaults__ or {}), "max_waiting_bytes": byte_count}


async def test_a_terminal_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    before = sys.stderr
    with patient_stderr():
        assert sys.stderr is before
