"""Faults of S3 are told from those of other faces, and meet what their kind says."""

from __future__ import annotations

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.mock import S3Server, s3_faults
from asyncdicom.mock.dimse_faults import is_dimse_fault
from asyncdicom.mock.fault_table import fault_table
from asyncdicom.mock.s3_effects import S3_EFFECTS
from asyncdicom.mock.s3_faults import S3Plan, is_s3_fault, parse_s3_fault
from tests.mock.raw_client import get
from tests.mock.s3_support import small_archive


@pytest.mark.parametrize(
    ("fault", "is_s3"),
    [
        pytest.param("503:object:times=1", True, id="status of an object"),
        pytest.param("cut:listing", True, id="a list that is cut"),
        pytest.param("stall:object+head", True, id="two kinds"),
        pytest.param("repeat-token", True, id="a name that only S3 has"),
        pytest.param("changed:after=1", True, id="such a name, without a kind"),
        pytest.param("503", False, id="any status is one of DICOMweb"),
        pytest.param("cut:instance:times=1", False, id="a kind of DICOMweb"),
        pytest.param("cut:times=1", False, id="no kind"),
        pytest.param("A702:get", False, id="DIMSE"),
    ],
)
def test_faults_of_s3_are_known(fault: str, *, is_s3: bool) -> None:
    assert is_s3_fault(fault) == is_s3
    if is_s3:
        assert not is_dimse_fault(fault)
        parse_s3_fault(fault)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nothing:object", "unknown fault"),
        ("cut:study", "unknown kind"),
        ("repeat-token:object", "unknown kind"),
        ("wrong-size:listing:by=x", "no number"),
        ("503:object:at=3", "unknown option"),
    ],
)
def test_nonsense_is_refused(fault: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_s3_fault(fault)


def test_a_fault_meets_its_kind_only() -> None:
    plan = S3Plan(["503:listing:times=1", "404:object:path=*/1.dcm"])
    assert plan.decide("object", "/dicom/1/1/2.dcm") is None
    assert str(plan.decide("listing", "/dicom")) == "503:listing:times=1"
    assert plan.decide("listing", "/dicom") is None
    assert plan.decide("head", "/dicom/1/1/1.dcm") is None
    assert plan.decide("object", "/dicom/1/1/1.dcm") is not None


def test_the_table_names_each_effect() -> None:
    table = fault_table()
    assert (s3_faults.__doc__ or "").strip() in table
    assert [name for name in S3_EFFECTS if f"{name}" not in table] == []


@pytest.mark.anyio
async def test_a_server_applies_and_records_faults() -> None:
    async with S3Server(small_archive(), faults=["cut:listing:at=100"]) as server:
        answer = await get(server, "/dicom?list-type=2")
        whole = await get(server, "/dicom")

    assert (answer.end[:4], len(answer.body)) == ("cut:", 100)
    assert whole.status == 501
    assert [request.fault for request in server.requests] == ["cut:listing:at=100", None]
