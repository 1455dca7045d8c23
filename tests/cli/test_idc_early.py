"""The process that reads the index may begin before anybody knows what it is asked."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.cli import idc_early
from asyncdicom.cli.idc_early import begun_early, plan_teller
from asyncdicom.cli.idc_told import PlanHead, PlanPlaces
from asyncdicom.errors import ConfigError
from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.protocol.idc.selection import Selection
from asyncdicom.sources import idc_index
from tests.support.idc_index import index_row, write_index

if TYPE_CHECKING:
    import socket
    from pathlib import Path

SERIES = "1.2.7"
CHOSEN = Selection(series_instance_uid=(SERIES,))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_index(tmp_path_factory.mktemp("index"), [index_row(SeriesInstanceUID=SERIES)])


def options_for(index: Path) -> dict[str, Any]:
    return {
        "names": (),
        "manifest_file": None,
        "retry_failed": None,
        "dir_template": "%SeriesInstanceUID",
        "source_bucket_location": None,
        "index": index,
        "instance_index": None,
        "unpicklable": lambda: None,
    }


def heard(sock: socket.socket) -> list[Any]:
    """Return all that is told, to the empty list or the error that ends it."""
    sock.setblocking(True)
    told: list[Any] = []
    with sock.makefile("rb") as stream:
        while not told or not (told[-1] == [] or isinstance(told[-1], Exception)):
            told.append(pickle.load(stream))
    return told


@pytest.mark.parametrize(
    "arguments", [["idc", "get", "x"], ["idc", "select"]], ids=["early", "when needed"]
)
def test_the_plan_is_the_same_whenever_the_process_began(arguments: list[str], index: Path) -> None:
    with begun_early(arguments), plan_teller(options_for(index), CHOSEN) as sock:
        places, head, groups, end = heard(sock)
    assert places == PlanPlaces(Location.AWS)
    assert isinstance(head, PlanHead)
    assert (head.plan.unmatched, end) == ((), [])
    assert [group.series_instance_uid for group in groups] == [SERIES]


@pytest.mark.parametrize(
    "arguments",
    [["idc", "get", "--help"], ["idc", "get", "-h"], ["get", "idc"], ["idc"], []],
    ids=" ".join,
)
def test_nothing_begins_early_for_what_reads_no_index(arguments: list[str]) -> None:
    with begun_early(arguments):
        assert not idc_early._begun


def test_a_process_that_nobody_asks_is_ended() -> None:
    with begun_early(["idc", "get", "--nonsense"]):
        (worker,) = idc_early._begun
    assert not idc_early._begun
    with pytest.raises(ChildProcessError):
        os.waitpid(worker.process_id, 0)


def test_that_duckdb_is_missing_is_told_when_the_index_is_asked(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_missing() -> None:
        raise ConfigError("DuckDB is not installed")

    monkeypatch.setattr(idc_index, "_library", is_missing)
    with begun_early(["idc", "get", "x"]), plan_teller(options_for(index), CHOSEN) as sock:
        _, error = heard(sock)
    assert isinstance(error, ConfigError)
    assert "DuckDB is not installed" in str(error)
