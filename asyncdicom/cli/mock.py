"""`asyncdicom mock`: serve an embedded archive, with faults on demand."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.mock import DimseServer, MockServer, S3Server
    from asyncdicom.mock.archive import Archive
    from asyncdicom.mock.dimse import RecordedDimse
    from asyncdicom.mock.server import Recorded

__all__ = ["command"]

EPILOG = """\b
Without FOLDER the studies are synthetic: deterministic, and made while they are
served. With FOLDER the DICOM files below it are served as they are.
\b
With --dimse-port the same studies are there for C-ECHO, C-FIND, C-GET, C-MOVE, with
--s3-port as objects STUDY/SERIES/INSTANCE.dcm in a bucket named dicom.
\b
A fault is NAME[:KIND][:option=value,...]; --list-faults names them all.
\b
Exit codes: 2 usage (a fault that cannot be read, an address in use), 130 Ctrl-C.
\b
Examples:
  asyncdicom mock
  asyncdicom mock ~/studies --port 8042 --tls --ca-out ca.pem
  asyncdicom mock --studies 100 --instances 50 --mixed
  asyncdicom mock --dimse-port 11112 --destination STORE=127.0.0.1:11113
  asyncdicom mock --dimse-port 11112 --fault abort:suboperation:nth=3,at=1000
  asyncdicom mock --s3-port 9000 --fault 503:object:retry-after=1,times=3
  asyncdicom mock --fault truncate:instance:times=1 --fault 503:study:retry-after=2,every=3
"""

F = TypeVar("F", bound="Callable[..., Any]")


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Declare an option that also reads `ASYNCDICOM_MOCK_<LONG NAME>` from the environment.

    The name of the command is part of it: what other commands mean by a transfer
    syntax or a series is something else.
    """
    long_name = next(name for name in names if name.startswith("--"))
    variable = long_name.strip("-").upper().replace("-", "_")
    return click.option(*names, envvar=f"ASYNCDICOM_MOCK_{variable}", **settings)


SHAPE = ("studies", "series", "instances", "rows", "columns", "frames", "seed")
"""Options that go to the synthetic archive as they are."""


@click.command("mock", epilog=EPILOG)
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[FOLDER]")
@option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any free."
)
@option("--tls", is_flag=True, help="Speak TLS (HTTP/2 by ALPN), with a certificate made now.")
@option("--ca-out", type=click.Path(path_type=Path), help="Write the certificate authority here.")
@option("--no-http2", is_flag=True, help="Speak HTTP/1.1 only.")
@option("--studies", default=10, show_default=True, help="Synthetic studies.")
@option("--series", default=1, show_default=True, help="Series per study.")
@option("--instances", default=300, show_default=True, help="Instances per series.")
@option("--rows", default=512, show_default=True, help="Rows of an image.")
@option("--columns", type=int, help="Columns of an image (default: as many as rows).")
@option("--frames", default=1, show_default=True, help="Frames per instance.")
@option("--modality", default="CT", show_default=True, help="Modality of the series.")
@option(
    "--transfer-syntax",
    type=click.Choice(["explicit", "implicit", "rle", "jpeg2000"]),
    default="explicit",
    show_default=True,
    help="Transfer syntax of the images; jpeg2000 is a label that cannot be decoded.",
)
@option("--mixed", is_flag=True, help="Add multi-frame, RLE, JPEG 2000 and SR series.")
@option("--seed", default=0, show_default=True, help="Another seed gives other UIDs and pixels.")
@option("--fault", "faults", multiple=True, metavar="FAULT", help="What goes wrong, and when.")
@option("--list-faults", is_flag=True, help="List the faults and their options, and end.")
@option("--require-token", metavar="TOKEN", help="Bearer token, or NAME:PASSWORD, to ask for.")
@option("--strict-accept", is_flag=True, help="406 for compressed data unless it is asked for.")
@option("--absolute-bulkdata", is_flag=True, help="Write absolute BulkDataURIs.")
@option(
    "--empty-search",
    type=click.Choice(["204", "200"]),
    default="204",
    show_default=True,
    help="Status of a search without results.",
)
@option("--max-results", type=click.IntRange(min=1), help="Most results of a search.")
@option(
    "--framing",
    type=click.Choice(["auto", "length", "chunked", "close"]),
    default="auto",
    show_default=True,
    help="How HTTP/1.1 bodies end.",
)
@option("--dimse-port", type=click.IntRange(0, 65535), help="Speak DIMSE there, too. 0: any free.")
@option("--aet", default="MOCK", show_default=True, help="AE title of the DIMSE face.")
@option("--any-aet", is_flag=True, help="Answer to any called AE title.")
@option(
    "--destination",
    "destinations",
    multiple=True,
    metavar="AET=HOST:PORT",
    help="Where a C-MOVE may send to.",
)
@option(
    "--store-dir",
    type=click.Path(path_type=Path),
    help="Keep what is stored by C-STORE here (default: in memory, up to 256 MiB).",
)
@option("--sop-classes-in-study", is_flag=True, help="Answer SOPClassesInStudy, as Orthanc does.")
@option("--no-relational", is_flag=True, help="Refuse queries without the keys of levels above.")
@option("--s3-port", type=click.IntRange(0, 65535), help="Speak S3 there, too. 0: any free.")
@option(
    "--s3-max-keys",
    type=click.IntRange(1, 1000),
    default=1000,
    show_default=True,
    help="Most keys of a page of a listing.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show each request on stderr.")
