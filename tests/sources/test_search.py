"""A search against servers that conform, and those that do not."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    Incomplete,
    NotFound,
    OriginError,
    ProtocolError,
    Throttled,
    Truncated,
    Unauthorized,
    UnexpectedContent,
    Unreachable,
)
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.protocol.qido_keys import Attribute, AttributePath, Level, Match
from asyncdicom.protocol.qido_rs import SearchQuery
from asyncdicom.protocol.urls import Root
from asyncdicom.sources import search as module
from asyncdicom.sources.dicomweb import DicomWebSource
from asyncdicom.sources.search import Search, counted_instances, search, search_instances
from tests.support.scripted import ScriptedAnswer, ScriptedTransport, dicom_json, paging_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.http import HttpRequest

pytestmark = pytest.mark.anyio

ROOT = "http://archive.test/dicom-web"
JSON = ("content-type", "application/dicom+json")
HTML = ScriptedAnswer(200, (("content-type", "text/html; charset=utf-8"),), b"<html>")


WARNING_BEFORE_2019 = (
    '299 archive "The number of results exceeded the maximum supported by the server. '
    'Additional results can be requested."'
)


def study(number: int) -> dict[str, Any]:
    return {"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}}


STUDIES = [study(number) for number in range(25)]


def numbers(answers: Sequence[dict[str, Any]]) -> list[int]:
    return [int(answer["0020000D"]["Value"][0].rpartition(".")[2]) for answer in answers]


def archive(
    *headers: tuple[str, str],
    cap: int = 10**9,
    ignores_offset: bool = False,
    status_code: int = 200,
) -> Callable[[HttpRequest], ScriptedAnswer]:
    def answer(request: HttpRequest) -> ScriptedAnswer:
        offset, limit = paging_of(request)
        first = 0 if ignores_offset else offset
        page = STUDIES[first : first + min(limit, cap)]
        return dicom_json(page, *headers, status_code=status_code) if page else ScriptedAnswer(204)

    return answer


def source_of(
    answer: Callable[[HttpRequest], ScriptedAnswer | FetchError],
) -> tuple[DicomWebSource, ScriptedTransport]:
    transport = ScriptedTransport(answer)
    return DicomWebSource(Root(ROOT), transport), transport


def in_turn(*answers: ScriptedAnswer | FetchError) -> Callable[[HttpRequest], Any]:
    left = iter(answers)
    return lambda request: next(left)


async def found_by(
    answer: Callable[[HttpRequest], ScriptedAnswer | FetchError], **settings: Any
) -> tuple[list[int], Search, ScriptedTransport]:
    source, transport = source_of(answer)
    found = search(source, SearchQuery(), **settings)
    answers = [answer async for answer in found]
    assert transport.open_answers == 0
    return numbers(answers), found, transport


async def test_every_page_is_asked_for_until_one_is_empty() -> None:
    answers, found, transport = await found_by(archive(), page_limit=10)

    assert answers == list(range(25))
    assert found.verdict().is_complete
    assert [request.url for request in transport.requests] == [
        f"{ROOT}/studies?limit=10",
        f"{ROOT}/studies?limit=10&offset=10",
        f"{ROOT}/studies?limit=10&offset=20",
        f"{ROOT}/studies?limit=10&offset=25",
    ]
    assert ("accept", "application/dicom+json") in transport.requests[0].headers


@pytest.mark.parametrize(
    "empty",
    [
        pytest.param(ScriptedAnswer(204), id="204"),
        pytest.param(dicom_json([]), id="an empty list"),
        pytest.param(ScriptedAnswer(200, (JSON,), b" \n"), id="no content"),
        pytest.param(ScriptedAnswer(200), id="no content and no type"),
    ],
)
async def test_nothing_found_is_a_complete_answer(empty: ScriptedAnswer) -> None:
    answers, found, _ = await found_by(in_turn(empty))
    assert (answers, found.verdict().is_complete, found.is_over) == ([], True, True)


async def test_pages_capped_without_a_word_lose_nothing() -> None:
    answers, found, _ = await found_by(archive(cap=7), page_limit=10)
    assert (answers, found.verdict().is_complete) == (list(range(25)), True)


async def test_an_offset_that_is_ignored_is_told() -> None:
    answers, found, transport = await found_by(archive(ignores_offset=True, cap=10), page_limit=10)
    assert answers == list(range(10))
    assert "ignores the offset" in found.verdict().problem
    assert len(transport.requests) == 3


@pytest.mark.parametrize(
    ("headers", "status_code", "problem"),
    [
        pytest.param(
            [("Warning", "299 archive: There are 15 additional results that can be requested")],
            200,
            "counts",
            id="the warning of today",
        ),
        pytest.param(
            [("warning", WARNING_BEFORE_2019)],
            200,
            "says that there are more",
            id="the warning before 2019",
        ),
        pytest.param([], 206, "says that there are more", id="status 206"),
        pytest.param([("x-total-count", "26")], 200, "counts 26 and sent 25", id="a total"),
        pytest.param([("x-total-count", "many")], 200, "", id="a total that is no number"),
        pytest.param([("x-total-count", "25")], 200, "", id="a total that was reached"),
    ],
)
async def test_more_that_is_announced_and_not_sent_is_told(
    headers: list[tuple[str, str]], status_code: int, problem: str
) -> None:
    script = archive(*headers, status_code=status_code)
    answers, found, _ = await found_by(script, page_limit=10)
    assert answers == list(range(25))
    assert problem in found.verdict().problem
    assert found.verdict().is_complete == (not problem)


async def test_a_remark_is_kept_once_and_made_harmless() -> None:
    remark = "299 archive: The fuzzymatching parameter is not supported. Only literal\x1b[31m."
    script = archive(("warning", remark), ("warning", remark))
    _, found, _ = await found_by(script, page_limit=10)
    assert found.notes == ["The fuzzymatching parameter is not supported. Only literal [31m."]
    assert found.verdict().is_complete


async def test_remarks_are_bounded() -> None:
    def script(request: HttpRequest) -> ScriptedAnswer:
        offset, _ = paging_of(request)
        return dicom_json(
            STUDIES[offset : offset + 1], ("warning", f"299 a: remark {offset} " * 99)
        )

    _, found, _ = await found_by(script, page_limit=1)
    assert len(found.notes) == module.MAX_NOTES
    assert max(map(len, found.notes)) <= module.MAX_NOTE_CHARACTERS


async def test_404_beyond_the_last_match_is_the_end() -> None:
    def script(request: HttpRequest) -> ScriptedAnswer:
        return ScriptedAnswer(404) if "offset=" in request.url else dicom_json(STUDIES[:3])

    answers, found, _ = await found_by(script)
    assert (answers, found.verdict().is_complete) == ([0, 1, 2], True)


async def test_a_refused_page_limit_is_lowered() -> None:
    def script(request: HttpRequest) -> ScriptedAnswer:
        return ScriptedAnswer(400) if paging_of(request)[1] > 200 else archive()(request)

    answers, _, transport = await found_by(script, page_limit=1000)
    assert answers == list(range(25))
    assert [paging_of(request)[1] for request in transport.requests] == [1000, 100, 100]


async def test_a_refused_experiment_leaves_what_was_found() -> None:
    def script(request: HttpRequest) -> ScriptedAnswer:
        if paging_of(request)[1] > 10:
            return ScriptedAnswer(400)
        return archive(ignores_offset=True)(request)

    answers, found, _ = await found_by(script, page_limit=10)
    assert answers == list(range(10))
    assert "ignores the offset" in found.verdict().problem


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        pytest.param(HTML, UnexpectedContent, "200 text/html", id="a web page"),
        pytest.param(
            ScriptedAnswer(404, HTML.headers, b"<html>"),
            UnexpectedContent,
            f"perhaps {ROOT} is not the root",
            id="a web page that says 404",
        ),
        pytest.param(
            ScriptedAnswer(200, (("content-type", "multipart/related; boundary=x"),), b"--x"),
            UnexpectedContent,
            "200 multipart/related",
            id="XML in parts",
        ),
        pytest.param(
            ScriptedAnswer(200, (JSON,), b'{"error": "no"}'),
            UnexpectedContent,
            "an object with 'error', no data set",
            id="an object that tells of an error",
        ),
        pytest.param(
            ScriptedAnswer(200, (JSON,), b'[{"00081115": ' + b"[" * 300 + b"]" * 300 + b"}]"),
            UnexpectedContent,
            "nested too deeply",
            id="an abyss",
        ),
        pytest.param(
            ScriptedAnswer(200, (JSON,), b"[1]"), ProtocolError, "at byte 1", id="numbers"
        ),
        pytest.param(ScriptedAnswer(200, (JSON,), b'[{"0020'), Truncated, "JSON", id="cut JSON"),
        pytest.param(ScriptedAnswer(404, (JSON,), b"{}"), NotFound, "404", id="404 in DICOM JSON"),
        pytest.param(
            ScriptedAnswer(404, (("content-type", "application/json"),), b"{}"),
            UnexpectedContent,
            "404 application/json",
            id="404 in the JSON of another interface",
        ),
        pytest.param(ScriptedAnswer(404), UnexpectedContent, "was 404 instead", id="only 404"),
        pytest.param(ScriptedAnswer(400), OriginError, "400", id="400 even for small pages"),
        pytest.param(ScriptedAnswer(401), Unauthorized, "credentials", id="401"),
        pytest.param(ScriptedAnswer(503), Throttled, "503", id="503"),
        pytest.param(ScriptedAnswer(500), OriginError, "500", id="500"),
        pytest.param(Unreachable("refused"), Unreachable, "refused", id="no connection"),
    ],
)
async def test_what_is_no_answer_is_an_error(
    answer: ScriptedAnswer | FetchError, kind: type[AsyncDicomError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        await found_by(lambda request: answer)


async def test_404_for_one_study_says_that_it_is_not_there() -> None:
    source, _ = source_of(lambda request: ScriptedAnswer(404, HTML.headers, b"<html>"))
    query = SearchQuery(Level.SERIES, study_instance_uid=Uid("1.2"))
    with pytest.raises(NotFound):
        [answer async for answer in search(source, query)]


async def test_one_object_instead_of_a_list_is_an_answer() -> None:
    alone = ScriptedAnswer(200, (JSON,), orjson.dumps(STUDIES[0]))
    answers, found, _ = await found_by(in_turn(alone, ScriptedAnswer(204)))
    assert (answers, found.verdict().is_complete) == ([0], True)


async def test_blanks_after_the_list_cost_no_answer() -> None:
    padded = ScriptedAnswer(200, (JSON,), orjson.dumps(STUDIES[:3]) + b" " * 999)
    answers, _, _ = await found_by(in_turn(padded, ScriptedAnswer(204)))
    assert answers == [0, 1, 2]


async def test_an_empty_data_set_is_an_answer() -> None:
    source, _ = source_of(in_turn(dicom_json([{}]), ScriptedAnswer(204)))
    assert [answer async for answer in search(source, SearchQuery())] == [{}]


async def test_answers_come_before_the_page_has_ended() -> None:
    body: list[bytes | FetchError] = [
        b" ",
        b"\n" + orjson.dumps(STUDIES),
        ConnectionLost("reset"),
    ]
    source, _ = source_of(in_turn(ScriptedAnswer(200, (JSON,), body)))
    answers = search(source, SearchQuery()).page()
    assert numbers([await anext(answers), await anext(answers)]) == [0, 1]
    await answers.aclose()


async def test_gzip_is_taken_off() -> None:
    packed = gzip.compress(orjson.dumps(STUDIES[:2]))
    answer = ScriptedAnswer(200, (JSON, ("content-encoding", "gzip")), [packed[:9], packed[9:]])
    answers, _, _ = await found_by(in_turn(answer, ScriptedAnswer(204)))
    assert answers == [0, 1]


async def test_another_media_type_is_tried_after_406() -> None:
    def script(request: HttpRequest) -> ScriptedAnswer:
        accept = dict(request.headers)["accept"]
        if "application/json" not in accept:
            return ScriptedAnswer(406)
        body = orjson.dumps(STUDIES[paging_of(request)[0] :])
        return ScriptedAnswer(200, (("content-type", "application/json; charset=utf-8"),), body)

    answers, _, transport = await found_by(script)
    assert answers == list(range(25))
    assert len(transport.requests) == 3


async def test_a_page_that_broke_is_asked_for_again_without_repeating() -> None:
    broken = ScriptedAnswer(200, (JSON,), [orjson.dumps(STUDIES)[:50], ConnectionLost("reset")])
    source, transport = source_of(in_turn(broken, dicom_json(STUDIES), ScriptedAnswer(204)))
    found = search(source, SearchQuery())
    with pytest.raises(ConnectionLost):
        [answer async for answer in found.page()]
    answers = [answer async for answer in found]
    assert numbers(answers) == list(range(25))
    assert [paging_of(request)[0] for request in transport.requests] == [0, 0, 25]
    assert found.verdict().is_complete


async def test_a_search_given_up_is_not_complete() -> None:
    source, _ = source_of(archive())
    found = search(source, SearchQuery(), page_limit=10)
    first = [answer async for answer in found.page()]
    found.fail(ConnectionLost("reset"))
    assert (numbers(first), found.is_over) == (list(range(10)), True)
    assert found.verdict().problem == "reset"
    assert [answer async for answer in found.page()] == []
    assert str(found) == "search /studies, page 2"


async def test_leaving_early_closes_the_answer() -> None:
    source, transport = source_of(archive())
    answers = search(source, SearchQuery()).__aiter__()
    await anext(answers)
    await answers.aclose()
    assert transport.open_answers == 0


def series(study_number: int, number: int) -> dict[str, Any]:
    return study(study_number) | {"0020000E": {"vr": "UI", "Value": [f"1.3.{number}"]}}


@pytest.mark.parametrize(
    ("answers", "count"),
    [
        pytest.param([series(1, 1), series(1, 1)], 1, id="the same series twice"),
        pytest.param([series(1, 1), series(2, 1)], 2, id="one series in two studies"),
        pytest.param([{"00080060": {"vr": "CS"}}, {"00080061": {"vr": "CS"}}], 2, id="no UID"),
        pytest.param([{"00080060": 1}, {"00080060": 1}], 1, id="no UID, the same answer twice"),
        pytest.param([{"0020000E": {"vr": "UI"}}, {"0020000E": "1"}], 2, id="UIDs without value"),
    ],
)
async def test_answers_are_told_apart_by_their_uids(
    answers: list[dict[str, Any]], count: int
) -> None:
    source, _ = source_of(in_turn(dicom_json(answers), ScriptedAnswer(204)))
    found = [answer async for answer in search(source, SearchQuery(Level.SERIES))]
    assert len(found) == count


async def test_a_named_study_takes_one_request() -> None:
    uid = Match(AttributePath("StudyInstanceUID", (Attribute("0020000D", vr="UI"),)), "1.2.0")
    source, transport = source_of(archive(ignores_offset=True, cap=1))
    found = search(source, SearchQuery(matches=(uid,), at_most=1))
    assert len([answer async for answer in found]) == 1
    assert found.verdict().is_complete
    assert len(transport.requests) == 1


@pytest.mark.parametrize("decodes", [True, False], ids=["decodes", "does not decode"])
async def test_a_name_is_found_where_escapes_are_not_understood(decodes: bool) -> None:  # noqa: FBT001 -- a column
    def script(request: HttpRequest) -> ScriptedAnswer:
        spelling = "DOE%5EJ" if decodes else "DOE^J"
        return archive()(request) if spelling in request.url else ScriptedAnswer(204)

    name = Match(AttributePath("PatientName", (Attribute("00100010", vr="PN"),)), "DOE^J")
    source, transport = source_of(script)
    found = search(source, SearchQuery(matches=(name,)))
    assert len([answer async for answer in found]) == 25
    assert found.verdict().is_complete
    assert len(transport.requests) == (2 if decodes else 3)


async def test_a_name_that_is_not_there_is_asked_for_in_two_spellings() -> None:
    name = Match(AttributePath("PatientName", (Attribute("00100010", vr="PN"),)), "DOE^J")
    source, transport = source_of(lambda request: ScriptedAnswer(204))
    found = search(source, SearchQuery(matches=(name,)))
    assert [answer async for answer in found] == []
    assert found.verdict().is_complete
    assert len(transport.requests) == 2


STUDY = Target(Resource.STUDY, Uid("1.2"))
SERIES = Target(Resource.SERIES, Uid("1.2"), Uid("1.3"))


@pytest.mark.parametrize(
    ("target", "url"),
    [
        pytest.param(
            STUDY, f"{ROOT}/studies/1.2/instances?includefield=0020000E&limit=1000", id="a study"
        ),
        pytest.param(SERIES, f"{ROOT}/studies/1.2/series/1.3/instances?limit=1000", id="a series"),
    ],
)
async def test_the_instances_of_a_target_are_listed(target: Target, url: str) -> None:
    listed = dicom_json([{"00080018": {"vr": "UI", "Value": ["1.4"]}}])
    source, transport = source_of(in_turn(listed, ScriptedAnswer(204)))
    assert len([answer async for answer in search_instances(source, target)]) == 1
    assert transport.requests[0].url == url


async def test_a_list_of_instances_that_may_go_on_raises_at_its_end() -> None:
    source, _ = source_of(lambda request: dicom_json([{"00080018": {"Value": ["1.4"]}}]))
    listed = search_instances(source, STUDY)
    await anext(listed)
    with pytest.raises(Incomplete, match="ignores the offset") as raised:
        await anext(listed)
    assert raised.value.received == 1


def counting(tag: str, value: object) -> ScriptedAnswer:
    return dicom_json([{tag: {"vr": "IS", "Value": [value]}}])


@pytest.mark.parametrize(
    ("target", "answer", "count"),
    [
        pytest.param(STUDY, counting("00201208", 312), 312, id="of a study"),
        pytest.param(SERIES, counting("00201209", "7"), 7, id="of a series, as text"),
        pytest.param(STUDY, counting("00201208", "?"), None, id="not a number"),
        pytest.param(STUDY, counting("00080060", "CT"), None, id="not said"),
        pytest.param(STUDY, dicom_json([]), None, id="not found"),
        pytest.param(STUDY, dicom_json(STUDIES), None, id="a server that ignores the key"),
        pytest.param(STUDY, ScriptedAnswer(400), None, id="refused"),
    ],
)
async def test_instances_are_counted_where_the_server_says(
    target: Target, answer: ScriptedAnswer, count: int | None
) -> None:
    source, _ = source_of(lambda request: answer)
    assert await counted_instances(source, target) == count


@pytest.mark.parametrize(
    "target_and_url",
    [
        (STUDY, "/studies?0020000D=1.2&includefield=00201208&limit=2"),
        (SERIES, "/studies/1.2/series?0020000E=1.3&includefield=00201209&limit=2"),
    ],
    ids=["study", "series"],
)
async def test_the_count_is_asked_for_by_uid(target_and_url: tuple[Target, str]) -> None:
    target, url = target_and_url
    source, transport = source_of(lambda request: dicom_json([]))
    await counted_instances(source, target)
    assert [request.url for request in transport.requests] == [ROOT + url]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (ScriptedAnswer(401), Unauthorized),
        (ScriptedAnswer(503), Throttled),
        (Unreachable("refused"), Unreachable),
    ],
    ids=["401", "503", "no connection"],
)
async def test_a_count_that_could_not_be_asked_is_an_error(
    answer: ScriptedAnswer | FetchError, kind: type[AsyncDicomError]
) -> None:
    source, _ = source_of(lambda request: answer)
    with pytest.raises(kind):
        await counted_instances(source, STUDY)
