"""`asyncdicom demo`: the main job on an archive that it brings along."""

from __future__ import annotations

import asyncio
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.mock import DimseServer, MockServer, S3Server

__all__ = ["command"]

INSTANCES = 40
"""CT slices per study, 512 KB each: enough to see a speed, few enough for a small disk."""

FILES, DIMSE_FILES, OBJECT_FILES = "files", "dimse", "objects"
"""Folders of what comes over DICOMweb, over DIMSE, and from a bucket."""


@click.command(
    "demo",
    epilog="""\b
Examples:
  asyncdicom demo
  asyncdicom demo -o /tmp/asyncdicom-demo
""",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    metavar="DIR",
    help="Folder to write to.",
)
def command(output: Path) -> int:
    """Start the mock archive, download from it, verify, and show the result.

    Nothing leaves this machine. Every step is a command that you can type.
    """
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- help must not pay for it

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "name another folder with --output"
        raise StorageError(error.strerror or "no folder", path=str(output), hint=hint) from error
    code = run(lambda _: _demo(output))
    if code == ExitCode.COMPLETE:
        click.echo(f"\nThe files are in {output.resolve()}. Next: asyncdicom --help")
    return code


@dataclass(frozen=True, slots=True)
class _Step:
    """One command, why it is run, and how it must end."""

    words: str
    arguments: list[str]
    exit_code: ExitCode = ExitCode.COMPLETE


async def _demo(output: Path) -> int:
    from asyncdicom.mock import (  # noqa: PLC0415 -- help must not pay for it
        DimseServer,
        MockServer,
        S3Server,
        SyntheticArchive,
        SyntheticOptions,
    )

    archive = SyntheticArchive(SyntheticOptions(studies=3, instances=INSTANCES))
    studies = [study.study_instance_uid for study in archive.studies]
    damaged = archive.studies[2].all_series[0].instances[7].sop_instance_uid
    # The second study is cut once in the middle; of the third, one instance is
    # never whole.
    server = MockServer(
        archive,
        faults=[
            f"cut:study+series:path=*{studies[1]},at=9000000,times=1",
            f"truncate:instance:path=*/{damaged}",
        ],
        tls=True,
    )
    dimse = DimseServer(archive, faults=["abort:suboperation:nth=8,times=1"])
    s3 = S3Server(archive, faults=["503:object:nth=3", "cut:object:nth=8,at=300000"])
    async with server, dimse, s3:
        ca_file = output / "ca.pem"
        await asyncio.to_thread(ca_file.write_bytes, server.ca_pem)
        click.echo(f"The mock archive serves 3 studies at {server.url} (HTTP/2 over TLS)")
        click.echo(f"at {dimse.url} (DIMSE), and in a bucket at {s3.url} (S3).")
        if not await _take(_web_steps(server, studies, output, ca_file)):
            return ExitCode.INCOMPLETE
        if not await _take(_dimse_steps(dimse, studies[0], output)):
            return ExitCode.INCOMPLETE
        if not await _take(_object_steps(s3, studies[0], output)):
            return ExitCode.INCOMPLETE
    return await asyncio.to_thread(_compare, output)


async def _take(steps: Iterator[_Step]) -> bool:
    """Run steps; tell whether each of them ended as it must."""
    for step in steps:
        click.echo(f"\n{step.words}\n$ asyncdicom {shlex.join(step.arguments)}")
        if (code := await _run(step.arguments)) != step.exit_code:
            click.echo(f"this should have ended with {int(step.exit_code)}, not {code}")
            return False
        click.echo(f"(exit code {code})")
    return True


def _web_steps(
    server: MockServer, studies: list[str], output: Path, ca_file: Path
) -> Iterator[_Step]:
    trust = ["--cacert", str(ca_file)]
    get = ["get", server.url, *trust]
    files = str(output / FILES)
    yield _Step("What is there?", ["find", server.url, *trust, "--format", "table"])
    whole = [*get, "--study", studies[0], "-o", files, "--layout", "tree"]
    yield _Step("Download a study; every instance is checked to its last byte.", whole)
    yield _Step("Again: what is there and verified is not downloaded.", whole)
    yield _Step(
        "The connection breaks in the middle of the next study: only the rest is asked for again.",
        [*get, "--study", studies[1], "-o", files, "--granularity", "study"],
    )
    yield _Step(
        "One instance of the last study is always cut short: it is named, and the exit code is 1.",
        [*get, "--study", studies[2], "-o", files, "--granularity", "instance", "-r", "1"],
        ExitCode.INCOMPLETE,
    )
    dump = str(output / "dump")
    arguments = ["dump", "-w", server.url, *trust, "-s", studies[0], "-o", dump, "-i", "-m"]
    yield _Step("Dump the raw answers, each with a record of headers and timing.", arguments)
    yield _Step("How did the server do?", ["report", dump])


def _dimse_steps(server: DimseServer, study: str, output: Path) -> Iterator[_Step]:
    yield _Step(
        "The same archive over DIMSE (C-FIND).",
        ["find", server.url, "--level", "series", f"StudyInstanceUID={study}", "--format", "table"],
    )
    files = str(output / DIMSE_FILES)
    yield _Step(
        "The first study by C-GET. The archive aborts the association in the middle of an\n"
        "instance: what came whole is kept, and only the rest is asked for again.",
        ["get", server.url, "--study", study, "-o", files, "--layout", "tree"],
    )


def _object_steps(server: S3Server, study: str, output: Path) -> Iterator[_Step]:
    access = ["--endpoint-url", server.url, "--no-sign-request"]
    access += ["--catalog", str(output / f"{OBJECT_FILES}.jsonl")]
    files = str(output / OBJECT_FILES)
    source = f"{server.bucket_url}{study}/"
    yield _Step(
        "The first study out of a bucket. The store asks once to slow down, and one object breaks\n"
        "off: it continues from the byte it reached. Each one is compared with its checksum.",
        ["get", source, *access, "-o", files, "--layout", "tree"],
    )
    verify = ["verify", files, source, *access]
    yield _Step(
        "Is all of it there, and as the bucket has it? Nothing is fetched for that.", verify
    )


def _compare(output: Path) -> int:
    """Compare what came in other ways with what came over DICOMweb, data set by data set."""
    web = output / FILES
    for folder, way in ((DIMSE_FILES, "DIMSE"), (OBJECT_FILES, "S3")):
        other = output / folder
        names = sorted(path.relative_to(other) for path in other.rglob("*.dcm"))
        different = [name for name in names if _dataset(web / name) != _dataset(other / name)]
        if different or len(names) != INSTANCES:
            told = f"{len(names)} of {INSTANCES} files came over {way}"
            click.echo(f"{told}, {len(different)} of them different")
            return ExitCode.INCOMPLETE
    click.echo(
        f"\n{INSTANCES} files hold the same data set over DICOMweb, DIMSE and S3, byte by byte."
    )
    return ExitCode.COMPLETE


def _dataset(path: Path) -> bytes | None:
    """Return what follows the file meta information, which each way writes on its own."""
    from asyncdicom.mock.dimse_objects import read_file_meta  # noqa: PLC0415 -- as above

    if not path.is_file():
        return None
    content = path.read_bytes()
    return content[read_file_meta(content)[1] :]


async def _run(arguments: list[str]) -> int:
    """Run one of our own commands; the mock goes on serving meanwhile."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "asyncdicom", *arguments)
    return await process.wait()
