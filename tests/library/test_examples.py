"""Every example in a docstring of the library runs as it stands."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from tests.library.support import UID, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = re.compile(r"^Example:\n((?:(?:    .*)?\n)+)", re.MULTILINE)


def documented() -> Iterator[tuple[str, str]]:
    """Yield the names of public things, and their docstrings."""
    for name in asyncdicom.__all__:
        thing = getattr(asyncdicom, name)
        yield name, inspect.getdoc(thing) or ""
        if inspect.isclass(thing) and thing.__module__.startswith("asyncdicom.library"):
            for member, function in inspect.getmembers(thing, inspect.isroutine):
                if not member.startswith("_"):
                    yield f"{name}.{member}", inspect.getdoc(function) or ""


EXAMPLES = {
    name: textwrap.dedent(example[1])
    for name, text in documented()
    if (example := EXAMPLE.search(text + "\n"))
    # They need a store and no archive, as test_cod.py, test_idc.py and test_objects.py have them.
    and name not in ("CodDownload", "IDCClient", "connect_objects")
    and not name.startswith("ObjectSource.")
}


def test_what_people_begin_with_has_an_example() -> None:
    wanted = {"connect", "Job", "Source.search", "Source.retrieve", "Source.download"}
    assert wanted | {"Source.dump", "receive"} == set(EXAMPLES)


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(EXAMPLES))
async def test_an_example_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = textwrap.indent(EXAMPLES[name], "    ")
    names: dict[str, Any] = {"asyncdicom": asyncdicom}
    exec(f"async def example(url, study, source, output):\n{body}", names)
    async with opened() as (source, server):
        await names["example"](server.url, UID, source, tmp_path)
    assert capsys.readouterr().out
