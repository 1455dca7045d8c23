from __future__ import annotations

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.idc.dir_templates import DEFAULT_TEMPLATE, VARIABLES, check_dir_template


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(DEFAULT_TEMPLATE, id="the default"),
        pytest.param("", id="flat"),
        pytest.param("%Modality%PatientID", id="without a separator"),
        pytest.param("/%collection_id-%PatientID/", id="slashes at both ends"),
        pytest.param("{PatientID}/{StudyDate} {Modality}", id="braces"),
        pytest.param("tree", id="tree"),
        pytest.param("run 1/%PatientID", id="plain text beside"),
        pytest.param("MyModalityFolder/%PatientID", id="a name within a word"),
    ],
)
def test_templates_that_say_what_they_mean_pass(template: str) -> None:
    check_dir_template(template)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        pytest.param("PatientID", "PatientID", id="alone"),
        pytest.param("%collection_id/PatientID", "PatientID", id="a folder"),
        pytest.param("%Modality_SeriesInstanceUID", "SeriesInstanceUID", id="behind a variable"),
        pytest.param("%collection_id_PatientID", "PatientID", id="behind a name with a line"),
        pytest.param("collection_id/%PatientID", "collection_id", id="a column of IDC"),
    ],
)
def test_a_variable_without_its_sign_is_told_by_name(template: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"a variable is written %{name}$"):
        check_dir_template(template)


def test_the_variables_of_idc_index_are_among_ours() -> None:
    theirs = {"PatientID", "collection_id", "Modality", "StudyInstanceUID", "SeriesInstanceUID"}
    assert theirs <= VARIABLES
