"""From the options of `asyncdicom receive` to what the receiver is told.

checked = check(options)                        # before anything is opened
with OutputFolder.open(...) as folder:
    names = names_of(options, folder)
    settings = receiver_settings(options, names, profile=..., tls=...)
"""

from __future__ import annotations

import ipaddress
import random
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.receive_declaring import chosen
from asyncdicom.connecting import byte_count
from asyncdicom.output_wiring import collected_tags
from asyncdicom.protocol.upper_layer.pdu import check_ae_title
from asyncdicom.receiver.settings import (
    MAX_REMEMBERED,
    UID_VARIABLES,
    Admission,
    Duplicates,
    HookSettings,
    ReceiverSettings,
    StorageMode,
    StoringRules,
    connections_for,
)
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.received_names import NameSources, NamingScheme, ReceivedNames
from asyncdicom.storage.templates import parse_layout, variables_of
from asyncdicom.transports.associations.acceptor import MAX_PORT, ServerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.protocol.dimse.association_profiles import AssociationProfile
    from asyncdicom.receiver.settings import Naming
    from asyncdicom.storage.folder import OutputFolder
    from asyncdicom.transports.associations.acceptor_tls import AcceptorTls

__all__ = ["Names", "metrics_address", "names_of", "receiver_settings"]

SERIES_DATE = 0x00080021

_ALL_ADDRESSES = {"ipv4": "0.0.0.0", "ipv6": "::", "ip_auto": "::"}  # noqa: S104 -- asked for
"""By the option that asks for them."""

_ADDRESS = re.compile(
    r"(?:(?:\[(?P<ipv6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[A-Za-z0-9.-]*)):)?(?P<port>[0-9]{1,5})"
)

_OF_DCMTK = (
    *("default_filenames", "unique_filenames", "short_unique_names", "system_time_names"),
    *("no_subdir", "series_date_subdir", "filename_extension"),
)
"""Options about names that say nothing beside a layout."""


@dataclass(frozen=True, slots=True)
class Names:
    """How files are called."""

    naming: Naming
    collect: Mapping[int, str]
    """Keyword by tag of the values that this takes."""
    are_unique: bool = False
    """Whether no two objects get one name."""
    hold_values: bool = False
    """Whether paths may hold what data sets say, beside dates and UIDs."""


def names_of(options: Mapping[str, Any], folder: OutputFolder) -> Names:
    """Return how files are called.

    Raises:
        click.UsageError: If the options contradict each other.
        ConfigError: If a layout or an extension is none.

    """
    if options["layout"] is None and not options["iso_9660"]:
        return _names_of_dcmtk(options, folder)
    rival = next((name for name in _OF_DCMTK if options[name]), None)
    if rival is not None:
        raise click.UsageError(
            f"--{rival.replace('_', '-')} is about DCMTK's names: not with --layout or --iso-9660"
        )
    return _names_of_layout(options, folder)


def _names_of_dcmtk(options: Mapping[str, Any], folder: OutputFolder) -> Names:
    scheme = chosen(
        options,
        {
            "unique_filenames": NamingScheme.UNIQUE,
            "short_unique_names": NamingScheme.SHORT_UNIQUE,
            "system_time_names": NamingScheme.SYSTEM_TIME,
        },
        NamingScheme.DEFAULT,
    )
    extension = options["filename_extension"] or ""
    if options["extension"]:
        extension = f".{options['extension'].lstrip('.')}"
    chance = random.SystemRandom()
    sources = NameSources(
        now=datetime.now,
        random_bits=chance.getrandbits,
        is_taken=lambda path: folder.facts(path) is not None,
    )
    by_date = options["series_date_subdir"]
    return Names(
        ReceivedNames(scheme, sources, extension=extension, by_series_date=by_date),
        {SERIES_DATE: "SeriesDate"} if by_date else {},
        are_unique=scheme.is_unique,
    )


