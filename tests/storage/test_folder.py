from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import ConfigError, DiskFull, NameTaken, StorageError, UnsafeName
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from tests.storage.faults import Fails, Portable, WatchedSystem, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OutputFolder]:
    with OutputFolder.open(tmp_path / "out") as opened:
        yield opened


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


class TestRoot:
    def test_it_is_made_with_all_that_leads_to_it(self, tmp_path: Path) -> None:
        OutputFolder.open(tmp_path / "a/b/c").close()
        assert (tmp_path / "a/b/c").is_dir()

    def test_it_may_be_relative(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        OutputFolder.open("a/b").close()
        assert (tmp_path / "a/b").is_dir()

    def test_it_may_lead_back_from_a_folder_that_is_made(self, tmp_path: Path) -> None:
        OutputFolder.open(tmp_path / "a/../b").close()
        assert (tmp_path / "b").is_dir()

    def test_another_run_may_make_it_at_the_same_time(self, tmp_path: Path) -> None:
        OutputFolder.open(tmp_path / "a/b", system=MadeMeanwhile()).close()
        assert (tmp_path / "a/b").is_dir()

    def test_it_may_be_a_link_that_the_user_named(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        with OutputFolder.open(tmp_path / "link") as folder:
            folder.write_whole("file", b"abc")
        assert (tmp_path / "real/file").read_bytes() == b"abc"

    def test_what_led_to_it_is_durable_too(self, tmp_path: Path) -> None:
        system = WatchedSystem()
        OutputFolder.open(tmp_path / "a/b", durability=Durability.FULL, system=system).close()
        assert system.calls.count("fsync") == 2

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="is a file"):
            OutputFolder.open(tmp_path / "file")

    def test_a_file_leads_to_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="is a file"):
            OutputFolder.open(tmp_path / "file/folder")

    @pytest.mark.parametrize("path", ["", "broken/folder"])
    def test_a_path_that_leads_nowhere_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "broken").symlink_to("nowhere")
        with pytest.raises(ConfigError, match="no name or leads through a broken link"):
            OutputFolder.open(path)

    @pytest.mark.parametrize(
        ("call", "code", "kind", "words"),
        [
            pytest.param("mkdir", errno.EACCES, ConfigError, "no permission", id="may not make"),
            pytest.param("open", errno.EACCES, ConfigError, "owner and mode", id="may not open"),
            pytest.param("mkdir", errno.EROFS, ConfigError, "read-only", id="read-only"),
            pytest.param("mkdir", errno.ENOSPC, DiskFull, "no space", id="full"),
            pytest.param("open", errno.EIO, StorageError, "input/output", id="disk fails"),
        ],
    )
    def test_what_is_wrong_with_it_is_told(
        self, tmp_path: Path, call: str, code: int, kind: type[Exception], words: str
    ) -> None:
        with pytest.raises(kind, match=words):
            OutputFolder.open(tmp_path / "out", system=Fails({call: code}))

    def test_a_read_only_one_is_refused_at_once(self, tmp_path: Path) -> None:
        before = open_descriptors()
        with pytest.raises(ConfigError, match="read-only"):
            OutputFolder.open(tmp_path, system=NoFiles())
        assert open_descriptors() == before

    def test_the_orphans_of_dead_runs_are_swept(self, tmp_path: Path) -> None:
        (tmp_path / ".asyncdicom-run.lock").touch()
        (tmp_path / ".asyncdicom-01234567-1.part").touch()
        with OutputFolder.open(tmp_path) as folder:
            assert folder.swept == 1
        assert list(tmp_path.iterdir()) == []

    def test_it_keeps_what_it_was_opened_with(self, tmp_path: Path) -> None:
        system = WatchedSystem()
        with OutputFolder.open(tmp_path, durability=Durability.BATCH, system=system) as folder:
            assert folder.root == str(tmp_path)
            assert folder.durability is Durability.BATCH
            assert folder.system is system


class MadeMeanwhile(WatchedSystem):
    """Another run makes each folder just before us."""

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "mkdir" and os.path.isdir(os.path.dirname(arguments[0])):  # noqa: PTH112, PTH120 -- a string
            os.makedirs(arguments[0], exist_ok=True)  # noqa: PTH103 -- as above


class NoFiles(WatchedSystem):
    """A file system mounted read-only: folders can be opened, files cannot be made."""

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and arguments[1] & (os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "read-only")


