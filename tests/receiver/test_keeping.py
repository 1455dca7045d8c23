"""Names, and what becomes of an instance whose name is taken: nothing that was promised is lost."""

from __future__ import annotations

import asyncio
import errno
import threading
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
import pytest

from asyncdicom.errors import NameTaken, StorageError, UnsafeName
from asyncdicom.receiver import keeping
from asyncdicom.receiver.events import (
    DuplicateFate,
    InstanceDuplicated,
    InstanceRefused,
    InstanceStored,
)
from asyncdicom.receiver.same_data_set import holds_same_data_set
from asyncdicom.receiver.settings import Duplicates
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.layout import Layout
from tests.receiver.support import (
    data_set_of,
    files_below,
    rules,
    sending,
    serving,
    until,
)
from tests.storage.faults import Fails, Portable, WatchedSystem
from tests.support.dicom import ct, mr, part10, uid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.storage.system import System
    from asyncdicom.storage.templates import Instance

pytestmark = pytest.mark.anyio

ONE = ct(number=1)
OTHER = ct(number=1, rows=32)
"""Other bytes under the same UID."""
NAME = f"{uid('instance', 1)}.dcm"
BESIDE = f"{uid('instance', 1)}_2.dcm"


def with_values(number: int, **values: Any) -> bytes:
    """Return a CT image with some values changed."""
    dataset = pydicom.dcmread(BytesIO(ct(number=number)))
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return part10(dataset)


def data_sets(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: data_set_of(content) for name, content in files.items()}


REPLACED, SKIPPED, BOTH = DuplicateFate.REPLACED, DuplicateFate.SKIPPED, DuplicateFate.KEPT_BESIDE
KEPT: dict[DuplicateFate, Callable[[bytes], dict[str, bytes]]] = {
    REPLACED: lambda sent: {NAME: sent},
    SKIPPED: lambda _: {NAME: ONE},
    BOTH: lambda sent: {NAME: ONE, BESIDE: sent},
}


@pytest.mark.parametrize(
    ("duplicates", "sent", "fate"),
    [
        pytest.param(Duplicates.OVERWRITE, OTHER, REPLACED, id="overwrite"),
        pytest.param(Duplicates.OVERWRITE, ONE, REPLACED, id="overwrite by the same"),
        pytest.param(Duplicates.SKIP, ONE, SKIPPED, id="skip the same"),
        pytest.param(Duplicates.SKIP, OTHER, BOTH, id="keep others"),
        pytest.param(Duplicates.KEEP_BOTH, ONE, BOTH, id="keep both, even the same"),
        pytest.param(Duplicates.KEEP_BOTH, OTHER, BOTH, id="keep both"),
    ],
)
@pytest.mark.parametrize("durability", [Durability.NONE, Durability.BATCH])
async def test_the_policy_decides_on_a_name_that_is_taken(
    tmp_path: Path,
    duplicates: Duplicates,
    sent: bytes,
    fate: DuplicateFate,
    durability: Durability,
) -> None:
    kept = KEPT[fate](sent)
    storing = rules(duplicates=duplicates)
    async with serving(tmp_path, storing=storing, durability=durability) as served:
        async with sending(served.port) as sender:
            assert await sender.store(ONE) == 0
            assert await sender.store(sent) == 0
        (told,) = served.told.of(InstanceDuplicated)
        assert (told.fate, told.path) == (fate, NAME)
        assert data_sets(served.files()) == data_sets(kept)
        statistics = served.receiver.statistics()
    counts = (statistics.replaced, statistics.skipped, statistics.kept_beside)
    assert counts == tuple(int(fate is one) for one in (REPLACED, SKIPPED, BOTH))
    assert statistics.stored == 2 - statistics.skipped
    assert len(served.told.of(InstanceStored)) == statistics.stored
    assert files_below(tmp_path).keys() == kept.keys()


