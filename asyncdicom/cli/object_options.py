"""Options for object stores, and what they make of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from asyncdicom.cli.options import option, together

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "OBJECT_CONCURRENCY",
    "for_object_store",
    "is_object_source",
    "object_options",
    "object_store_options",
    "refuse",
    "transfer_options",
]

OBJECT_CONCURRENCY = 20
"""What one machine keeps busy, and a thousandth of what a prefix of S3 takes per second.

More were no faster on loopback; each takes 1 to 2 MB, and with 32 a run had up to 127 MB.
"""

object_store_options = together(
    option("--endpoint-url", metavar="URL", help="Endpoint of an S3 service other than Amazon's."),
    option("--no-sign-request", is_flag=True, help="Ask anonymously (public buckets)."),
    option("--profile", metavar="NAME", help="Profile of the AWS configuration."),
    option("--region", metavar="NAME", help="AWS region of the bucket."),
    option(
        "--addressing-style",
        type=click.Choice(["auto", "path", "virtual"]),
        default="auto",
        show_default=True,
        help="Where the name of the bucket goes: into the path or into the host.",
    ),
    option("--request-payer", is_flag=True, help="Pay for the requests (requester-pays buckets)."),
    option(
        "--trust-etag/--no-trust-etag",
        "trusts_etag",
        default=True,
        help="Whether an ETag that looks like an MD5 is one (default: yes, unless encrypted).",
    ),
)
"""How a store is reached."""

transfer_options = together(
    option(
        "--part-size",
        default="16M",
        show_default=True,
        metavar="BYTES",
        help="Larger objects come in parts of about this size.",
    ),
    option(
        "--parts",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="Parts of one object at once, within --concurrency.",
    ),
    option(
        "--catalog",
        metavar="FILE",
        help="Note what is stored (JSON lines); what is noted is not fetched or read again "
        "(objects only).",
    ),
)
"""How objects are fetched, and what is noted of them."""

object_options = together(
    object_store_options,
    option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Only objects whose key below the prefix matches (s3, gs).",
    ),
    option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="No objects whose key below the prefix matches (s3, gs).",
    ),
    transfer_options,
)
"""What is fetched, and how."""


def is_object_source(source: str) -> bool:
    """Tell whether a source is an object store."""
    # By hand: what is no URL at all is for others to refuse, and help needs no parser.
    scheme, colon, _ = source.strip().partition(":")
    return bool(colon) and scheme.lower() in ("s3", "gs")


def for_object_store(options: dict[str, Any]) -> None:
    """Give options the defaults that go with an object store."""
    if not is_given("concurrency"):
        options["concurrency"] = OBJECT_CONCURRENCY


def is_given(name: str) -> bool:
    """Tell whether an option of the running command has another value than its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source not in (ParameterSource.DEFAULT, None)


def refuse(options: Mapping[str, Any], names: Mapping[str, str], why: str) -> None:
    """Refuse options that do not go with the source.

    Args:
        options: Values by name.
        names: As they are spelled on the command line, by name.
        why: What the message ends with.

    Raises:
        click.UsageError: If one of them is given.

    """
    for name, spelled in names.items():
        if options.get(name) and is_given(name):
            raise click.UsageError(f"{spelled} {why}")
