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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.mock import MockServer

__all__ = ["command"]

INSTANCES = 40
"""CT slices per study, 512 KB each: enough to see a speed, few enough for a small disk."""


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

    output.mkdir(parents=True, exist_ok=True)
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
        MockServer,
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
    async with server:
        ca_file = output / "ca.pem"
        await asyncio.to_thread(ca_file.write_bytes, server.ca_pem)
        click.echo(f"The mock archive serves 3 studies at {server.url} (HTTP/2 over TLS).")
        for step in _steps(server, studies, output, ca_file):
            click.echo(f"\n{step.words}\n$ asyncdicom {shlex.join(step.arguments)}")
            if (code := await _run(step.arguments)) != step.exit_code:
                click.echo(f"this should have ended with {int(step.exit_code)}, not {code}")
                return ExitCode.INCOMPLETE
            click.echo(f"(exit code {code})")
    return ExitCode.COMPLETE


def _steps(server: MockServer, studies: list[str], output: Path, ca_file: Path) -> Iterator[_Step]:
    trust = ["--cacert", str(ca_file)]
    get = ["get", server.url, *trust]
    files = str(output / "files")
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


async def _run(arguments: list[str]) -> int:
    """Run one of our own commands; the mock goes on serving meanwhile."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "asyncdicom", *arguments)
    return await process.wait()