async def test_the_same_data_set_of_another_sender_is_skipped(tmp_path: Path) -> None:
    async with serving(tmp_path, storing=rules(duplicates=Duplicates.SKIP)) as served:
        for sender_ae in ("ONE", "LONGER_THAN_ONE"):
            async with sending(served.port, calling_ae=sender_ae) as sender:
                assert await sender.store(ONE) == 0
                assert await sender.store(OTHER) == 0
        assert data_sets(served.files()) == data_sets({NAME: ONE, BESIDE: OTHER})
    skipped = [one.path for one in served.told.of(InstanceDuplicated)[1:]]
    assert skipped == [NAME, BESIDE]


async def test_what_was_there_before_the_receiver_counts(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(ONE)
    async with serving(tmp_path, storing=rules(duplicates=Duplicates.SKIP)) as served:
        async with sending(served.port) as sender:
            assert await sender.store(ONE) == 0
        assert served.files() == {NAME: ONE}


async def test_a_skipped_file_is_as_durable_as_was_promised(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(ONE)
    rests: dict[str, Any] = {"system": (system := Fails({})), "durability": Durability.FULL}
    rests["storing"] = rules(duplicates=Duplicates.SKIP)
    async with serving(tmp_path, **rests) as served, sending(served.port) as sender:
        system.calls.clear()
        assert await sender.store(ONE) == 0
        assert "fdatasync" in system.calls
        assert "fsync" in system.calls
        assert "link" not in system.calls


async def test_a_file_that_cannot_be_compared_is_no_success(tmp_path: Path) -> None:
    rests: dict[str, Any] = {"system": (system := Fails({}))}
    rests["storing"] = rules(duplicates=Duplicates.SKIP)
    async with serving(tmp_path, **rests) as served, sending(served.port) as sender:
        assert await sender.store(ONE) == 0
        system.failing = {"pread": errno.EIO}
        assert await sender.store(ONE) == 0xA700
        system.failing = {}
        assert await sender.store(ONE) == 0
        assert data_sets(served.files()) == data_sets({NAME: ONE})


class Unreadable(WatchedSystem):
    """Refuses to open or to read a file, as a disk that fails, or a process at its limit."""

    def __init__(self, call: str, error: int) -> None:
        super().__init__()
        self.call = call
        self.error = error
        self.is_failing = False

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        is_meant = name == "pread" or arguments[0] == "20261130.CT"
        if self.is_failing and name == self.call and is_meant:
            raise OSError(self.error, "failed")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param("open", errno.EMFILE, id="too many open files"),
        pytest.param("open", errno.EACCES, id="not ours to read"),
        pytest.param("pread", errno.EIO, id="a disk that fails"),
    ],
)
async def test_what_cannot_be_read_gives_way_to_nothing(
    tmp_path: Path, call: str, error: int
) -> None:
    system = Unreadable(call, error)
    rests: dict[str, Any] = {"system": system, "storing": rules(naming=OneName())}
    async with serving(tmp_path, **rests) as served, sending(served.port) as sender:
        assert await sender.store(ct(number=1)) == 0
        system.is_failing = True
        assert await sender.store(ct(number=2)) == 0xA700
        system.is_failing = False
        assert data_sets(served.files()) == {"20261130.CT": data_set_of(ct(number=1))}
        assert await sender.store(ct(number=2)) == 0
        assert len(served.files()) == 2


