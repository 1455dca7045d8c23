"""The watchdog on a clock of its own: whom it cancels, and whose cancellation wins."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from asyncdicom.errors import ConnectionLost, Stalled, TransportError
from asyncdicom.policy.throughput import StallLimits
from asyncdicom.transports.watchdog import Watch, Watchdog

pytestmark = pytest.mark.anyio

LIMITS = StallLimits(head_s=30, idle_s=30, min_bytes_per_s=100, window_s=60)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def translate(error: Exception) -> TransportError:
    return TransportError(f"translated {error}")


async def wait_in(watch: Watch, event: asyncio.Event) -> None:
    with watch:
        await event.wait()


async def begin(watch: Watch, event: asyncio.Event) -> asyncio.Task[None]:
    task = asyncio.create_task(wait_in(watch, event))
    await asyncio.sleep(0)
    return task


async def test_a_silent_exchange_is_ended() -> None:
    clock = Clock()
    dog = Watchdog(LIMITS, clock=clock)
    task = await begin(dog.watch(translate), asyncio.Event())
    clock.now_s = 30
    dog.look()
    with pytest.raises(Stalled):
        await task
    assert task.cancelling() == 0


async def test_an_exchange_in_time_is_left_alone() -> None:
    clock, event = Clock(), asyncio.Event()
    dog = Watchdog(LIMITS, clock=clock)
    task = await begin(dog.watch(translate), event)
    clock.now_s = 29.9
    dog.look()
    event.set()
    await task


async def test_a_cancellation_from_outside_wins() -> None:
    clock = Clock()
    dog = Watchdog(LIMITS, clock=clock)
    task = await begin(dog.watch(translate), asyncio.Event())
    clock.now_s = 30
    dog.look()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_alone_is_no_stall() -> None:
    dog = Watchdog(LIMITS, clock=Clock())
    task = await begin(dog.watch(translate), asyncio.Event())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_has_been_forgotten_is_not_ended() -> None:
    clock, event = Clock(), asyncio.Event()
    dog = Watchdog(LIMITS, clock=clock)
    watch = dog.watch(translate)
    task = await begin(watch, event)
    dog.forget(watch)
    clock.now_s = 1000
    dog.look()
    event.set()
    await task


async def test_an_exchange_that_does_not_wait_fails_at_its_next_wait() -> None:
    dog = Watchdog(LIMITS, clock=Clock())
    watch = dog.watch(translate)
    dog.end_all("the transport was closed")
    with pytest.raises(ConnectionLost, match="transport was closed"), watch:
        raise AssertionError("the block is not entered")


async def test_foreign_exceptions_are_translated_and_chained() -> None:
    watch = Watchdog(LIMITS, clock=Clock()).watch(translate)
    with pytest.raises(TransportError, match="translated boom") as caught, watch:
        raise OSError("boom")
    assert isinstance(caught.value.__cause__, OSError)


async def test_our_own_exceptions_pass_untouched() -> None:
    watch = Watchdog(LIMITS, clock=Clock()).watch(translate)
    with pytest.raises(Stalled, match="mine"), watch:
        raise Stalled("mine")


async def test_a_library_that_turns_the_cancellation_into_an_error_is_seen_through() -> None:
    clock = Clock()
    dog = Watchdog(LIMITS, clock=clock)
    watch = dog.watch(translate)

    async def wait() -> None:
        with watch:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise OSError("cancelled") from None

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    clock.now_s = 30
    dog.look()
    with pytest.raises(Stalled):
        await task


async def wait_and_swallow(watch: Watch, error: Exception | None) -> None:
    """Wait as a library does that returns what it has, or fails, when it is cancelled."""
    with watch:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if error is not None:
                raise error from None


@pytest.mark.parametrize(
    "error", [None, OSError("boom")], ids=["data came at the same time", "it failed instead"]
)
async def test_a_cancellation_that_a_library_swallows_is_not_lost(error: Exception | None) -> None:
    watch = Watchdog(LIMITS, clock=Clock()).watch(translate)
    task = asyncio.create_task(wait_and_swallow(watch, error))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_data_that_came_with_a_stall_is_kept() -> None:
    clock = Clock()
    dog = Watchdog(LIMITS, clock=clock)
    task = asyncio.create_task(wait_and_swallow(dog.watch(translate), None))
    await asyncio.sleep(0)
    clock.now_s = 30
    dog.look()
    await task


async def test_many_exchanges_share_one_timer() -> None:
    limits = StallLimits(head_s=0.05, idle_s=0.05, min_bytes_per_s=0, window_s=0.05)
    dog = Watchdog(limits)
    tasks = [await begin(dog.watch(translate), asyncio.Event()) for _ in range(50)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, Stalled) for error in found)


class Exchange:
    """Something that a watch can lead back to."""

    def __init__(self, dog: Watchdog) -> None:
        self.watch = dog.watch(self.translate)

    def translate(self, error: Exception) -> TransportError:
        return translate(error)


async def test_a_forgotten_watch_keeps_nothing_of_its_exchange() -> None:
    dog = Watchdog(LIMITS, clock=Clock())
    exchange = Exchange(dog)
    seen = weakref.ref(exchange)
    dog.forget(exchange.watch)
    gc.disable()
    try:
        del exchange
        assert seen() is None
    finally:
        gc.enable()


async def test_an_error_of_the_library_behind_the_end_does_not_travel() -> None:
    dog = Watchdog(LIMITS, clock=Clock())
    watch = dog.watch(translate)
    dog.forget(watch)
    with pytest.raises(ConnectionLost), watch:
        raise OSError
