"""What the commands that only ask the index share: choose, name what is unknown, write."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.idc_options import manifest_lines, manifests_of, selection_of
from asyncdicom.errors import ConfigError
from asyncdicom.jobs.idc_plan import Manifest
from asyncdicom.protocol.idc.manifest import read_manifest
from asyncdicom.protocol.idc.selection import Selection
from asyncdicom.sources.idc_selection import Chosen, choose, indexed_instances
from asyncdicom.sources.idc_unmatched import Unmatched, unmatched_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncdicom.sources.idc_index import IdcIndex

__all__ = ["Choice", "choice_of", "written_to"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and what of it does not exist."""

    chosen: Chosen
    unmatched: tuple[Unmatched, ...]

    def end(self) -> int:
        """Name on stderr what does not exist, and return the exit code."""
        for one in self.unmatched:
            click.echo(f"asyncdicom: {one}", err=True)
        if not self.chosen.totals.series:
            if not self.unmatched:
                click.echo("asyncdicom: nothing is selected", err=True)
            return ExitCode.NO_MATCH
        is_missing = any(one.is_missing for one in self.unmatched)
        return ExitCode.INCOMPLETE if is_missing else ExitCode.COMPLETE


def choice_of(index: IdcIndex, options: Mapping[str, Any]) -> Choice:
    """Ask the index for a selection, or for what manifests name.

    Raises:
        ConfigError: If a manifest cannot be read, or instances are asked for and no index
            knows them.

    """
    selection = selection_of(options)
    files = manifests_of(options)
    if files:
        lines = (entry for file in files for entry in read_manifest(manifest_lines(file)))
        manifest = Manifest.of(lines)
        chosen = choose(index, Selection(ids=manifest.ids))
        return Choice(chosen, tuple(manifest.unmatched(chosen)))
    if selection.sop_instance_uid:
        selection = _with_series(index, selection)
    chosen = choose(index, selection)
    return Choice(chosen, tuple(unmatched_in(chosen)))


def _with_series(index: IdcIndex, selection: Selection) -> Selection:
    """Replace instances by their series, as far as an index of instances knows them."""
    series = {
        one.series_instance_uid for one in indexed_instances(index, selection.sop_instance_uid)
    }
    if not series:
        raise ConfigError(
            "no index says which series these instances are of",
            hint="give --instance-index, or leave --sop-instance-uid to `idc get`",
        )
    if selection.series_instance_uid:
        series &= set(selection.series_instance_uid)
    ids = selection.ids if series else ()
    return replace(selection, ids=ids, series_instance_uid=tuple(series), sop_instance_uid=())


@contextmanager
def written_to(path: str | None) -> Iterator[IO[str]]:
    """Open a file that must not exist, or stdout; of a file that is not whole nothing is left.

    Raises:
        ConfigError: If it cannot be made, or not be written to its end.

    """
    if path is None:
        yield sys.stdout
        return
    file, is_torn = Path(path), False
    try:
        with file.open("x", encoding="utf-8", newline="") as stream:
            is_torn = True
            yield stream
        is_torn = False
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if is_torn:
            file.unlink(missing_ok=True)
