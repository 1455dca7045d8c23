"""What the options of `asyncdicom idc` name: manifests and an index; knows nothing of options.

Apart from them for the process that reads the index: it begins before anybody needs click.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncdicom.sources.idc_index import Connection, IdcIndex

__all__ = ["is_manifest", "manifest_lines", "manifests_of", "open_index"]


def manifests_of(options: Mapping[str, Any]) -> list[str]:
    """Return the files that are manifests."""
    named = [one for one in options["names"] if is_manifest(one)]
    return [*named, options["manifest_file"]] if options["manifest_file"] else named


def manifest_lines(file: str) -> Iterator[str]:
    """Yield the lines of a manifest.

    Raises:
        ConfigError: If it cannot be read.

    """
    if file == "-":
        yield from sys.stdin
        return
    try:
        with Path(file).expanduser().open(encoding="utf-8", errors="replace") as lines:
            yield from lines
    except OSError as error:
        raise ConfigError(f"cannot read the manifest {file}: {error.strerror}") from error


def open_index(options: Mapping[str, Any], connection: Connection | None = None) -> IdcIndex:
    """Open the index that the options name.

    Args:
        options: Values of the options of a selection.
        connection: Of `idc_index.connect`, if there is one already.

    Raises:
        ConfigError: If it is not there.

    """
    from asyncdicom.sources.idc_index import IdcIndex  # noqa: PLC0415 -- help must not pay for it

    return IdcIndex.open(
        options["index"], instances=options["instance_index"], connection=connection
    )


def is_manifest(name: str) -> bool:
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
