"""`python -m asyncdicom`, and what the command `asyncdicom` runs."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["run"]

COLLECTED_AFTER = 100_000
"""New containers until the garbage collector looks at them: more than any start makes. What
modules make stays; at 700, the default, it was looked at 200 times, and at 20,000 once: 4 ms."""


def run() -> NoReturn:
    """Run the command line and leave the process at once.

    Taking the interpreter down costs 40 ms, and everything is closed by then: files, sockets
    and reports belong to blocks that have ended. It would also race with the thread of
    pyreqwest, which may still be inside of a call into Python (see `transports.pyreqwest`).
    """
    code: object = 0
    _replace_closed_streams()
    gc.set_threshold(COLLECTED_AFTER)
    try:
        with _begun_early():
            from asyncdicom.cli.app import main  # noqa: PLC0415 -- what is begun early imports less

            main()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = 130  # while modules were imported: the command had not begun
    os._exit(_flushed(code if isinstance(code, int) else 0))


def _replace_closed_streams() -> None:
    """Put something in the place of standard streams that are closed (`>&-`, some daemons).

    Else the next file or socket gets the number, what is said to stderr goes into it, and libuv
    aborts when it is closed. What is written to stdout fails (EBADF), for nobody can see it;
    what is said to stderr goes nowhere.
    """
    if sys.stdin is None:
        sys.stdin = open(_opened(os.O_RDONLY), encoding="utf-8")  # noqa: SIM115 -- until exit
    if sys.stdout is None:
        sys.stdout = open(_opened(os.O_RDONLY), "w", encoding="utf-8")  # noqa: SIM115 -- as above
    if sys.stderr is None:
        sys.stderr = open(_opened(os.O_WRONLY), "w", encoding="utf-8")  # noqa: SIM115 -- as above


def _opened(flags: int) -> int:
    """Return the lowest free descriptor, opened to nowhere, for our own processes as well."""
    descriptor = os.open(os.devnull, flags)
    os.set_inheritable(descriptor, True)
    return descriptor


def _begun_early() -> AbstractContextManager[None]:
    """Return a block in which what takes long is begun before the command line is understood."""
    if sys.argv[1:2] != ["idc"]:
        return nullcontext()
    from asyncdicom.cli.idc_early import begun_early  # noqa: PLC0415 -- for who needs it

    return begun_early(sys.argv[1:])


def _flushed(code: int) -> int:
    """Bring out what was written; return the code to end with."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # The reader has gone: it cannot have seen the end.
        return code or 1
    return code


if __name__ == "__main__":
    run()
