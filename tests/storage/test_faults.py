"""Nothing is ever torn: each system call fails once, or is the last before kill -9."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import AsyncDicomError
from tests.storage.faults import CALLS, STRATEGIES, AtCall, open_descriptors
from tests.storage.scenario import prepare, run, torn, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_OF_THIS_LAYER = {"seek", "pwrite", "preadv", "flush"}
"""Only `zip`, large objects and runs that sync nothing make them; `test_zip.py`,
`test_positional.py` and `test_atomic.py` fail each."""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of syncs are meant, not waited for."""
    memory = Path("/dev/shm")
    path = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
    yield Path(path)
    shutil.rmtree(path)


def test_the_scenario_makes_every_call(base: Path) -> None:
    made = set()
    for strategy in STRATEGIES:
        prepare(base / strategy)
        system = AtCall(-1, strategy)
        run(base / strategy, system)
        made |= set(system.calls)
    assert made == set(CALLS) - NOT_OF_THIS_LAYER


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EINTR])
def test_any_call_may_fail_once(base: Path, strategy: str, code: int) -> None:
    number, has_struck = 0, True
    while has_struck:
        number += 1
        root = base / str(number)
        prepare(root)
        before = open_descriptors()
        system = AtCall(number, strategy, code=code)
        with contextlib.suppress(AsyncDicomError):
            run(root, system)
        has_struck = system.has_struck
        what = f"call {number}, {system.calls[number - 1 : number]}"
        assert open_descriptors() == before, what
        assert torn(root) == [], what
        assert unfinished(root) == [], what
        shutil.rmtree(root)
    assert number > 60


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_kill_9_between_any_two_calls_tears_nothing(base: Path, strategy: str) -> None:
    # Forks in a process of its own: this one may have threads.
    command = [sys.executable, "-m", "tests.storage.scenario", str(base), strategy]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, *problems = done.stdout.splitlines()
    assert problems == []
    assert int(count) > 60
