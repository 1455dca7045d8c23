"""What each change must outlive: 10,000 cases of each kind against what object stores say.

Millions are for the night: `python -m tests.fuzz.fuzz_objects --cases 2000000`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from asyncdicom.protocol.object_stores.s3_listing import S3ListingParser
from asyncdicom.protocol.object_stores.values import ListingPage
from tests.fuzz import fuzz_objects
from tests.fuzz.fuzz_objects import KINDS
from tests.fuzz.fuzz_parsers import Counterexample
from tests.fuzz.running import source_of

CASES = 2_500

SEEN = {
    "xml": {"xml: a page", "xml: ProtocolError", "xml: Truncated"},
    "json": {"json: a page", "json: ProtocolError", "json: Truncated"},
    "place": {"place: refused", "place: all of it", "place: a span"},
    "refusal": {"refusal: SlowDown", "refusal: notFound", "refusal: ", "refusal: another code"},
    "digests": {"digests"},
}


@pytest.mark.parametrize("seed", range(1000, 1004))
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_random_cases_keep_every_promise(kind: str, seed: int) -> None:
    outcomes = Counter(KINDS[kind](source_of(seed, number)) for number in range(CASES))
    assert outcomes.keys() == SEEN[kind]


class Believer(S3ListingParser):
    """Takes what is cut for what is whole."""

    def receive_eof(self) -> ListingPage:
        return ListingPage(())


def test_a_parser_that_believes_a_cut_list_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_objects, "S3ListingParser", Believer)
    with pytest.raises(Counterexample):
        KINDS["xml"](source_of(1, 0))
