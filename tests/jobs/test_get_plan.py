"""What a get asks for when an answer did not bring everything."""

from __future__ import annotations

import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    ContentError,
    NameTaken,
    Stalled,
    StorageError,
    Truncated,
    Unauthorized,
    Unreachable,
)
from asyncdicom.jobs.get_plan import WebPlanner


def broken_body() -> ConnectionLost:
    error = ConnectionLost("reset")
    error.in_body = True
    return error


@pytest.mark.parametrize(
    ("error", "may_help"),
    [
        pytest.param(Truncated("cut"), True, id="a cut answer"),
        pytest.param(ContentError("odd"), True, id="an odd answer"),
        pytest.param(NameTaken("taken", path="a"), True, id="a name of one instance"),
        pytest.param(broken_body(), True, id="a connection that broke in the body"),
        pytest.param(ConnectionLost("reset"), False, id="one that broke before the head"),
        pytest.param(Unreachable("refused"), False, id="nobody there"),
        pytest.param(Stalled("silence"), False, id="silence"),
        pytest.param(Unauthorized("no", status_code=403), False, id="not allowed"),
        pytest.param(StorageError("no", path="a"), False, id="our disk"),
    ],
)
def test_less_at_once_may_help_where_the_answer_is_to_blame(
    error: AsyncDicomError,
    may_help: bool,  # noqa: FBT001 -- a column
) -> None:
    assert WebPlanner().may_help(error) is may_help
