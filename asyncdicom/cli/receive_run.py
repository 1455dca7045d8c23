"""Run `asyncdicom receive`: open what it needs, serve, and end in order on a signal.

The first SIGINT or SIGTERM lets nobody in any more and gives objects on their way
`--drain-timeout`; the second one aborts them. That a service is ended by its manager is no
failure, and neither is a peer that holds an association without a word: the exit code tells
only whether objects were on their way when associations were aborted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import uvloop

from asyncdicom.cli.outlet import Outlet
from asyncdicom.cli.receive_exit_codes import ReceiveExitCode, failing_as
from asyncdicom.cli.receive_logging import LEVELS, EventLog, configure_logging
from asyncdicom.cli.receive_output import JsonLines, Sentences, live_counters
from asyncdicom.cli.receive_settings import Names, metrics_address, names_of, receiver_settings
from asyncdicom.cli.receive_stderr import patient_stderr
from asyncdicom.cli.receive_tls import acceptor_tls, check_tls
from asyncdicom.cli.run import spare_collections
from asyncdicom.errors import ConfigError, StorageError
from asyncdicom.receiver.descriptors import cached_directories, descriptor_limit, within
from asyncdicom.receiver.receiver import Receiver
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncdicom.protocol.dimse.association_profiles import AssociationProfile
    from asyncdicom.receiver.events import ReceiverObserver
    from asyncdicom.receiver.settings import ReceiverSettings
    from asyncdicom.transports.associations.acceptor_tls import AcceptorTls

__all__ = ["run"]

_LOGGER = logging.getLogger("asyncdicom.receiver")

ECHO_S = 0.5
"""A signal that comes again so soon, in seconds, is the same one: `timeout` and shells send it to
a process and to its group."""

_OWN_LEVEL = (("quiet", "fatal"), ("verbose", "info"), ("debug", "debug"))

_SIGNALS = {
    signal.SIGINT: ("interrupted", ReceiveExitCode.INTERRUPTED),
    signal.SIGTERM: ("terminated", ReceiveExitCode.TERMINATED),
}


def run(options: Mapping[str, Any]) -> int:
    """Receive until a signal ends it; return the exit code.

    Raises:
        click.UsageError: If options contradict each other.
        ReceiveEnded: If it cannot begin.

    """
    _fill_standard_descriptors()
    with failing_as(ReceiveExitCode.SYNTAX):
        _configure_logging(options)
    with failing_as(ReceiveExitCode.ASSOCIATION_PROFILE):
        profile = _profile(options)
    tls = acceptor_tls(options)
    if tls is not None:
        # Here a person may be asked for a password; no event loop waits for it.
        with failing_as(ReceiveExitCode.TLS):
            for warning in check_tls(tls, options):
                _LOGGER.warning("%s", warning)
    spare_collections()
    return uvloop.run(_receive(options, profile, tls))


def _fill_standard_descriptors() -> None:
    """Open what a daemon may have closed: else a socket gets its number, and what is printed."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
    for fd, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, "w", encoding="utf-8", closefd=False))


def _configure_logging(options: Mapping[str, Any]) -> None:
    own = next((level for name, level in _OWN_LEVEL if options[name]), None)
    for name in ("log_level", "log_config"):
        if own is not None and options[name] is not None:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} not allowed with --verbose, --debug or --quiet")
    if options["log_level"] is not None and options["log_config"] is not None:
        raise click.UsageError("--log-config not allowed with --log-level")
    level = own or options["log_level"] or "warn"
    if options["verbose_pc"] and LEVELS[level] > LEVELS["info"]:
        raise click.UsageError("--verbose-pc is only allowed with --verbose, --debug or -ll info")
    configure_logging(level=level, config_file=options["log_config"])


async def _receive(
    options: Mapping[str, Any], profile: AssociationProfile | None, tls: AcceptorTls | None
) -> int:
    async with AsyncExitStack() as stack:
        stack.enter_context(patient_stderr())
        with failing_as(ReceiveExitCode.OUTPUT_FOLDER):
            limit = descriptor_limit(options["max_associations"])
            folder = stack.enter_context(_open_folder(options, limit))
        with failing_as(ReceiveExitCode.SYNTAX):
            names = names_of(options, folder)
            settings = _bounded(receiver_settings(options, names, profile=profile, tls=tls), limit)
            observers = _observers(options, names, stack)
            receiver = Receiver(settings, folder, observers)
        # Before anybody is told that we are ready: who waits for it may end us at once.
        ending = _Ending(receiver, options["drain_timeout"])
        with failing_as(ReceiveExitCode.CANNOT_LISTEN):
            if options["metrics"] is not None:
                await stack.enter_async_context(_metrics(receiver, options))
            await stack.enter_async_context(receiver)
        async with live_counters(receiver.statistics, options):
            await receiver.serve()
        return ending.exit_code
    raise AssertionError("the stack swallows no exception")


