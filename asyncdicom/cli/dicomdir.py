"""`asyncdicom dicomdir`: build or update the DICOMDIR of a folder; also what `get -D` needs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.options import option, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from asyncdicom.storage.dicomdir import DicomdirReport
    from asyncdicom.storage.dicomdir_records import DicomdirKeys
    from asyncdicom.storage.folder import OutputFolder

__all__ = [
    "check_dicomdir_options",
    "command",
    "dicomdir_keys",
    "index_files",
    "key_options",
    "tell_dicomdir",
]

SHOWN_PROBLEMS = 20
"""Files that could not be listed, named one by one without -v."""

EPILOG = """\b
NAME is a DICOM file or a folder with such files, in DIRECTORY or below; without
NAME, all of DIRECTORY is listed. Names have to fit DICOM media: at most 8 levels of
1 to 8 characters A-Z, 0-9 and _, as `asyncdicom get -I` makes them.
\b
A DICOMDIR that is there is updated: entries stay whose files are still there.
\b
KEY is KEYWORD[:TYPE]: 1 needs a value, 2 may be empty, 3 (default) is taken where the
instance has it. A key of the Standard's is given another type so: StudyID:2.
\b
Exit codes: 0 all listed, 1 a file could not be listed (it is named, and the others
are), 2 usage, 4 no DICOM file found.
\b
Examples:
  asyncdicom dicomdir out
  asyncdicom dicomdir out/BEETHOVE out/MOZART out
  asyncdicom dicomdir -p PatientBirthDate -s SeriesDescription:2 -S StudyID:2 out out
