"""Each status has a class and a sentence; pynetdicom's tables agree about the class."""

from __future__ import annotations

import pytest
from pynetdicom import status as theirs

from asyncdicom.protocol.dimse.statuses import (
    Category,
    Operation,
    Status,
    category,
    describe,
    failure_of,
    is_cancel,
    is_failure,
    is_pending,
    is_success,
    is_transient,
    is_warning,
)

THEIR_TABLES = {
    Operation.ECHO: theirs.VERIFICATION_SERVICE_CLASS_STATUS,
    Operation.STORE: theirs.STORAGE_SERVICE_CLASS_STATUS,
    Operation.FIND: theirs.QR_FIND_SERVICE_CLASS_STATUS,
    Operation.GET: theirs.QR_GET_SERVICE_CLASS_STATUS,
    Operation.MOVE: theirs.QR_MOVE_SERVICE_CLASS_STATUS,
}
WITHOUT_A_NAME = "that the standard does not name"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(0x0000, Category.SUCCESS, id="success"),
        pytest.param(0xFF00, Category.PENDING, id="pending"),
        pytest.param(0xFF01, Category.PENDING, id="pending without optional keys"),
        pytest.param(0xFE00, Category.CANCEL, id="cancel"),
        pytest.param(0xB000, Category.WARNING, id="coerced, or sub-operations failed"),
        pytest.param(0xBFFF, Category.WARNING, id="end of the warnings"),
        pytest.param(0x0001, Category.WARNING, id="optional attributes"),
        pytest.param(0x0107, Category.WARNING, id="attribute list"),
        pytest.param(0x0116, Category.WARNING, id="value out of range"),
        pytest.param(0x0110, Category.FAILURE, id="processing failure"),
        pytest.param(0xA700, Category.FAILURE, id="out of resources"),
        pytest.param(0xC123, Category.FAILURE, id="cannot understand"),
        pytest.param(0xFF02, Category.FAILURE, id="almost pending"),
        pytest.param(0x1234, Category.FAILURE, id="nobody's"),
    ],
)
def test_each_status_has_one_class(status: int, expected: Category) -> None:
    assert category(status) is expected
    told = [is_success, is_pending, is_cancel, is_warning, is_failure]
    assert [check(status) for check in told] == [
        expected is one
        for one in (
            Category.SUCCESS,
            Category.PENDING,
            Category.CANCEL,
            Category.WARNING,
            Category.FAILURE,
        )
    ]


@pytest.mark.parametrize("operation", Operation)
def test_pynetdicom_agrees_about_each_class(operation: Operation) -> None:
    table = THEIR_TABLES[operation]
    assert table
    wrong = {
        f"{status:04X}": (their_class, category(status))
        for status, (their_class, _) in table.items()
        if category(status).value != their_class.lower()
    }
    assert wrong == {}


@pytest.mark.parametrize("operation", Operation)
def test_each_status_of_the_standard_has_a_sentence(operation: Operation) -> None:
    missing = [
        f"{status:04X}"
        for status in THEIR_TABLES[operation]
        if WITHOUT_A_NAME in describe(status, operation)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("status", "is_later"),
    [
        pytest.param(0xA700, True, id="out of resources"),
        pytest.param(0xA701, True, id="could not count"),
        pytest.param(0xA702, True, id="could not perform"),
        pytest.param(0xA7FF, True, id="end of the family"),
        pytest.param(0x0213, True, id="resource limitation"),
        pytest.param(0xA801, False, id="unknown destination"),
        pytest.param(0xA900, False, id="does not match"),
        pytest.param(0xC000, False, id="cannot understand"),
        pytest.param(0x0110, False, id="processing failure"),
        pytest.param(0x0000, False, id="success"),
    ],
)
def test_only_lack_of_resources_passes(status: int, *, is_later: bool) -> None:
    assert is_transient(status) is is_later
    assert failure_of(status, Operation.GET).is_transient is is_later


@pytest.mark.parametrize(
    ("status", "operation", "sentence"),
    [
        (0xB000, Operation.STORE, "stored, but some values were coerced"),
        (0xB000, Operation.GET, "ended, but one or more sub-operations failed"),
        (0xA900, Operation.STORE, "the data set does not fit its SOP class"),
        (0xA900, Operation.MOVE, "the identifier does not fit the SOP class"),
        (0xC001, Operation.STORE, "the peer cannot understand the data set"),
        (0xC001, Operation.FIND, "the peer cannot process it"),
        (0xA801, Operation.MOVE, "the peer does not know the move destination"),
        (0x1234, Operation.FIND, "a failure that the standard does not name"),
        (0xB0FF, Operation.FIND, "a warning that the standard does not name"),
        (0xA900, Operation.ECHO, "a failure that the standard does not name"),
    ],
)
def test_the_same_number_says_what_its_operation_means(
    status: int, operation: Operation, sentence: str
) -> None:
    assert describe(status, operation) == sentence


def test_the_error_tells_operation_sentence_and_number() -> None:
    error = failure_of(Status.UNABLE_TO_PERFORM_SUB_OPERATIONS, Operation.GET)
    assert error.status == 0xA702
    assert str(error) == (
        "C-GET: out of resources: the peer could not perform the sub-operations (status A702)"
    )


@pytest.mark.parametrize("operation", Operation)
def test_any_number_is_told_in_one_lower_case_line(operation: Operation) -> None:
    sentences = {describe(status, operation) for status in range(0x10000)}
    assert all(one == one.strip(" .\n") and "\n" not in one for one in sentences)
    assert all(one[0].islower() for one in sentences)
