from __future__ import annotations

import errno
import gc
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import DiskFull, NameTaken, StorageError, UnsafeName, UsageError
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from tests.storage.faults import STRATEGIES, Fails, Portable, ShortWrites, WatchedSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncdicom.storage.atomic import FileWriter


def system_of(strategy: str) -> WatchedSystem:
    if strategy == "invisible":
        return WatchedSystem()
    return Portable(has_noreplace=strategy == "named")


@pytest.fixture(params=STRATEGIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OutputFolder]:
    with OutputFolder.open(tmp_path / "out", system=system_of(request.param)) as opened:
        yield opened


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def _lose(writer: FileWriter) -> None:
    del writer
    gc.collect()


def _write_and_commit(writer: FileWriter) -> None:
    writer.write(b"abc")
    writer.write_many([b"def"])
    writer.commit()


def names(out: Path) -> list[str]:
    return sorted(entry.name for entry in out.iterdir() if entry.suffix != ".lock")


def test_a_file_has_its_name_only_after_commit(folder: OutputFolder, out: Path) -> None:
    writer = folder.create("file")
    writer.write(b"abc")
    assert "file" not in names(out)
    writer.commit()
    assert names(out) == ["file"]
    assert (out / "file").read_bytes() == b"abc"


def test_nothing_is_left_of_a_file_that_was_discarded(folder: OutputFolder, out: Path) -> None:
    writer = folder.create("file")
    writer.write(b"abc")
    writer.discard()
    writer.discard()
    assert names(out) == []


def test_leaving_the_context_discards(folder: OutputFolder, out: Path) -> None:
    with folder.create("file") as writer:
        writer.write(b"abc")
    assert names(out) == []


def test_leaving_the_context_keeps_what_was_committed(folder: OutputFolder, out: Path) -> None:
    with folder.create("file") as writer:
        writer.commit()
    assert names(out) == ["file"]


