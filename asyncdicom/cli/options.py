"""Options that several commands share, declared once, and the values they make.

Each option reads `ASYNCDICOM_NAME` from the environment; the configuration
file feeds defaults. `click` merges the three and remembers where a value came
from (`asyncdicom config show`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from asyncdicom.errors import ConfigError

__all__ = [
    "MAX_WAIT_S",
    "Number",
    "check_url",
    "concurrency_option",
    "connection_options",
    "dimse_options",
    "durability_option",
    "for_source",
    "move_options",
    "option",
    "output_options",
    "retry_option",
    "run_options",
    "selection_and_keys_options",
    "selection_options",
    "source_argument",
    "together",
]

DIMSE_CONCURRENCY = 4

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Declare an option that also reads `ASYNCDICOM_<LONG NAME>` from the environment."""
    long_name = next(name for name in names if name.startswith("--"))
    variable = long_name.split("/")[0].strip("-").upper().replace("-", "_")
    settings.setdefault("envvar", f"ASYNCDICOM_{variable}")
    return click.option(*names, **settings)


def together(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Apply several options in the order in which help shall list them."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def concurrency_option(
    explained: str, *, default: int | None = 8, most: int = 1024, shown: str | bool = True
) -> Callable[[F], F]:
    """Declare how much happens at once.

    Args:
        explained: For the help.
        default: None if the command finds out itself.
        most: Upper bound.
        shown: What the help says of the default, if it is no number.

    """
    kind = click.IntRange(1, most)
    words = ("-c", "--concurrency")
    return option(*words, type=kind, default=default, show_default=shown, help=explained)


def retry_option(what: str) -> Callable[[F], F]:
    """Declare how often what failed is tried again."""
    kind, explained = click.IntRange(0, 100), f"Further tries of {what}."
    return option("-r", "--retry", type=kind, default=3, show_default=True, help=explained)


class Number(click.FloatRange):
    """A number within bounds; what is none (NaN) is within any, and loops cannot wait for it."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


class _Line(click.types.StringParamType):
    """A line of text; the environment holds several on lines of their own: they have blanks."""

    envvar_list_splitter = "\n"


MAX_WAIT_S = 1_000_000
"""Eleven days, in seconds; what engines and clocks count with is bounded, too."""


def check_url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Refuse what no URL can be, before anybody looks at its scheme.

    Raises:
        ConfigError: If it cannot be taken apart.

    """
    try:
        urlsplit(value or "")
    except ValueError as error:
        raise ConfigError(
            f"not a URL: {error}",
            hint="SOURCE is like http://host/dicom-web, dicom://AET@host or s3://bucket/prefix",
        ) from error
    return value


source_argument = click.argument("source", metavar="SOURCE", callback=check_url)

_PATH = click.Path(dir_okay=False)

connection_options = together(
    option("-z", "--authorization", metavar="VALUE", help="Authorization header, as it is sent."),
    option("--user", metavar="NAME:PASSWORD", help="Basic authentication."),
    option("--bearer", metavar="TOKEN", help="Bearer token."),
    option("--bearer-command", metavar="CMD", help="Command that prints a bearer token."),
    option("--oauth2-token-url", metavar="URL", help="OAuth2 token endpoint."),
    option("--oauth2-client-id", metavar="ID", help="OAuth2 client id."),
    option("--oauth2-client-secret", metavar="SECRET", help="OAuth2 client secret."),
    option("--oauth2-refresh-token", metavar="TOKEN", help="OAuth2 refresh token."),
    option("--oauth2-scope", metavar="SCOPE", help="OAuth2 scope."),
    option("--netrc", is_flag=True, help="Take the password from ~/.netrc (or $NETRC)."),
    option(
        "--header",
        multiple=True,
        type=_Line(),
        metavar="'NAME: VALUE'",
        help="Further request header.",
    ),
    option("--cacert", type=_PATH, help="PEM file with certificates to trust."),
    option("--cert", type=_PATH, help="PEM file with the client certificate."),
    option("--key", type=_PATH, help="PEM file with the key of --cert."),
    option("--insecure", is_flag=True, help="Do not verify the server's certificate (warned)."),
    option("--proxy", metavar="URL", help="http://, https:// or socks5:// proxy."),
    option(
        "--http-engine",
        type=click.Choice(["auto", "pyreqwest", "httpx", "aiohttp"]),
        default="auto",
        show_default=True,
        help="HTTP library.",
    ),
    option("--http2/--no-http2", default=True, help="Offer HTTP/2 over TLS (default: yes)."),
    option("--h2c", is_flag=True, help="Speak HTTP/2 on plain http:// (prior knowledge)."),
    option(
        "--connections",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="HTTP/2 connections to share the requests.",
    ),
    option(
        "--stream-window",
        type=click.IntRange(64, 65_536),
        default=1024,
        show_default=True,
        help="HTTP/2 flow-control window per stream, in KiB.",
    ),
    option(
        "--timeout",
        type=Number(0.1, MAX_WAIT_S),
        default=30.0,
        show_default=True,
        help="Seconds without a byte before an attempt is given up (idle, not total).",
    ),
    option(
        "--connect-timeout",
        type=Number(0.1, MAX_WAIT_S),
        default=10.0,
        show_default=True,
        help="Seconds to connect, TLS included.",
    ),
)

