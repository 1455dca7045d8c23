"""`import asyncdicom` offers what is pinned here, and costs little."""

from __future__ import annotations

import importlib
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import asyncdicom

SOURCE = Path(asyncdicom.__file__).read_text()
LIBRARY = [
    *("client", "cod", "idc", "idc_client", "idc_running", "idc_table", "instance", "job"),
    *("object_list", "objects", "options", "receiving", "reporting"),
]

NOT_FOR_USERS = {
    # library: what lives behind the classes
    *("Listener", "ReportedStore", "Reporter"),
    *("OBJECTS_AHEAD", "Pages", "carry_out", "check_names", "connection_values", "dump_kinds"),
    # events: what the command line writes and reads
    *("Observer", "object_from_json", "outcome_to_json", "target_from_json"),
    # receiver.events
    "ReceiverObserver",
    # model: what only our own layers speak of
    *("Buffer", "Header", "SearchTarget", "is_uid", "parse_uid"),
}


def groups() -> dict[str, list[str]]:
    """Return the names of `__all__` under the comments that say where they live."""
    listed = SOURCE.partition("__all__ = [")[2].partition("\n]")[0]
    found: dict[str, list[str]] = {}
    for home, name in re.findall(r'^    (?:# (\S+)|"(\w+)",)$', listed, re.MULTILINE):
        if home:
            found[home] = []
        else:
            found[list(found)[-1]].append(name)
    return found


def test_the_list_is_all_that_modules_offer_to_users() -> None:
    homes = ["errors", "events", "model", "receiver.events"]
    homes += [f"library.{name}" for name in LIBRARY]
    offered = {
        name
        for home in homes
        for name in importlib.import_module(f"asyncdicom.{home}").__all__
        if name not in NOT_FOR_USERS
    }
    assert set(asyncdicom.__all__) == offered | {"__version__"}


@pytest.mark.parametrize("home", sorted(groups()))
def test_a_name_stands_below_its_module_in_alphabetical_order(home: str) -> None:
    names = groups()[home]
    assert names == sorted(names, key=str.casefold)
    for name in names:
        module = importlib.import_module(f"asyncdicom.{home}")
        assert getattr(module, name) is getattr(asyncdicom, name)


def test_groups_are_complete_and_in_alphabetical_order() -> None:
    found = groups()
    assert list(found) == sorted(found)
    assert list(itertools.chain(*found.values())) == asyncdicom.__all__


def test_every_name_is_listed_by_dir() -> None:
    assert set(asyncdicom.__all__) <= set(dir(asyncdicom))


def test_unknown_names_are_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'asyncdicom' has no attribute 'conect'"):
        asyncdicom.conect  # noqa: B018 -- that is the test


def test_the_star_brings_exactly_the_list() -> None:
    names: dict[str, object] = {}
    exec("from asyncdicom import *", names)
    assert names.keys() - {"__builtins__"} == set(asyncdicom.__all__)


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        pytest.param(
            "import asyncdicom", ["asyncio", "pydicom", "pyreqwest", "orjson"], id="the package"
        ),
        pytest.param("import asyncdicom; asyncdicom.NotFound", ["asyncio"], id="an error"),
        pytest.param(
            "import asyncdicom; asyncdicom.connect",
            ["pydicom", "pyreqwest", "aiohttp", "httpx", "click"],
            id="connect",
        ),
        pytest.param(
            "import asyncdicom; asyncdicom.InstanceStored",
            ["pydicom", "pyreqwest", "aiohttp", "httpx", "click"],
            id="an event of a receiver",
        ),
    ],
)
def test_importing_brings_in_nothing_heavy(code: str, absent: list[str]) -> None:
    script = f"import sys; {code}; print(*[name for name in {absent} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []
