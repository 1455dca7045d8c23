"""The job of `dump`: what is on disk afterwards, what is asked for, and what a failure leaves."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import (
    ConnectionLost,
    ContentError,
    Incomplete,
    NameTaken,
    NotFound,
    Truncated,
    UnexpectedContent,
    UnsafeName,
)
from asyncdicom.jobs import dump_fetch as dump_module
from asyncdicom.jobs.dump import DumpJob, DumpOptions
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.mock.dicomweb import WebOptions
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.abort import AbortPolicy
from asyncdicom.storage.folder import OutputFolder
from tests.jobs.support import IMPATIENT, ONCE, dump, files_in
from tests.support.scripted import ScriptedAnswer, dicom_json
from tests.support.served import ROOT, Served, cut_after_parts, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncdicom.errors import FetchError

pytestmark = pytest.mark.anyio

PLAIN = WebOptions(gzip=False)
EVERYTHING = frozenset(Resource) - {
    *(Resource.STUDY, Resource.SERIES),
    *(Resource.OBJECT, Resource.LISTING),
}


def instance_path(served: Served, number: int = 0) -> str:
    target = served.target(number)
    series, instance = target.series_instance_uid, target.sop_instance_uid
    return f"{served.study}/series/{series}/instances/{instance}"


def frame_path(served: Served, number: int = 0) -> str:
    return f"{instance_path(served, number)}/frames/1"


def frame_target(served: Served, number: int = 0) -> Target:
    target = served.target(number)
    uids = (target.study_instance_uid, target.series_instance_uid, target.sop_instance_uid)
    return Target(Resource.FRAME, *uids, 1)


def record_in(folder: Path, path: str) -> dict[str, Any]:
    record: dict[str, Any] = orjson.loads((folder / f"{path}.dump.json").read_bytes())
    return record


def payloads(folder: Path) -> set[str]:
    return {name for name in files_in(folder) if not name.endswith(".dump.json")}


async def test_metadata_and_frames_are_dumped_by_default(tmp_path: Path) -> None:
    served = Served(series=2, instances=2)
    run = await dump(served, tmp_path)
    assert run.is_complete
    expected = {f"{served.study}/metadata"}
    expected |= {f"{served.study}/series/{series}/metadata" for series in served.series}
    for number in range(4):
        expected |= {f"{instance_path(served, number)}/metadata", frame_path(served, number)}
    assert payloads(tmp_path) == expected
    assert set(files_in(tmp_path)) == expected | {f"{path}.dump.json" for path in expected}
    assert {stored.path for stored in run.stored} == expected


async def test_each_thing_is_asked_for_once(tmp_path: Path) -> None:
    served = Served(series=2, instances=2)
    await dump(served, tmp_path, DumpOptions(kinds=EVERYTHING))
    assert len(served.paths()) == len(set(served.paths()))
    for number, uid in enumerate(served.instances):
        series = served.target(number).series_instance_uid
        assert all(f"/series/{series}/" in path for path in served.paths(f"*/instances/{uid}/*"))


async def test_the_payload_is_kept_as_it_came(tmp_path: Path) -> None:
    served = Served(instances=1)
    bodies: list[bytes] = []

    def keep(answer: ScriptedAnswer) -> ScriptedAnswer:
        bodies.append(whole_body(answer.body))
        return answer

    served.script("*/frames/1", keep)
    await dump(served, tmp_path, DumpOptions(strip_multipart=True))
    content = (tmp_path / frame_path(served)).read_bytes()
    (part,) = record_in(tmp_path, frame_path(served))["multipart"]
    assert content == bodies[0]
    stripped = content[part["offset"] :][: part["length"]]
    assert (tmp_path / f"{frame_path(served)}.bin").read_bytes() == stripped
    assert served.files[served.instances[0]].endswith(stripped)


async def test_what_has_no_wrapper_has_no_stripped_copy(tmp_path: Path) -> None:
    served = Served(instances=1)
    content = served.files[served.instances[0]]
    single = ScriptedAnswer(200, (("content-type", "application/dicom"),), content)
    served.script("*/instances/*.?", single)
    served.script(f"*/instances/{served.instances[0]}", single)
    options = DumpOptions(frozenset({Resource.INSTANCE}), strip_multipart=True)
    await dump(served, tmp_path, options)
    path = f"{instance_path(served)}/_/{served.instances[0]}"
    assert payloads(tmp_path) == {f"{served.study}/metadata", path}
    assert (tmp_path / path).read_bytes() == content
    assert record_in(tmp_path, path)["multipart"] == []


async def test_metadata_can_be_read_by_people(tmp_path: Path) -> None:
    served = Served(instances=2)
    await dump(served, tmp_path, DumpOptions(frozenset({Resource.METADATA}), pretty=True))
    plain = orjson.loads((tmp_path / served.study / "metadata").read_bytes())
    pretty = (tmp_path / served.study / "metadata.pretty.json").read_bytes()
    assert orjson.loads(pretty) == plain
    assert pretty.count(b"\n") > 20


async def test_metadata_nested_too_deeply_for_people_are_named(tmp_path: Path) -> None:
    served = Served(PLAIN, instances=2)
    abyss = b'[{"00081115": ' + b"[" * 300 + b"]" * 300 + b"}]"
    fields = (("content-type", "application/dicom+json"),)
    target = served.target(0)
    served.script(f"*/{target.sop_instance_uid}/metadata", ScriptedAnswer(200, fields, abyss))
    run = await dump(served, tmp_path, DumpOptions(frozenset({Resource.METADATA}), pretty=True))
    (failed,) = run.failed
    assert isinstance(failed.error, ContentError)
    assert failed.target.sop_instance_uid == target.sop_instance_uid
    assert len(run.stored) == 3


async def test_every_kind_has_its_place(tmp_path: Path) -> None:
    served = Served(WebOptions(gzip=False), mixed=True, instances=1)
    run = await dump(served, tmp_path, DumpOptions(EVERYTHING))
    assert run.is_complete
    kinds = {stored.target.resource for stored in run.stored}
    assert kinds == EVERYTHING
    found = payloads(tmp_path)
    assert f"{served.study}/search/series" in found
    for kind in ("/rendered", "/thumbnail", "/search/instances"):
        assert any(path.endswith(kind) for path in found), kind
    assert any("/bulkdata/" in path for path in found)


async def test_what_has_no_pixels_is_not_rendered(tmp_path: Path) -> None:
    served = Served(mixed=True, instances=1)
    await dump(served, tmp_path, DumpOptions(EVERYTHING))
    report = next(i for i in served.archive.studies[0].all_series if i.modality == "SR")
    for kind in ("rendered", "thumbnail", "frames/1"):
        assert served.paths(f"*/series/{report.series_instance_uid}/*/{kind}") == []
    assert served.paths("*/rendered")


FAILURES = [
    pytest.param(ScriptedAnswer(404, (), b"no such frame"), NotFound, 1, id="an answer"),
    pytest.param(
        ScriptedAnswer(200, (("content-type", "text/html"),), b"<p>log in"),
        UnexpectedContent,
        1,
        id="a page",
    ),
    pytest.param(ScriptedAnswer(206), Incomplete, 3, id="a part of it"),
    pytest.param(ConnectionLost("reset"), ConnectionLost, 3, id="no answer"),
]


@pytest.mark.parametrize(("answer", "kind", "tries"), FAILURES)
async def test_a_target_that_fails_leaves_its_record_and_no_file(
    tmp_path: Path, answer: ScriptedAnswer | FetchError, kind: type[FetchError], tries: int
) -> None:
    served = Served(instances=2)
    path = frame_path(served, 1)
    served.script(f"*/{path}", answer, for_good=True)
    run = await dump(served, tmp_path)
    (failed,) = run.failed
    assert failed.target == frame_target(served, 1)
    assert isinstance(failed.error, kind)
    assert path not in files_in(tmp_path)
    record = record_in(tmp_path, path)
    assert record["url"] == f"{ROOT}/studies/{path}"
    assert record["attempts"] == tries
    assert record["error"] == {"reason": failed.error.reason, "message": str(failed.error)}
    if isinstance(answer, ScriptedAnswer):
        assert record["response"]["statusCode"] == answer.status_code
    else:
        assert record["response"] is None
    assert record["startedAt"]


async def test_what_the_server_said_is_kept_beside_the_record(tmp_path: Path) -> None:
    served = Served(instances=1)
    served.script("*/frames/1", ScriptedAnswer(404, (), b"no such frame"))
    await dump(served, tmp_path)
    assert (tmp_path / f"{frame_path(served)}.error").read_bytes() == b"no such frame"


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        pytest.param([b"x" * 60] * 10, 100, id="a long one is cut"),
        pytest.param([b"x" * 60, ConnectionLost("reset")], 60, id="half of one is kept"),
    ],
)
async def test_an_error_body_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: list[bytes | FetchError], kept: int
) -> None:
    monkeypatch.setattr(dump_module, "MAX_ERROR_BODY_BYTES", 100)
    served = Served(instances=1)
    served.script("*/frames/1", ScriptedAnswer(404, (), body))
    await dump(served, tmp_path)
    assert (tmp_path / f"{frame_path(served)}.error").read_bytes() == b"x" * kept


async def test_what_waits_for_its_last_try_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 2 * (dump_module.HEAD_BYTES + 1000)
    monkeypatch.setattr(dump_module, "MAX_KEPT_BYTES", room)
    kept: list[list[Target]] = []
    keep = dump_module._FailedTries.keep

    def seen(tries: dump_module._FailedTries, target: Target, failed: Any) -> None:
        keep(tries, target, failed)
        kept.append(list(tries._tries))

    monkeypatch.setattr(dump_module._FailedTries, "keep", seen)
    served = Served(instances=4)
    served.script("*/frames/1", ScriptedAnswer(500, (), b"x" * 1000), for_good=True)
    run = await dump(served, tmp_path)
    assert len(run.failed) == 4
    assert max(map(len, kept)) == 2
    for number in range(4):
        assert (tmp_path / f"{frame_path(served, number)}.error").read_bytes() == b"x" * 1000
        assert record_in(tmp_path, frame_path(served, number))["response"]["statusCode"] == 500


async def test_a_later_run_replaces_the_record_of_a_failure(tmp_path: Path) -> None:
    served = Served(instances=1)
    served.script("*/frames/1", ScriptedAnswer(404, (), b"not yet"))
    await dump(served, tmp_path)
    run = await dump(served, tmp_path)
    assert run.is_complete
    assert [stored.target for stored in run.stored] == [frame_target(served)]
    assert record_in(tmp_path, frame_path(served))["error"] is None
    assert f"{frame_path(served)}.error" not in files_in(tmp_path)


@pytest.mark.parametrize("error", [ConnectionLost("reset"), ScriptedAnswer(500)])
async def test_a_try_that_failed_is_counted_in_the_record(
    tmp_path: Path, error: ScriptedAnswer | FetchError
) -> None:
    served = Served(instances=1)
    served.script("*/frames/1", error)
    run = await dump(served, tmp_path)
    assert run.is_complete
    assert len(run.retried) == 1
    record = record_in(tmp_path, frame_path(served))
    assert (record["attempts"], record["error"]) == (2, None)


def in_the_way(root: Path, path: str) -> None:
    """Let a file stand where the folder of a path belongs."""
    folder = (root / path).parent
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"")


def where_its_record_belongs(root: Path, path: str) -> None:
    (root / f"{path}.dump.json").mkdir(parents=True)


@pytest.mark.parametrize("block", [in_the_way, where_its_record_belongs])
async def test_a_record_that_cannot_be_written_stops_nothing(
    tmp_path: Path, block: Callable[[Path, str], None]
) -> None:
    served = Served(instances=2)
    block(tmp_path, frame_path(served, 0))
    run = await dump(served, tmp_path)
    assert [(failed.target, type(failed.error)) for failed in run.failed] == [
        (frame_target(served, 0), NameTaken)
    ]
    assert len(run.stored) == 5


async def test_a_study_whose_folder_cannot_be_is_named_and_stops_nothing(tmp_path: Path) -> None:
    served = Served(instances=1, studies=2)
    first, second = (Uid(study.study_instance_uid) for study in served.archive.studies)
    (tmp_path / first).symlink_to(tmp_path)
    tally = Tally()
    with OutputFolder.open(tmp_path) as folder:
        async with DumpJob.here(served.source, folder, tally, DumpOptions()) as job:
            scheduler = Scheduler(job, ONCE)
            tasks = job.tasks([first, second])
            ended = await run_job(job, tasks, scheduler=scheduler, tally=tally)
    assert (ended.stored, ended.missing + ended.corrupt) == (4, 1)
    assert (tmp_path / second / "metadata").exists()


async def test_a_name_that_no_folder_can_hold_is_named_and_stops_nothing(tmp_path: Path) -> None:
    served = Served(PLAIN, instances=2)

    def nested(answer: ScriptedAnswer) -> ScriptedAnswer:
        elements = orjson.loads(whole_body(answer.body))
        inner: dict[str, Any] = {"00420011": {"vr": "OB", "BulkDataURI": "bulkdata/1"}}
        for _ in range(25):
            inner = {"00081115": {"vr": "SQ", "Value": [inner]}}
        elements[0].update(inner)
        return dicom_json(elements)

    served.script(f"/studies/{served.study}/metadata", nested)
    served.script("*/bulkdata/1", OCTETS)
    run = await dump(served, tmp_path, BULKDATA)
    assert [type(failed.error) for failed in run.failed] == [UnsafeName]
    assert len(run.stored) == 3


async def test_a_cut_answer_leaves_no_file(tmp_path: Path) -> None:
    served = Served(instances=1)
    served.script("*/frames/1", cut_after_parts(0, ConnectionLost("reset")), for_good=True)
    run = await dump(served, tmp_path, settings=ONCE)
    assert [f.target for f in run.failed] == [frame_target(served)]
    assert frame_path(served) not in files_in(tmp_path)
    assert record_in(tmp_path, frame_path(served))["response"]["bytesDownloaded"] > 0


async def test_a_second_run_asks_for_nothing(tmp_path: Path) -> None:
    served = Served(series=2)
    await dump(served, tmp_path)
    before, asked = files_in(tmp_path), len(served.paths())
    run = await dump(served, tmp_path)
    assert run.is_complete
    assert (len(run.skipped), run.stored) == (15, [])
    assert (files_in(tmp_path), len(served.paths())) == (before, asked)


async def test_copies_that_an_earlier_run_did_not_write_are_written(tmp_path: Path) -> None:
    served = Served(instances=1)
    await dump(served, tmp_path)
    run = await dump(served, tmp_path, DumpOptions(strip_multipart=True, pretty=True))
    assert run.is_complete
    assert (len(run.stored), run.skipped) == (4, [])
    found = files_in(tmp_path)
    assert f"{frame_path(served)}.bin" in found
    assert len([name for name in found if name.endswith("metadata.pretty.json")]) == 3
    again = await dump(served, tmp_path, DumpOptions(strip_multipart=True, pretty=True))
    assert (len(again.skipped), again.stored) == (4, [])


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda whole: whole[:-1], id="cut"),
        pytest.param(lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]), id="changed"),
        pytest.param(lambda whole: whole + b"x", id="too long"),
    ],
)
async def test_a_stripped_copy_that_was_damaged_is_written_again(
    tmp_path: Path, damaged: Callable[[bytes], bytes]
) -> None:
    served = Served(instances=1)
    options = DumpOptions(strip_multipart=True)
    await dump(served, tmp_path, options)
    copy = tmp_path / f"{frame_path(served)}.bin"
    whole = copy.read_bytes()
    copy.write_bytes(damaged(whole))
    run = await dump(served, tmp_path, options)
    assert [stored.target for stored in run.stored] == [frame_target(served)]
    assert copy.read_bytes() == whole


async def test_overwrite_asks_for_everything_again(tmp_path: Path) -> None:
    served = Served()
    await dump(served, tmp_path)
    asked = len(served.paths())
    run = await dump(served, tmp_path, DumpOptions(overwrite=True))
    assert run.is_complete
    assert (run.skipped, len(served.paths())) == ([], 2 * asked)


def remove(path: Path) -> None:
    path.unlink()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-60] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content), None)[1]


DAMAGES = [
    pytest.param("", remove, id="the file is gone"),
    pytest.param("", flip_a_bit, id="the file has another bit"),
    pytest.param("", cut, id="the file was cut"),
    pytest.param("", empty, id="the file is empty"),
    pytest.param(".dump.json", remove, id="the record is gone"),
    pytest.param(".dump.json", cut, id="the record was cut"),
    pytest.param(".dump.json", replace_by(b"[]"), id="the record is a list"),
    pytest.param(".dump.json", replace_by(b"{}"), id="the record is empty"),
    pytest.param(
        ".dump.json", replace_by(b'{"response": {"headers": {}}}'), id="the record has no type"
    ),
    pytest.param(
        ".dump.json", replace_by(b'{"response": {"headers": []}}'), id="the record has a list"
    ),
]


@pytest.mark.parametrize(("suffix", "damage"), DAMAGES)
async def test_what_is_damaged_is_asked_for_again_and_nothing_else(
    tmp_path: Path, suffix: str, damage: Callable[[Path], None]
) -> None:
    served = Served(instances=2)
    await dump(served, tmp_path)
    path = frame_path(served, 1)
    whole = (tmp_path / path).read_bytes()
    damage(tmp_path / f"{path}{suffix}")
    asked = len(served.paths())
    run = await dump(served, tmp_path)
    assert run.is_complete
    assert served.paths()[asked:] == [f"/studies/{path}"]
    assert [stored.target for stored in run.stored] == [frame_target(served, 1)]
    assert (tmp_path / path).read_bytes() == whole
    assert record_in(tmp_path, path)["error"] is None


async def test_metadata_that_was_damaged_is_asked_for_before_anything_is_planned(
    tmp_path: Path,
) -> None:
    served = Served(instances=2)
    await dump(served, tmp_path)
    flip_a_bit(tmp_path / served.study / "metadata")
    run = await dump(served, tmp_path)
    assert run.is_complete
    assert [stored.path for stored in run.stored] == [f"{served.study}/metadata"]


def with_elements(*elements: object) -> Callable[[ScriptedAnswer], ScriptedAnswer]:
    def script(answer: ScriptedAnswer) -> ScriptedAnswer:
        return dicom_json([*elements, *orjson.loads(whole_body(answer.body))])

    return script


HOSTILE = [
    pytest.param({}, id="empty"),
    pytest.param({"00080018": {"vr": "UI", "Value": ["1.2"]}}, id="no series"),
    pytest.param(
        {
            "00080018": {"vr": "UI", "Value": ["../../../etc/passwd"]},
            "0020000E": {"vr": "UI", "Value": ["1.2"]},
        },
        id="a path for a UID",
    ),
    pytest.param(
        {
            "00080018": {"vr": "UI", "Value": ["1.2"]},
            "0020000E": {"vr": "UI", "Value": ["1.3"]},
            "00280008": {"vr": "IS", "Value": ["many"]},
        },
        id="words for a number",
    ),
]


@pytest.mark.parametrize("element", HOSTILE)
async def test_metadata_that_nobody_can_use_are_named_and_the_rest_is_dumped(
    tmp_path: Path, element: object
) -> None:
    served = Served(PLAIN, instances=2)
    served.script(f"/studies/{served.study}/metadata", with_elements(element))
    run = await dump(served, tmp_path)
    assert not run.is_complete
    (failed,) = run.failed
    assert failed.target.study_instance_uid == served.study
    assert {frame_path(served, 0), frame_path(served, 1)} <= payloads(tmp_path)
    assert all(path.startswith(served.study) for path in payloads(tmp_path))


async def test_what_nobody_can_use_is_looked_at_again_when_it_is_asked_for_again(
    tmp_path: Path,
) -> None:
    served = Served(PLAIN, instances=1)
    served.script(f"/studies/{served.study}/metadata", with_elements({}))
    first = await dump(served, tmp_path)
    again = await dump(served, tmp_path, again=first.failed_targets)
    assert not again.is_complete
    assert all("None" not in path for path in files_in(tmp_path))
    assert served.retrieved() == []


async def test_only_what_failed_is_asked_for_again(tmp_path: Path) -> None:
    served = Served(instances=2)
    served.script("*/frames/1", ScriptedAnswer(404))
    first = await dump(served, tmp_path)
    asked = len(served.paths())
    run = await dump(served, tmp_path, again=first.failed_targets)
    assert run.is_complete
    assert len(served.paths()) == asked + 1
    assert frame_path(served) in payloads(tmp_path)


def cut_by_two(answer: ScriptedAnswer) -> ScriptedAnswer:
    """Take the end of a frame, and leave the framing whole."""
    body = whole_body(answer.body).replace(b"Content-Length: 128", b"Content-Length: 126")
    end = body.rindex(b"\r\n--")
    return ScriptedAnswer(200, answer.headers, body[: end - 2] + body[end:])


async def test_a_frame_that_was_too_short_is_still_when_asked_for_again(tmp_path: Path) -> None:
    served = Served(PLAIN, instances=2)
    served.script(f"*/{frame_path(served)}", cut_by_two, for_good=True)
    first = await dump(served, tmp_path)
    assert [type(failed.error) for failed in first.failed] == [Truncated]
    run = await dump(served, tmp_path, again=first.failed_targets)
    assert [type(failed.error) for failed in run.failed] == [Truncated]
    assert frame_path(served) not in payloads(tmp_path)


def with_bulkdata(uri: str) -> Callable[[ScriptedAnswer], ScriptedAnswer]:
    def script(answer: ScriptedAnswer) -> ScriptedAnswer:
        elements = orjson.loads(whole_body(answer.body))
        elements[0]["00420011"] = {"vr": "OB", "BulkDataURI": uri}
        return dicom_json(elements)

    return script


BULKDATA = DumpOptions(frozenset({Resource.BULKDATA}))
OCTETS = ScriptedAnswer(
    200, (("content-type", "application/octet-stream"), ("content-length", "3")), b"abc"
)


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        pytest.param("https://else.test/b/1", "https://else.test/b/1", id="another origin"),
        pytest.param("bulkdata/1", f"{ROOT}/studies/STUDY/bulkdata/1", id="relative"),
        pytest.param("/b/1", "http://archive.test/b/1", id="from the root of the host"),
    ],
)
async def test_bulkdata_is_asked_for_where_the_metadata_says(
    tmp_path: Path, uri: str, url: str
) -> None:
    served = Served(PLAIN, instances=1)
    served.script(f"/studies/{served.study}/metadata", with_bulkdata(uri))
    expected = url.replace("STUDY", served.study)
    served.script("*/bulkdata/1", OCTETS)
    served.script("/b/1", OCTETS)
    run = await dump(served, tmp_path, BULKDATA)
    urls = [request.url for request in served.transport.requests]
    assert expected in urls, urls
    path = f"{instance_path(served)}/bulkdata/00420011"
    assert (tmp_path / path).read_bytes() == b"abc"
    assert path in {stored.path for stored in run.stored}


async def test_bulkdata_that_cannot_be_asked_for_is_named_without_a_record(tmp_path: Path) -> None:
    served = Served(PLAIN, instances=1)
    served.script(f"/studies/{served.study}/metadata", with_bulkdata("file:///etc/passwd"))
    run = await dump(served, tmp_path, BULKDATA)
    failed = [
        f for f in run.failed if isinstance(f.target, Target) and f.target.attribute == "00420011"
    ]
    assert [type(f.error) for f in failed] == [UnexpectedContent]
    assert not any("00420011" in path for path in files_in(tmp_path))


SEARCHING = DumpOptions(
    frozenset({Resource.METADATA, Resource.SEARCH, Resource.FRAME}), plans_from_search=True
)


async def test_searches_can_name_what_is_dumped(tmp_path: Path) -> None:
    served = Served(series=2, instances=2)
    run = await dump(served, tmp_path, SEARCHING)
    assert run.is_complete
    expected = {f"{served.study}/search/series", f"{served.study}/metadata"}
    expected |= {f"{served.study}/series/{uid}/search/instances" for uid in served.series}
    expected |= {f"{served.study}/series/{uid}/metadata" for uid in served.series}
    for number in range(4):
        expected |= {f"{instance_path(served, number)}/metadata", frame_path(served, number)}
    assert payloads(tmp_path) == expected


async def test_a_search_that_says_it_is_not_all_is_refused(tmp_path: Path) -> None:
    served = Served(WebOptions(gzip=False, max_results=1), series=2)
    run = await dump(served, tmp_path, SEARCHING)
    assert [type(f.error) for f in run.failed] == [Incomplete]
    assert f"{served.study}/search/series" not in payloads(tmp_path)


async def test_a_list_that_is_shorter_than_the_count_is_named(tmp_path: Path) -> None:
    served = Served(PLAIN, instances=3)
    path = f"*/series/{served.series[0]}/instances"
    served.script(path, lambda a: dicom_json(orjson.loads(whole_body(a.body))[:-1]))
    run = await dump(served, tmp_path, SEARCHING)
    (failed,) = run.failed
    assert "counts 3 instances but lists 2" in str(failed.error)


@pytest.mark.parametrize("options", [DumpOptions(), SEARCHING])
@pytest.mark.parametrize("is_mended", [False, True])
async def test_a_list_that_was_shorter_is_asked_for_again_and_counted(
    tmp_path: Path, options: DumpOptions, *, is_mended: bool
) -> None:
    served = Served(PLAIN, instances=3)
    path = f"*/series/{served.series[0]}/instances"
    shorter = [lambda a: dicom_json(orjson.loads(whole_body(a.body))[:-1])]
    served.script(path, *(shorter if is_mended else 2 * shorter))
    first = await dump(served, tmp_path, SEARCHING)
    asked = len(served.paths(path))
    run = await dump(served, tmp_path, options, again=first.failed_targets)
    assert len(served.paths(path)) == asked + 1
    assert run.is_complete is is_mended
    assert len(run.failed) == (not is_mended)


@pytest.mark.parametrize(
    "element",
    [
        pytest.param({"00080060": {"vr": "CS", "Value": ["CT"]}}, id="without a UID"),
        pytest.param({"0020000E": {"vr": "UI", "Value": ["../x"]}}, id="with a path for a UID"),
    ],
)
async def test_a_series_that_nobody_can_ask_for_is_named(tmp_path: Path, element: object) -> None:
    served = Served(PLAIN, instances=1)
    served.script(f"/studies/{served.study}/series", with_elements(element))
    run = await dump(served, tmp_path, SEARCHING)
    assert len(run.failed) == 1
    assert frame_path(served) in payloads(tmp_path)


async def test_a_stopped_run_names_what_it_did_not_begin_without_records(tmp_path: Path) -> None:
    served = Served(instances=3)
    served.script(f"*/{frame_path(served, 0)}", ScriptedAnswer(404))
    settings = SchedulerSettings(1, IMPATIENT.retry, AbortPolicy(max_errors=0))
    run = await dump(served, tmp_path, settings=settings)
    assert run.ended is not None
    assert run.ended.aborted
    failed = {str(f.target) for f in run.failed}
    assert str(frame_target(served, 2)) in failed
    assert f"{frame_path(served, 2)}.dump.json" not in files_in(tmp_path)


async def test_bytes_are_counted_as_they_arrive(tmp_path: Path) -> None:
    served = Served()
    run = await dump(served, tmp_path)
    assert run.ended is not None
    assert run.ended.byte_count == sum(stored.byte_count for stored in run.stored)


async def test_what_another_run_has_just_stored_is_verified_and_kept(tmp_path: Path) -> None:
    served, theirs, ours = Served(instances=2), tmp_path / "theirs", tmp_path / "ours"
    await dump(served, theirs)

    def meanwhile(answer: ScriptedAnswer) -> ScriptedAnswer:
        shutil.copytree(theirs, ours, dirs_exist_ok=True)
        return answer

    served.script(f"/studies/{served.study}/metadata", meanwhile)
    run = await dump(served, ours)
    assert run.is_complete
    assert len(run.skipped) == len(run.stored) + len(run.skipped) == 6
    assert files_in(ours) == files_in(theirs)
