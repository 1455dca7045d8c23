"""A thread of one's own: in order, one at a time, and gone when it is told to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from asyncdicom.transports.associations.workers import Worker
from tests.transports.associations.support import until

pytestmark = pytest.mark.anyio


async def test_calls_run_in_one_thread_in_the_order_of_asking() -> None:
    worker = Worker("worker of a test")
    done: list[tuple[int, int]] = []

    def note(number: int) -> int:
        done.append((number, threading.get_ident()))
        return number * 2

    assert await asyncio.gather(*(worker.run(note, number) for number in range(20))) == [
        2 * number for number in range(20)
    ]
    assert [number for number, _ in done] == list(range(20))
    assert len({thread for _, thread in done}) == 1
    assert done[0][1] != threading.get_ident()
    worker.end()


async def test_what_a_call_raises_reaches_its_caller_and_no_other() -> None:
    worker = Worker("worker of a test")
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(lambda: "next") == "next"
    worker.end()


async def test_a_cancelled_caller_leaves_its_call_to_end() -> None:
    worker = Worker("worker of a test")
    begun, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        may_end.wait(10)

    task = asyncio.create_task(worker.run(wait))
    await until(begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await worker.idle()
    may_end.set()
    await worker.idle()
    assert await worker.run(lambda: 7) == 7
    worker.end()


async def test_the_thread_ends_after_the_calls_it_was_given() -> None:
    worker = Worker("worker that ends")
    answer = asyncio.ensure_future(worker.run(lambda: 7))
    await asyncio.sleep(0)
    worker.end()
    assert await answer == 7
    await until(lambda: all(one.name != "worker that ends" for one in threading.enumerate()))


async def test_a_worker_that_did_nothing_is_idle() -> None:
    worker = Worker("worker of a test")
    await worker.idle()
    worker.end()


CALLS_FOR_EVER = """
import asyncio, threading
from asyncdicom.transports.associations.workers import Worker

async def main():
    begun = threading.Event()
    def wait():
        begun.set()
        threading.Event().wait()
    task = asyncio.ensure_future(Worker("left").run(wait))
    while not begun.is_set():
        await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_a_program_ends_though_a_call_does_not() -> None:
    begun_s = time.monotonic()
    subprocess.run([sys.executable, "-c", CALLS_FOR_EVER], check=True, timeout=40)
    assert time.monotonic() - begun_s < 30
