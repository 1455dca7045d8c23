"""A run of the storage layer that makes every system call, and what must hold after it.

    python -m tests.storage.scenario ROOT STRATEGY

forks a run for each n, kills it (SIGKILL) before its n-th system call, and
prints what did not hold.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asyncdicom.errors import NameTaken
from asyncdicom.storage.allocating import allocate
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.committing import commit_together
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.reading import read_chunks
from tests.storage.faults import AtCall, ShortWrites

if TYPE_CHECKING:
    from asyncdicom.storage.system import System

OLD = b"old" * 1000
CONTENT = {
    "a/b/one": b"1" * 5000,
    "a/b/two": b"2" * 5000,
    "a/three": b"3" * 5000,
    "four": b"4" * 5000,
    "replaced": b"new" * 1000,
}
ORPHAN = ".asyncdicom-0123abcd-1.part"


def prepare(root: Path) -> None:
    """Make what a run finds: an old file, and the orphan of a dead run."""
    root.mkdir()
    (root / "replaced").write_bytes(OLD)
    (root / ORPHAN).touch()
    (root / ".asyncdicom-run.lock").write_bytes(b"+")


def run(root: Path, system: System) -> None:
    """Store all files, and ask about them."""
    with OutputFolder.open(root, durability=Durability.FULL, system=system) as folder:
        folder.write_whole("replaced", CONTENT["replaced"], replace=True)
        _write_in_pieces(folder, "a/b/one")
        _write_together(folder, "a/b/two", "a/three")
        _write_in_pieces(folder, "four")
        with contextlib.suppress(NameTaken):
            folder.write_whole("four", CONTENT["four"])
        folder.write_whole("passing", b"")
        folder.names("a")
        folder.facts("four")
        folder.remove("passing")
        assert b"".join(read_chunks(folder, "four")) == CONTENT["four"]


def _write_in_pieces(folder: OutputFolder, path: str) -> None:
    content = CONTENT[path]
    with folder.create(path) as writer:
        allocate(writer, folder.system, 2 * len(content))
        writer.write(content[:1000])
        writer.write_many([content[1000:2000], content[2000:]])
        with contextlib.suppress(NameTaken):
            writer.commit()


def _write_together(folder: OutputFolder, *paths: str) -> None:
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(folder.create(path)) for path in paths]
        for writer in writers:
            writer.write(CONTENT[writer.path])
        for writer in writers:
            writer.hand_over()
        failures = commit_together([(writer, False) for writer in writers], folder.system)
    for failure in failures:
        if failure is not None and not isinstance(failure, NameTaken):
            raise failure


def torn(root: Path) -> list[str]:
    """Return the files that stand under a final name and are not whole."""
    allowed = {path: {content} for path, content in CONTENT.items()}
    allowed["replaced"] |= {OLD}
    allowed["passing"] = {b""}
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".asyncdicom-")
    }
    # A file that replaces an old one must never leave a gap.
    gap = [] if "replaced" in found else ["replaced"]
    return gap + [path for path, content in found.items() if content not in allowed.get(path, ())]


def unfinished(root: Path) -> list[str]:
    """Run again undisturbed; return what is missing, left over or wrong after that."""
    (root / "passing").unlink(missing_ok=True)
    run(root, ShortWrites(1 << 20))
    found = {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    return [path for path in found.keys() | CONTENT if found.get(path) != CONTENT.get(path)]


def kill_at(root: Path, number: int, strategy: str) -> bool:
    """Kill a run before a system call; tell whether there was one."""
    child = os.fork()
    if child == 0:
        try:
            run(root, AtCall(number, strategy))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def kill_everywhere(base: Path, strategy: str) -> tuple[int, list[str]]:
    """Kill runs before each of their system calls; return the count, and what did not hold."""
    problems: list[str] = []
    number, was_killed = 0, True
    while was_killed:
        number += 1
        root = base / str(number)
        prepare(root)
        was_killed = kill_at(root, number, strategy)
        problems += [f"call {number}: torn {path}" for path in torn(root)]
        problems += [f"call {number}: after restart {path}" for path in unfinished(root)]
        shutil.rmtree(root)
    return number - 1, problems


if __name__ == "__main__":
    gc.disable()
    count, problems = kill_everywhere(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.write("\n".join([str(count), *problems]))