def _names_of_layout(options: Mapping[str, Any], folder: OutputFolder) -> Names:
    text = options["layout"] or "flat"
    collect = collected_tags(variables_of(text))
    extension = ".dcm" if options["extension"] is None else options["extension"]
    layout = Layout(
        parse_layout(text, known=UID_VARIABLES.union(collect.values())),
        extension="" if options["iso_9660"] else extension,
        is_iso_9660=options["iso_9660"],
        names_in=folder.names,
        max_remembered=MAX_REMEMBERED,
    )
    return Names(
        layout, collect, hold_values=text == "tree" or not variables_of(text) <= UID_VARIABLES
    )


def receiver_settings(
    options: Mapping[str, Any],
    names: Names,
    *,
    profile: AssociationProfile | None,
    tls: AcceptorTls | None,
) -> ReceiverSettings:
    """Return all that the receiver is told.

    Raises:
        click.UsageError: If a value is none of its kind.
        ConfigError: If an AE title or a size is none.

    """
    return ReceiverSettings(
        server=_server(options, tls),
        storing=_storing(options, names),
        admission=_admission(options),
        profile=profile,
        is_promiscuous=options["promiscuous"],
        engine=options["dimse_engine"],
        hooks=HookSettings(
            on_object=options["on_object"],
            on_association=options["on_association"],
            on_study=options["on_study"],
            max_at_once=options["hooks_at_once"],
            timeout_s=options["hook_timeout"],
        ),
        study_idle_s=options["study_idle"],
    )


def _server(options: Mapping[str, Any], tls: AcceptorTls | None) -> ServerSettings:
    if options["host"] == "":
        # To the system that would be all addresses, which nobody means by it.
        raise click.UsageError("--host: no address (write 0.0.0.0 for all of this machine)")
    return ServerSettings(
        host=chosen(options, _ALL_ADDRESSES, options["host"]),
        is_ipv6_only=options["ipv6"],
        port=options["port"],
        max_associations=options["max_associations"],
        max_connections=connections_for(options["max_associations"]),
        max_pdu_bytes=options["max_pdu"],
        artim_timeout_s=float(options["acse_timeout"]),
        idle_timeout_s=float(options["dimse_timeout"]),
        tls=tls,
    )


def _storing(options: Mapping[str, Any], names: Names) -> StoringRules:
    duplicates = options["duplicates"]
    if names.are_unique and duplicates is not None:
        raise click.UsageError("--duplicates says nothing where every object has a unique name")
    # Unique names are taken only if another process was faster: then neither gives way.
    fallback = "keep-both" if names.are_unique else "overwrite"
    min_free = options["min_free"]
    return StoringRules(
        naming=names.naming,
        collect=names.collect,
        mode=chosen(
            options,
            {"ignore": StorageMode.IGNORE, "bit_preserving": StorageMode.BIT_PRESERVING},
            StorageMode.NORMAL,
        ),
        duplicates=Duplicates(duplicates or fallback),
        min_free_bytes=0 if min_free is None else byte_count(min_free),
        keeps_doubtful=options["keep_doubtful"],
        # Told by these alone: JSON lines, the environment of hooks, and -d.
        computes_digests=bool(options["as_json"] or options["on_object"] or options["debug"]),
    )


def _admission(options: Mapping[str, Any]) -> Admission:
    called, calling, networks = (
        options["aetitle"],
        options["allow_calling_aet"],
        options["allow_from"],
    )
    return Admission(
        called_aes=None if called is None else frozenset([check_ae_title(called)]),
        calling_aes=frozenset(check_ae_title(one, "calling") for one in calling) or None,
        networks=tuple(map(_network, networks)) or None,
        max_associations_per_peer=options["max_associations_per_peer"],
    )


def metrics_address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`, `[HOST]:PORT` or `PORT`.

    Raises:
        click.UsageError: If it is none.

    """
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > MAX_PORT:
        raise click.UsageError(f"--metrics: no address: {text!r} (write 9100, or HOST:9100)")
    return found["ipv6"] or found["host"] or "127.0.0.1", int(found["port"])


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise click.UsageError(
            f"--allow-from: no network: {text!r} (write 10.1.0.0/16, or an address)"
        ) from error
