"""A C-FIND as a search: decoded, cancelled at the limit, asked again without repetition."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydicom.dataset import Dataset

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import ConfigError, ConnectionLost, NotFound, ProtocolError
from asyncdicom.jobs.dimse_find import DimseSearch, decoded, query_of
from asyncdicom.jobs.dimse_targets import find_targets
from asyncdicom.jobs.find import FindJob
from asyncdicom.model import Resource
from asyncdicom.ports.dimse import AcceptedContext, FindAnswer
from asyncdicom.protocol.dimse.sop_classes import PATIENT_ROOT, QueryLevel
from asyncdicom.sources.dimse import DimseSource
from tests.jobs.dimse_support import source_of
from tests.jobs.support import IMPATIENT
from tests.support.dicom import ct, in_character_set, uid
from tests.support.scripted_dimse import ScriptedPeer, encoded, refuse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncdicom.errors import FetchError

pytestmark = pytest.mark.anyio

JAPANESE = b"\\ISO 2022 IR 87 "
EXPLICIT = AcceptedContext(1, "1.2", "1.2.840.10008.1.2.1")


def archive() -> ScriptedPeer:
    return ScriptedPeer(
        ct(number=100 * study + n, series=10 * study + n % 2, study=study)
        for study in (1, 2, 3)
        for n in range(4)
    )


async def found(
    peer: ScriptedPeer, *words: str, limit: int | None = None, **how: Any
) -> tuple[list[dict[str, Any]], FindJob, DimseSearch]:
    _, query = query_of(words, **how)
    source = source_of(peer)
    search = DimseSearch(source, query, limit=limit)
    answers: list[dict[str, Any]] = []
    job = FindJob(search, answers.append)
    await job.run(Scheduler(job, IMPATIENT))
    await source.aclose()
    return answers, job, search


@pytest.mark.parametrize(
    ("words", "how", "count", "level"),
    [
        pytest.param([], {}, 3, "STUDY", id="all studies"),
        pytest.param(["QueryRetrieveLevel=SERIES"], {}, 6, "SERIES", id="a level as a key"),
        pytest.param(["(0008,0052)=IMAGE"], {}, 12, "IMAGE", id="a level as a tag"),
        pytest.param([], {"level": "instance"}, 12, "IMAGE", id="another name for images"),
        pytest.param(["Modality=CT"], {}, 6, "SERIES", id="the deepest key"),
        pytest.param(["SeriesNumber"], {}, 3, "STUDY", id="a return key says no level"),
        pytest.param([f"StudyInstanceUID={uid('study', 2)}"], {}, 1, "STUDY", id="a UID"),
        pytest.param(["PatientID=nobody"], {}, 0, "STUDY", id="nobody"),
    ],
)
async def test_the_level_is_what_was_said_or_that_of_the_deepest_key(
    words: list[str], how: dict[str, Any], count: int, level: str
) -> None:
    peer = archive()
    answers, job, search = await found(peer, *words, **how)
    assert (len(answers), job.error) == (count, None)
    assert peer.asked == [f"find {level}"]
    assert search.verdict().is_complete
    assert (search.verdict().answers, search.is_over) == (count, True)


async def test_the_unique_key_is_always_asked_for() -> None:
    answers, _, _ = await found(archive(), "PatientID")
    assert {answer["0020000D"]["Value"][0] for answer in answers} == {
        uid("study", n) for n in (1, 2, 3)
    }


async def test_the_limit_cancels_the_query() -> None:
    peer = archive()
    answers, _, search = await found(peer, limit=2)
    assert len(answers) == 2
    assert search.verdict().limit_reached
    assert (peer.cancelled, peer.aborted) == (1, 0)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ConnectionLost("reset"), id="a broken connection"),
        pytest.param(refuse(0xA700, is_transient=True), id="out of resources"),
    ],
)
async def test_what_came_before_a_failure_does_not_come_twice(error: FetchError) -> None:
    peer = archive()
    peer.find_faults = [error]
    answers, job, _ = await found(peer)
    assert (len(answers), job.error) == (3, None)
    assert peer.asked == ["find STUDY"] * 2


async def test_what_came_before_several_failures_does_not_come_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second try breaks earlier than the first one did."""
    peer = archive()
    source = source_of(peer)
    breaks_after = [3, 1]

    async def breaking(*asked: Any) -> AsyncGenerator[FindAnswer]:
        left = breaks_after.pop(0) if breaks_after else None
        async with aclosing(DimseSource.find(source, *asked)) as told:
            async for answer in told:
                if left == 0:
                    raise ConnectionLost("reset")
                yield answer
                left = None if left is None else left - 1

    monkeypatch.setattr(source, "find", breaking)
    _, query = query_of([], level="series")
    search = DimseSearch(source, query)
    answers: list[dict[str, Any]] = []
    job = FindJob(search, answers.append)
    await job.run(Scheduler(job, IMPATIENT))
    await source.aclose()
    series = [answer["0020000E"]["Value"][0] for answer in answers]
    assert sorted(series) == sorted({held.dataset.SeriesInstanceUID for held in peer.held})
    assert (search.verdict().answers, job.error) == (6, None)


