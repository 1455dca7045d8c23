"""`asyncdicom verify`: proves a folder whole, alone or against its source, without fetching."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.object_options import is_object_source, object_store_options
from asyncdicom.cli.options import (
    check_url,
    concurrency_option,
    connection_options,
    dimse_options,
    option,
    run_options,
)
from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from asyncdicom.cli.run import Interrupts
    from asyncdicom.events import RunEnded
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.jobs.verify import VerifyJob, VerifyOptions
    from asyncdicom.jobs.verify_objects import ObjectVerifyJob
    from asyncdicom.storage.catalog import Catalog
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["command"]

EPILOG = """\b
Alone, each DICOM file is walked to its last byte. With --catalog, each file that it names
has to be there with the bytes that were stored, so that one changed bit is found; -v lists
files that it does not name. With SOURCE, what that lists is compared with the files:
  s3://, gs://           each object has its file, of its size and, where promised, digest;
                         looked for by its key, as get names files: where get had another
                         --layout, give the --catalog that it wrote
  http(s)://, dicom://   each instance of the studies in DIR (or of --study) is there, whole
\b
Exit codes: 0 all is proven, 1 something is missing, damaged or doubtful (it is named),
2 usage, 4 nothing to verify, 5 source unreachable.
\b
A report (--report) names what is damaged so that `get --retry-failed` mends it.
\b
Examples:
  asyncdicom verify out
  asyncdicom verify out --catalog out.jsonl --report damaged.jsonl
  asyncdicom verify out s3://bucket/prefix/ --endpoint-url http://localhost:9000
  asyncdicom verify out http://localhost:8042/dicom-web --study 1.2.840.99.1