def command(folder: Path | None, **given: Any) -> int:
    """Serve an embedded archive over DICOMweb, DIMSE and S3, with faults on demand."""
    if given["list_faults"]:
        print_faults()
        return ExitCode.COMPLETE
    if given["ca_out"] is not None and not given["tls"]:
        raise click.UsageError("--ca-out needs --tls: there is no certificate without it")
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- help has to be instant

    archive = archive_of(folder, given)
    return run(lambda interrupts: serve(archive, given, interrupts))


def archive_of(folder: Path | None, given: dict[str, Any]) -> Archive:
    """Make the archive that the options describe.

    Raises:
        ConfigError: If the folder holds nothing, or a number is out of bounds.

    """
    if folder is not None:
        from asyncdicom.mock.folder import FolderArchive  # noqa: PLC0415 -- as above

        return FolderArchive.index(folder)
    from asyncdicom.mock.objects import (  # noqa: PLC0415 -- as above
        TRANSFER_SYNTAXES,
        SyntheticOptions,
    )
    from asyncdicom.mock.synthetic import SyntheticArchive  # noqa: PLC0415 -- as above

    options = SyntheticOptions(
        **{name: given[name] for name in SHAPE},
        modality=given["modality"],
        transfer_syntax_uid=TRANSFER_SYNTAXES[given["transfer_syntax"]],
        mixed=given["mixed"],
    )
    return SyntheticArchive(options)


def server_of(archive: Archive, given: dict[str, Any]) -> MockServer:
    """Make the server that the options describe.

    Raises:
        ConfigError: If a fault cannot be read.

    """
    from asyncdicom.mock import MockServer, ServerOptions, WebOptions  # noqa: PLC0415 -- as above
    from asyncdicom.mock.messages import Framing  # noqa: PLC0415 -- as above

    web = WebOptions(
        absolute_bulk_uris=given["absolute_bulkdata"],
        require_token=given["require_token"],
        strict_accept=given["strict_accept"],
        empty_search_status=int(given["empty_search"]),
        max_results=given["max_results"],
    )
    options = ServerOptions(
        host=given["host"],
        port=given["port"],
        http2=not given["no_http2"],
        framing=Framing[given["framing"].upper()],
    )
    faults = faults_of(given).web
    return MockServer(archive, faults=faults, tls=given["tls"], web=web, options=options)


class Faults(NamedTuple):
    """Faults by the face that they are of."""

    web: list[str]
    dimse: list[str]
    s3: list[str]


def faults_of(given: dict[str, Any]) -> Faults:
    """Split faults into those of DICOMweb, of DIMSE and of S3.

    Raises:
        ConfigError: If there is one of DIMSE or of S3, but no port for it.

    """
    from asyncdicom.mock.dimse_faults import is_dimse_fault  # noqa: PLC0415 -- as above
    from asyncdicom.mock.s3_faults import is_s3_fault  # noqa: PLC0415 -- as above

    dimse = [fault for fault in given["faults"] if is_dimse_fault(fault)]
    s3 = [fault for fault in given["faults"] if is_s3_fault(fault)]
    for name, faults, option_name in (("DIMSE", dimse, "dimse"), ("S3", s3, "s3")):
        if faults and given[f"{option_name}_port"] is None:
            hint = f"give --{option_name}-port as well"
            raise ConfigError(f"a fault of {name}: {faults[0]!r}", hint=hint)
    return Faults([fault for fault in given["faults"] if fault not in (*dimse, *s3)], dimse, s3)


