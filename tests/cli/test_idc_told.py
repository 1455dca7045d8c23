"""The plan of `idc get`, told by another process."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.cli import idc_plan
from asyncdicom.cli.idc_plan import tell_plan
from asyncdicom.cli.idc_told import PlanPlaces, ToldPlan
from asyncdicom.errors import ConfigError, StorageError
from asyncdicom.jobs.idc_plans import IdcPlan
from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.protocol.idc.selection import Selection
from asyncdicom.protocol.idc.series import Totals
from tests.support.idc_index import index_row, write_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run once: nothing here depends on the loop."""
    return "asyncio"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        index_row(
            SeriesInstanceUID=f"1.2.{number}",
            crdc_series_uuid=f"00000000-0000-4000-8000-{number:012}",
        )
        for number in range(5)
    ]
    return write_index(tmp_path_factory.mktemp("index"), rows)


def options_for(index: Path, **values: Any) -> dict[str, Any]:
    return {
        "names": (),
        "manifest_file": None,
        "retry_failed": None,
        "dir_template": "%SeriesInstanceUID",
        "source_bucket_location": None,
        "index": index,
        "instance_index": None,
        **values,
    }


async def test_a_plan_is_told_with_all_its_groups(
    ends: tuple[socket.socket, socket.socket], index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idc_plan, "GROUPS_AT_ONCE", 2)
    ours, theirs = ends
    selection = Selection(collection_id=("c_one",))
    teller = threading.Thread(target=tell_plan, args=(theirs, options_for(index), selection))
    teller.start()
    with ToldPlan(ours) as told:
        places = await told.places()
        head = await told.head()
        series = [group.series_instance_uid for group in told.groups()]
    assert isinstance(head.plan, IdcPlan)
    assert places == PlanPlaces(Location.AWS)
    assert head.plan.totals == Totals(5, 10, 10_000)
    assert series == [f"1.2.{number}" for number in range(5)]
    teller.join()


async def test_what_a_manifest_names_is_told_before_the_index_is_read(
    ends: tuple[socket.socket, socket.socket], index: Path, tmp_path: Path
) -> None:
    uuids = [f"00000000-0000-4000-8000-{number:012}" for number in range(3)]
    manifest = tmp_path / "manifest"
    lines = [f"cp s3://idc-open-data-cr/{uuids[0]}/* .", f"s3://own/{uuids[1]}/", uuids[2], "1.2.3"]
    manifest.write_text("\n".join([*lines, f"s3://idc-open-data/{uuids[2]}/one.dcm"]))
    ours, theirs = ends
    tell_plan(theirs, options_for(index, manifest_file=str(manifest)), Selection())
    with ToldPlan(ours) as told:
        places = await told.places()
        head = await told.head()
        groups = {str(group.series_instance_uid): group for group in told.groups()}
    listings = (("idc-open-data-cr", f"{uuids[0]}/"), ("own", f"{uuids[1]}/"))
    assert places == PlanPlaces(Location.AWS, listings)
    assert isinstance(head.plan, IdcPlan)
    assert (groups["1.2.1"].bucket, groups["1.2.1"].prefix) == listings[1]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        pytest.param({"dir_template": "PatientID"}, "a variable is written", id="template"),
        pytest.param({"manifest_file": "/nowhere"}, "cannot read the manifest", id="manifest"),
        pytest.param({"retry_failed": "/nowhere"}, "/nowhere", id="report"),
    ],
)
async def test_an_error_is_told_with_its_facts(
    ends: tuple[socket.socket, socket.socket], index: Path, values: dict[str, Any], told: str
) -> None:
    ours, theirs = ends
    tell_plan(theirs, options_for(index, **values), Selection())
    with ToldPlan(ours) as plan, pytest.raises(ConfigError, match=told):
        await plan.places()


async def test_a_process_that_was_ended_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.close()
    told = "the process that read the index was ended"
    with ToldPlan(ours) as plan, pytest.raises(StorageError, match=told):
        await plan.places()


async def test_a_process_that_was_ended_between_groups_is_told(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    os.write(theirs.fileno(), b"".join(map(pickle.dumps, ("places", "head", ["a", "b"]))))
    theirs.close()
    with ToldPlan(ours) as told:
        await told.places()
        await told.head()
        groups: Iterator[Any] = told.groups()
        assert [next(groups), next(groups)] == ["a", "b"]
        with pytest.raises(StorageError):
            next(groups)


@pytest.mark.parametrize("cut", [1, 20, -1])
async def test_a_process_that_was_ended_while_it_told_is_told(
    ends: tuple[socket.socket, socket.socket], cut: int
) -> None:
    ours, theirs = ends
    told = pickle.dumps(PlanPlaces(Location.AWS, (("b", "p/"),)), pickle.HIGHEST_PROTOCOL)
    os.write(theirs.fileno(), told[:cut])
    theirs.close()
    with ToldPlan(ours) as plan, pytest.raises(StorageError, match="was ended"):
        await plan.places()


async def test_a_process_that_was_ended_before_it_listened_is_told(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    # What nobody reads makes a reset of the end of a connection.
    ours.send(b"options")
    theirs.close()
    with ToldPlan(ours) as plan, pytest.raises(StorageError, match="was ended"):
        await plan.places()


async def test_who_has_left_needs_no_plan(
    ends: tuple[socket.socket, socket.socket], index: Path
) -> None:
    ours, theirs = ends
    ours.close()
    tell_plan(theirs, options_for(index), Selection(collection_id=("c_one",)))


async def test_who_is_cancelled_does_not_wait_for_the_other_process(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    # It may read a manifest from a terminal, for as long as nobody ends that.
    ours, theirs = ends
    with ToldPlan(ours) as told:
        waiting = asyncio.create_task(told.places())
        await asyncio.to_thread(theirs.sendall, b"\x80")  # the thread is there, or will be
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # As `asyncio.run` does at its end.
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 5)
