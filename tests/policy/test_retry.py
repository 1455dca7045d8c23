"""The table of what is worth another try; this test is the same table."""

from __future__ import annotations

import pytest

from asyncdicom import errors
from asyncdicom.policy.retry import (
    MAX_RETRY_AFTER_S,
    RetryPolicy,
    is_worth_another_try,
    requested_pause_s,
)


def origin_error(status_code: int) -> errors.OriginError:
    return errors.OriginError("failed", status_code=status_code)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        pytest.param(errors.Unreachable("refused"), True, id="no connection"),
        pytest.param(errors.TlsRejected("expired"), False, id="certificate"),
        pytest.param(errors.ConnectionLost("reset"), True, id="reset in the middle"),
        pytest.param(errors.Stalled("silence"), True, id="stall"),
        pytest.param(errors.Throttled("busy", status_code=429), True, id="429"),
        pytest.param(errors.Throttled("busy", status_code=503), True, id="503"),
        pytest.param(errors.Unauthorized("no", status_code=401), False, id="401"),
        pytest.param(errors.Unauthorized("no", status_code=403), False, id="403"),
        pytest.param(errors.NotFound("no", status_code=404), False, id="404"),
        pytest.param(errors.NotFound("no", status_code=410), False, id="410"),
        pytest.param(errors.NotAcceptable("no", status_code=406), False, id="406"),
        pytest.param(errors.RedirectRefused("loop", status_code=302), False, id="redirect loop"),
        *[
            pytest.param(origin_error(code), True, id=str(code))
            for code in (408, 425, 500, 502, 504)
        ],
        *[
            pytest.param(origin_error(code), False, id=str(code))
            for code in (400, 405, 413, 501, 505)
        ],
        pytest.param(errors.Truncated("cut"), True, id="cut payload"),
        pytest.param(errors.ProtocolError("broken"), True, id="broken framing"),
        pytest.param(errors.LimitExceeded("too many headers"), False, id="our bound"),
        pytest.param(
            errors.Incomplete("some", expected=3, received=2), True, id="some of the instances"
        ),
        pytest.param(
            errors.UidMismatch(expected="1.2", received="1.3"), True, id="another instance"
        ),
        pytest.param(errors.Doubtful("no pixel data"), True, id="doubtful instance"),
        pytest.param(errors.UnexpectedContent("html"), False, id="login page"),
        pytest.param(errors.ContentError("odd"), False, id="other content"),
        pytest.param(errors.StorageError("denied", path="x"), False, id="this machine"),
        pytest.param(errors.DiskFull("full", path="x"), False, id="full disk"),
        pytest.param(errors.FetchError("odd"), True, id="unclassified failure of the other side"),
        pytest.param(errors.ConfigError("odd"), False, id="the user's to mend"),
    ],
)
def test_worth_another_try(error: errors.AsyncDicomError, again: bool) -> None:  # noqa: FBT001 -- a column
    assert is_worth_another_try(error) is again


@pytest.mark.parametrize(
    ("retry_after_s", "pause_s"),
    [(None, 0.0), (2.0, 2.0), (-5.0, 0.0), (31_536_000.0, MAX_RETRY_AFTER_S)],
    ids=["not asked", "two seconds", "in the past", "a year"],
)
def test_a_requested_pause_is_kept_within_bounds(
    retry_after_s: float | None, pause_s: float
) -> None:
    error = errors.Throttled("busy", status_code=503, retry_after_s=retry_after_s)
    assert requested_pause_s(error) == pause_s


def test_other_failures_ask_for_no_pause() -> None:
    assert requested_pause_s(errors.ConnectionLost("reset")) == 0.0
    assert requested_pause_s(None) == 0.0


@pytest.mark.parametrize(("retries", "in_place", "deferred"), [(0, 0, 0), (1, 0, 1), (3, 2, 1)])
def test_the_last_retry_is_kept_for_the_end(retries: int, in_place: int, deferred: int) -> None:
    policy = RetryPolicy(retries)
    assert (policy.in_place, policy.deferred) == (in_place, deferred)
