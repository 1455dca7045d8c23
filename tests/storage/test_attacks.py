"""Who can write into the output folder, or name what is stored, gets nothing outside of it."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncdicom.errors import ConfigError, DiskFull, StorageError, UnsafeName
from asyncdicom.storage.folder import OutputFolder
from tests.storage.faults import STRATEGIES, Portable, WatchedSystem, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RACES = 10_000
RACE_S = 6.0

ATTACKER = """
import itertools, os, shutil, sys
root, outside = sys.argv[1:]
os.chdir(root)
print("ready", flush=True)

def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        pass

for number in itertools.count():
    for name, target in (("a", outside), ("a/file", outside + "/victim")):
        aside = f"aside-{number}"
        attempt(os.rename, name, aside)
        attempt(os.symlink, target, name)
        attempt(os.unlink, name)
        attempt(os.rename, aside, name)
        attempt(os.unlink, aside)
        shutil.rmtree(aside, ignore_errors=True)
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_links_planted_during_the_run_are_never_followed(tmp_path: Path, strategy: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "a").mkdir(parents=True)
    outside.mkdir()
    (outside / "victim").write_bytes(b"precious")
    system = WatchedSystem() if strategy == "invisible" else Portable()
    command = [sys.executable, "-c", ATTACKER, str(root), str(outside)]
    refused = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attacker:
        assert attacker.stdout is not None
        attacker.stdout.readline()
        try:
            refused = race(root, system)
        finally:
            attacker.kill()
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_bytes() == b"precious"
    assert refused > 0


def race(root: Path, system: WatchedSystem) -> int:
    """Write again and again, opening each folder anew; return how often we were refused."""
    refused = 0
    ends_at_s = time.monotonic() + RACE_S / len(STRATEGIES)
    with OutputFolder.open(root, system=system) as folder:
        for number in range(RACES):
            if time.monotonic() > ends_at_s:
                break
            folder._rules.directories.forget()
            system.calls.clear()
            system.arguments.clear()
            try:
                folder.write_whole(f"a/{number}", b"evil")
                folder.write_whole("a/file", b"evil", replace=number % 2 == 0)
            except StorageError:
                refused += 1
    return refused


@pytest.fixture
def memory() -> Iterator[Path]:
    fast = Path("/dev/shm")
    path = tempfile.mkdtemp(dir=fast if os.access(fast, os.W_OK) else None)
    yield Path(path)
    shutil.rmtree(path)


CRUMBS = st.lists(
    st.sampled_from(["..", ".", "/", "//", "\0", "a", "\\", "\n", "~", "é", "\ud800", "x" * 256]),
    max_size=8,
).map("".join)


def test_no_path_leaves_the_root(memory: Path) -> None:
    root = memory / "root"
    (memory / "a").write_bytes(b"precious")

    @settings(max_examples=500, deadline=None)
    @given(path=CRUMBS | st.text(max_size=20))
    def check(path: str) -> None:
        try:
            folder.write_whole(path, b"evil", replace=True)
        except StorageError as error:
            str(error).encode()

    with OutputFolder.open(root) as folder:
        check()
    assert sorted(entry.name for entry in memory.iterdir()) == ["a", "root"]
    assert (memory / "a").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "key", ["evil/../../x", "/etc/x", "a//b", "a/./b", "../x", "x" * 1024, "a/\0", "a/"]
)
def test_hostile_keys_are_refused_as_they_stand(tmp_path: Path, key: str) -> None:
    with OutputFolder.open(tmp_path / "root") as folder, pytest.raises(UnsafeName):
        folder.write_whole(key, b"evil")
    assert [entry.name for entry in tmp_path.iterdir()] == ["root"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device files")
def test_a_device_is_neither_written_nor_replaced(tmp_path: Path) -> None:
    os.mknod(tmp_path / "file", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with OutputFolder.open(tmp_path) as folder:
        for replace in (False, True):
            with pytest.raises(UnsafeName, match="device"):
                folder.write_whole("file", b"evil", replace=replace)
        with pytest.raises(UnsafeName):
            folder.open_for_reading("file")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount file systems with limits; needs root."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        path = tmp_path / f"mount{len(mounted)}"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
            pytest.skip("may not mount")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("system", [WatchedSystem, Portable], ids=["invisible", "named"])
def test_a_full_disk_keeps_nothing_torn_and_recovers(
    mount: Callable[[str], Path], system: type[WatchedSystem]
) -> None:
    root = mount("size=1m")
    before = open_descriptors()
    with OutputFolder.open(root, system=system()) as folder:
        folder.write_whole("small", b"x")
        with pytest.raises(DiskFull, match="no space"):
            folder.write_whole("large", bytes(2 * 1024 * 1024))
        assert sorted(path.name for path in root.iterdir() if path.suffix != ".lock") == ["small"]
        folder.write_whole("other", bytes(500 * 1024))
    assert open_descriptors() == before


def _write_small_files(folder: OutputFolder, count: int) -> None:
    for number in range(count):
        folder.write_whole(f"{number}/file", b"x")


def test_inodes_run_out_as_room_does(mount: Callable[[str], Path]) -> None:
    root = mount("nr_inodes=10")
    with OutputFolder.open(root) as folder:
        with pytest.raises(DiskFull, match="no inodes"):
            _write_small_files(folder, 20)
        files = list(root.glob("*/*"))
        assert 0 < len(files) < 10
        assert all(file.read_bytes() == b"x" for file in files)
        folder.remove("0/file")
        folder.write_whole("0/other", b"x")


def test_a_file_size_limit_is_room_too(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with OutputFolder.open(tmp_path) as folder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
        try:
            with pytest.raises(DiskFull, match="size limit"):
                folder.write_whole("large", bytes(100 * 1024))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_descriptors_run_out_without_harm(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with OutputFolder.open(tmp_path) as folder:
        folder.write_whole("a/file", b"x")
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(open_descriptors()) - 1, hard))
        try:
            with pytest.raises(StorageError, match="too many open files"):
                _write_small_files(folder, 10)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        folder.write_whole("c/file", b"x")


def test_a_read_only_file_system_is_refused(mount: Callable[[str], Path]) -> None:
    root = mount("ro")
    with pytest.raises(ConfigError, match="read-only"):
        OutputFolder.open(root)
    with pytest.raises(ConfigError, match="read-only"):
        OutputFolder.open(root / "below")


AS_NOBODY = """
import os, sys
from asyncdicom.errors import ConfigError
from asyncdicom.storage.folder import OutputFolder
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    OutputFolder.open(sys.argv[1])
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize("below", ["", "/below"], ids=["itself", "a folder below"])
def test_a_folder_of_somebody_else_is_refused(memory: Path, below: str) -> None:
    root = memory / "root"
    root.mkdir()
    memory.chmod(0o755)
    root.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, f"{root}{below}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no permission to write to the output folder" in done.stdout
