"""DCMTK and Orthanc as senders: they store what they have, and are told what is wrong."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from asyncdicom.errors import DiskFull
from asyncdicom.receiver.events import (
    AssociationEnded,
    AssociationRefused,
    InstanceRefused,
    InstanceStored,
)
from asyncdicom.receiver.settings import Admission
from asyncdicom.storage.atomic import Durability
from tests.receiver.support import data_set_of, rules, sending, serving
from tests.support.dicom import ct, encapsulated, mr, private_object, uid
from tests.support.orthanc import OrthancOptions, running_orthanc
from tests.support.peers import find_program, require_peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

FILES = {
    "explicit": ct(number=1),
    "large": ct(number=3, rows=256, columns=256),
    "mr": mr(number=4),
    "rle": encapsulated(RLELossless, number=5),
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


async def send(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a client of DCMTK to its end."""
    require_peer("dcmtk")
    found = find_program(program)
    assert found is not None
    process = await asyncio.create_subprocess_exec(
        found, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(arguments, process.returncode, output)


@pytest.mark.parametrize("durability", [Durability.NONE, Durability.BATCH])
async def test_dcmsend_stores_what_it_has_byte_by_byte(
    tmp_path: Path, files: Path, durability: Durability
) -> None:
    async with serving(tmp_path / "in", durability=durability) as served:
        words = ("--decompress-never", "+sd", "127.0.0.1", str(served.port), str(files))
        done = await send("dcmsend", *words)
        assert done.returncode == 0, done.stdout
        await served.told.until(AssociationEnded)
        kept = {data_set_of(content) for content in served.files().values()}
    assert kept == {data_set_of(content) for content in FILES.values()}
    assert {one.caller.calling_ae for one in served.told.of(InstanceStored)} == {"DCMSEND"}
    syntaxes = {one.transfer_syntax_uid for one in served.told.of(InstanceStored)}
    assert syntaxes == {ExplicitVRLittleEndian, RLELossless}


async def test_storescu_stores_implicit_vr(tmp_path: Path) -> None:
    file = ct(number=2, transfer_syntax_uid=ImplicitVRLittleEndian)
    (tmp_path / "implicit").write_bytes(file)
    async with serving(tmp_path / "in") as served:
        words = ("-xi", "127.0.0.1", str(served.port), str(tmp_path / "implicit"))
        done = await send("storescu", *words)
        assert done.returncode == 0, done.stdout
        (kept,) = served.files().values()
    assert data_set_of(kept) == data_set_of(file)
    assert served.told.of(InstanceStored)[0].transfer_syntax_uid == ImplicitVRLittleEndian


async def test_storescu_at_once_from_many_processes(tmp_path: Path, files: Path) -> None:
    async with serving(tmp_path / "in", storing=rules("tree")) as served:
        port = str(served.port)
        words = ("127.0.0.1", port, str(files / "explicit"), str(files / "mr"))
        done = await asyncio.gather(
            *(send("storescu", "-aet", f"SCU{n}", *words) for n in range(6))
        )
        assert [one.returncode for one in done] == [0] * 6
        await served.told.until(AssociationEnded, 6)
        assert len(served.files()) == 2
        assert served.receiver.statistics().replaced == 10


async def test_echoscu_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        done = await send("echoscu", "127.0.0.1", str(served.port))
    assert done.returncode == 0
    assert served.receiver.statistics().echoes == 1


async def test_dcmtk_reads_why_it_is_refused(tmp_path: Path, files: Path) -> None:
    admission = Admission(called_aes=frozenset({"STORE"}))
    async with serving(tmp_path / "in", admission=admission) as served:
        words = ("127.0.0.1", str(served.port), str(files / "explicit"))
        refused = await send("storescu", "-aec", "OTHER", *words)
        assert refused.returncode != 0
        assert b"Called AE Title Not Recognized" in refused.stdout
        admitted = await send("storescu", "-aec", "STORE", *words)
        assert admitted.returncode == 0, admitted.stdout
    assert len(served.told.of(AssociationRefused)) == 1


async def test_what_a_class_is_refused_for_is_seen_by_its_sender(tmp_path: Path) -> None:
    (tmp_path / "private").write_bytes(private_object(number=1))
    async with serving(tmp_path / "in") as served:
        words = ("127.0.0.1", str(served.port), str(tmp_path / "private"))
        refused = await send("dcmsend", "--decompress-never", *words)
        assert refused.returncode != 0
        assert served.files() == {}
    async with serving(tmp_path / "in", is_promiscuous=True) as served:
        words = ("127.0.0.1", str(served.port), str(tmp_path / "private"))
        taken = await send("dcmsend", "--decompress-never", *words)
        assert taken.returncode == 0, taken.stdout
        assert len(served.files()) == 1


async def test_storescu_reads_that_an_instance_was_refused(tmp_path: Path, files: Path) -> None:
    storing = rules(min_free_bytes=2**62)
    async with serving(tmp_path / "in", storing=storing) as served:
        done = await send("storescu", "-v", "127.0.0.1", str(served.port), str(files / "mr"))
        assert b"OutOfResources" in done.stdout
        assert served.files() == {}
        assert len(served.told.of(InstanceRefused)) == 1


async def test_orthanc_sends_a_study(tmp_path: Path) -> None:
    require_peer("orthanc")
    contents = [ct(number=number) for number in range(1, 41)]
    async with serving(tmp_path / "in", durability=Durability.BATCH) as served:
        options = OrthancOptions(dicom_aet="ORTHANC", modalities=(("STORE", served.port),))
        await asyncio.to_thread(orthanc_sends, tmp_path, options, contents)
        await served.told.until(AssociationEnded)
        kept = {data_set_of(content) for content in served.files().values()}
    assert kept == set(map(data_set_of, contents))
    assert {one.study_instance_uid for one in served.told.of(InstanceStored)} == {uid("study", 1)}


def orthanc_sends(tmp_path: Path, options: OrthancOptions, contents: list[bytes]) -> None:
    """Let an archive store all that it has with us."""
    with running_orthanc(tmp_path, options) as orthanc:
        orthanc.upload(contents)
        (study,) = orthanc.get_json("/studies")
        with closing(HTTPConnection("127.0.0.1", orthanc.port, timeout=20)) as connection:
            connection.request("POST", "/modalities/STORE/store", study)
            response = connection.getresponse()
            assert response.status == 200, response.read()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, to `grow`; needs root."""
    path = tmp_path / "disk"
    path.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if subprocess.run(mounting, check=False, capture_output=True).returncode != 0:
        pytest.skip("may not mount")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)


@pytest.mark.parametrize("durability", [Durability.NONE, Durability.BATCH])
async def test_one_large_object_does_not_run_the_disk_below_the_mark(
    small_disk: Path, durability: Durability
) -> None:
    grow(small_disk)
    large = ct(number=1, rows=2048, columns=3072)
    mark = 6 * 1024 * 1024
    least_free = 2**62
    async with (
        serving(small_disk, durability=durability, storing=rules(min_free_bytes=mark)) as served,
        sending(served.port) as sender,
    ):
        for pdu in sender.pdus(large):
            await sender.peer.send(pdu)
            least_free = min(least_free, shutil.disk_usage(small_disk).free)
        assert await sender.answer() == 0xA700
        assert served.files() == {}
        assert shutil.disk_usage(small_disk).free > 15 * 1024 * 1024
        assert await sender.store(ct(number=2)) == 0
    assert least_free >= mark - 1024 * 1024
    (refused,) = served.told.of(InstanceRefused)
    assert isinstance(refused.error, DiskFull)


@pytest.mark.parametrize("min_free_bytes", [0, 256 * 1024], ids=["up to the brim", "low water"])
async def test_a_disk_that_is_full_refuses_and_recovers_without_a_restart(
    tmp_path: Path, small_disk: Path, min_free_bytes: int
) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    for number in range(1, 13):
        (sent / str(number)).write_bytes(ct(number=number, rows=256, columns=256))
    storing = rules(min_free_bytes=min_free_bytes)
    async with serving(small_disk, storing=storing) as served:
        words = ("--no-halt", "127.0.0.1", str(served.port), "+sd", str(sent))
        await send("storescu", *words)
        (ended,) = await served.told.until(AssociationEnded)
        assert ended.failure is None
        stored = served.told.of(InstanceStored)
        refused = served.told.of(InstanceRefused)
        assert len(stored) + len(refused) == 12
        assert {one.status for one in refused} == {0xA700}
        assert len(stored) == (6 if min_free_bytes else 7)
        assert served.files().keys() == {one.path for one in stored}
        await asyncio.to_thread(grow, small_disk)
        again = await send("storescu", *words)
        assert again.returncode == 0, again.stdout
        assert len(served.files()) == 12
    truth = {data_set_of(path.read_bytes()) for path in sent.iterdir()}
    assert {data_set_of(content) for content in served.files().values()} == truth
