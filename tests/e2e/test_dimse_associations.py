"""Several associations with one real archive: opened where asked for, and nothing comes twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from tests.e2e.support import cli, files_below
from tests.support import dicom
from tests.support.faultproxy import FaultProxy, Toxics, open_fault_proxy
from tests.support.orthanc import Orthanc, OrthancOptions, running_orthanc
from tests.support.peers import require_peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STUDY = dicom.uid("study", 2)
SERIES, INSTANCES = 4, 40
FILES = [dicom.small_instance(400 + n, series=20 + n % SERIES, study=2) for n in range(INSTANCES)]
DATA_SET_BYTES = sum(len(content) - dicom.data_set_offset(content) for content in FILES)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    require_peer("orthanc")
    options = OrthancOptions(dicom_aet="ORTHANC", plugins=())
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), options) as server:
        server.upload(FILES)
        yield server


@pytest.fixture
def counted(orthanc: Orthanc) -> Iterator[FaultProxy]:
    """A proxy before the archive that is far enough away for associations to overlap."""
    toxics = Toxics(latency_s=0.01)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            open_fault_proxy(orthanc.dicom_port, toxics, seed=7)
        ) as proxy,
    ):
        yield proxy


@pytest.mark.parametrize("engine", ["native", "pynetdicom"])
@pytest.mark.parametrize(("concurrency", "connections"), [(1, 2), (2, 3), (4, 5), (8, 5)])
def test_associations_are_opened_as_asked_for_and_each_instance_comes_once(
    counted: FaultProxy, tmp_path: Path, engine: str, concurrency: int, connections: int
) -> None:
    source = f"dicom://ORTHANC@127.0.0.1:{counted.port}"
    words = ("--study", STUDY, "-c", str(concurrency), "--dimse-engine", engine, "--json")
    done = cli("get", source, *words, "-o", str(tmp_path))
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    stored = [event["path"] for event in events if event["event"] == "finished"]
    assert (len(stored), len(set(stored)), len(files_below(tmp_path))) == (INSTANCES,) * 3
    assert f"completed: {INSTANCES}, remaining: 0, failed: 0, warning: 0" in done.err
    assert events[-1]["bytes"] == DATA_SET_BYTES
    # One to ask, which has contexts for nothing else, and one for each series at once; one that
    # is idle would have been used again.
    assert len(counted.fates) == connections