def _profile(options: Mapping[str, Any]) -> AssociationProfile | None:
    if options["config_file"] is None:
        return None
    from asyncdicom.receiver.profiles import load_association_profile  # noqa: PLC0415 -- for those who ask

    return load_association_profile(*options["config_file"])


def _bounded(settings: ReceiverSettings, limit: int) -> ReceiverSettings:
    """Let in no more than we have descriptors for, and say so."""
    server = within(settings.server, limit, settings.engine)
    if server.max_associations < settings.server.max_associations:
        _LOGGER.warning(
            "%d associations at once, not %d: this process may open %d files (ulimit -n)",
            *(server.max_associations, settings.server.max_associations, limit),
        )
    return replace(settings, server=server)


def _open_folder(options: Mapping[str, Any], limit: int) -> OutputFolder:
    root = options["output_directory"]
    # A volume that is not mounted must not be taken for an empty one.
    if not Path(root).is_dir():
        raise ConfigError(f"no such folder: {root!r}", hint="make it first: it is not made here")
    folder = OutputFolder.open(
        root,
        durability=Durability(options["durability"]),
        cached_directories=cached_directories(limit),
        # Whoever processes studies may take their folders away.
        expects_moves=True,
    )
    try:
        # That files can be made is better known before anybody sends one.
        folder.create("probe").discard()
    except StorageError as error:
        folder.close()
        raise ConfigError(f"no file can be made in {root!r}", hint=error.message) from error
    return folder


def _observers(
    options: Mapping[str, Any], names: Names, stack: AsyncExitStack
) -> list[ReceiverObserver]:
    # On stderr beginning and end are sentences, see below.
    tells_itself = options["log_config"] is not None
    observers: list[ReceiverObserver] = [
        EventLog(
            shows_paths=not names.hold_values,
            tells_itself=tells_itself,
            shows_contexts=options["verbose_pc"],
        )
    ]
    if options["as_json"]:
        outlet = stack.enter_context(closing(Outlet(sys.stdout.fileno())))
        observers.append(JsonLines(outlet, is_quiet=options["quiet"]))
    observers.append(Sentences(is_quiet=options["quiet"]))
    return observers


@asynccontextmanager
async def _metrics(receiver: Receiver, options: Mapping[str, Any]) -> AsyncIterator[None]:
    """Serve counters while the block runs, and say where."""
    from asyncdicom.receiver.metrics import CONTENT_TYPE, prometheus_text  # noqa: PLC0415 -- for those who ask
    from asyncdicom.transports.http_endpoint import HttpEndpoint, Page  # noqa: PLC0415 -- as above

    def page() -> Page:
        return Page(prometheus_text(receiver.statistics()), CONTENT_TYPE)

    host, port = metrics_address(options["metrics"])
    async with HttpEndpoint({"/metrics": page}, host=host, port=port) as endpoint:
        if not options["quiet"]:
            click.echo(f"counters on {endpoint.url}/metrics", err=True)
        yield


class _Ending:
    """Ends a receiver when signals come."""

    def __init__(self, receiver: Receiver, drain_s: float) -> None:
        self.exit_code = ReceiveExitCode.ENDED
        self._receiver = receiver
        self._drain_s = drain_s
        self._loop = asyncio.get_running_loop()
        self._began_s: float | None = None
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        reason, code = _SIGNALS[number]
        now_s = self._loop.time()
        if self._began_s is None:
            self._began_s = now_s
            # Before the timer of the receiver, which aborts what then remains.
            self._loop.call_later(self._drain_s, self._look_for_losses, code)
            self._receiver.stop(reason, grace_s=self._drain_s)
        elif now_s - self._began_s >= ECHO_S:
            self._look_for_losses(code)
            self._receiver.stop(reason, grace_s=0.0)

    def _look_for_losses(self, code: ReceiveExitCode) -> None:
        """Remember if objects are on their way now that associations are aborted."""
        if self._receiver.statistics().in_flight:
            self.exit_code = code