def dimse_server_of(archive: Archive, given: dict[str, Any]) -> DimseServer | None:
    """Make the DIMSE face that the options describe, or None if none is wanted.

    Raises:
        ConfigError: If a fault or a destination cannot be read.

    """
    if given["dimse_port"] is None:
        return None
    from asyncdicom.mock import DimseOptions, DimseServer  # noqa: PLC0415 -- as above

    options = DimseOptions(
        host=given["host"],
        port=given["dimse_port"],
        ae_title=given["aet"],
        takes_any_called_ae=given["any_aet"],
        destinations=dict(map(destination_of, given["destinations"])),
        store_folder=given["store_dir"],
        lists_sop_classes=given["sop_classes_in_study"],
        is_relational=not given["no_relational"],
    )
    return DimseServer(archive, faults=faults_of(given).dimse, options=options)


def s3_server_of(archive: Archive, given: dict[str, Any]) -> S3Server | None:
    """Make the S3 face that the options describe, or None if none is wanted.

    Raises:
        ConfigError: If a fault cannot be read.

    """
    if given["s3_port"] is None:
        return None
    from asyncdicom.mock import S3Options, S3Server, ServerOptions  # noqa: PLC0415 -- as above

    return S3Server(
        archive,
        faults=faults_of(given).s3,
        tls=given["tls"],
        s3=S3Options(max_keys=given["s3_max_keys"]),
        options=ServerOptions(host=given["host"], port=given["s3_port"], http2=False),
    )


def destination_of(text: str) -> tuple[str, tuple[str, int]]:
    """Read `AET=HOST:PORT`.

    Raises:
        ConfigError: If it is none.

    """
    ae_title, _, place = text.partition("=")
    host, _, port = place.rpartition(":")
    if not (ae_title and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(f"not a destination: {text!r}", hint="expected AET=HOST:PORT")
    return ae_title, (host.strip("[]"), int(port))


class _Serving:
    """What a signal ends: nothing is under way here that deserves a grace."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def stop(self, reason: str, *, grace_s: float) -> None:
        """End the serving."""
        self.ended.set()


async def serve(archive: Archive, given: dict[str, Any], interrupts: Interrupts) -> int:
    """Serve until a signal ends it."""
    serving = _Serving()
    interrupts.stops(serving)
    server, dimse = server_of(archive, given), dimse_server_of(archive, given)
    s3 = s3_server_of(archive, given)
    for face in (server, s3):
        if face is not None and given["verbose"]:
            face.on_request = show_request
    if (folder := given["store_dir"]) is not None:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    async with server, dimse or nullcontext(), s3 or nullcontext():
        if (file := given["ca_out"]) is not None:
            with _writing(file):
                file.write_bytes(server.ca_pem + (s3.ca_pem if s3 else b""))
        if dimse is not None and given["verbose"]:
            dimse.on_request = show_dimse_request
        print_start(server, given["ca_out"], dimse, s3)
        await serving.ended.wait()
    return ExitCode.COMPLETE


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell of what cannot be written, as a mistake of who named it.

    Raises:
        StorageError: If it cannot.

    """
    try:
        yield
    except OSError as error:
        raise StorageError(error.strerror or "cannot write", path=str(path)) from error


def show_request(request: Recorded) -> None:
    """Show a request in one line."""
    fault = f"  fault {request.fault}" if request.fault else ""
    line = f"{request.method} {request.path} HTTP/{request.http_version} {request.status}{fault}"
    click.echo(line, err=True)


def show_dimse_request(request: RecordedDimse) -> None:
    """Show a request of DIMSE in one line."""
    fault = f"  fault {request.fault}" if request.fault else ""
    click.echo(f"{request.kind} {request.path}{fault}", err=True)


def print_start(
    server: MockServer,
    ca_file: Path | None,
    dimse: DimseServer | None = None,
    s3: S3Server | None = None,
) -> None:
    """Print the URLs, and what to do with them."""
    url = server.url
    study = server.web.archive.studies[0].study_instance_uid
    ca = f" --cacert {ca_file}" if ca_file else ""
    click.echo(url)
    click.echo(f"  asyncdicom find {url}{ca}")
    click.echo(f"  asyncdicom get {url} --study {study} -o out{ca}")
    click.echo(f"  asyncdicom dump -w {url} -s {study} -o out{ca}")
    if dimse is not None:
        click.echo(dimse.url)
        click.echo(f"  asyncdicom find {dimse.url}")
        click.echo(f"  asyncdicom get {dimse.url} --study {study} -o out")
    if s3 is not None:
        access = f"--endpoint-url {s3.url} --no-sign-request{ca}"
        click.echo(s3.url)
        click.echo(f"  asyncdicom get {s3.bucket_url} {access} -o out")
        click.echo(f"  asyncdicom get {s3.bucket_url}{study}/ {access} -o out")
    click.echo("Ctrl-C ends it.")
    sys.stdout.flush()


def print_faults() -> None:
    """Print the table of faults."""
    from asyncdicom.mock.fault_table import fault_table  # noqa: PLC0415 -- as above

    click.echo(fault_table())
