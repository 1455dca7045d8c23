"""When a run stops early."""

from __future__ import annotations

import pytest

from asyncdicom.policy.abort import AbortPolicy


@pytest.mark.parametrize(
    ("policy", "failed", "finished", "words"),
    [
        pytest.param(AbortPolicy(), 1000, 1000, None, id="no bound"),
        pytest.param(AbortPolicy(max_errors=0), 0, 10, None, id="no failure yet"),
        pytest.param(AbortPolicy(max_errors=0), 1, 1, "1 error, at most 0", id="the first failure"),
        pytest.param(AbortPolicy(max_errors=2), 2, 9, None, id="as many as allowed"),
        pytest.param(AbortPolicy(max_errors=2), 3, 9, "3 errors, at most 2", id="one too many"),
        pytest.param(AbortPolicy(max_error_rate=0.1), 5, 10, None, id="too few to speak of a rate"),
        pytest.param(AbortPolicy(max_error_rate=0.1), 2, 20, None, id="the rate allowed"),
        pytest.param(AbortPolicy(max_error_rate=0.1), 3, 20, "15.0% of 20", id="above the rate"),
    ],
)
def test_verdict(policy: AbortPolicy, failed: int, finished: int, words: str | None) -> None:
    verdict = policy.verdict(failed=failed, finished=finished)
    assert verdict is None if words is None else verdict is not None and words in verdict
