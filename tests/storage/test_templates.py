from __future__ import annotations

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.model import Uid
from asyncdicom.storage.templates import Instance, parse_layout, variables_of

VALUES = {
    "PatientName": "BEETHOVEN^LUDWIG ",
    "PatientID": "4711",
    "StudyID": "1",
    "StudyDescription": "Head",
    "SeriesNumber": "0",
    "SeriesDescription": "T1",
    "Modality": "MR",
    "collection_id": "tcga_brca",
    "SOPInstanceUID": "9.9.9",
    "Blank": "  ",
}


def instance(**changes: str) -> Instance:
    return Instance(Uid("1.2.3"), Uid("1.2"), Uid("1"), VALUES | changes)


def folders(layout: str, of: Instance) -> list[str]:
    return [rule(of).text for rule in parse_layout(layout)]


@pytest.mark.parametrize("layout", ["flat", "", "/"])
def test_flat_has_no_folders(layout: str) -> None:
    assert parse_layout(layout) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, ["BEETHOVEN^LUDWIG", "1_Head", "0_T1"], id="names and descriptions"),
        pytest.param({"PatientName": ""}, ["4711", "1_Head", "0_T1"], id="no name: the ID"),
        pytest.param(
            {"PatientName": "", "PatientID": ""}, ["unknown", "1_Head", "0_T1"], id="no patient"
        ),
        pytest.param({"StudyID": ""}, ["BEETHOVEN^LUDWIG", "Head", "0_T1"], id="no study ID"),
        pytest.param(
            {"StudyID": "", "StudyDescription": " "},
            ["BEETHOVEN^LUDWIG", "1", "0_T1"],
            id="no study ID and description: the UID",
        ),
        pytest.param(
            {"SeriesNumber": "", "SeriesDescription": ""},
            ["BEETHOVEN^LUDWIG", "1_Head", "1.2"],
            id="no series number and description: the UID",
        ),
    ],
)
def test_tree(changes: dict[str, str], expected: list[str]) -> None:
    assert folders("tree", instance(**changes)) == expected


def test_a_tree_of_nothing_known() -> None:
    assert folders("tree", Instance(Uid("1.2.3"))) == ["unknown"] * 3


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        pytest.param("{PatientID}", ["4711"], id="braces"),
        pytest.param("%PatientID", ["4711"], id="percent"),
        pytest.param(
            "%collection_id/%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID",
            ["tcga_brca", "4711", "1", "MR_1.2"],
            id="the default of IDC",
        ),
        pytest.param("%Modality%PatientID", ["MR4711"], id="side by side"),
        pytest.param("%Modality_axial", ["MR_axial"], id="literal behind a keyword"),
        pytest.param("{collection_id}_x", ["tcga_brca_x"], id="literal behind a column"),
        pytest.param("/a//b/", ["a", "b"], id="empty folders are left out"),
        pytest.param("my files/100%%", ["my files", "100%"], id="literal"),
        pytest.param("{Nothing}_{Blank}", ["unknown_unknown"], id="absent and blank values"),
        pytest.param("{SOPInstanceUID}", ["1.2.3"], id="the UID that was validated"),
    ],
)
def test_templates(layout: str, expected: list[str]) -> None:
    assert folders(layout, instance()) == expected


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        pytest.param("{PatientID", "'{PatientID'", id="not closed"),
        pytest.param("a}", "'}'", id="not opened"),
        pytest.param("{}", "variable ''", id="empty"),
        pytest.param("{Patient ID}", "variable 'Patient ID'", id="blank"),
        pytest.param("{Patient/ID}", "'{Patient'", id="across folders"),
        pytest.param("100%", "'%'", id="percent alone"),
        pytest.param("%_x", "'%_x'", id="percent without a keyword"),
        pytest.param("a/../b", "'..'", id="way out"),
        pytest.param("./a", "'.'", id="itself"),
        pytest.param("{PatientId}", "unknown variable 'PatientId'", id="misspelled"),
    ],
)
def test_a_malformed_template_names_what_is_wrong(layout: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_layout(layout, known=["PatientID", "Modality"])
    assert words in caught.value.message
    assert caught.value.hint


def test_known_variables_pass() -> None:
    assert len(parse_layout("%PatientID/{Modality}", known={"PatientID", "Modality"})) == 2


def test_identity_is_of_the_values_not_of_the_text() -> None:
    (rule,) = parse_layout("{A}_{B}")
    one = rule(Instance(Uid("1"), values={"A": "x_y", "B": "z"}))
    other = rule(Instance(Uid("1"), values={"A": "x", "B": "y_z"}))
    assert one.text == other.text
    assert one.identity != other.identity


@pytest.mark.parametrize(
    ("layout", "variables"),
    [
        ("flat", set()),
        ("tree", set()),
        ("a/%PatientID_{collection_id}/100%%", {"PatientID", "collection_id"}),
    ],
)
def test_a_layout_says_which_values_it_needs(layout: str, variables: set[str]) -> None:
    assert variables_of(layout) == variables
