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


@click.group("idc", epilog=EPILOG)
def command() -> None:
    """Select and fetch series of the Imaging Data Commons."""


for one in (get, select, estimate, manifest, sql, citations, versions):
    command.add_command(one)
