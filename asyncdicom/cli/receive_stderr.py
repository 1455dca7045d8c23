"""What is said to a person, to a pipe that may not be read: it must not hold up what we do.

    with patient_stderr():
        ...                     # sys.stderr never waits, and never fails

A service's stderr is a pipe, as a rule, of a manager that may be slow, stuck or gone. A plain
write to it would stop the event loop, and with it every association, and the signal that is to
end it all. A terminal is written to as ever: a person stops it and lets it go on.
"""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asyncdicom.cli.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["patient_stderr"]


class _ToOutlet(io.RawIOBase):
    """Bytes as they are written, each time a whole message."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._outlet.write(bytes(data))
        return len(data)


@contextmanager
def patient_stderr() -> Iterator[None]:
    """Let nobody wait for whoever reads stderr while the block runs, inside of an event loop."""
    before = sys.stderr
    if before.isatty():
        yield
        return
    before.flush()
    outlet = Outlet(before.fileno(), told_lost=_told_lost)
    sys.stderr = io.TextIOWrapper(
        _ToOutlet(outlet),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )
    try:
        yield
    finally:
        sys.stderr = before
        outlet.close()


def _told_lost(count: int) -> bytes:
    return f"W: {count} messages could not be written, or were not read in time\n".encode()