"""


def key_options(*, has_short_series_key: bool = True) -> Callable[[Any], Any]:
    """Return the options for keys of records.

    Args:
        has_short_series_key: Whether `-s` is free for `--series-key`.

    """
    series = ("-s", "--series-key") if has_short_series_key else ("--series-key",)
    spellings = {
        "PATIENT": ("-p", "--patient-key"),
        "STUDY": ("-S", "--study-key"),
        "SERIES": series,
        "IMAGE": ("-i", "--image-key"),
    }
    return together(
        *(
            option(
                *names,
                multiple=True,
                metavar="KEY",
                envvar=None,
                help=f"Further key of {level} records in the DICOMDIR, KEYWORD[:TYPE].",
            )
            for level, names in spellings.items()
        )
    )


@click.command("dicomdir", epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Path())
@click.argument("directory", metavar="DIRECTORY", type=click.Path())
@key_options()
@option("-v", "--verbose", is_flag=True, help="Name all files that could not be listed.")
def command(names: tuple[str, ...], directory: str, **options: Any) -> int:
    """Build or update the DICOMDIR of DIRECTORY."""
    from asyncdicom.errors import ConfigError  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.storage.folder import OutputFolder  # noqa: PLC0415 -- as above
    from asyncdicom.storage.rules import Durability  # noqa: PLC0415 -- as above

    keys = dicomdir_keys(options)
    if not Path(directory).is_dir():
        raise ConfigError(f"no such folder: {directory}")
    below = [_below(name, directory) for name in names or (directory,)]
    with OutputFolder.open(directory, durability=Durability.FULL) as folder:
        report = _index(folder, below, keys)
    return tell_dicomdir(report, directory, is_verbose=options["verbose"])


def dicomdir_keys(options: Mapping[str, Any]) -> DicomdirKeys:
    """Return the keys that `key_options` were given.

    Raises:
        ConfigError: If one is none.

    """
    from asyncdicom.storage.data_dictionary import tag_and_vr_of  # noqa: PLC0415 -- as above
    from asyncdicom.storage.dicomdir_records import (  # noqa: PLC0415 -- as above
        DicomdirKeys,
        parse_record_key,
    )

    levels = ("patient", "study", "series", "image")
    given = {
        level: tuple(parse_record_key(text, tag_and_vr_of) for text in options[f"{level}_key"])
        for level in levels
    }
    return DicomdirKeys(**given)


def check_dicomdir_options(options: dict[str, Any]) -> None:
    """Refuse what cannot be, before anything is fetched; for commands with `--dicomdir`.

    Raises:
        UsageError: If the options disagree.
        ConfigError: If a key is none.

    """
    if not options["dicomdir"]:
        given = [name for name in options if name.endswith("_key") and options[name]]
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} goes with -D/--dicomdir")
        return
    if not options["iso_9660"]:
        raise click.UsageError("a DICOMDIR needs ISO 9660 names; add -I")
    if options["as_zip"]:
        raise click.UsageError("--dicomdir goes with files, not with --zip")
    dicomdir_keys(options)


async def index_files(
    folder: OutputFolder, paths: Iterable[str], keys: DicomdirKeys
) -> DicomdirReport:
    """Build or update the DICOMDIR in a thread; as `build_dicomdir`.

    Cancellation: the thread ends after the file it is reading, and writes nothing.

    """
    import asyncio  # noqa: PLC0415 -- as above
    import threading  # noqa: PLC0415 -- as above

    from asyncdicom.storage.dicomdir import build_dicomdir  # noqa: PLC0415 -- as above

    cancelled = threading.Event()
    try:
        return await asyncio.to_thread(
            build_dicomdir, folder, paths, keys, is_cancelled=cancelled.is_set
        )
    finally:
        cancelled.set()


def tell_dicomdir(
    report: DicomdirReport, directory: str, *, is_quiet: bool = False, is_verbose: bool = False
) -> int:
    """Say on stderr what is listed and what is not; return the exit code.

    Args:
        report: What was done.
        directory: As the user named it.
        is_quiet: Say only what is wrong.
        is_verbose: Name all files that could not be listed, not only the first ones.

    """
    from asyncdicom.storage.dicomdir import ProblemKind  # noqa: PLC0415 -- as above

    for removed in report.removed:
        _say(f"no longer listed: {removed.path}: {removed.reason}")
    shown = report.problems if is_verbose else report.problems[:SHOWN_PROBLEMS]
    for problem in shown:
        _say(f"asyncdicom: {problem.path}: {problem.reason}")
    if hidden := len(report.problems) - len(shown):
        _say(f"... and {hidden} more files that could not be listed (-v names them)")
    kinds = {problem.kind for problem in report.problems}
    if ProblemKind.NAME in kinds:
        _say("asyncdicom: `asyncdicom get -I` gives files names for DICOM media")
    if ProblemKind.KEYS in kinds:
        _say(f"asyncdicom: {_relaxed(report)} would list them with empty values")
    if not report.is_written and not report.problems:
        _say(f"asyncdicom: nothing to list: no DICOM file in {directory}")
        return ExitCode.NO_MATCH
    if not is_quiet:
        _say(_sentence(report))
    return ExitCode.INCOMPLETE if report.problems else ExitCode.COMPLETE


def _relaxed(report: DicomdirReport) -> str:
    """Return the options that let the missing keys be empty."""
    lacking = dict.fromkeys(pair for problem in report.problems for pair in problem.lacking)
    levels = {"PATIENT": "patient", "STUDY": "study", "SERIES": "series"}
    return " ".join(
        f"--{levels.get(record_type, 'image')}-key {keyword}:2" for record_type, keyword in lacking
    )


def _sentence(report: DicomdirReport) -> str:
    from asyncdicom.cli.aligned import counted  # noqa: PLC0415 -- as above

    studies = report.counts.get("STUDY", 0)
    groups = [
        counted(report.counts.get("PATIENT", 0), "patient"),
        "1 study" if studies == 1 else f"{studies} studies",
        f"{report.counts.get('SERIES', 0)} series",
    ]
    listed = f"{counted(report.instance_count, 'instance')} listed"
    if report.kept:
        listed += f" ({report.added} now, {report.kept} before)"
    end = f"{len(report.problems)} not listed"
    return " · ".join(
        [listed, *groups, end, *([] if report.is_written else ["no DICOMDIR written"])]
    )


def _say(line: str) -> None:
    from asyncdicom.cli.report_format import printable  # noqa: PLC0415 -- as above

    # Not by click.echo, which would write into a bar that is being drawn (`get -D`).
    sys.stderr.write(f"{printable(line)}\n")


def _below(name: str, directory: str) -> str:
    """Return a path relative to the folder, links followed; empty for the folder itself.

    Raises:
        ConfigError: If it is elsewhere.

    """
    from asyncdicom.errors import ConfigError  # noqa: PLC0415 -- as above

    root, path = Path(directory).resolve(), Path(name).resolve()
    if path != root and root not in path.parents:
        raise ConfigError(
            f"{name} is not in {directory}", hint="a DICOMDIR lists files of its own folder alone"
        )
    return "" if path == root else str(path.relative_to(root))


def _index(folder: OutputFolder, names: list[str], keys: DicomdirKeys) -> DicomdirReport:
    from asyncdicom.storage.dicomdir import (  # noqa: PLC0415 -- as above
        ProblemKind,
        build_dicomdir,
    )

    walked: set[str] = set()
    report = build_dicomdir(folder, _paths(folder, names, walked), keys)
    # Who names a folder means the DICOM files in it.
    report.problems = [
        problem
        for problem in report.problems
        if problem.kind is not ProblemKind.FOREIGN or problem.path not in walked
    ]
    return report


def _paths(folder: OutputFolder, names: list[str], walked: set[str]) -> Iterator[str]:
    from asyncdicom.storage.dicomdir import DICOMDIR  # noqa: PLC0415 -- as above
    from asyncdicom.storage.inventory import files_below  # noqa: PLC0415 -- as above

    for name in names:
        if name and not folder.is_folder(name):
            yield name
            continue
        for path in files_below(folder, name):
            if path != DICOMDIR:
                walked.add(path)
                yield path
