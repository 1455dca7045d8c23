from __future__ import annotations

import pytest

from asyncdicom.protocol.idc.selection import (
    AnalysisResults,
    Kind,
    Selection,
    is_uuid,
    split_values,
)


@pytest.mark.parametrize(
    ("given", "values"),
    [
        pytest.param(["a"], ("a",), id="one"),
        pytest.param(["a,b"], ("a", "b"), id="a comma list"),
        pytest.param(["a , b", " c "], ("a", "b", "c"), id="blanks are no part of ids"),
        pytest.param(["a b"], ("a b",), id="but within they are"),
        pytest.param(["a", "b,a"], ("a", "b"), id="each once"),
        pytest.param(["a,,", ""], ("a",), id="nothing is no id"),
    ],
)
def test_values_are_repeated_or_a_comma_list(given: list[str], values: tuple[str, ...]) -> None:
    assert split_values(given) == values


def test_a_selection_without_values_restricts_nothing() -> None:
    assert Selection().is_empty
    assert not Selection().names_series


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(Selection(ids=("a",)), id="ids"),
        pytest.param(Selection(patient_id=("a",)), id="one kind"),
        pytest.param(Selection(analysis_results=AnalysisResults.ONLY), id="analysis results"),
        pytest.param(Selection(sop_instance_uid=("1.2",)), id="instances"),
    ],
)
def test_a_selection_with_anything_restricts(selection: Selection) -> None:
    assert not selection.is_empty


def test_instances_alone_name_no_series() -> None:
    assert not Selection(sop_instance_uid=("1.2",)).names_series
    assert Selection(sop_instance_uid=("1.2",), series_instance_uid=("1",)).names_series


def test_restrictions_come_coarsest_first() -> None:
    selection = Selection(series_instance_uid=("1.2",), collection_id=("nlst",))
    assert list(selection.restrictions()) == [
        (Kind.COLLECTION, ("nlst",)),
        (Kind.SERIES, ("1.2",)),
    ]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        pytest.param("cb09464a-c5cc-4428-9339-d7fa87cfe837", True, id="as IDC writes them"),
        pytest.param("CB09464A-C5CC-4428-9339-D7FA87CFE837", True, id="upper case"),
        pytest.param("cb09464ac5cc44289339d7fa87cfe837", False, id="without hyphens"),
        pytest.param("1.2.3", False, id="a UID"),
        pytest.param("cb09464a-c5cc-4428-9339-d7fa87cfe837x", False, id="and a letter"),
    ],
)
def test_the_form_of_a_uuid(text: str, *, verdict: bool) -> None:
    assert is_uuid(text) is verdict
