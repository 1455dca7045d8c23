"""The process that reads the index for `idc get`, begun before the command line is understood.

    with begun_early(sys.argv[1:]):                     # first of all
        main()                                          # ... in which `idc get` says:
    with plan_teller(options, selection) as sock: ...   # hears what `idc_plan` tells

To import DuckDB and to connect takes 50 ms whatever is asked, and so does click: on two cores
both go on at once. Who calls the command otherwise (`--config` in front, or a test) has no
such process; then one is begun when it is needed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asyncdicom.engine.processes import worker_processes
from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

    from asyncdicom.engine.processes import WorkerProcess
    from asyncdicom.protocol.idc.selection import Selection

__all__ = ["begun_early", "plan_teller"]

_TOLD = (
    *("names", "manifest_file", "retry_failed", "dir_template"),
    *("source_bucket_location", "index", "instance_index"),
)
"""Options that a plan depends on."""

_begun: list[WorkerProcess] = []
"""The process, until somebody takes it."""


@contextmanager
def begun_early(arguments: Sequence[str]) -> Iterator[None]:
    """Begin to get ready, if the arguments are those of `idc get`; end it with the block."""
    if list(arguments[:2]) != ["idc", "get"] or not {"-h", "--help"}.isdisjoint(arguments):
        yield
        return
    with worker_processes(1, _get_ready) as (worker,):
        _begun.append(worker)
        try:
            yield
        finally:
            if _begun:
                # A mistake in the arguments: nobody waits for what nobody will ask.
                _begun.clear()
                os.kill(worker.process_id, signal.SIGKILL)


@contextmanager
def plan_teller(options: Mapping[str, Any], selection: Selection) -> Iterator[socket.socket]:
    """Let a plan be made by another process, and yield the socket on which it is told."""
    if not _begun:

        def serve(sock: socket.socket) -> None:
            from asyncdicom.cli.idc_plan import tell_plan  # noqa: PLC0415 -- in the other process

            tell_plan(sock, options, selection)

        with worker_processes(1, serve) as (worker,):
            yield worker.sock
        return
    sock = _begun.pop().sock
    sock.setblocking(True)
    # Should it have died, that is heard where its answer is waited for.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), sock.makefile("wb") as stream:
        pickle.dump(({name: options[name] for name in _TOLD}, selection), stream)
    yield sock


def _get_ready(sock: socket.socket) -> None:
    """Do what needs no options, then wait for them; the work of the other process."""
    from asyncdicom.cli.idc_plan import tell_plan  # noqa: PLC0415 -- as above
    from asyncdicom.sources.idc_index import connect  # noqa: PLC0415 -- as above

    # What is missing is told when it is asked for.
    connection = None
    with contextlib.suppress(ConfigError):
        connection = connect()
    sock.setblocking(True)
    with contextlib.suppress(EOFError), sock.makefile("rb") as stream:
        options, selection = pickle.load(stream)  # noqa: S301 -- from the process that began this one
        tell_plan(sock, options, selection, connection)
