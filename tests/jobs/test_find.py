"""The job of `find`: tries again, keeps what came, and notices what was not asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import ConnectionLost, RunAborted, Throttled, Unauthorized
from asyncdicom.jobs.find import FindJob, dictionary
from asyncdicom.policy.retry import RetryPolicy
from asyncdicom.protocol.qido_keys import parse_keys
from asyncdicom.protocol.qido_rs import search_query
from asyncdicom.protocol.urls import Root
from asyncdicom.sources.dicomweb import DicomWebSource
from asyncdicom.sources.search import Search, search
from tests.support.scripted import ScriptedAnswer, ScriptedTransport, dicom_json, paging_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.http import HttpRequest

IMPATIENT = SchedulerSettings(
    concurrency=1, retry=RetryPolicy(retries=2, first_pause_s=0.0, longest_pause_s=0.0)
)
STUDIES = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}} for number in range(25)]


def archive(request: HttpRequest) -> ScriptedAnswer:
    offset, limit = paging_of(request)
    return dicom_json(STUDIES[offset:][:limit])


def failing(
    error: FetchError, *, requests: range
) -> Callable[[HttpRequest], ScriptedAnswer | FetchError]:
    """Fail the requests of these numbers, counted from 0."""
    numbers = iter(range(1000))
    return lambda request: error if next(numbers) in requests else archive(request)


def job_over(
    answer: Callable[[HttpRequest], ScriptedAnswer | FetchError],
    write: Callable[[dict[str, Any]], None],
    *words: str,
) -> tuple[FindJob, Search]:
    source = DicomWebSource(Root("http://archive.test/dicom-web"), ScriptedTransport(answer))
    query = search_query(parse_keys(words, dictionary()))
    found = search(source, query, page_limit=10)
    return FindJob(found, write), found


@pytest.mark.anyio
async def test_all_pages_are_written_in_order() -> None:
    written: list[dict[str, Any]] = []
    job, found = job_over(archive, written.append)
    await job.run(Scheduler(job, IMPATIENT))
    assert written == STUDIES
    assert (job.written, job.error, found.verdict().is_complete) == (25, None, True)


@pytest.mark.parametrize("number", [0, 1, 3], ids=["first", "second", "last"])
@pytest.mark.anyio
async def test_a_page_that_fails_is_tried_again(number: int) -> None:
    written: list[dict[str, Any]] = []
    script = failing(ConnectionLost("reset"), requests=range(number, number + 2))
    job, found = job_over(script, written.append)
    await job.run(Scheduler(job, IMPATIENT))
    assert written == STUDIES
    assert found.verdict().is_complete


@pytest.mark.anyio
async def test_a_page_that_fails_for_good_ends_the_list() -> None:
    written: list[dict[str, Any]] = []
    job, found = job_over(failing(ConnectionLost("reset"), requests=range(1, 99)), written.append)
    await job.run(Scheduler(job, IMPATIENT))
    assert written == STUDIES[:10]
    assert isinstance(job.error, ConnectionLost)
    assert found.verdict().problem == "reset"


@pytest.mark.anyio
async def test_a_refusal_is_not_tried_again() -> None:
    script = failing(Unauthorized("no", status_code=401), requests=range(1))
    job, _ = job_over(script, lambda answer: None)
    await job.run(Scheduler(job, IMPATIENT))
    assert isinstance(job.error, Unauthorized)
    assert job.written == 0


@pytest.mark.anyio
async def test_a_stopped_search_is_not_complete() -> None:
    job, found = job_over(archive, lambda answer: scheduler.stop("interrupted"))
    scheduler = Scheduler(job, IMPATIENT)
    await job.run(scheduler)
    assert isinstance(job.error, RunAborted)
    assert job.written == 10
    assert "interrupted" in found.verdict().problem


@pytest.mark.anyio
async def test_a_search_stopped_while_it_waits_is_not_complete() -> None:
    pause = Throttled("slow down", status_code=503, retry_after_s=100.0)
    job, found = job_over(failing(pause, requests=range(1, 99)), lambda answer: None)
    scheduler = Scheduler(job, IMPATIENT)
    async with anyio.create_task_group() as group:
        group.start_soon(job.run, scheduler)
        while job.written < 10:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        scheduler.stop("interrupted", grace_s=0)
    assert "interrupted" in found.verdict().problem


@pytest.mark.anyio
async def test_a_reader_that_has_gone_ends_the_search() -> None:
    def write(answer: dict[str, Any]) -> None:
        raise BrokenPipeError

    job, _ = job_over(archive, write)
    with pytest.raises(BrokenPipeError):
        await job.run(Scheduler(job, IMPATIENT))


@pytest.mark.anyio
async def test_a_bug_in_a_writer_is_not_hidden() -> None:
    def write(answer: dict[str, Any]) -> None:
        raise ZeroDivisionError

    job, _ = job_over(archive, write)
    with pytest.raises(ExceptionGroup) as raised:
        await job.run(Scheduler(job, IMPATIENT))
    assert raised.group_contains(ZeroDivisionError)


def patient(*names: str) -> dict[str, Any]:
    return {"00100020": {"vr": "LO", "Value": list(names)}}


@pytest.mark.parametrize(
    ("word", "answers", "unasked"),
    [
        pytest.param("PatientID=A", [patient("A"), patient("B")], {"PatientID": 1}, id="another"),
        pytest.param("PatientID=A", [patient(" a ")], {}, id="case and blanks do not count"),
        pytest.param("PatientID=A", [patient("B", "A")], {}, id="one of several values"),
        pytest.param("PatientID=A", [{}, {"00100020": {"vr": "LO"}}], {}, id="not returned"),
        pytest.param("PatientID=A*", [patient("B")], {}, id="wildcards are not judged"),
        pytest.param("PatientName=A", [patient("B")], {}, id="names are not judged"),
        pytest.param(
            "StudyInstanceUID=1.2.1,1.2.2", STUDIES[1:4], {"StudyInstanceUID": 1}, id="a list"
        ),
    ],
)
@pytest.mark.anyio
async def test_answers_to_another_question_are_counted(
    word: str, answers: list[dict[str, Any]], unasked: dict[str, int]
) -> None:
    def script(request: HttpRequest) -> ScriptedAnswer:
        return dicom_json([] if "offset=" in request.url else answers)

    job, _ = job_over(script, lambda answer: None, word)
    await job.run(Scheduler(job, IMPATIENT))
    assert job.unasked == unasked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("PatientID", ("00100020", "PatientID", "LO"), id="a keyword"),
        pytest.param("00100020", ("00100020", "PatientID", "LO"), id="a tag"),
        pytest.param("7FE00010", ("7FE00010", "PixelData", "OB"), id="one of two VRs"),
        pytest.param("00091001", None, id="a private tag"),
        pytest.param("Patient", None, id="no keyword"),
        pytest.param("", None, id="nothing"),
        pytest.param("PatientS", None, id="eight letters that are no tag"),
    ],
)
def test_the_dictionary_knows_keywords_and_tags(
    text: str, found: tuple[str, str, str] | None
) -> None:
    attribute = dictionary().find(text)
    assert (attribute and (attribute.tag, attribute.keyword, attribute.vr)) == found


def test_the_dictionary_lists_its_keywords() -> None:
    assert "PatientID" in dictionary().keywords()
