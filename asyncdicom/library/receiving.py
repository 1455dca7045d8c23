"""`receive`, and the receiver that it opens: a Storage SCP inside of a program."""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import Enum
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar, Unpack

from asyncdicom.errors import ConfigError, LimitExceeded
from asyncdicom.library.options import check_names
from asyncdicom.output_wiring import collected_tags
from asyncdicom.protocol.upper_layer.pdu import check_ae_title
from asyncdicom.receiver.descriptors import cached_directories, descriptor_limit, within
from asyncdicom.receiver.profiles import load_association_profile
from asyncdicom.receiver.receiver import Receiver
from asyncdicom.receiver.settings import (
    MAX_REMEMBERED,
    UID_VARIABLES,
    Admission,
    Duplicates,
    HookSettings,
    ReceiverSettings,
    StoringRules,
    connections_for,
)
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.templates import parse_layout, variables_of
from asyncdicom.transports.associations.acceptor import ServerSettings
from asyncdicom.transports.associations.acceptor_tls import AcceptorTls, PeerCertificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.protocol.dimse.association_profiles import AssociationProfile
    from asyncdicom.receiver.events import ReceiverEvent
    from asyncdicom.receiver.statistics import ReceiverStatistics

__all__ = ["ReceiveOptions", "Receiving", "receive"]

MAX_WAITING_EVENTS = 100_000
"""Of a program that reads them slower than they come: some 50 MB."""

E = TypeVar("E", bound=Enum)

_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "max_associations": (0, math.inf),
    "max_pdu": (4096, 16 * 1024 * 1024),
    "timeout": (0.001, math.inf),
    "min_free": (0, math.inf),
    "study_idle": (0.001, math.inf),
}
"""Least and most of each option that is a number; times in seconds, sizes in bytes."""


class ReceiveOptions(TypedDict, total=False):
    """Further options of `receive`."""

    host: str
    """Address to listen on; "127.0.0.1" by default, "0.0.0.0" or "::" for everybody."""
    aetitle: str
    """What we are called; by default any name is answered to."""
    allow_calling_aet: Iterable[str]
    """AE titles that may call; by default anybody."""
    allow_from: Iterable[str]
    """Networks that peers may come from, such as "10.1.0.0/16"; by default any."""
    max_associations: int
    """At one time, 64 by default; the next is told to come again."""
    max_associations_per_peer: int
    """At one time, of one address; by default as many as there may be."""
    max_pdu: int
    """Longest PDU that we take, 4,096 to 16,777,216 bytes; 131,072 by default."""
    timeout: float
    """Seconds without a byte before an association is aborted; 60 by default."""
    cert: str | os.PathLike[str]
    """File with our certificate; then TLS alone is spoken."""
    key: str | os.PathLike[str]
    """File with its key; by default that of `cert`."""
    cacert: str | os.PathLike[str]
    """File with authorities that have to vouch for clients; by default they need no certificate."""
    config_file: tuple[str | os.PathLike[str], str]
    """A file of association profiles (DCMTK's asconfig format) and the name of one: what it says
    is taken, and nothing else; by default every storage class of the Standard."""
    promiscuous: bool
    """Take SOP classes and transfer syntaxes that no standard names, too."""
    layout: str
    """"flat" (default), "tree", or a template."""
    extension: str
    """Of files; ".dcm" by default."""
    duplicates: Literal["overwrite", "skip", "keep-both"]
    """What becomes of an instance whose name is taken; "overwrite" by default."""
    durability: Literal["none", "batch", "full"]
    """When to call a file safe: written, synced in groups (default), synced one by one."""
    min_free: int
    """Bytes that have to stay free; below, instances are refused with A700."""
    keep_doubtful: bool
    """Keep instances that lack what they should have, such as pixels."""
    study_idle: float
    """Seconds without an instance before a study is told as complete; 10 by default."""
    on_object: str
    """Command to run for each instance that was stored, never through a shell."""
    on_association: str
    """Command to run for each association that ended."""
    on_study: str
    """Command to run for each study that is complete."""


