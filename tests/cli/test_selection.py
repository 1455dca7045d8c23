"""What a command is about: UIDs, keys, and reports of earlier runs."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import TYPE_CHECKING

import click
import orjson
import pytest

from asyncdicom.cli.app import main
from asyncdicom.cli.selection import (
    failed_targets,
    selected_targets,
    study_uids,
)
from asyncdicom.cli.selection_by_keys import searched_targets
from asyncdicom.errors import ConfigError, ContentError, Incomplete, InvalidUid, NotFound
from asyncdicom.mock.dicomweb import WebOptions
from asyncdicom.model import Resource, Target, Uid
from tests.support.scripted import dicom_json
from tests.support.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

S, A, B, ONE = Uid("1"), Uid("1.1"), Uid("1.2"), Uid("1.1.1")


@pytest.mark.parametrize(
    ("given", "stdin", "expected"),
    [
        pytest.param(["1.2", "1.3", "1.2"], "", ["1.2", "1.3"], id="each once"),
        pytest.param(["-"], "1.2\n\n  1.3  \r\n1.2\n", ["1.2", "1.3"], id="lines of stdin"),
        pytest.param(["1.9", "-"], "1.2\n", ["1.9", "1.2"], id="both"),
        pytest.param([], "", [], id="nothing"),
    ],
)
def test_uids_come_from_options_and_stdin(
    monkeypatch: pytest.MonkeyPatch, given: list[str], stdin: str, expected: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    assert list(study_uids(given)) == expected


@pytest.mark.parametrize("text", ["x", "../1", "1" * 65, "1.2;rm", "", " "])
def test_what_is_no_uid_is_refused(text: str) -> None:
    with pytest.raises(InvalidUid):
        list(study_uids([text]))


@pytest.mark.parametrize(
    ("studies", "series", "instances", "expected"),
    [
        pytest.param([S, A], [], [], [Target(Resource.STUDY, u) for u in (S, A)], id="studies"),
        pytest.param([S], [A, B], [], [Target(Resource.SERIES, S, u) for u in (A, B)], id="series"),
        pytest.param([S], [A], [ONE], [Target(Resource.INSTANCE, S, A, ONE)], id="an instance"),
    ],
)
def test_the_deepest_level_counts(
    studies: list[str], series: list[str], instances: list[str], expected: list[Target]
) -> None:
    assert list(selected_targets(studies, series, instances)) == expected


@pytest.mark.parametrize(
    ("studies", "series", "instances"),
    [([], [A], []), ([S, B], [A], []), ([S], [], [ONE]), ([S], [A, B], [ONE])],
)
def test_a_level_needs_the_one_above(
    studies: list[str], series: list[str], instances: list[str]
) -> None:
    with pytest.raises(click.UsageError, match="needs exactly one"):
        list(selected_targets(studies, series, instances))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("words", "resource", "count"),
    [
        pytest.param(["StudyDate=19000101-"], Resource.STUDY, 2, id="of studies"),
        pytest.param(["Modality=CT"], Resource.SERIES, 4, id="of series"),
        pytest.param(["InstanceNumber=1"], Resource.INSTANCE, 4, id="of instances"),
        pytest.param(
            ["QueryRetrieveLevel=STUDY", "ModalitiesInStudy=CT"], Resource.STUDY, 2, id="as said"
        ),
    ],
)
async def test_keys_find_targets_of_their_level(
    words: list[str], resource: Resource, count: int
) -> None:
    served = Served(studies=2, series=2, instances=2)
    found = await searched_targets(served.source, words)
    assert {target.resource for target in found} == {resource}
    assert len(found) == len(set(found)) == count


@pytest.mark.anyio
async def test_nothing_that_matches_is_not_found() -> None:
    with pytest.raises(NotFound):
        await searched_targets(Served().source, ["PatientID=nobody"])


@pytest.mark.anyio
async def test_a_further_uid_of_several_is_asked_for_once() -> None:
    served = Served(studies=2)
    assert len(await searched_targets(served.source, [f"StudyInstanceUID={served.study}"])) == 1


@pytest.mark.anyio
async def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError):
        await searched_targets(Served().source, ["PatientNumber=1"])


@pytest.mark.anyio
async def test_a_list_that_is_not_complete_is_refused() -> None:
    limited = Served(WebOptions(max_results=1, gzip=False), studies=3)
    limited.script("/studies", lambda a: a)
    limited.script("/studies", dicom_json([]), for_good=True)
    with pytest.raises(Incomplete):
        await searched_targets(limited.source, ["StudyDate=19000101-"])


STUDY = {"0020000D": {"vr": "UI", "Value": ["1"]}}
SERIES = {"0020000E": {"vr": "UI", "Value": ["1.1"]}}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("word", "answer"),
    [
        pytest.param("PatientID=1", {"00100020": {"vr": "LO", "Value": ["1"]}}, id="no study"),
        pytest.param("Modality=CT", STUDY, id="no series"),
        pytest.param("InstanceNumber=1", STUDY | SERIES, id="no instance"),
        pytest.param(
            "InstanceNumber=1",
            STUDY | {"00080018": {"vr": "UI", "Value": ["1.1.1"]}},
            id="an instance without series",
        ),
    ],
)
async def test_an_answer_that_names_too_little_is_refused(word: str, answer: object) -> None:
    served = Served()
    served.script("*", dicom_json([answer]), dicom_json([]))
    with pytest.raises(ContentError, match="names no"):
        await searched_targets(served.source, [word])


def test_what_failed_is_read_from_a_report(tmp_path: Path) -> None:
    lines = [
        {"outcome": "stored", "kind": "instance", "study": "1"},
        {"outcome": "failed", "kind": "series", "study": "1", "series": "1.1"},
        {"outcome": "failed", "kind": "series", "study": "1", "series": "1.1"},
        {"outcome": "failed", "kind": "study", "study": "2"},
    ]
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    expected = [Target(Resource.SERIES, S, A), Target(Resource.STUDY, Uid("2"))]
    assert list(failed_targets(str(path))) == expected


def test_a_report_that_names_no_target_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"outcome": "failed"}\n')
    with pytest.raises(ConfigError):
        list(failed_targets(str(path)))


@pytest.mark.parametrize(
    "content",
    [b'{"key": "a"}\n', b'{"event": "planned"}\n{"event": "ended"}\n'],
    ids=["catalog", "events"],
)
def test_a_file_without_outcomes_is_no_report_without_failures(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="tells no outcome"):
        list(failed_targets(str(path)))


def test_the_report_of_a_run_of_nothing_names_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.touch()
    assert list(failed_targets(str(path))) == []


class Reader:
    """A stdin that notes whether an event loop waits while it is read."""

    is_in_loop: bool | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            asyncio.get_running_loop()
            self.is_in_loop = True
        except RuntimeError:
            self.is_in_loop = False
        yield "1.2\n"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["get", "http://127.0.0.1:1/x", "-r", "0"], id="get"),
        pytest.param(["get", "dicom://A@127.0.0.1:1", "-r", "0"], id="get DIMSE"),
        pytest.param(["dump", "-w", "http://127.0.0.1:1/x", "-r", "0", "-o", "o"], id="dump"),
        pytest.param(["move", "dicom://A@127.0.0.1:1", "--to", "X", "-r", "0"], id="move"),
        pytest.param(["verify", ".", "http://127.0.0.1:1/x", "-r", "0"], id="verify"),
        pytest.param(["cod", "get", "cod+http://127.0.0.1:1/b", "-r", "0"], id="cod get"),
        pytest.param(["cod", "stats", "cod+http://127.0.0.1:1/b", "-r", "0"], id="cod stats"),
        pytest.param(["cod", "frames", "cod+http://127.0.0.1:1/b", "-r", "0"], id="cod frames"),
    ],
)
def test_stdin_is_read_before_an_event_loop_runs(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # In one, Ctrl-C would not end the reading: nobody looks at the signal.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", reader := Reader())
    with pytest.raises(SystemExit) as ended:
        main([*words, "-s", "-"])
    assert ended.value.code == 5
    assert reader.is_in_loop is False
