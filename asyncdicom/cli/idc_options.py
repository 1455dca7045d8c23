"""Options that the commands of `asyncdicom idc` share, with the spellings of idc-index."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.options import option, together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncdicom.protocol.idc.selection import Selection
    from asyncdicom.sources.idc_index import IdcIndex

__all__ = [
    "IdcCommand",
    "index_options",
    "location_option",
    "manifest_lines",
    "manifests_of",
    "open_index",
    "selection_of",
    "selection_options",
]

_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


class IdcCommand(click.Command):
    """A command whose flags may be followed by `True` or `False`, as those of idc-index are.

    `--dry-run`, `--dry-run True` and `--dry-run=True` are the same; `--dry-run False` is as
    if it were not there, or `--no-…` where there is such a flag.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Turn words behind flags into flags, and parse the rest as ever."""
        return super().parse_args(ctx, list(self._plain(args)))

    def _plain(self, args: list[str]) -> Iterator[str]:
        opposites = dict(self._flags())
        rest = iter([*args, None])
        word = next(rest)
        while word is not None:
            if word == "--":
                yield word
                yield from (one for one in rest if one is not None)
                return
            following = next(rest)
            name, equals, value = word.partition("=")
            said = value if equals else following
            if name not in opposites or said is None or said.lower() not in _TRUTHS:
                yield word
                word = following
                continue
            if _TRUTHS[said.lower()]:
                yield name
            elif opposites[name] is not None:
                yield opposites[name]
            word = following if equals else next(rest)

    def _flags(self) -> Iterator[tuple[str, Any]]:
        """Yield each spelling of a flag, with that of its opposite or None."""
        for parameter in self.params:
            if isinstance(parameter, click.Option) and parameter.is_flag:
                no = parameter.secondary_opts[0] if parameter.secondary_opts else None
                yield from ((name, no) for name in parameter.opts)


def _ids(name: str, *aliases: str, what: str) -> Any:
    """Declare an option that takes ids: repeatable, or a comma list."""
    return option(
        name, *aliases, multiple=True, metavar="ID,…", help=f"{what}; a comma list, or repeated."
    )


index_options = together(
    option(
        "--index",
        metavar="DIR",
        envvar="ASYNCDICOM_IDC_INDEX",
        type=click.Path(path_type=Path),
        help="Folder with the Parquet files of the index (default: of idc-index-data).",
    ),
    option(
        "--instance-index",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="An index of instances (sm_instance_index.parquet of idc-index-data's releases).",
    ),
)

selection_options = together(
    _ids("--collection-id", "--collection", what="Collections"),
    _ids("--patient-id", "--patient", what="Patients (PatientID)"),
    _ids("--study-instance-uid", "--study", what="Studies"),
    _ids("--series-instance-uid", "--series", what="Series"),
    _ids("--sop-instance-uid", "--instance", what="SOP Instance UIDs, of the series selected"),
    _ids("--crdc-series-uuid", what="Versions of series, also earlier ones"),
    _ids("--analysis-result-id", what="Analysis results"),
    option(
        "--analysis-results",
        type=click.Choice(["include", "exclude", "only"]),
        default="include",
        show_default=True,
        help="Series that belong to an analysis result: with others, not at all, or alone.",
    ),
    option(
        "--manifest-file",
        "--manifest",
        metavar="FILE",
        help="A manifest; the same as naming it as an argument ('-' is stdin).",
    ),
    index_options,
)

location_option = option(
    "--source-bucket-location",
    type=click.Choice(["aws", "gcs"]),
    help="Which cloud to use (default: what a manifest says, else aws).",
)


def selection_of(options: Mapping[str, Any]) -> Selection:
    """Return what the options and arguments select, manifests apart.

    Raises:
        click.UsageError: If a manifest comes along with other selections.

    """
    from asyncdicom.protocol.idc.selection import (  # noqa: PLC0415 -- help must not pay for it
        COLUMNS,
        AnalysisResults,
        Selection,
        split_values,
    )

    names = (*COLUMNS.values(), "sop_instance_uid")
    for name in names:
        if options[name] and not split_values(options[name]):
            # What a script left empty must not mean everything.
            spelled = name.replace("_", "-")
            raise click.UsageError(f"--{spelled} is empty: leave it out to restrict nothing")
    selection = Selection(
        ids=split_values(one for one in options["names"] if not _is_manifest(one)) or None,
        analysis_results=AnalysisResults(options["analysis_results"]),
        **{name: split_values(options[name]) for name in names},
    )
    if manifests_of(options) and not selection.is_empty:
        raise click.UsageError("a manifest names its series itself: give no other selection")
    return selection


def manifests_of(options: Mapping[str, Any]) -> list[str]:
    """Return the files that are manifests."""
    named = [one for one in options["names"] if _is_manifest(one)]
    return [*named, options["manifest_file"]] if options["manifest_file"] else named


def manifest_lines(file: str) -> Iterator[str]:
    """Yield the lines of a manifest.

    Raises:
        ConfigError: If it cannot be read.

    """
    from asyncdicom.errors import ConfigError  # noqa: PLC0415 -- as above

    if file == "-":
        yield from sys.stdin
        return
    try:
        with Path(file).expanduser().open(encoding="utf-8", errors="replace") as lines:
            yield from lines
    except OSError as error:
        raise ConfigError(f"cannot read the manifest {file}: {error.strerror}") from error


def open_index(options: Mapping[str, Any]) -> IdcIndex:
    """Open the index that the options name.

    Raises:
        ConfigError: If it is not there.

    """
    from asyncdicom.sources.idc_index import IdcIndex  # noqa: PLC0415 -- as above

    return IdcIndex.open(options["index"], instances=options["instance_index"])


def _is_manifest(name: str) -> bool:
    """Tell whether an argument names a file; one that looks like a path does in any case."""
    if (
        name == "-"
        or name.startswith(("./", "/", "~"))
        or name.endswith((".txt", ".csv", ".s5cmd"))
    ):
        return True
    try:
        return Path(name).is_file()
    except OSError:  # a list of ids longer than any name of a file
        return False