def receive(
    folder: str | os.PathLike[str],
    *,
    port: int = 11112,
    on_event: Callable[[ReceiverEvent], None] | None = None,
    **options: Unpack[ReceiveOptions],
) -> AbstractAsyncContextManager[Receiving]:
    """Open a receiver: a Storage SCP that peers store with.

    The options have the names and meanings of the command line (`asyncdicom receive --help`).

    Example:
        async with asyncdicom.receive(output, port=0, on_event=print) as receiver:
            print("port", receiver.port)  # what comes is stored from now on
            await receiver.stop()  # nobody new comes in; what is under way may end

    `async for event in receiver` follows it, too, up to its end.

    Args:
        folder: Where instances go; made where missing.
        port: To listen on; 0 lets the system choose.
        on_event: Called with each event, on the event loop; it must not block.
        **options: As `ReceiveOptions` lists them.

    Raises:
        ConfigError: When it is entered, if an address, an AE title, a profile, a layout or a
            hook is not usable, or the folder cannot be written to.
        TypeError: If there is no such option.

    Cancellation: leaving the block aborts the associations that are open, and waits.

    """
    check_names("receive", options, ReceiveOptions)
    return _open(folder, port, on_event, options)


@asynccontextmanager
async def _open(
    root: str | os.PathLike[str],
    port: int,
    on_event: Callable[[ReceiverEvent], None] | None,
    options: Mapping[str, Any],
) -> AsyncIterator[Receiving]:
    settings = _settings(port, options)
    limit = descriptor_limit(settings.server.max_associations)
    settings = replace(settings, server=within(settings.server, limit, settings.engine))
    events = _Events()
    observers = [events.put] if on_event is None else [events.put, on_event]
    durability = _one_of(Durability, options, "durability", Durability.BATCH)
    opened = OutputFolder.open(
        root,
        durability=durability,
        cached_directories=cached_directories(limit),
        # Whoever processes studies may take their folders away.
        expects_moves=True,
    )
    with opened as folder:
        try:
            async with Receiver(settings, folder, observers) as receiver:
                yield Receiving(receiver, events)
        finally:
            events.end()


class Receiving:
    """A receiver that is open; iterating over it yields its events from the first iteration on.

    One iterator at a time. It ends when the receiver was stopped, or left; events that
    came before are still yielded.
    """

    def __init__(self, receiver: Receiver, events: _Events) -> None:
        self._receiver = receiver
        self._events = events

    @property
    def port(self) -> int:
        """Port that is listened on."""
        return self._receiver.port

    def statistics(self) -> ReceiverStatistics:
        """Return the counters, those of this moment included."""
        return self._receiver.statistics()

    async def stop(self, *, grace: float = 10.0) -> None:
        """Let in nobody any more, and wait for what is on its way.

        Associations end as soon as no object is coming.

        Args:
            grace: How long to wait, in seconds; what is then still coming is dropped.

        """
        await self._receiver.drain(grace_s=grace)
        self._events.end()

    def __aiter__(self) -> AsyncIterator[ReceiverEvent]:
        return self._events.stream()


class _Events:
    """Events that wait for their reader, once there is one."""

    def __init__(self) -> None:
        self._waiting: deque[ReceiverEvent] = deque()
        self._is_ready = asyncio.Event()
        self._is_read = False
        self._is_over = False
        self._is_late = False

    def put(self, event: ReceiverEvent) -> None:
        """Keep an event for the reader."""
        if not self._is_read or self._is_late:
            return
        if len(self._waiting) >= MAX_WAITING_EVENTS:
            self._is_late = True
            return
        self._waiting.append(event)
        self._is_ready.set()

    def end(self) -> None:
        """Say that no more will come."""
        self._is_over = True
        self._is_ready.set()

    async def stream(self) -> AsyncIterator[ReceiverEvent]:
        """Yield events as they come.

        Raises:
            LimitExceeded: If so many waited that some were dropped.

        """
        self._is_read, self._is_late = True, False
        try:
            while self._waiting or not (self._is_over or self._is_late):
                if self._waiting:
                    yield self._waiting.popleft()
                else:
                    self._is_ready.clear()
                    await self._is_ready.wait()
            if self._is_late:
                raise LimitExceeded(f"more than {MAX_WAITING_EVENTS} events waited to be read")
        finally:
            self._is_read = False
            self._waiting.clear()


