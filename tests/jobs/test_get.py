"""The job of `get`: what it asks for, what it asks for again, and what it calls missing."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from asyncdicom.engine.scheduler import SchedulerSettings
from asyncdicom.errors import (
    ConnectionLost,
    Doubtful,
    Incomplete,
    NotAcceptable,
    NotFound,
    OriginError,
    ProtocolError,
    Throttled,
    Truncated,
    UidMismatch,
    Unauthorized,
    UnexpectedContent,
)
from asyncdicom.jobs.get import GetOptions, GetTask
from asyncdicom.jobs.lookup import Witness
from asyncdicom.mock.dicomweb import WebOptions
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.abort import AbortPolicy
from asyncdicom.policy.granularity import Granularity
from tests.jobs.support import ONCE, Run, files_in, get, open_store
from tests.support.scripted import ScriptedAnswer, dicom_json
from tests.support.served import Served, cut_after_parts, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncdicom.errors import FetchError

pytestmark = pytest.mark.anyio

LARGE = {"rows": 512}


def study_path(served: Served) -> str:
    return f"/studies/{served.study}"


def true_files(served: Served) -> dict[str, bytes]:
    return {f"{uid}.dcm": content for uid, content in served.files.items()}


async def got(served: Served, folder: Path, **options: Any) -> Run:
    async with open_store(folder) as store:
        return await get(served, store, options=GetOptions(**options))


def assert_all_there(run: Run, served: Served, folder: Path) -> None:
    assert run.is_complete
    assert files_in(folder) == true_files(served)
    assert sorted(s.target.sop_instance_uid or "" for s in run.stored) == sorted(served.files)


@pytest.mark.parametrize(
    ("archive", "options", "retrieved"),
    [
        pytest.param({}, {}, ["study"], id="a small study at once"),
        pytest.param(
            {"series": 2, "instances": 2},
            {"granularity": Granularity.SERIES},
            ["series", "series"],
            id="series where asked for",
        ),
        pytest.param({}, {"granularity": Granularity.INSTANCE}, ["instance"] * 3, id="instances"),
        pytest.param(
            {"instances": 70, **LARGE},
            {"granularity": Granularity.STUDY},
            ["study"],
            id="a large study at once where asked for",
        ),
        pytest.param({"instances": 70, **LARGE}, {}, ["instance"] * 70, id="large instances"),
        pytest.param(
            {"series": 4, "instances": 20, **LARGE},
            {"concurrency": 4},
            ["series"] * 4,
            id="as many series as workers",
        ),
    ],
)
async def test_what_is_asked_for(
    tmp_path: Path, archive: dict[str, Any], options: dict[str, object], retrieved: list[str]
) -> None:
    served = Served(**archive)
    run = await got(served, tmp_path, **options)
    assert_all_there(run, served, tmp_path)
    assert [what.split()[0] for what in served.retrieved()] == retrieved


async def test_a_series_is_asked_for_as_a_series(tmp_path: Path) -> None:
    served = Served(series=2)
    async with open_store(tmp_path) as store:
        run = await get(served, store, [served.target(series=1)])
    assert served.retrieved() == [f"series {served.series[1]}"]
    assert {s.target.series_instance_uid for s in run.stored} == {served.series[1]}
    assert len(run.stored) == 3


async def test_an_instance_is_asked_for_without_a_lookup(tmp_path: Path) -> None:
    served = Served()
    async with open_store(tmp_path) as store:
        run = await get(served, store, [served.target(1)])
    assert len(served.paths()) == 1
    assert [s.target for s in run.stored] == [served.target(1)]


async def test_what_is_there_is_not_asked_for_again(tmp_path: Path) -> None:
    served = Served()
    await got(served, tmp_path)
    before = len(served.retrieved())
    run = await got(served, tmp_path)
    assert run.is_complete
    assert (len(run.skipped), len(run.stored)) == (3, 0)
    assert len(served.retrieved()) == before


async def test_a_series_that_is_mostly_there_is_completed_by_instances(tmp_path: Path) -> None:
    served = Served(instances=5)
    await got(served, tmp_path)
    (tmp_path / f"{served.instances[2]}.dcm").unlink()
    run = await got(served, tmp_path)
    assert files_in(tmp_path) == true_files(served)
    assert (len(run.skipped), len(run.stored)) == (4, 1)
    assert served.retrieved()[1:] == ["instance 2"]


async def test_a_series_that_is_hardly_there_is_fetched_as_a_series(tmp_path: Path) -> None:
    served = Served(instances=60)
    async with open_store(tmp_path) as store:
        await get(served, store, [served.target(0)])
    run = await got(served, tmp_path)
    assert served.retrieved()[1:] == [f"series {served.series[0]}"]
    assert (len(run.skipped), len(run.stored)) == (1, 59)
    assert files_in(tmp_path) == true_files(served)


async def test_a_dry_run_fetches_nothing(tmp_path: Path) -> None:
    served = Served()
    run = await got(served, tmp_path, dry_run=True)
    assert run.planned == [(served.study, 3)]
    assert (served.retrieved(), files_in(tmp_path)) == ([], {})


@pytest.mark.parametrize("whole_parts", [0, 1, 2])
async def test_an_answer_that_is_cut_costs_only_what_had_not_come(
    tmp_path: Path, whole_parts: int
) -> None:
    served = Served(instances=3)
    served.script(study_path(served), cut_after_parts(whole_parts, ConnectionLost("reset")))
    run = await got(served, tmp_path)
    assert_all_there(run, served, tmp_path)
    if whole_parts:
        rest = [f"instance {number}" for number in range(whole_parts, 3)]
        assert served.retrieved() == ["study", *rest]
    else:
        assert served.retrieved() == ["study", "study"]
    assert run.retried == [f"study {served.study}: connection-lost"]


def emptied(answer: ScriptedAnswer) -> ScriptedAnswer:
    """End a multipart answer after its first part, as if that were all."""
    body = whole_body(answer.body)
    boundary = body[: body.index(b"\r\n")]
    first = body[: body.index(boundary, 1)]
    return ScriptedAnswer(200, answer.headers, first + boundary + b"--\r\n")


async def test_an_answer_that_lacks_instances_is_completed_one_by_one(tmp_path: Path) -> None:
    served = Served(instances=3)
    served.script(study_path(served), emptied)
    run = await got(served, tmp_path)
    assert_all_there(run, served, tmp_path)
    assert served.retrieved() == ["study", "instance 1", "instance 2"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ScriptedAnswer(406), id="not acceptable"),
        pytest.param(ScriptedAnswer(500), id="broken"),
        pytest.param(ScriptedAnswer(413), id="too large"),
        pytest.param(ScriptedAnswer(404), id="not found"),
        pytest.param(ScriptedAnswer(206), id="partial"),
        pytest.param(ScriptedAnswer(204), id="empty"),
        pytest.param(ScriptedAnswer(200, (("content-type", "text/html"),), b"<p>"), id="a page"),
        pytest.param(
            ScriptedAnswer(200, (("content-type", "multipart/related"),), b"x"), id="no boundary"
        ),
    ],
)
async def test_instances_are_asked_for_where_the_study_is_refused(
    tmp_path: Path, answer: ScriptedAnswer
) -> None:
    served = Served(instances=2)
    served.script(study_path(served), answer, for_good=True)
    run = await got(served, tmp_path)
    assert_all_there(run, served, tmp_path)
    assert served.retrieved()[-2:] == ["instance 0", "instance 1"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(ConnectionLost("reset"), ConnectionLost, id="no connection"),
        pytest.param(ScriptedAnswer(401), Unauthorized, id="no permission"),
    ],
)
async def test_instances_are_not_asked_for_where_that_cannot_help(
    tmp_path: Path, answer: ScriptedAnswer | FetchError, kind: type[Exception]
) -> None:
    served = Served(instances=2)
    served.script(study_path(served), answer, for_good=True)
    run = await got(served, tmp_path)
    assert set(served.retrieved()) == {"study"}
    assert {f.target.sop_instance_uid for f in run.failed} == set(served.instances)
    assert all(isinstance(f.error, kind) for f in run.failed)


@pytest.mark.parametrize(
    ("answer", "kind", "tries"),
    [
        pytest.param(ScriptedAnswer(404), NotFound, 1, id="not found"),
        pytest.param(ScriptedAnswer(406), NotAcceptable, 1, id="not acceptable"),
        pytest.param(ScriptedAnswer(500), OriginError, 3, id="broken"),
        pytest.param(ScriptedAnswer(503), Throttled, 3, id="busy"),
        pytest.param(
            ScriptedAnswer(200, (("content-type", "application/dicom"),), b"short"),
            ProtocolError,
            3,
            id="no DICOM",
        ),
        pytest.param(
            ScriptedAnswer(200, (("content-type", "application/json"),), b"{}"),
            UnexpectedContent,
            1,
            id="no content",
        ),
    ],
)
async def test_an_instance_that_cannot_be_had_is_named_and_the_rest_is_stored(
    tmp_path: Path, answer: ScriptedAnswer, kind: type[Exception], tries: int
) -> None:
    served = Served(instances=3)
    served.script(f"*/instances/{served.instances[1]}", answer, for_good=True)
    run = await got(served, tmp_path, granularity=Granularity.INSTANCE)
    (failed,) = run.failed
    assert failed.target == served.target(1)
    assert isinstance(failed.error, kind)
    assert failed.attempts == tries
    assert not run.is_complete
    expected = true_files(served)
    del expected[f"{served.instances[1]}.dcm"]
    assert files_in(tmp_path) == expected


def answering_with(served: Served, number: int) -> Callable[[ScriptedAnswer], ScriptedAnswer]:
    content = served.files[served.instances[number]]
    return lambda _: single(content)


async def test_another_instance_than_asked_for_is_not_stored(tmp_path: Path) -> None:
    served = Served(instances=2)
    script = answering_with(served, 1)
    served.script(f"*/instances/{served.instances[0]}", script, for_good=True)
    async with open_store(tmp_path) as store:
        run = await get(served, store, [served.target(0)])
    assert isinstance(run.failed[0].error, UidMismatch)
    assert run.failed[0].attempts == 3
    assert files_in(tmp_path) == {}


async def test_another_instance_once_is_mended_by_another_try(tmp_path: Path) -> None:
    served = Served(instances=2)
    served.script(f"*/instances/{served.instances[0]}", answering_with(served, 1))
    run = await got(served, tmp_path, granularity=Granularity.INSTANCE)
    assert_all_there(run, served, tmp_path)
    assert run.retried == [f"instance {' '.join(uids(served, 0))}: uid-mismatch"]


def uids(served: Served, number: int) -> list[str]:
    target = served.target(number)
    return [
        target.study_instance_uid,
        target.series_instance_uid or "",
        target.sop_instance_uid or "",
    ]


async def test_an_instance_of_another_study_is_not_stored(tmp_path: Path) -> None:
    served, other = Served(instances=2), Served(instances=1, seed=7)
    stranger = other.files[other.instances[0]]
    served.script(study_path(served), single(stranger))
    run = await got(served, tmp_path)
    assert_all_there(run, served, tmp_path)
    assert served.retrieved() == ["study", "instance 0", "instance 1"]


async def test_an_instance_of_another_study_under_the_uid_asked_for_is_missing(
    tmp_path: Path,
) -> None:
    served = Served(instances=1)
    # (0020,000D) UI, and the length of the UID in two bytes.
    content = re.sub(
        rb"(\x20\x00\x0d\x00UI..)[0-9]",
        rb"\g<1>9",
        served.files[served.instances[0]],
        flags=re.DOTALL,
    )
    served.script(f"*/instances/{served.instances[0]}", single(content), for_good=True)
    run = await got(served, tmp_path, granularity=Granularity.INSTANCE)
    assert isinstance(run.failed[0].error, Incomplete)
    assert files_in(tmp_path) == {}


async def test_an_instance_that_comes_twice_is_stored_once(tmp_path: Path) -> None:
    def twice(answer: ScriptedAnswer) -> ScriptedAnswer:
        body = whole_body(answer.body)
        boundary = body[: body.index(b"\r\n")]
        first = body[: body.index(boundary, 1)]
        return ScriptedAnswer(200, answer.headers, first + body)

    served = Served(instances=2)
    served.script(study_path(served), twice)
    run = await got(served, tmp_path)
    assert_all_there(run, served, tmp_path)
    assert len(run.stored) == 2


def with_another_first(answer: ScriptedAnswer) -> ScriptedAnswer:
    """Let the first part come twice, the first time with another preamble."""
    body = whole_body(answer.body)
    boundary = body[: body.index(b"\r\n")]
    first = bytearray(body[: body.index(boundary, 1)])
    first[first.index(b"DICM") - 1] = 7
    return ScriptedAnswer(200, answer.headers, bytes(first) + body)


@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
async def test_two_different_instances_under_one_uid_are_asked_for_alone(
    tmp_path: Path, *, as_zip: bool
) -> None:
    served = Served(instances=3)
    served.script(study_path(served), with_another_first)
    async with open_store(tmp_path, as_zip=as_zip) as store:
        run = await get(served, store)
    assert run.is_complete
    assert run.ended is not None
    assert run.ended.stored == 3
    assert "instance 0" in served.retrieved()
    if not as_zip:
        assert files_in(tmp_path) == true_files(served)
        return
    with zipfile.ZipFile(tmp_path / f"{served.study}.zip") as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == true_files(served)


async def test_an_instance_that_nobody_listed_is_stored_too(tmp_path: Path) -> None:
    served = Served(WebOptions(gzip=False), instances=3)

    def without_last(answer: ScriptedAnswer) -> ScriptedAnswer:
        return dicom_json(orjson.loads(whole_body(answer.body))[:-1])

    served.script("*/metadata", without_last)
    async with open_store(tmp_path) as store:
        run = await get(served, store, witness=Witness.METADATA)
    assert files_in(tmp_path) == true_files(served)
    assert len(run.stored) == 3


PIXEL_DATA = b"\xe0\x7f\x10\x00"
"""(7FE0,0010) in little endian."""


def without_pixels(content: bytes) -> bytes:
    """Return an instance whose structure is whole, but which lacks what an image has."""
    return content[: content.rindex(PIXEL_DATA)]


def single(content: bytes) -> ScriptedAnswer:
    fields = (("content-type", "application/dicom"), ("content-length", str(len(content))))
    return ScriptedAnswer(200, fields, content)


async def test_a_doubtful_instance_is_stored_when_two_answers_agree(tmp_path: Path) -> None:
    served = Served(instances=1)
    answer = single(without_pixels(served.files[served.instances[0]]))
    served.script("*/instances/*", answer, for_good=True)
    run = await got(served, tmp_path, granularity=Granularity.INSTANCE)
    (stored,) = run.stored
    assert stored.attempts == 2
    assert stored.remarks
    assert files_in(tmp_path) == {f"{served.instances[0]}.dcm": whole_body(answer.body)}


async def test_a_doubtful_instance_is_missing_when_no_two_answers_agree(tmp_path: Path) -> None:
    served = Served(instances=1)
    content = without_pixels(served.files[served.instances[0]])
    # The preamble means nothing: these are three different files of one instance.
    for number in range(3):
        served.script("*/instances/*", single(bytes([number]) + content[1:]))
    run = await got(served, tmp_path, granularity=Granularity.INSTANCE)
    (failed,) = run.failed
    assert isinstance(failed.error, Doubtful)
    assert files_in(tmp_path) == {}


async def test_a_doubtful_instance_of_a_study_is_asked_for_again_alone(tmp_path: Path) -> None:
    served = Served(instances=2)

    def cut_short(answer: ScriptedAnswer) -> ScriptedAnswer:
        whole = served.files[served.instances[0]]
        short = without_pixels(whole)
        body = whole_body(answer.body).replace(whole, short)
        length, shorter = (b"Content-Length: %d" % len(content) for content in (whole, short))
        return ScriptedAnswer(200, answer.headers, body.replace(length, shorter, 1))

    served.script(study_path(served), cut_short)
    run = await got(served, tmp_path)
    assert_all_there(run, served, tmp_path)
    assert served.retrieved() == ["study", "instance 0"]


async def test_what_the_server_counts_but_does_not_list_is_named(tmp_path: Path) -> None:
    served = Served(instances=3)
    counting = dicom_json(
        [
            {
                "0020000D": {"vr": "UI", "Value": [served.study]},
                "00201208": {"vr": "IS", "Value": [5]},
            }
        ]
    )
    served.script("/studies", counting, for_good=True)
    run = await got(served, tmp_path)
    (failed,) = run.failed
    assert failed.target == served.target()
    assert str(failed.error) == "the server counts 5 instances but lists 3"
    assert files_in(tmp_path) == true_files(served)


@pytest.mark.parametrize(
    ("answer", "kind", "tries"),
    [
        pytest.param(ConnectionLost("reset"), ConnectionLost, 3, id="no connection"),
        pytest.param(ScriptedAnswer(401), Unauthorized, 1, id="no permission"),
        pytest.param(ScriptedAnswer(503), Throttled, 3, id="busy"),
    ],
)
async def test_a_study_that_cannot_be_looked_up_is_missing(
    tmp_path: Path, answer: ScriptedAnswer | FetchError, kind: type[Exception], tries: int
) -> None:
    served = Served()
    served.script("*", answer, for_good=True)
    run = await got(served, tmp_path)
    (failed,) = run.failed
    assert (failed.target, failed.attempts) == (served.target(), tries)
    assert isinstance(failed.error, kind)
    assert served.retrieved() == []


async def test_a_study_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    served = Served()
    nobody = Target(Resource.STUDY, Uid("2.999"))
    async with open_store(tmp_path) as store:
        run = await get(served, store, [nobody, served.target()])
    (failed,) = run.failed
    assert failed.target == nobody
    assert isinstance(failed.error, NotFound)
    assert files_in(tmp_path) == true_files(served)


async def test_several_series_of_a_study_are_one_study(tmp_path: Path) -> None:
    served = Served(series=3, instances=2)
    async with open_store(tmp_path) as store:
        run = await get(served, store, [served.target(series=0), served.target(series=2)])
    assert run.is_complete
    assert len(run.stored) == 4
    assert {s.target.series_instance_uid for s in run.stored} == {
        served.series[0],
        served.series[2],
    }


async def test_a_name_that_is_taken_costs_one_instance(tmp_path: Path) -> None:
    served = Served(instances=3)
    (tmp_path / f"{served.instances[0]}.dcm").mkdir()
    run = await got(served, tmp_path)
    (failed,) = run.failed
    assert failed.target == served.target(0)
    assert {s.target.sop_instance_uid for s in run.stored} == set(served.instances[1:])


async def test_a_stopped_run_names_what_it_did_not_begin(tmp_path: Path) -> None:
    served = Served(instances=4)
    served.script("*/instances/*", ScriptedAnswer(404), for_good=True)
    settings = SchedulerSettings(1, ONCE.retry, AbortPolicy(max_errors=0))
    async with open_store(tmp_path) as store:
        options = GetOptions(granularity=Granularity.INSTANCE)
        run = await get(served, store, options=options, settings=settings)
    assert run.ended is not None
    assert run.ended.aborted == "1 error, at most 0 allowed"
    assert {f.target.sop_instance_uid for f in run.failed} == set(served.instances)


async def test_bytes_are_counted_as_they_arrive(tmp_path: Path) -> None:
    served = Served()
    run = await got(served, tmp_path)
    assert run.ended is not None
    assert run.ended.byte_count > sum(map(len, served.files.values()))


@pytest.mark.parametrize("kind", [Truncated, ConnectionLost])
async def test_a_part_that_was_cut_leaves_nothing_behind(
    tmp_path: Path, kind: type[Truncated | ConnectionLost]
) -> None:
    served = Served(instances=1)
    served.script(study_path(served), cut_after_parts(0, kind("cut")), for_good=True)
    served.script("*/instances/*", cut_after_parts(0, kind("cut")), for_good=True)
    run = await got(served, tmp_path)
    assert not run.is_complete
    assert files_in(tmp_path) == {}


async def test_a_task_says_what_it_is() -> None:
    target = Served().target()
    assert str(GetTask(target, is_lookup=True)) == f"look up {target}"
    assert str(GetTask(target)) == str(target)