"""


@click.command("verify", epilog=EPILOG)
@click.argument("directory", metavar="DIR", type=click.Path())
@click.argument("source", metavar="[SOURCE]", required=False, callback=check_url)
@option("--catalog", metavar="FILE", help="What get --catalog noted when it stored the files.")
@option(
    "--study",
    "-s",
    multiple=True,
    metavar="UID",
    help="Study to ask SOURCE for (default: all in DIR).",
)
@run_options(
    concurrency_option("Files read, or requests, at once.", default=None, shown="two per core")
)
@object_store_options
@connection_options
@dimse_options
def command(**options: Any) -> int:
    """Prove that the files in DIR are whole, and all of them there.

    Nothing is fetched but lists, and nothing is written.
    """
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.cli.selection import read_from_stdin  # noqa: PLC0415 -- as above

    _check_options(options)
    if not Path(options["directory"]).is_dir():
        raise ConfigError(f"no such folder: {options['directory']}")
    if options["concurrency"] is None:
        # Files are read and digested in threads.
        options["concurrency"] = 2 * (os.cpu_count() or 1)
    read_from_stdin(options)
    return run(lambda interrupts: _verify(options, interrupts))


# A report of failures says what to get again, not what to look at again.
command.params = [one for one in command.params if one.name != "retry_failed"]


def _check_options(options: dict[str, Any]) -> None:
    source = options["source"]
    if options["study"] and (source is None or is_object_source(source)):
        raise click.UsageError("--study goes with a source of studies: http(s)://, dicom(s)://")


async def _verify(options: dict[str, Any], interrupts: Interrupts) -> int:
    from contextlib import ExitStack  # noqa: PLC0415 -- help must not pay for it

    from asyncdicom.storage.catalog import Catalog  # noqa: PLC0415 -- as above
    from asyncdicom.storage.folder import OutputFolder  # noqa: PLC0415 -- as above

    with ExitStack() as stack:
        folder = stack.enter_context(OutputFolder.open_to_read(options["directory"]))
        catalog = None
        if options["catalog"] is not None:
            opened = Catalog.open(options["catalog"], may_create=False)
            catalog = stack.enter_context(opened)
        source = options["source"]
        if source is None:
            return await _verify_files(options, interrupts, folder, catalog)
        if is_object_source(source):
            return await _verify_objects(options, interrupts, folder, catalog)
        return await _verify_studies(options, interrupts, folder, catalog)


async def _verify_files(
    options: dict[str, Any], interrupts: Interrupts, folder: OutputFolder, catalog: Catalog | None
) -> int:
    from asyncdicom.jobs.verify import VerifyOptions  # noqa: PLC0415 -- as above

    what = VerifyOptions(catalog, computes_sha256=_sees_digests(options))
    return await _drive(options, interrupts, folder, what)


async def _verify_studies(
    options: dict[str, Any], interrupts: Interrupts, folder: OutputFolder, catalog: Catalog | None
) -> int:
    from asyncdicom.jobs.verify import VerifyOptions  # noqa: PLC0415 -- as above
    from asyncdicom.wiring import open_archive  # noqa: PLC0415 -- as above

    async with open_archive(options["source"], options) as archive:
        what = VerifyOptions(catalog, archive.finder(), _sees_digests(options))
        return await _drive(options, interrupts, folder, what)


async def _drive(
    options: dict[str, Any], interrupts: Interrupts, folder: OutputFolder, what: VerifyOptions
) -> int:
    from asyncdicom.cli.driving import drive  # noqa: PLC0415 -- as above
    from asyncdicom.cli.selection import study_uids  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.verify import VerifyJob  # noqa: PLC0415 -- as above

    sentence = _Sentence("in the catalog")
    async with drive(options, interrupts, sentence=sentence) as driver:
        job = sentence.job = VerifyJob(folder, driver.tally, what)
        tasks = job.tasks(study_uids(options["study"]))
        code = _judged(await driver.run(job, tasks, finish=job.finish), driver.tally)
        # What is damaged here counts for more than an archive that does not answer.
        is_refused = job.was_refused and code == ExitCode.INCOMPLETE and not driver.tally.corrupt
        return ExitCode.UNREACHABLE if is_refused else code


async def _verify_objects(
    options: dict[str, Any], interrupts: Interrupts, folder: OutputFolder, catalog: Catalog | None
) -> int:
    from asyncdicom.cli.driving import drive  # noqa: PLC0415 -- as above
    from asyncdicom.cli.get_objects import root_of  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.object_survey import Lister  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.verify_objects import ObjectVerifyJob  # noqa: PLC0415 -- as above
    from asyncdicom.object_wiring import open_object_store  # noqa: PLC0415 -- as above
    from asyncdicom.storage.object_names import KeyNaming  # noqa: PLC0415 -- as above

    sentence = _Sentence("listed by the store")
    async with (
        open_object_store(options["source"], options) as store,
        drive(options, interrupts, sentence=sentence) as driver,
    ):
        root = await root_of(store, options)
        lister = Lister(store, driver.tally)
        job = sentence.job = ObjectVerifyJob(lister, folder, driver.tally, catalog)
        groups = [root.group(KeyNaming(root.prefix))]

        async def finish() -> None:
            await job.finish()
            if catalog is None and driver.tally.missing and job.unlisted and not options["quiet"]:
                sys.stderr.write(f"{_BY_KEYS}\n")

        code = await driver.run(job, job.tasks(groups), finish=finish)
        return _judged(code, driver.tally)


_BY_KEYS = (
    "files were looked for by the keys of their objects; "
    "if get named them by another --layout, give the --catalog that it wrote"
)


def _sees_digests(options: dict[str, Any]) -> bool:
    return bool(options["report"] or options["as_json"])


def _judged(code: int, tally: Tally) -> int:
    """Return the exit code: a folder without a file proves nothing."""
    nothing = not (tally.skipped or tally.missing or tally.corrupt)
    return ExitCode.NO_MATCH if nothing and code == ExitCode.COMPLETE else code


class _Sentence:
    """Makes the last line of a run.

    Attributes:
        job: Whose counts it tells; None as long as there is none.

    """

    def __init__(self, listed: str) -> None:
        """Prepare.

        Args:
            listed: Where files are missing that are only in the folder.

        """
        self.job: VerifyJob | ObjectVerifyJob | None = None
        self._listed = listed

    def __call__(self, event: RunEnded) -> str:
        job = self.job
        doubtful = 0 if job is None else job.doubtful
        parts = [
            f"{event.skipped} verified",
            f"{event.missing} missing",
            f"{event.corrupt - doubtful} corrupt",
        ]
        if doubtful:
            parts.append(f"{doubtful} doubtful")
        if job is not None and job.unproven:
            parts.append(f"{job.unproven} unproven (no DICOM files)")
        if job is not None and job.unlisted:
            parts.append(f"{job.unlisted} not {self._listed}")
        parts.append(f"{event.byte_count / 1e6:.1f} MB read in {event.duration_s:.1f} s")
        if event.aborted:
            parts.append(f"stopped: {event.aborted}")
        return " · ".join(parts)