def test_files_appear_whole(folder: OutputFolder, out: Path) -> None:
    with folder.create("a/b/one") as writer:
        writer.write(b"abc")
        writer.commit()
    folder.write_whole("a/b/two", b"def")
    assert (out / "a/b/one").read_bytes() == b"abc"
    assert (out / "a/b/two").read_bytes() == b"def"


def test_nothing_is_left_open_by_a_write_that_fails(folder: OutputFolder) -> None:
    folder.write_whole("file", b"abc")
    before = open_descriptors()
    with pytest.raises(NameTaken):
        folder.write_whole("file", b"abc")
    assert open_descriptors() == before


def test_facts_of_a_file(folder: OutputFolder, out: Path) -> None:
    folder.write_whole("a/file", b"abc")
    facts = folder.facts("a/file")
    assert facts is not None
    assert facts.byte_count == 3
    assert facts.modified_ns == (out / "a/file").stat().st_mtime_ns


@pytest.mark.parametrize("path", ["file", "a/file", "a/b/file"])
def test_what_is_not_there_is_not_there(folder: OutputFolder, out: Path, path: str) -> None:
    (out / "a").mkdir()
    assert folder.facts(path) is None
    assert folder.remove(path) is False
    assert folder.is_folder(path) is False
    with pytest.raises(FileNotFoundError):
        folder.open_for_reading(path)
    assert folder.names("b") == []
    assert list(out.rglob("*")) == [out / "a"]


def test_facts_of_what_is_no_file_are_refused(folder: OutputFolder, out: Path) -> None:
    (out / "link").symlink_to("/etc/passwd")
    (out / "folder").mkdir()
    with pytest.raises(UnsafeName):
        folder.facts("link")
    with pytest.raises(NameTaken):
        folder.facts("folder")


def test_a_file_is_read_through_its_folder(folder: OutputFolder) -> None:
    folder.write_whole("a/file", b"abc")
    fd = folder.open_for_reading("a/file")
    assert os.read(fd, 10) == b"abc"
    os.close(fd)


def test_links_and_devices_are_not_opened_for_reading(folder: OutputFolder, out: Path) -> None:
    before = open_descriptors()
    (out / "link").symlink_to("/etc/passwd")
    os.mkfifo(out / "fifo")
    with pytest.raises(UnsafeName, match="symbolic link"):
        folder.open_for_reading("link")
    with pytest.raises(UnsafeName, match="not a regular file"):
        folder.open_for_reading("fifo")
    assert open_descriptors() == before


def test_names_are_listed(folder: OutputFolder) -> None:
    folder.write_whole("a/one", b"")
    folder.write_whole("a/two", b"")
    assert sorted(folder.names("a")) == ["one", "two"]
    assert folder.names() == ["a"]


def test_folders_are_told_from_files_and_links(folder: OutputFolder, out: Path) -> None:
    folder.write_whole("a/file", b"")
    (out / "link").symlink_to("a")
    assert [path for path in ("a", "a/file", "link") if folder.is_folder(path)] == ["a"]


def test_a_file_is_removed(folder: OutputFolder, out: Path) -> None:
    folder.write_whole("a/file", b"")
    assert folder.remove("a/file") is True
    assert not (out / "a/file").exists()


@pytest.mark.parametrize(
    ("call", "method"),
    [
        ("stat", "facts"),
        ("stat", "is_folder"),
        ("fstat", "open_for_reading"),
        ("listdir", "names"),
        ("unlink", "remove"),
    ],
)
def test_failures_of_the_disk_are_typed_and_leave_nothing_open(
    tmp_path: Path, call: str, method: str
) -> None:
    system = Fails({})
    with OutputFolder.open(tmp_path, system=system) as folder:
        folder.write_whole("file", b"abc")
        before = open_descriptors()
        system.failing[call] = errno.EIO
        with pytest.raises(StorageError, match="input/output error"):
            getattr(folder, method)("" if method == "names" else "file")
        assert open_descriptors() == before
        system.failing.clear()


def test_closing_leaves_nothing_open_and_nothing_behind(tmp_path: Path) -> None:
    before = open_descriptors()
    with OutputFolder.open(tmp_path, system=Portable()) as folder:
        folder.write_whole("a/b/c/file", b"abc")
    assert open_descriptors() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_the_umask_is_left_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o031)
    try:
        OutputFolder.open(tmp_path).close()
        assert os.umask(0o031) == 0o031
    finally:
        os.umask(before)


def test_folders_are_made_with_the_mode_the_user_chose(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with OutputFolder.open(tmp_path) as folder:
            folder.write_whole("a/file", b"")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o750
    finally:
        os.umask(before)
