"""A thread of one's own, for a library that blocks.

    worker = Worker("asyncdicom-association")
    answer = await worker.run(blocking_call, argument)
    worker.end()

Rules:
* One call at a time, in the order of asking; nothing is shared but arguments and results.
* The thread is a daemon: a program that ends without having closed us ends all the
  same. (The threads of `concurrent.futures` are joined at exit, whatever they wait for.)
* Cancellation leaves the call running; who cancels sees to it that it ends soon.
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Worker"]

T = TypeVar("T")


class Worker:
    """Runs calls in a thread, for one event loop.

    Args:
        name: Of the thread, for those who look at threads.

    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._last: asyncio.Future[Any] | None = None
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    async def run(self, function: Callable[..., T], /, *arguments: object) -> T:
        """Call a function in the thread, and return or raise what it does."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._last = self._loop.create_future()
        self._calls.put(_Call(self._loop, function, arguments, (future, self._last)))
        return await future

    async def idle(self) -> None:
        """Wait until the last call ended, cancelled or not."""
        if self._last is not None:
            await asyncio.wait([self._last])

    def end(self) -> None:
        """End the thread after the calls that it was given."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            del call  # its result may be large, and the next call far


class _Call:
    """A call, and the two futures that it ends: that of its caller, and that of `idle`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[..., Any],
        arguments: tuple[object, ...],
        futures: tuple[asyncio.Future[Any], asyncio.Future[Any]],
    ) -> None:
        self._loop = loop
        self._function = function
        self._arguments = arguments
        self._futures = futures
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Call, in the thread, and send the loop what came of it."""
        with self:
            self._result = self._function(*self._arguments)
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def __enter__(self) -> None:
        """Begin to keep what is raised."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        self._error = error
        return True

    def _deliver(self) -> None:
        asked, ended = self._futures
        error, self._error = self._error, None  # else its traceback and we keep each other
        ended.set_result(None)
        if asked.done():  # its caller was cancelled
            return
        if error is None:
            asked.set_result(self._result)
        else:
            asked.set_exception(error)
