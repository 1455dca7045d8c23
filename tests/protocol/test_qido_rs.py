"""The URL of a search, from the words a person writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.qido_keys import (
    Attribute,
    Dictionary,
    Keys,
    Level,
    parse_keys,
)
from asyncdicom.protocol.qido_rs import (
    SearchQuery,
    has_escapes,
    path_of,
    query_string,
    respelled,
    search_query,
    url_of,
)

_ENTRIES = (
    Attribute("00100010", "PatientName", "PN"),
    Attribute("00100020", "PatientID", "LO"),
    Attribute("00080020", "StudyDate", "DA"),
    Attribute("00080060", "Modality", "CS"),
    Attribute("00081030", "StudyDescription", "LO"),
    Attribute("0020000D", "StudyInstanceUID", "UI"),
    Attribute("0020000E", "SeriesInstanceUID", "UI"),
    Attribute("00080018", "SOPInstanceUID", "UI"),
    Attribute("00400275", "RequestAttributesSequence", "SQ"),
    Attribute("00400009", "ScheduledProcedureStepID", "SH"),
)
_BY_NAME = {entry.keyword: entry for entry in _ENTRIES} | {entry.tag: entry for entry in _ENTRIES}
DICTIONARY = Dictionary(_BY_NAME.get, lambda: [entry.keyword for entry in _ENTRIES])


def url(*words: str, level: Level | None = None) -> str:
    return url_of("", search_query(parse_keys(words, DICTIONARY), level=level))


@pytest.mark.parametrize(
    ("words", "level", "expected"),
    [
        pytest.param([], None, "/studies", id="without keys all studies are searched"),
        pytest.param(["PatientID=X"], None, "/studies?PatientID=X", id="a keyword"),
        pytest.param(["00100020=X"], None, "/studies?00100020=X", id="a bare tag"),
        pytest.param(["0010,0020=X"], None, "/studies?00100020=X", id="a tag with comma"),
        pytest.param(["(0010,0020)=X"], None, "/studies?00100020=X", id="a tag in parentheses"),
        pytest.param(["0020000d=1.2"], None, "/studies?0020000D=1.2", id="tags in upper case"),
        pytest.param(["00091001=X"], None, "/studies?00091001=X", id="a private tag passes"),
        pytest.param([" PatientID = X "], None, "/studies?PatientID=X", id="blanks are dropped"),
        pytest.param(["PatientName=A*B?"], None, "/studies?PatientName=A*B?", id="wildcards"),
        pytest.param(
            ["PatientName=DOE^JÖRG & SON"],
            None,
            "/studies?PatientName=DOE%5EJ%C3%96RG%20%26%20SON",
            id="what a query cannot hold is escaped as UTF-8",
        ),
        pytest.param(
            ["StudyDescription=a=b"],
            None,
            "/studies?StudyDescription=a%3Db",
            id="the first equals sign ends the key",
        ),
        pytest.param(
            ["StudyDate=20200101-"], None, "/studies?StudyDate=20200101-", id="a range of dates"
        ),
        pytest.param(
            [r"StudyInstanceUID=1.2\1.3,1.2"],
            None,
            "/studies?StudyInstanceUID=1.2,1.3",
            id="a list of UIDs, without repetition, in the form of DICOMweb",
        ),
        pytest.param(
            ["StudyInstanceUID=*"], None, "/studies?StudyInstanceUID=*", id="any UID at all"
        ),
        pytest.param(["Modality"], None, "/studies?includefield=Modality", id="a return key"),
        pytest.param(["Modality="], None, "/studies?includefield=Modality", id="an empty value"),
        pytest.param(
            ["Modality", "Modality=", "PatientID"],
            None,
            "/studies?includefield=Modality&includefield=PatientID",
            id="one parameter per return key, each once",
        ),
        pytest.param(
            ["RequestAttributesSequence.ScheduledProcedureStepID=S1"],
            None,
            "/studies?RequestAttributesSequence.ScheduledProcedureStepID=S1",
            id="a path into a sequence",
        ),
        pytest.param(
            ["00400275.0040,0009=S1"], None, "/studies?00400275.00400009=S1", id="a path of tags"
        ),
        pytest.param(["QueryRetrieveLevel=STUDY"], None, "/studies", id="study level in a key"),
        pytest.param(["QueryRetrieveLevel=SERIES"], None, "/series", id="series level in a key"),
        pytest.param(["00080052=image"], None, "/instances", id="image level is instances"),
        pytest.param(
            ["QueryRetrieveLevel=IMAGE"], Level.INSTANCE, "/instances", id="key and option agree"
        ),
        pytest.param(["Modality=CT"], Level.SERIES, "/series?Modality=CT", id="series everywhere"),
        pytest.param(
            ["StudyInstanceUID=1.2"],
            Level.SERIES,
            "/studies/1.2/series",
            id="one study becomes the path of its series",
        ),
        pytest.param(
            ["StudyInstanceUID=1.2", "SeriesInstanceUID=1.3"],
            Level.SERIES,
            "/studies/1.2/series?SeriesInstanceUID=1.3",
            id="the series itself stays a key at series level",
        ),
        pytest.param(
            ["SeriesInstanceUID=1.3", "Modality=CT", "StudyInstanceUID=1.2"],
            Level.INSTANCE,
            "/studies/1.2/series/1.3/instances?Modality=CT",
            id="study and series become the path of the instances",
        ),
        pytest.param(
            ["SeriesInstanceUID=1.3"],
            Level.INSTANCE,
            "/instances?SeriesInstanceUID=1.3",
            id="a series without its study has no path",
        ),
        pytest.param(
            ["StudyInstanceUID=1.2,1.4"],
            Level.SERIES,
            "/series?StudyInstanceUID=1.2,1.4",
            id="several studies have no path",
        ),
    ],
)
def test_words_become_a_url(words: list[str], level: Level | None, expected: str) -> None:
    assert url(*words, level=level) == expected


def test_two_levels_that_differ_are_refused() -> None:
    with pytest.raises(ConfigError, match="QueryRetrieveLevel says series, --level says study"):
        url("QueryRetrieveLevel=SERIES", level=Level.STUDY)


@pytest.mark.parametrize(
    ("words", "level", "expected"),
    [
        pytest.param(["StudyInstanceUID=1.2,1.3"], Level.STUDY, 2, id="a list of the level's UID"),
        pytest.param(["SOPInstanceUID=1.2"], Level.INSTANCE, 1, id="one instance"),
        pytest.param(["StudyInstanceUID=1.2"], Level.SERIES, None, id="the UID of a higher level"),
        pytest.param(["SeriesInstanceUID=*"], Level.SERIES, None, id="a wildcard"),
        pytest.param(["PatientID=X"], Level.STUDY, None, id="another key"),
    ],
)
def test_uids_in_the_keys_bound_the_answers(
    words: list[str], level: Level, expected: int | None
) -> None:
    assert search_query(parse_keys(words, DICTIONARY), level=level).at_most == expected


def test_all_fields_make_the_others_needless() -> None:
    query = search_query(parse_keys(["Modality"], DICTIONARY), include_fields=["all"])
    assert query_string(query) == "includefield=all"


def test_further_fields_follow_the_keys() -> None:
    query = search_query(parse_keys(["Modality"], DICTIONARY), include_fields=["00100020"])
    assert query_string(query) == "includefield=Modality&includefield=00100020"


def test_fuzzy_matching_is_asked_for() -> None:
    assert query_string(search_query(Keys(), fuzzy=True)) == "fuzzymatching=true"


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        pytest.param(0, None, "", id="nothing asked"),
        pytest.param(0, 10, "limit=10", id="the first page names no offset"),
        pytest.param(20, 10, "limit=10&offset=20", id="a later page"),
    ],
)
def test_a_page_is_limit_and_offset(offset: int, limit: int | None, expected: str) -> None:
    assert query_string(SearchQuery().page(offset=offset, limit=limit)) == expected


def test_carets_are_left_alone_in_the_second_spelling() -> None:
    query = search_query(parse_keys(["PatientName=DOE^J Ö"], DICTIONARY))
    other = respelled(query)
    assert query_string(query) == "PatientName=DOE%5EJ%20%C3%96"
    assert other is not None
    assert query_string(other) == "PatientName=DOE^J%20%C3%96"
    assert respelled(other) is None


def test_there_is_no_second_spelling_without_a_caret() -> None:
    assert respelled(search_query(parse_keys(["PatientID=X Y"], DICTIONARY))) is None


@pytest.mark.parametrize(("value", "expected"), [("A*?", False), ("A B", True), ("Ö", True)])
def test_escapes_are_known(value: str, expected: bool) -> None:  # noqa: FBT001 -- a column of the table
    assert has_escapes(search_query(parse_keys([f"PatientID={value}"], DICTIONARY))) == expected


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])).filter(lambda text: text.strip()))
def test_any_value_arrives_as_it_was_written(value: str) -> None:
    from urllib.parse import parse_qsl  # noqa: PLC0415 -- the other side of the round trip

    query = search_query(parse_keys([f"PatientName={value}"], DICTIONARY))
    words = query_string(query)
    assert words.isascii()
    assert parse_qsl(words) == [("PatientName", value.strip())]
    assert path_of(query) == "/studies"