def test_a_forgotten_writer_is_discarded_with_a_warning(folder: OutputFolder, out: Path) -> None:
    with pytest.warns(ResourceWarning, match="file was neither committed nor discarded"):
        _lose(folder.create("file"))
    assert names(out) == []


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        for strategy in STRATEGIES:
            root = tmp_path / strategy
            with OutputFolder.open(root, system=system_of(strategy)) as folder:
                folder.write_whole("file", b"")
            assert stat.S_IMODE((root / "file").stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_a_temporary_name_is_private_and_recognisable(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=Portable()) as folder, folder.create("a/file"):
        (temporary,) = (tmp_path / "a").iterdir()
        assert temporary.name.startswith(".asyncdicom-")
        assert temporary.name.endswith(".part")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


def test_an_existing_file_is_never_replaced_by_accident(folder: OutputFolder, out: Path) -> None:
    (out / "file").write_bytes(b"old!")
    with pytest.raises(NameTaken) as caught:
        folder.write_whole("file", b"new")
    assert caught.value.existing_byte_count == 4
    assert not caught.value.is_identical
    assert (out / "file").read_bytes() == b"old!"
    assert names(out) == ["file"]


@pytest.mark.parametrize(
    ("theirs", "is_identical"),
    [
        pytest.param(b"same", True, id="same bytes"),
        pytest.param(b"diff", False, id="same size, other bytes"),
    ],
)
def test_a_name_taken_meanwhile_says_whether_the_content_is_ours(
    folder: OutputFolder, out: Path, theirs: bytes, *, is_identical: bool
) -> None:
    writer = folder.create("file")
    writer.write(b"same")
    (out / "file").write_bytes(theirs)
    with pytest.raises(NameTaken) as caught:
        writer.commit()
    assert caught.value.is_identical is is_identical


def test_what_cannot_be_compared_is_not_called_identical(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=Fails({"pread": errno.EIO})) as folder:
        folder.write_whole("file", b"same")
        with pytest.raises(NameTaken) as caught:
            folder.write_whole("file", b"same")
        assert not caught.value.is_identical


def test_an_old_file_is_replaced_on_purpose(folder: OutputFolder, out: Path) -> None:
    folder.write_whole("file", b"old")
    folder.write_whole("file", b"new", replace=True)
    assert (out / "file").read_bytes() == b"new"
    assert names(out) == ["file"]


def test_replacing_nothing_creates(folder: OutputFolder, out: Path) -> None:
    folder.write_whole("file", b"new", replace=True)
    assert (out / "file").read_bytes() == b"new"


@pytest.mark.parametrize("replace", [False, True], ids=["create", "replace"])
@pytest.mark.parametrize("plant", ["link", "fifo"])
def test_links_and_devices_under_the_final_name_are_unsafe(
    folder: OutputFolder, out: Path, tmp_path: Path, plant: str, *, replace: bool
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    if plant == "link":
        (out / "file").symlink_to(victim)
    else:
        os.mkfifo(out / "file")
    with pytest.raises(UnsafeName):
        folder.write_whole("file", b"evil", replace=replace)
    assert victim.read_bytes() == b"precious"
    assert names(out) == ["file"]


@pytest.mark.parametrize("replace", [False, True], ids=["create", "replace"])
def test_a_folder_is_never_replaced(folder: OutputFolder, out: Path, *, replace: bool) -> None:
    (out / "file").mkdir()
    with pytest.raises(NameTaken, match="folder of this name"):
        folder.write_whole("file", b"", replace=replace)
    assert (out / "file").is_dir()


@pytest.mark.parametrize("most_bytes", [1, 3, 100])
def test_short_writes_lose_nothing(tmp_path: Path, most_bytes: int) -> None:
    system = ShortWrites(most_bytes)
    with OutputFolder.open(tmp_path, system=system) as folder, folder.create("file") as writer:
        writer.write(b"0123456789")
        writer.write_many([b"ab", b"", bytearray(b"cdef"), memoryview(b"gh")])
        assert writer.byte_count == 18
        writer.commit()
    assert (tmp_path / "file").read_bytes() == b"0123456789abcdefgh"


def test_a_disk_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    folder = OutputFolder.open(tmp_path, system=ShortWrites(0))
    with folder, folder.create("f") as writer, pytest.raises(StorageError, match="input/output"):
        writer.write(b"abc")


def test_more_buffers_than_the_kernel_takes_at_once(folder: OutputFolder, out: Path) -> None:
    buffers = [b"%04d" % number for number in range(3000)]
    with folder.create("file") as writer:
        writer.write_many(buffers)
        writer.commit()
    assert (out / "file").read_bytes() == b"".join(buffers)


def test_bytes_are_counted_for_wide_memoryviews(folder: OutputFolder, out: Path) -> None:
    with folder.create("file") as writer:
        writer.write(memoryview(b"abcdefgh").cast("I"))
        assert writer.byte_count == 8
        writer.commit()
    assert (out / "file").read_bytes() == b"abcdefgh"


@pytest.mark.parametrize("end", ["commit", "discard", "hand_over"])
def test_a_writer_that_ended_cannot_be_used(folder: OutputFolder, end: str) -> None:
    writer = folder.create("file")
    getattr(writer, end)()
    for use in (
        lambda: writer.write(b""),
        lambda: writer.write_many([]),
        writer.fileno,
        writer.commit,
        writer.hand_over,
    ):
        with pytest.raises(UsageError):
            use()
    writer.close()


def test_a_writer_handed_over_is_not_discarded_by_its_context(
    folder: OutputFolder, out: Path
) -> None:
    with folder.create("file") as writer:
        writer.write(b"abc")
        writer.hand_over()
    writer.appear(replace=False)
    writer.close()
    assert (out / "file").read_bytes() == b"abc"


def test_the_descriptor_can_be_read_back(folder: OutputFolder) -> None:
    with folder.create("file") as writer:
        writer.write(b"abc")
        assert os.pread(writer.fileno(), 10, 0) == b"abc"
        assert writer.directory.path == ""


@pytest.mark.parametrize("path", ["a/new", "b/new", "new"])
@pytest.mark.parametrize("replace", [False, True], ids=["create", "replace"])
def test_a_file_may_choose_another_name_before_the_commit(
    folder: OutputFolder, out: Path, path: str, *, replace: bool
) -> None:
    (out / "b").mkdir()
    with folder.create("a/old") as writer:
        writer.write(b"abc")
        writer.retarget(path)
        assert writer.path == path
        writer.commit(replace=replace)
    assert (out / path).read_bytes() == b"abc"
    assert not (out / "a/old").exists()
    assert [entry for entry in out.rglob(".*") if entry.suffix == ".part"] == []


@pytest.mark.parametrize("path", ["../new", "link/new"])
def test_another_name_is_as_safe_as_the_first(
    folder: OutputFolder, out: Path, tmp_path: Path, path: str
) -> None:
    (out / "link").symlink_to(tmp_path)
    with folder.create("old") as writer:
        with pytest.raises(UnsafeName):
            writer.retarget(path)
        writer.commit()
    assert names(out) == ["link", "old"]


def test_a_temporary_name_that_cannot_move_stays(tmp_path: Path) -> None:
    system = Fails({}, is_portable=True)
    with OutputFolder.open(tmp_path, system=system) as folder, folder.create("old") as writer:
        system.failing["rename"] = errno.EIO
        with pytest.raises(StorageError, match="a/new"):
            writer.retarget("a/new")
        system.failing.clear()
        writer.commit()
        assert folder._rules.directories.acquire("a").pins == 1
    assert (tmp_path / "old").exists()


ORDER = ("mkdir", "open", "write", "fdatasync", "link", "rename_noreplace", "rename", "fsync")


@pytest.mark.parametrize(
    ("strategy", "durability", "replace", "expected"),
    [
        pytest.param("invisible", "none", False, "open write link", id="nothing is synced"),
        pytest.param(
            "invisible",
            "full",
            False,
            "open write fdatasync link fsync",
            id="content, name, folder",
        ),
        pytest.param(
            "invisible", "batch", False, "open write fdatasync link fsync", id="batch alone is full"
        ),
        pytest.param(
            "named",
            "full",
            False,
            "open write fdatasync rename_noreplace fsync",
            id="with a temporary name",
        ),
        pytest.param(
            "linked",
            "full",
            False,
            "open write fdatasync rename_noreplace link fsync",
            id="without renameat2",
        ),
        pytest.param(
            "invisible",
            "full",
            True,
            "open write fdatasync link rename fsync",
            id="replacing by rename of a linked name",
        ),
        pytest.param(
            "named", "full", True, "open write fdatasync rename fsync", id="replacing by rename"
        ),
    ],
)
def test_content_is_synced_before_its_name_appears(
    tmp_path: Path, strategy: str, durability: str, expected: str, *, replace: bool
) -> None:
    system = system_of(strategy)
    with OutputFolder.open(tmp_path, durability=Durability(durability), system=system) as folder:
        folder.write_whole("takes the lock of temporary names", b"", replace=True)
        system.calls.clear()
        folder.write_whole("file", b"abc", replace=replace)
        assert [name for name in system.calls if name in ORDER] == expected.split()


def test_the_name_of_a_new_folder_is_synced_once(tmp_path: Path) -> None:
    system = WatchedSystem()
    with OutputFolder.open(tmp_path, durability=Durability.FULL, system=system) as folder:
        folder.write_whole("a/b/one", b"")
        assert system.calls.count("fsync") == 3
        folder.write_whole("a/b/two", b"")
        assert system.calls.count("fsync") == 4


@pytest.mark.parametrize(
    ("call", "code", "error"),
    [
        pytest.param("write", errno.ENOSPC, DiskFull, id="no room for content"),
        pytest.param("writev", errno.EDQUOT, DiskFull, id="quota used up"),
        pytest.param("fdatasync", errno.EIO, StorageError, id="content cannot be synced"),
        pytest.param("link", errno.ENOSPC, DiskFull, id="no room for the name"),
        pytest.param("link", errno.ENOENT, StorageError, id="/proc was unmounted"),
        pytest.param("fsync", errno.EIO, StorageError, id="name cannot be synced"),
    ],
)
def test_failures_of_the_disk_are_typed(
    tmp_path: Path, call: str, code: int, error: type[StorageError]
) -> None:
    system = Fails({})
    with OutputFolder.open(tmp_path, durability=Durability.FULL, system=system) as folder:
        system.failing[call] = code
        with folder.create("file") as writer, pytest.raises(error) as caught:
            _write_and_commit(writer)
        assert type(caught.value) is error
        assert caught.value.path == "file"
        system.failing.clear()


def test_writeback_is_advice_only(tmp_path: Path) -> None:
    folder = OutputFolder.open(tmp_path, system=Fails({"start_writeback": errno.EIO}))
    with folder, folder.create("file") as writer:
        writer.write(b"abc")
        writer.start_writeback()
        writer.commit()
    assert (tmp_path / "file").read_bytes() == b"abc"


class Opening(WatchedSystem):
    """Fails to open what is not a folder, in a way that a test can change."""

    code = 0

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self.code and name == "open" and arguments[1] & os.O_RDWR:
            raise OSError(self.code, os.strerror(self.code))


def test_a_folder_removed_behind_our_back_is_made_again(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path) as folder:
        folder.write_whole("a/b/one", b"")
        (tmp_path / "a/b/one").unlink()
        (tmp_path / "a/b").rmdir()
        with pytest.raises(StorageError, match="removed"):
            folder.write_whole("a/b/two", b"")
        folder.write_whole("a/b/two", b"")
    assert (tmp_path / "a/b/two").exists()


def test_a_folder_removed_before_the_commit_is_an_error(folder: OutputFolder, out: Path) -> None:
    with folder.create("a/file") as writer:
        for left in (out / "a").iterdir():
            left.unlink()
        (out / "a").rmdir()
        with pytest.raises(StorageError, match="folder was removed"):
            writer.commit()


def test_a_disk_that_answers_nothing_any_more_is_an_error(tmp_path: Path) -> None:
    system = Fails({})
    with OutputFolder.open(tmp_path, system=system) as folder, folder.create("file") as writer:
        system.failing = {"link": errno.EIO, "fstat": errno.EIO}
        with pytest.raises(StorageError, match="input/output error"):
            writer.commit()
        system.failing = {}


def test_a_writer_that_cannot_begin_leaves_nothing_open(tmp_path: Path) -> None:
    system = Opening()
    with OutputFolder.open(tmp_path, system=system) as folder:
        system.code = errno.EMFILE
        with pytest.raises(StorageError, match="too many open files"):
            folder.create("a/file")
        assert folder._rules.directories.acquire("a").pins == 1


def test_another_file_system_below_the_root_may_lack_invisible_files(tmp_path: Path) -> None:
    system = Portable()
    with OutputFolder.open(tmp_path, system=WatchedSystem()) as folder:
        folder._rules.system = system
        folder.write_whole("file", b"abc")
    assert (tmp_path / "file").read_bytes() == b"abc"
    assert "rename_noreplace" in system.calls


def test_planted_temporary_names_are_passed_over(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=Portable()) as folder:
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        drawn = folder._rules.temporaries.draw()
        run, _, number = drawn.removesuffix(".part").rpartition("-")
        os.link(victim, tmp_path / f"{run}-{int(number) + 1}.part")
        folder.write_whole("file", b"abc")
        assert victim.read_bytes() == b"precious"


def test_too_many_planted_temporary_names_are_an_error(tmp_path: Path) -> None:
    system = Opening()
    with OutputFolder.open(tmp_path, system=Portable()) as folder:
        folder._rules.system = system
        folder._rules.may_be_invisible = False
        system.code = errno.EEXIST
        with pytest.raises(StorageError, match="file exists"):
            folder.create("file")


def test_a_rename_that_fails_for_good_is_an_error(tmp_path: Path) -> None:
    system = Fails({"rename_noreplace": errno.EIO}, is_portable=True)
    with OutputFolder.open(tmp_path, system=system) as folder:
        with pytest.raises(StorageError, match="input/output"):
            folder.write_whole("file", b"abc")
        assert names(tmp_path) == []


class TellsAtClose(Portable):
    """A server whose disk is full, as NFS tells it: write(2) succeeds, close(2) does not."""

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        super().watch(name, arguments)
        is_written = name == "close" and os.fstat(arguments[0]).st_size
        if is_written or name == "flush":
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


@pytest.mark.parametrize("has_noreplace", [True, False])
@pytest.mark.parametrize("replace", [True, False])
def test_what_only_close_tells_is_told_before_the_name(
    tmp_path: Path, *, has_noreplace: bool, replace: bool
) -> None:
    system = TellsAtClose(has_noreplace=has_noreplace)
    with OutputFolder.open(tmp_path, system=system) as folder:
        with pytest.raises(DiskFull, match="quota"):
            folder.write_whole("file", b"abc", replace=replace)
        assert names(tmp_path) == []


def test_a_temporary_name_that_cannot_be_removed_harms_nobody(tmp_path: Path) -> None:
    system = Fails({}, is_portable=True)
    with OutputFolder.open(tmp_path, system=system) as folder:
        system.failing["unlink"] = errno.EIO
        folder.create("file").discard()
        system.failing.clear()
        folder.write_whole("file", b"abc")