def _settings(port: int, options: Mapping[str, Any]) -> ReceiverSettings:
    """Return what the receiver is told.

    Raises:
        ConfigError: If a value is none of its kind.

    """
    _check_numbers(options)
    layout = options.get("layout", "flat")
    collect = collected_tags(variables_of(layout))
    rules = parse_layout(layout, known=UID_VARIABLES.union(collect.values()))
    extension = options.get("extension", ".dcm")
    storing = StoringRules(
        naming=Layout(rules, extension=extension, max_remembered=MAX_REMEMBERED),
        collect=collect,
        duplicates=_one_of(Duplicates, options, "duplicates", Duplicates.OVERWRITE),
        min_free_bytes=options.get("min_free", 0),
        keeps_doubtful=options.get("keep_doubtful", False),
    )
    hooks = HookSettings(
        on_object=options.get("on_object"),
        on_association=options.get("on_association"),
        on_study=options.get("on_study"),
    )
    return ReceiverSettings(
        server=_server(port, options),
        storing=storing,
        admission=_admission(options),
        profile=_profile(options.get("config_file")),
        is_promiscuous=options.get("promiscuous", False),
        hooks=hooks,
        study_idle_s=options.get("study_idle", 10.0),
    )


def _server(port: int, options: Mapping[str, Any]) -> ServerSettings:
    max_associations = options.get("max_associations", 64)
    return ServerSettings(
        host=options.get("host", "127.0.0.1"),
        port=port,
        max_associations=max_associations,
        max_connections=connections_for(max_associations),
        max_pdu_bytes=options.get("max_pdu", 128 * 1024),
        idle_timeout_s=options.get("timeout", 60.0),
        tls=_tls(options),
    )


def _tls(options: Mapping[str, Any]) -> AcceptorTls | None:
    cert, key, cacert = (options.get(name) for name in ("cert", "key", "cacert"))
    if cert is None:
        if key is not None or cacert is not None:
            raise ConfigError("TLS needs a certificate of ours", hint="give cert as well")
        return None
    return AcceptorTls(
        key_file=Path(key or cert),
        cert_file=Path(cert),
        ca_files=() if cacert is None else (Path(cacert),),
        peer_certificate=PeerCertificate.IGNORE if cacert is None else PeerCertificate.REQUIRE,
    )


def _profile(chosen: object) -> AssociationProfile | None:
    match chosen:
        case None:
            return None
        case (str() | os.PathLike() as file, str() as name):
            return load_association_profile(file, name)
        case _:
            raise ConfigError(
                f"config_file is no file and profile: {chosen!r}",
                hint='as ("storescp.cfg", "Default")',
            )


def _admission(options: Mapping[str, Any]) -> Admission:
    called, calling = options.get("aetitle"), options.get("allow_calling_aet")
    networks = options.get("allow_from")
    try:
        return Admission(
            called_aes=None if called is None else frozenset([check_ae_title(called)]),
            calling_aes=(
                None if calling is None else frozenset(map(check_ae_title, _several(calling)))
            ),
            networks=None if networks is None else tuple(map(ip_network, _several(networks))),
            max_associations_per_peer=options.get("max_associations_per_peer"),
        )
    except ValueError as error:
        raise ConfigError(f"allow_from has no network: {error}", hint="as 10.1.0.0/16") from error


def _several(values: str | Iterable[str]) -> Iterable[str]:
    """Return values; one alone is no list of its characters."""
    return [values] if isinstance(values, str) else values


def _one_of(kind: type[E], options: Mapping[str, Any], name: str, default: E) -> E:
    """Return what an option names."""
    known = {one.value: one for one in kind}
    value = options.get(name, default.value)
    if value not in known:
        raise ConfigError(f"{name}: no such thing: {value!r}", hint=f"known: {', '.join(known)}")
    return known[value]


def _check_numbers(options: Mapping[str, Any]) -> None:
    for name, (least, most) in _BOUNDS.items():
        value = options.get(name, least)
        if not isinstance(value, int | float):
            raise ConfigError(f"{name}: no number: {value!r}")
        if not least <= value <= most:
            bounds = f"{least} or more" if most == math.inf else f"{least} to {most}"
            raise ConfigError(f"{name}: {value} is not {bounds}")
