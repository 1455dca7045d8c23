"""Lines reach a slow reader in their order, and wait for nobody."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli import outlet as outlet_module
from asyncdicom.cli.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

LINES = [json.dumps({"number": n, "text": "x" * 500}).encode() + b"\n" for n in range(1000)]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


async def read_until(reading: int, end: bytes) -> bytes:
    """Read slowly, as the loop lets the writer go on, up to an end (a pattern)."""
    data = bytearray()
    while not re.search(end + rb"\Z", data[-1000:]):
        try:
            data += os.read(reading, 10_000)
        except BlockingIOError:
            await asyncio.sleep(0)
    return bytes(data)


def read_all(reading: int) -> bytes:
    data = bytearray()
    while True:
        try:
            piece = os.read(reading, 100_000)
        except BlockingIOError:
            return bytes(data)
        if not piece:
            return bytes(data)
        data += piece


async def test_a_line_is_written_at_once(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    Outlet(writing).write(b"one\n")
    assert read_all(reading) == b"one\n"


async def test_a_slow_reader_gets_everything_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing)
    for line in LINES:
        outlet.write(line)
    assert await read_until(reading, re.escape(LINES[-1])) == b"".join(LINES)
    outlet.write(b"more\n")
    assert read_all(reading) == b"more\n"


async def test_a_line_that_is_longer_than_a_pipe_arrives(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    line = b"x" * 300_000 + b"\n"
    outlet = Outlet(writing)
    outlet.write(line)
    outlet.write(b"end\n")
    assert await read_until(reading, b"end\n") == line + b"end\n"


async def test_what_does_not_fit_is_counted_in_its_place(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing, max_waiting_bytes=100_000)
    for line in LINES:
        outlet.write(line)
    told = await read_until(reading, rb'\{"event":"eventsLost","events":\d+\}\n')
    *lines, lost = told.splitlines(keepends=True)
    assert lines == LINES[: len(lines)]
    assert len(lines) + json.loads(lost)["events"] == len(LINES)
    outlet.write(b"more\n")
    assert read_all(reading) == b"more\n"


async def test_a_reader_that_left_is_no_failure(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing)
    for line in LINES:
        outlet.write(line)
    os.close(reading)
    await asyncio.sleep(0.01)
    outlet.write(b"more\n")
    outlet.close()


async def test_closing_writes_what_waits(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing, max_waiting_bytes=100_000)
    for line in LINES:
        outlet.write(line)
    os.set_blocking(reading, True)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(read_all, reading)
        outlet.close()
        os.close(writing)
    lines = told.result().splitlines()
    assert json.loads(lines[-1])["events"] == len(LINES) - len(lines) + 1


async def test_closing_waits_for_nobody_who_does_not_read(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = pipe
    monkeypatch.setattr(outlet_module, "PATIENCE_S", 0.01)
    outlet = Outlet(writing)
    for line in LINES:
        outlet.write(line)
    outlet.close()
    assert b"".join(LINES).startswith(read_all(reading))


async def test_closing_does_not_wait_for_ever_for_who_reads_slowly(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = pipe
    monkeypatch.setattr(outlet_module, "CLOSE_S", 0.05)
    outlet = Outlet(writing)
    for line in LINES:
        outlet.write(line)
    os.set_blocking(reading, True)

    def read_slowly() -> bytes:
        pieces = []
        while piece := os.read(reading, outlet_module.PIECE_BYTES):
            pieces.append(piece)
            time.sleep(0.005)
        return b"".join(pieces)

    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(read_slowly)
        outlet.close()
        os.close(writing)
    assert b"".join(LINES).startswith(told.result())
    assert len(told.result()) < len(b"".join(LINES))


async def test_what_cannot_be_written_is_counted_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    write, is_full = os.write, False

    def write_or_fail(fd: int, data: bytes) -> int:
        if is_full and len(data) < outlet_module.PIECE_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", write_or_fail)
    outlet = Outlet(fd)
    outlet.write(b"one\n")
    is_full = True
    torn = b"x" * 5000 + b"\n"
    for line in (torn, b"two\n", b"three\n"):
        outlet.write(line)
    is_full = False
    outlet.write(b"four\n")
    outlet.write(b"five\n")
    outlet.close()
    os.close(fd)
    lines = path.read_bytes().splitlines()
    assert lines == [b"one", torn[:4096], b'{"event":"eventsLost","events":3}', b"four", b"five"]


async def test_a_pipe_that_somebody_else_fills_is_waited_for(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 8192)
    os.write(writing, b"y" * 4097)
    outlet = Outlet(writing)
    # Ready for a piece of PIPE_BUF, says poll, where a page is left; not for more of them.
    outlet.write(b"x" * 12_000 + b"\n")
    told = await read_until(reading, b"x\n")
    assert told == b"y" * 4097 + b"x" * 12_000 + b"\n"