class Vanishing(WatchedSystem):
    """Removes a file just before it is opened, as somebody else might."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and arguments[0] == self.path.name:
            self.path.unlink(missing_ok=True)


async def test_a_file_that_vanishes_is_not_taken_for_the_same(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(ONE)
    rests: dict[str, Any] = {"system": Vanishing(tmp_path / NAME)}
    rests["storing"] = rules(duplicates=Duplicates.SKIP)
    async with serving(tmp_path, **rests) as served, sending(served.port) as sender:
        assert await sender.store(ONE) == 0
        assert data_sets(served.files()) == data_sets({BESIDE: ONE})


async def test_a_comparison_that_is_cancelled_ends_before_its_files_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, began = threading.Event(), threading.Event()
    seen: list[bool] = []

    def compare(system: System, fd: int, other_fd: int) -> bool:
        began.set()
        gate.wait(8)
        seen.append(holds_same_data_set(system, fd, other_fd))
        return seen[-1]

    monkeypatch.setattr(keeping, "holds_same_data_set", compare)
    (tmp_path / NAME).write_bytes(ONE)
    storing = rules(duplicates=Duplicates.SKIP)
    async with serving(tmp_path, storing=storing) as served, sending(served.port) as sender:
        await sender.send(ONE)
        await until(began.is_set)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await served.receiver.drain(grace_s=0)
        assert seen == [True]
    assert served.files() == {NAME: ONE}
    assert served.receiver.statistics().in_flight == 0


async def test_large_files_are_not_compared_while_everybody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MAX_COMPARED_BYTES", 100)
    system = Fails({})
    async with serving(tmp_path, system=system) as served, sending(served.port) as sender:
        assert await sender.store(ONE) == 0
        system.calls.clear()
        assert await sender.store(ONE) == 0
        # The head of what is there, to learn which instance it is.
        assert system.calls.count("pread") == 1
        assert data_sets(served.files()) == data_sets({NAME: ONE})


@pytest.mark.parametrize(
    "content", [b"", b"no DICOM at all", ONE[:150]], ids=["empty", "text", "cut"]
)
async def test_what_cannot_say_what_it_is_gives_way_to_the_instance(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / NAME).write_bytes(content)
    async with serving(tmp_path) as served, sending(served.port) as sender:
        assert await sender.store(ONE) == 0
        assert data_sets(served.files()) == data_sets({NAME: ONE})


@pytest.mark.parametrize("durability", [Durability.NONE, Durability.BATCH, Durability.FULL])
@pytest.mark.parametrize("duplicates", list(Duplicates))
async def test_one_uid_over_many_associations_at_once_loses_nothing(
    tmp_path: Path, duplicates: Duplicates, durability: Durability
) -> None:
    variants = [ct(number=1, rows=16 + 2 * number) for number in range(6)]

    async def send(file: bytes) -> int:
        async with sending(served.port) as sender:
            return await sender.store(file)

    storing = rules(duplicates=duplicates)
    async with serving(tmp_path, storing=storing, durability=durability) as served:
        assert await asyncio.gather(*map(send, variants)) == [0] * len(variants)
        kept = list(data_sets(served.files()).values())
        last = served.told.of(InstanceStored)[-1]
        assert last.path in served.files()
    sent = list(map(data_set_of, variants))
    if duplicates is Duplicates.OVERWRITE:
        assert len(kept) == 1
        assert kept[0] in sent
        assert len(served.told.of(InstanceDuplicated)) == len(variants) - 1
    else:
        assert sorted(kept) == sorted(sent)


@dataclass
class OneName:
    """Names everything alike, as a clock that stands still would."""

    name: str = "20261130.CT"
    asked: list[Instance] = field(default_factory=list)

    def path_for(self, instance: Instance, /) -> str:
        self.asked.append(instance)
        return self.name


@pytest.mark.parametrize("duplicates", list(Duplicates))
async def test_two_instances_of_one_name_are_both_kept(
    tmp_path: Path, duplicates: Duplicates
) -> None:
    storing = rules(duplicates=duplicates, naming=OneName())
    async with serving(tmp_path, storing=storing) as served, sending(served.port) as sender:
        assert await sender.store(ct(number=1)) == 0
        assert await sender.store(ct(number=2)) == 0
        assert data_sets(served.files()) == {
            "20261130.CT": data_set_of(ct(number=1)),
            "20261130_2.CT": data_set_of(ct(number=2)),
        }


async def test_naming_is_given_what_it_asked_for_and_the_sop_class(tmp_path: Path) -> None:
    naming = OneName("a")
    storing = rules(naming=naming, collect={0x00080021: "SeriesDate"})
    async with serving(tmp_path, storing=storing) as served, sending(served.port) as sender:
        assert await sender.store(mr(number=1)) == 0
    assert dict(naming.asked[0].values) == {
        "SeriesDate": "20260103",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
    }


async def test_copies_of_one_name_have_a_bound(tmp_path: Path) -> None:
    taken = ["1.2.3", *(f"1.2.3_{number}" for number in range(2, keeping.MAX_COPIES + 1))]
    for name in taken:
        (tmp_path / name).touch()
    storing = rules(duplicates=Duplicates.KEEP_BOTH, naming=OneName("1.2.3"))
    async with serving(tmp_path, storing=storing) as served, sending(served.port) as sender:
        assert await sender.store(ONE) == 0xA700
    (refused,) = served.told.of(InstanceRefused)
    assert isinstance(refused.error, NameTaken)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        pytest.param("a/b/1.2.3.dcm", "a/b/1.2.3_2.dcm", id="extension"),
        pytest.param("CT.1.2.3", "CT.1.2.3_2", id="a UID has dots of its own"),
        pytest.param("CT_0123456789abcdef", "CT_0123456789abcdef_2", id="no dot"),
        pytest.param(".hidden", ".hidden_2", id="a leading dot is no extension"),
        pytest.param("x" * 251 + ".dcm", "x" * 249 + "_2.dcm", id="as long as may be"),
    ],
)
async def test_the_second_of_a_name_is_numbered(tmp_path: Path, name: str, second: str) -> None:
    storing = rules(duplicates=Duplicates.KEEP_BOTH, naming=OneName(name))
    async with serving(tmp_path, storing=storing) as served, sending(served.port) as sender:
        assert [await sender.store(ONE), await sender.store(OTHER)] == [0, 0]
        assert served.files().keys() == {name, second}


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        pytest.param("flat", NAME, id="flat"),
        pytest.param("tree", f"Doe^Jane^^Dr/S1_Head and neck/1_axial 1.0/{NAME}", id="tree"),
        pytest.param(
            "{PatientID}/%Modality_{SeriesInstanceUID}",
            f"P-0042/CT_{uid('series', 1)}/{NAME}",
            id="template",
        ),
    ],
)
async def test_layouts_of_get_name_what_is_received(
    tmp_path: Path, layout: str, expected: str
) -> None:
    async with serving(tmp_path, storing=rules(layout)) as served, sending(served.port) as sender:
        assert await sender.store(ONE) == 0
        assert list(served.files()) == [expected]


async def test_iso_names_go_on_where_they_were(tmp_path: Path) -> None:
    (tmp_path / "IM000007").write_bytes(ct(number=9))
    naming = Layout((), is_iso_9660=True, names_in=lambda _: ["IM000007"])
    async with serving(tmp_path, storing=rules(naming=naming)) as served:
        async with sending(served.port) as sender:
            assert await sender.store(ONE) == 0
            assert await sender.store(ct(number=2)) == 0
            assert await sender.store(ONE) == 0
        assert served.files().keys() == {"IM000007", "IM000008", "IM000009"}


@pytest.mark.parametrize(
    "value",
    ["../../../evil", "/etc/cron.d/x", "..", ".", "a\\b", "x" * 60, "CON", ".asyncdicom-1.part"],
)
async def test_a_hostile_value_names_a_folder_inside(tmp_path: Path, value: str) -> None:
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    storing = rules("{PatientID}/{StudyDescription}")
    file = with_values(1, PatientID=value, StudyDescription=value)
    async with serving(root, storing=storing) as served, sending(served.port) as sender:
        status = await sender.store(file)
        inside = served.files()
    assert status in {0, 0xA700}
    assert len(inside) == (status == 0)
    assert files_below(tmp_path).keys() == {f"deep/root/{name}" for name in inside}


@pytest.mark.parametrize("durability", [Durability.NONE, Durability.BATCH])
@pytest.mark.parametrize("duplicates", list(Duplicates))
@pytest.mark.parametrize("is_folder", [False, True], ids=["a link as file", "a link as folder"])
async def test_symbolic_links_are_not_followed_out(
    tmp_path: Path,
    duplicates: Duplicates,
    durability: Durability,
    is_folder: bool,  # noqa: FBT001 -- parametrised
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    if is_folder:
        (root / "P-0042").symlink_to(outside)
    else:
        (root / "P-0042").mkdir()
        (root / "P-0042" / NAME).symlink_to(outside / "precious")
    storing = rules("{PatientID}", duplicates=duplicates)
    rests: dict[str, Any] = {"storing": storing, "durability": durability}
    async with serving(root, **rests) as served, sending(served.port) as sender:
        assert await sender.store(ONE) == 0xA700
        assert await sender.echo() == 0
    (refused,) = served.told.of(InstanceRefused)
    assert isinstance(refused.error, StorageError)
    assert isinstance(refused.error, UnsafeName)
    assert files_below(outside) == {"precious": b"precious"}


async def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    async with serving(tmp_path, storing=rules("{PatientID}")) as served:
        async with sending(served.port) as sender:
            assert await sender.store(ONE) == 0
            (tmp_path / "P-0042" / NAME).unlink()
            (tmp_path / "P-0042").rmdir()
            statuses = [await sender.store(ONE), await sender.store(ONE)]
        assert statuses[-1] == 0
        assert f"P-0042/{NAME}" in served.files()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_one_file_is_kept_ready_and_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        counts = []
        for number in range(1, 5):
            async with sending(served.port) as sender:
                assert await sender.store(ct(number=number)) == 0
                await sender.release()
            await until(lambda: not served.receiver.statistics().connections)
            counts.append(descriptors())
        # The first one may make what a loop makes once.
        assert counts[1:] == [counts[1]] * 3
        assert len(served.files()) == 4


async def test_no_file_is_kept_ready_where_it_could_be_seen(tmp_path: Path) -> None:
    async with serving(tmp_path, system=Portable()) as served, sending(served.port) as sender:
        for number in range(1, 4):
            assert await sender.store(ct(number=number)) == 0
            await sender.echo()
            assert len(served.files()) == number


async def test_what_is_wrong_with_the_disk_is_told_to_who_stores(tmp_path: Path) -> None:
    system = Fails({})
    async with serving(tmp_path, system=system) as served, sending(served.port) as sender:
        system.failing["open"] = errno.ENOSPC
        # The first takes no file that is ready, and none can be made.
        assert await sender.store(ct(number=1)) == 0xA700
        system.failing.clear()
        assert await sender.store(ct(number=2)) == 0
        await sender.echo()
        system.failing["open"] = errno.ENOSPC
        # This one takes the file that was made before, and no other can be made after it.
        assert await sender.store(ct(number=3)) == 0
        assert await sender.store(ct(number=4)) == 0xA700
        system.failing.clear()
        assert await sender.store(ct(number=4)) == 0
        assert len(served.files()) == 3


@pytest.mark.parametrize("durability", [Durability.NONE, Durability.BATCH])
async def test_a_folder_that_was_taken_away_is_made_anew(
    tmp_path: Path, durability: Durability
) -> None:
    root, archive = tmp_path / "in", tmp_path / "archive"
    storing = rules("{StudyInstanceUID}/{SeriesInstanceUID}")
    async with serving(root, storing=storing, durability=durability) as served:
        async with sending(served.port) as sender:
            assert await sender.store(ct(number=1)) == 0
            (root / uid("study", 1)).rename(archive)
            assert await sender.store(ct(number=2)) == 0
        stored = served.told.of(InstanceStored)
        assert served.files().keys() == {stored[1].path}
    assert len(files_below(archive)) == 1


async def test_room_is_taken_for_an_image_like_the_last_two(tmp_path: Path) -> None:
    system = Fails({})
    sent = [ct(number=number, rows=256, columns=256) for number in range(1, 5)]
    async with serving(tmp_path, system=system) as served:
        async with sending(served.port) as sender:
            for image in sent:
                assert await sender.store(image) == 0
            assert await sender.store(ct(number=5)) == 0
        assert system.calls.count("allocate") >= len(sent) - 2
        assert system.calls.count("truncate") == 1, "one was shorter"
        expected = {f"{uid('instance', number)}.dcm": one for number, one in enumerate(sent, 1)}
        expected[f"{uid('instance', 5)}.dcm"] = ct(number=5)
        assert data_sets(served.files()) == data_sets(expected)


async def test_a_file_system_without_such_a_thing_is_asked_once(tmp_path: Path) -> None:
    system = Fails({"allocate": errno.EOPNOTSUPP})
    async with serving(tmp_path, system=system) as served, sending(served.port) as sender:
        for number in range(1, 6):
            assert await sender.store(ct(number=number, rows=256, columns=256)) == 0
        assert system.calls.count("allocate") == 1
