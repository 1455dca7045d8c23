"""Options that the commands of `asyncdicom idc` share, with the spellings of idc-index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.idc_inputs import is_manifest, manifest_lines, manifests_of, open_index
from asyncdicom.cli.options import option, together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncdicom.protocol.idc.selection import Selection

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
        ids=split_values(one for one in options["names"] if not is_manifest(one)) or None,
        analysis_results=AnalysisResults(options["analysis_results"]),
        **{name: split_values(options[name]) for name in names},
    )
    if manifests_of(options) and not selection.is_empty:
        raise click.UsageError("a manifest names its series itself: give no other selection")
    return selection
