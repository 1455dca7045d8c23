"""What is answered to each C-STORE: what is refused leaves nothing, and the association lives."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    DiskFull,
    InvalidUid,
    NotNegotiated,
    Truncated,
    UidMismatch,
    UnexpectedContent,
)
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal
from asyncdicom.receiver.events import AssociationEnded, InstanceRefused, InstanceStored
from asyncdicom.receiver.settings import StorageMode
from asyncdicom.storage.atomic import Durability
from tests.receiver.support import (
    CT,
    MR,
    STORING,
    SYNTAXES,
    data_set_of,
    rules,
    sending,
    serving,
    until,
)
from tests.storage.faults import STRATEGIES, Fails
from tests.support.dicom import ct, mr, uid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.receiver.support import Sender

pytestmark = pytest.mark.anyio

GOOD = ct(number=1)
OTHER = ct(number=2)


def cut(file: bytes) -> bytes:
    return file[:-10]


def cut_before_pixels(file: bytes) -> bytes:
    return file[: file.index(b"\xe0\x7f\x10\x00OW")]


def with_broken_length(file: bytes) -> bytes:
    at = file.index(b"\xe0\x7f\x10\x00OW") + 8
    return file[:at] + struct.pack("<I", 2**31) + file[at + 4 :]


def only_meta(file: bytes) -> bytes:
    return file[: len(file) - len(data_set_of(file))]


@pytest.mark.parametrize(
    ("file", "changes", "status", "reason"),
    [
        pytest.param(cut(GOOD), {}, 0xC000, Truncated, id="cut within the pixels"),
        pytest.param(cut_before_pixels(GOOD), {}, 0xC000, Truncated, id="cut between elements"),
        pytest.param(with_broken_length(GOOD), {}, 0xC000, Truncated, id="length beyond the end"),
        pytest.param(only_meta(GOOD), {}, 0xC000, Truncated, id="no byte at all"),
        pytest.param(
            GOOD, {"sop_instance_uid": uid("instance", 9)}, 0xA900, UidMismatch, id="another UID"
        ),
        pytest.param(
            mr(number=1),
            {"sop_class_uid": CT, "context": CT},
            0xA900,
            UnexpectedContent,
            id="another SOP class",
        ),
        pytest.param(GOOD, {"sop_instance_uid": ""}, 0x0117, InvalidUid, id="empty UID"),
        pytest.param(GOOD, {"sop_instance_uid": "../../evil"}, 0x0117, InvalidUid, id="a path"),
        pytest.param(GOOD, {"sop_instance_uid": "/etc/passwd"}, 0x0117, InvalidUid, id="absolute"),
        pytest.param(GOOD, {"sop_instance_uid": "1.2\0.3"}, 0x0117, InvalidUid, id="NUL"),
        pytest.param(GOOD, {"sop_instance_uid": "1." * 40 + "1"}, 0x0117, InvalidUid, id="long"),
        pytest.param(
            GOOD, {"sop_class_uid": "1.2.3.4", "context": CT}, 0x0122, NotNegotiated, id="private"
        ),
        pytest.param(
            GOOD, {"sop_class_uid": "", "context": CT}, 0x0122, NotNegotiated, id="no class"
        ),
    ],
)
async def test_what_is_wrong_is_answered_by_name_and_leaves_nothing(
    tmp_path: Path,
    file: bytes,
    changes: dict[str, str],
    status: int,
    reason: type[AsyncDicomError],
) -> None:
    async with serving(tmp_path) as served, sending(served.port) as sender:
        assert await sender.store(file, **changes) == status
        assert served.files() == {}
        assert await sender.store(OTHER) == 0
        assert len(served.files()) == 1
        assert await sender.echo() == 0
    (refused,) = served.told.of(InstanceRefused)
    assert isinstance(refused.error, reason)
    assert refused.status == status
    assert served.receiver.statistics().refused_by_status == {status: 1}
    assert served.receiver.statistics().in_flight == 0


async def test_what_lacks_pixels_is_kept_with_a_remark_where_that_is_wanted(tmp_path: Path) -> None:
    doubtful = cut_before_pixels(GOOD)
    storing = rules(keeps_doubtful=True)
    async with serving(tmp_path, storing=storing) as served, sending(served.port) as sender:
        assert await sender.store(doubtful) == 0
        assert await sender.store(cut(OTHER)) == 0xC000
    (stored,) = served.told.of(InstanceStored)
    assert "PixelData" in stored.remarks[0]
    assert [data_set_of(content) for content in served.files().values()] == [data_set_of(doubtful)]


async def test_what_is_ignored_is_answered_and_dropped(tmp_path: Path) -> None:
    async with serving(tmp_path, storing=rules(mode=StorageMode.IGNORE)) as served:
        async with sending(served.port) as sender:
            assert await sender.store(GOOD) == 0
            assert await sender.store(cut(GOOD)) == 0
            assert await sender.store(GOOD, sop_instance_uid="no UID") == 0x0117
        statistics = served.receiver.statistics()
    assert served.files() == {}
    assert statistics.ignored == 2
    assert statistics.byte_count == 3 * len(data_set_of(GOOD)) - 10


async def aborted(sender: Sender) -> None:
    await sender.peer.send(bytes.fromhex("07000000000400000000"))


async def closed(sender: Sender) -> None:
    sender.peer.close()


async def reset(sender: Sender) -> None:
    sender.peer.reset()


async def silent(sender: Sender) -> None:
    await sender.peer.aborted()


async def oversize(sender: Sender) -> None:
    await sender.peer.send(b"\x04\x00" + struct.pack(">I", 2**31))


async def disordered(sender: Sender) -> None:
    # A command where the data set is to go on.
    await sender.peer.send(*sender.pdus(OTHER)[:1])


@pytest.mark.parametrize(
    "breaks",
    [aborted, closed, reset, silent, oversize, disordered],
    ids=lambda breaks: breaks.__name__,
)
async def test_a_data_set_that_breaks_off_leaves_the_older_file(
    tmp_path: Path, breaks: Callable[[Sender], Awaitable[None]]
) -> None:
    server = {"idle_timeout_s": 0.3}
    large = ct(number=1, rows=128, columns=128)
    async with serving(tmp_path, server=server) as served:
        async with sending(served.port) as sender:
            assert await sender.store(GOOD) == 0
            before = served.files()
            await sender.peer.send(*sender.pdus(large)[:-1])
            await until(lambda: served.receiver.statistics().in_flight)
            await breaks(sender)
            (ended,) = await served.told.until(AssociationEnded)
        assert ended.failure is not None
        assert served.files() == before
        assert served.receiver.statistics().in_flight == 0
        async with sending(served.port) as sender:
            assert await sender.store(large) == 0
        assert [data_set_of(one) for one in served.files().values()] == [data_set_of(large)]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_disk_that_is_full_is_told_and_recovered_from(
    tmp_path: Path, strategy: str
) -> None:
    system = Fails({}, is_portable=strategy != "invisible")
    system.has_noreplace = strategy != "linked"
    async with serving(tmp_path, system=system) as served, sending(served.port) as sender:
        system.failing = {"write": errno.ENOSPC}
        assert await sender.store(GOOD) == 0xA700
        system.failing = {"link": errno.ENOSPC, "rename_noreplace": errno.ENOSPC}
        assert await sender.store(GOOD) == 0xA700
        assert served.files() == {}
        system.failing = {}
        assert await sender.store(GOOD) == 0
        assert len(served.files()) == 1
    assert all(isinstance(one.error, DiskFull) for one in served.told.of(InstanceRefused))
    assert served.receiver.statistics().refused == 2


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
async def test_a_sync_that_fails_is_no_success(tmp_path: Path, call: str) -> None:
    rests: dict[str, Any] = {"system": (system := Fails({})), "durability": Durability.BATCH}
    async with serving(tmp_path, **rests) as served, sending(served.port) as sender:
        system.failing = {call: errno.EIO}
        assert await sender.store(GOOD) == 0xA700
        system.failing = {}
        assert await sender.store(GOOD) == 0
    assert len(served.told.of(InstanceStored)) == 1


async def test_below_the_low_water_mark_nothing_is_taken(tmp_path: Path) -> None:
    storing = rules(min_free_bytes=2**62)
    async with serving(tmp_path, storing=storing) as served, sending(served.port) as sender:
        assert await sender.store(GOOD) == 0xA700
        assert await sender.echo() == 0
        assert served.files() == {}
    (refused,) = served.told.of(InstanceRefused)
    assert isinstance(refused.error, DiskFull)


async def test_a_class_that_was_not_taken_is_not_smuggled_in_by_another_context(
    tmp_path: Path,
) -> None:
    private = "1.2.3.4.5"
    contexts = (*STORING, ContextProposal(private, SYNTAXES))
    async with serving(tmp_path) as served, sending(served.port, contexts) as sender:
        assert await sender.store(GOOD, sop_class_uid=private, context=CT) == 0x0122
        assert served.files() == {}


async def test_each_association_is_disturbed_by_itself_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        async with sending(served.port) as good, sending(served.port) as bad:
            await bad.peer.send(*bad.pdus(GOOD)[:1])
            assert await good.store(OTHER) == 0
            await oversize(bad)
            assert await good.store(mr(number=3), context=MR) == 0
            await good.release()
        ended = await served.told.until(AssociationEnded, 2)
    assert sorted(one.failure is None for one in ended) == [False, True]
    assert len(served.files()) == 2