async def test_an_answer_that_cannot_be_read_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = source_of(archive())

    async def damaging(*asked: Any) -> AsyncGenerator[FindAnswer]:
        async with aclosing(DimseSource.find(source, *asked)) as told:
            yield await anext(told)
            async for answer in told:
                yield replace(answer, identifier=answer.identifier[:-3])

    monkeypatch.setattr(source, "find", damaging)
    _, query = query_of([], level="study")
    search = DimseSearch(source, query)
    answers: list[dict[str, Any]] = []
    job = FindJob(search, answers.append)
    await job.run(Scheduler(job, IMPATIENT))
    await source.aclose()
    assert len(answers) == 1
    assert isinstance(job.error, ProtocolError)
    assert not search.verdict().is_complete


async def test_a_failure_for_good_is_told() -> None:
    peer = archive()
    peer.find_faults = [refuse(0xA900)]
    answers, job, search = await found(peer)
    assert len(answers) == 1
    assert job.error is not None
    assert not search.verdict().is_complete
    assert "A900" in search.verdict().problem


@pytest.mark.parametrize(
    ("words", "how", "message"),
    [
        pytest.param(["QueryRetrieveLevel=FRAME"], {}, "no level 'FRAME'", id="no such level"),
        pytest.param(["PatinetID=1"], {}, "perhaps PatientID", id="a mistyped key"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    words: list[str], how: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        query_of(words, **how)


def test_a_worklist_has_no_levels() -> None:
    keys, query = query_of(["QueryRetrieveLevel=STUDY", "PatientID=1"], has_levels=False)
    assert query.level is None
    assert query.counted(2) == "2 entries"
    assert list(query.keys()) == [0x00100020]
    assert [path.name for path in keys.paths] == ["PatientID"]


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        pytest.param("ISO_IR 100", "Buc^Jérôme", id="Latin 1"),
        pytest.param("ISO_IR 192", "Wang^XiaoDong=王^小东", id="UTF-8"),
    ],
)
async def test_answers_are_decoded_by_their_own_character_set(
    character_set: str, name: str
) -> None:
    answers, _, _ = await found(
        ScriptedPeer([in_character_set(character_set, name)]), "PatientName"
    )
    (value,) = answers[0]["00100010"]["Value"]
    assert "=".join(value.values()) == name


def test_values_that_are_none_are_kept_as_text() -> None:
    dataset = Dataset()
    dataset.add_new(0x00200013, "IS", "1")
    raw = encoded(dataset, EXPLICIT).replace(b"1 ", b"x ")
    answer = decoded(FindAnswer(raw, EXPLICIT.transfer_syntax))
    assert answer["00200013"]["Value"] == ["x"]


@pytest.mark.parametrize(
    ("answer", "tag"),
    [
        pytest.param("2800 1000 5553 0100 01", "00280010", id="one byte of a number of two"),
        pytest.param(
            f"0800 0500 4353 1000 {JAPANESE.hex()} 1000 1000 504e 0200 415c",
            "00100010",
            id="an empty second name in Japanese",
        ),
        pytest.param("0800 0600 4651 0000 0000 0000", "00080006", id="an unknown VR"),
        pytest.param(
            "4000 7502 5351 0000 12000000 feff00e0 0a000000 2800 1000 4453 0200 4e41",
            "00400275",
            id="no number in a sequence",
        ),
        pytest.param(
            "4000 7502 5351 0000 11000000 feff00e0 09000000 2800 1000 5553 0100 01",
            "00400275",
            id="one byte in a sequence",
        ),
        pytest.param(
            f"2000 1300 4953 1400 {b'99999999999999999999'.hex()}",
            "00200013",
            id="a number that JSON writers do not take",
        ),
    ],
)
def test_what_cannot_be_decoded_is_kept_as_text(answer: str, tag: str) -> None:
    found = decoded(FindAnswer(bytes.fromhex(answer), EXPLICIT.transfer_syntax))
    assert found[tag]["vr"] == "UN"
    orjson.dumps(found)


def test_a_character_set_that_is_no_text_is_refused() -> None:
    raw = bytes.fromhex("0800 0500 5553 0a00 49534f5f495220313932")
    with pytest.raises(ProtocolError, match="character set"):
        decoded(FindAnswer(raw, EXPLICIT.transfer_syntax))


def test_what_is_no_data_set_is_refused() -> None:
    with pytest.raises(ProtocolError, match="identifier"):
        decoded(FindAnswer(b"\x08\x00\x05\x00CS\xff\x00", EXPLICIT.transfer_syntax))


# Keys of a get


@pytest.mark.parametrize(
    ("words", "resource", "count"),
    [
        pytest.param(["PatientID=P-0042"], Resource.STUDY, 3, id="studies of a patient"),
        pytest.param(["Modality=CT"], Resource.SERIES, 6, id="series"),
        pytest.param(["InstanceNumber=101"], Resource.INSTANCE, 1, id="an instance"),
        pytest.param([f"SeriesInstanceUID={uid('series', 20)}"], Resource.SERIES, 1, id="a UID"),
        pytest.param(
            [f"StudyInstanceUID={uid('study', 1)}", "QueryRetrieveLevel=IMAGE"],
            Resource.INSTANCE,
            4,
            id="the instances of a study",
        ),
    ],
)
async def test_keys_are_matched_at_their_own_levels(
    words: list[str], resource: Resource, count: int
) -> None:
    peer = archive()
    source = source_of(peer)
    _, query = query_of(words)
    assert query.level is not None
    targets = await find_targets(source, query.tree, query.level)
    assert [target.resource for target in targets] == [resource] * count
    assert peer.asked[0] == "find STUDY"
    for keys in peer.identifiers:
        if keys.QueryRetrieveLevel == "STUDY":
            assert "Modality" not in keys
        else:
            assert keys.StudyInstanceUID
        if keys.QueryRetrieveLevel == "IMAGE":
            assert keys.SeriesInstanceUID
    await source.aclose()


async def test_patients_stand_for_their_studies() -> None:
    peer = archive()
    source = source_of(peer, model=PATIENT_ROOT)
    _, query = query_of(["QueryRetrieveLevel=PATIENT", "PatientID=P-00*"])
    targets = await find_targets(source, query.tree, QueryLevel.PATIENT)
    assert [target.resource for target in targets] == [Resource.STUDY] * 3
    assert peer.asked == ["find PATIENT", "find STUDY"]
    assert peer.identifiers[1].PatientID == "P-0042"
    await source.aclose()


async def test_nothing_that_matches_is_not_found() -> None:
    source = source_of(archive())
    _, query = query_of(["PatientID=nobody"])
    with pytest.raises(NotFound):
        await find_targets(source, query.tree, QueryLevel.STUDY)
    await source.aclose()