dimse_options = together(
    option("--calling-aet", metavar="AET", help="Our own AE title (DIMSE; default ASYNCDICOM)."),
    option(
        "--model",
        type=click.Choice(["study", "patient", "patient-study", "worklist"]),
        default="study",
        show_default=True,
        help="Information model of queries (DIMSE); worklist can be searched only.",
    ),
    option(
        "--max-associations",
        type=click.IntRange(1, 256),
        help="Associations at once (DIMSE; default 4, or what -c says, but 2 with -c 1).",
    ),
    option(
        "--max-pdu",
        type=click.IntRange(4096, 16 * 1024 * 1024),
        default=128 * 1024,
        show_default=True,
        metavar="BYTES",
        help="Longest PDU that we take (DIMSE).",
    ),
    option(
        "--dimse-engine",
        type=click.Choice(["native", "pynetdicom"]),
        default="native",
        show_default=True,
        help="DIMSE implementation.",
    ),
    option(
        "--tls-profile",
        type=click.Choice(["bcp195", "bcp195-modified"]),
        default="bcp195",
        show_default=True,
        help="Versions and suites for dicoms://.",
    ),
    option(
        "--any-host-name",
        is_flag=True,
        help="Trust a certificate of dicoms:// whatever host it names.",
    ),
)


move_options = together(
    option(
        "--move-aet",
        metavar="AET",
        help="AE title of our receiver for retrieve=move (default: that of --calling-aet).",
    ),
    option(
        "--move-port",
        type=click.IntRange(0, 65535),
        default=11112,
        show_default=True,
        help="Port of our receiver for retrieve=move.",
    ),
    option(
        "--move-host",
        metavar="ADDRESS",
        help="Address that our receiver listens on (default: that on the way to the archive).",
    ),
)


def for_source(options: dict[str, Any]) -> None:
    """Let a DIMSE source have fewer associations than an HTTP server has requests.

    Four are what archives give a workstation; who says `-c` or `--max-associations`
    has another number in mind, and gets it. One operation at a time leaves room for a
    second association, which lists what the first one brings.
    """
    if urlsplit(options["source"]).scheme not in ("dicom", "dicoms"):
        return
    context = click.get_current_context()
    is_given = context.get_parameter_source("concurrency") is not ParameterSource.DEFAULT
    most = options["max_associations"]
    wanted = options["concurrency"] if is_given else (most or DIMSE_CONCURRENCY)
    options["concurrency"] = min(wanted, most or wanted)
    options["max_associations"] = most or max(wanted, 2)


_run_options = together(
    retry_option("a failed request; the last one at the end of the queue"),
    option("-a", "--abort", is_flag=True, help="Stop at the first failure."),
    option("--max-errors", type=click.IntRange(min=0), help="Stop after more failures than this."),
    option(
        "--max-error-rate",
        type=Number(0, 1),
        help="Stop when more than this share of the requests failed.",
    ),
    option("--rate", type=Number(0.01), help="Requests per second, at most."),
    option("--bandwidth", metavar="BYTES", help="Bytes per second, at most (10M, 500k)."),
    option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the last line."),
    option("-v", "--verbose", is_flag=True, help="Say what happens to each item."),
    option(
        "--json",
        "as_json",
        is_flag=True,
        help="Events as JSON lines on stdout; with -q only failures and the end.",
    ),
    option("--report", metavar="FILE", help="Write one JSON line per outcome."),
    option("--retry-failed", metavar="FILE", help="Ask only for what failed in that report."),
)


def run_options(concurrency: Callable[[F], F]) -> Callable[[F], F]:
    """Declare how a run goes on, what it says, and how much of it happens at once."""
    return together(concurrency, _run_options)


def _selection(study: str) -> Callable[[F], F]:
    return together(
        option("--study", "-s", multiple=True, metavar="UID", help=study),
        option("--series", multiple=True, metavar="UID", help="Series (needs one --study)."),
        option("--instance", multiple=True, metavar="UID", help="Instance (needs one --series)."),
    )


selection_options = _selection("Study ('-' reads them from stdin).")

selection_and_keys_options = _selection(
    "Study ('-' reads them from stdin); -s KEYWORD is --series-key, as odil has it."
)

durability_option = option(
    "--durability",
    type=click.Choice(["none", "batch", "full"]),
    default="batch",
    show_default=True,
    help="When to call a file safe: written, synced in groups, synced one by one.",
)

output_options = together(
    option(
        "-o",
        "-d",
        "--output",
        "--directory",
        default=".",
        show_default=True,
        metavar="DIR",
        help="Folder to write to; it is created if missing.",
    ),
    durability_option,
)
