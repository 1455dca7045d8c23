"""What each change must outlive: 20,000 payloads and 10,000 field values against the parsers.

Millions are for the night: `python -m tests.fuzz.fuzz_parsers --cases 2000000`.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.fuzz.fuzz_parsers import check
from tests.fuzz.generators import MultipartCase, random_case

ROUNDS = 4
PAYLOADS = 20_000 // ROUNDS
FIELDS = 10_000 // ROUNDS


@pytest.mark.parametrize("seed", range(1000, 1000 + ROUNDS))
def test_thousands_of_random_cases_keep_every_promise(seed: int) -> None:
    source = random.Random(seed)
    done: Counter[bool] = Counter()
    while done[True] < PAYLOADS or done[False] < FIELDS:
        case = random_case(source)
        check(case)
        done[isinstance(case, MultipartCase)] += 1
