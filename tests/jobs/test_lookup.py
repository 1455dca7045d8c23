"""What a study must hold is found out before any of it is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from asyncdicom.errors import (
    ConnectionLost,
    ContentError,
    NotFound,
    OriginError,
    Throttled,
    Unauthorized,
    UnexpectedContent,
)
from asyncdicom.jobs.lookup import Lookup, Witness
from asyncdicom.mock.dicomweb import WebOptions
from asyncdicom.model import Resource, Target, Uid
from tests.support.scripted import ScriptedAnswer, dicom_json
from tests.support.served import Served, whole_body

if TYPE_CHECKING:
    from asyncdicom.errors import FetchError
    from asyncdicom.jobs.expectation import Expectation

pytestmark = pytest.mark.anyio

PLAIN = WebOptions(gzip=False)
EMPTY = dicom_json([])


async def looked_up(
    served: Served, target: Target | None = None, witness: Witness = Witness.AUTO
) -> Expectation:
    return await Lookup(served.source, witness=witness).expectation_of(target or served.target())


def kinds_asked(served: Served) -> set[str]:
    return {"metadata" if path.endswith("/metadata") else "search" for path in served.paths()}


@pytest.mark.parametrize(
    ("witness", "kinds"),
    [
        (Witness.AUTO, {"search"}),
        (Witness.SEARCH, {"search"}),
        (Witness.METADATA, {"metadata"}),
    ],
)
async def test_each_witness_names_every_instance(witness: Witness, kinds: set[str]) -> None:
    served = Served(series=2)
    found = await looked_up(served, witness=witness)
    assert all(uid in found for uid in served.instances)
    assert len(found) == 6
    assert found.unlisted == 0
    assert kinds_asked(served) == kinds


@pytest.mark.parametrize("witness", Witness)
async def test_a_series_is_looked_up_alone(witness: Witness) -> None:
    served = Served(series=2)
    found = await looked_up(served, served.target(series=1), witness)
    assert [one.series_instance_uid for one in found.series()] == [served.series[1]]
    assert len(found) == 3
    assert all(served.series[1] in path for path in served.paths("*/metadata"))


async def test_an_instance_needs_no_witness() -> None:
    served = Served()
    found = await looked_up(served, served.target(2))
    assert (len(found), served.paths()) == (1, [])


def without_last(answer: ScriptedAnswer) -> ScriptedAnswer:
    return dicom_json(orjson.loads(whole_body(answer.body))[:-1])


async def test_a_list_that_is_shorter_than_the_count_is_compared_with_the_metadata() -> None:
    served = Served(PLAIN)
    served.script("*/instances", without_last, EMPTY)
    found = await looked_up(served)
    assert (len(found), found.unlisted) == (3, 0)
    assert kinds_asked(served) == {"search", "metadata"}


async def test_what_no_witness_lists_stays_unlisted() -> None:
    served = Served(PLAIN)
    served.script("*/instances", without_last, EMPTY)
    served.script("*/metadata", without_last)
    found = await looked_up(served)
    assert (len(found), found.unlisted) == (2, 1)


async def test_an_index_that_lost_the_study_is_not_believed() -> None:
    served = Served(PLAIN)
    served.script("*/instances", EMPTY, for_good=True)
    served.script("/studies", EMPTY, for_good=True)
    assert len(await looked_up(served)) == 3


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ScriptedAnswer(400), id="refused"),
        pytest.param(ScriptedAnswer(501), id="not implemented"),
        pytest.param(dicom_json([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]), id="no list"),
    ],
)
async def test_the_metadata_speaks_where_the_search_fails(answer: ScriptedAnswer) -> None:
    served = Served(PLAIN)
    served.script("*/instances", answer, for_good=True)
    assert len(await looked_up(served)) == 3
    with pytest.raises((OriginError, ContentError)):
        await looked_up(served, witness=Witness.SEARCH)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(ConnectionLost("reset"), ConnectionLost, id="no connection"),
        pytest.param(ScriptedAnswer(401), Unauthorized, id="no permission"),
    ],
)
async def test_the_metadata_is_not_asked_where_that_cannot_help(
    answer: ScriptedAnswer | FetchError, kind: type[FetchError]
) -> None:
    served = Served()
    served.script("*/instances", answer, for_good=True)
    with pytest.raises(kind):
        await looked_up(served)
    assert kinds_asked(served) == {"search"}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(ScriptedAnswer(404), NotFound, id="not there"),
        pytest.param(ScriptedAnswer(503), Throttled, id="busy"),
        pytest.param(
            ScriptedAnswer(200, (("content-type", "text/html"),), b"<p>"),
            UnexpectedContent,
            id="a page",
        ),
        pytest.param(dicom_json([]), NotFound, id="an empty list"),
    ],
)
async def test_a_study_that_nobody_can_describe_is_an_error(
    answer: ScriptedAnswer, kind: type[FetchError]
) -> None:
    served = Served()
    served.script("*/metadata", answer, for_good=True)
    with pytest.raises(kind):
        await looked_up(served, witness=Witness.METADATA)


@pytest.mark.parametrize("witness", [Witness.SEARCH, Witness.METADATA])
async def test_a_list_of_another_study_is_refused(witness: Witness) -> None:
    served, other = Served(PLAIN), Served(PLAIN, seed=5)

    def of_the_other(_: ScriptedAnswer) -> ScriptedAnswer:
        return dicom_json(
            [
                {
                    "0020000D": {"vr": "UI", "Value": [other.study]},
                    "0020000E": {"vr": "UI", "Value": [other.series[0]]},
                    "00080018": {"vr": "UI", "Value": [other.instances[0]]},
                }
            ]
        )

    served.script("*/instances", of_the_other)
    served.script("*/metadata", of_the_other)
    with pytest.raises(ContentError, match="another study"):
        await looked_up(served, witness=witness)


async def test_metadata_that_comes_in_small_pieces_is_read_whole() -> None:
    served = Served(PLAIN)

    def in_pieces(answer: ScriptedAnswer) -> ScriptedAnswer:
        body = whole_body(answer.body)
        pieces = [body[at : at + 50] for at in range(0, len(body), 50)]
        return ScriptedAnswer(200, answer.headers, pieces)

    served.script("*/metadata", in_pieces)
    assert len(await looked_up(served, witness=Witness.METADATA)) == 3


async def test_a_study_without_any_trace_is_not_found() -> None:
    with pytest.raises(NotFound):
        await looked_up(Served(), Target(Resource.STUDY, Uid("2.999")))


async def test_a_list_that_cannot_be_used_is_left_before_the_metadata_are_asked_for() -> None:
    served = Served(PLAIN)
    open_at_metadata: list[int] = []

    def nameless(answer: ScriptedAnswer) -> ScriptedAnswer:
        first, *others = orjson.loads(whole_body(answer.body))
        del first["00080018"]
        return dicom_json([first, *others])

    def noted(answer: ScriptedAnswer) -> ScriptedAnswer:
        open_at_metadata.append(served.transport.open_answers)
        return answer

    served.script("*/instances", nameless, for_good=True)
    served.script("*/metadata", noted)
    found = await looked_up(served)
    assert (len(found), open_at_metadata) == (3, [0])


@pytest.mark.parametrize("witness", [Witness.SEARCH, Witness.METADATA])
async def test_an_answer_that_was_refused_is_closed_though_the_error_is_kept(
    witness: Witness,
) -> None:
    served = Served(PLAIN)

    def foreign(answer: ScriptedAnswer) -> ScriptedAnswer:
        elements = orjson.loads(whole_body(answer.body))
        for element in elements:
            element["0020000D"]["Value"] = ["9.9"]
        return dicom_json(elements)

    served.script("*/instances", foreign, for_good=True)
    served.script("*/metadata", foreign)
    with pytest.raises(ContentError, match="another study") as caught:
        await looked_up(served, witness=witness)
    assert caught.value.__traceback__ is not None
    assert served.transport.open_answers == 0
