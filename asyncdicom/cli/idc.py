"""`asyncdicom idc`: the Imaging Data Commons, by its index."""

from __future__ import annotations

import click

from asyncdicom.cli.idc_citations import citations
from asyncdicom.cli.idc_get import get
from asyncdicom.cli.idc_query import estimate, manifest, select, sql, versions

__all__ = ["command"]

EPILOG = """\b
Examples:
  asyncdicom idc estimate --collection-id rider_pilot
  asyncdicom idc get rider_pilot -o data
  asyncdicom idc sql "SELECT collection_id, count(*) FROM index GROUP BY ALL"
"""

_THEIRS = {
    "download": "get",
    "download-from-selection": "get",
    "download-from-manifest": "get",
}
"""Commands of idc-index, which all are one of ours; not listed."""


class _Group(click.Group):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _THEIRS.get(cmd_name, cmd_name))


@click.group("idc", cls=_Group, epilog=EPILOG)
def command() -> None:
    """Select and fetch series of the Imaging Data Commons."""


for _one in (get, select, estimate, manifest, sql, citations, versions):
    command.add_command(_one)
