"""What the fuzzers have in common: cases that can be drawn again, and the loop over them."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_cases", "source_of"]


def source_of(seed: int, number: int) -> random.Random:
    """Return what a case is drawn from."""
    return random.Random(seed * 1_000_003 + number)


def run_cases(about: str | None, check: Callable[[random.Random], str]) -> int:
    """Check as many cases as the command line says; return the exit code.

    Args:
        about: What the help says.
        check: Draws a case and judges it; returns what it came to.

    """
    arguments = argparse.ArgumentParser(description=about)
    arguments.add_argument("--cases", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--only", type=int, help="number of the one case to run")
    options = arguments.parse_args()
    numbers = range(options.cases) if options.only is None else (options.only,)
    outcomes: Counter[str] = Counter()
    began = time.perf_counter()
    for number in numbers:
        try:
            outcomes[check(source_of(options.seed, number))] += 1
        except Exception as error:  # noqa: BLE001 -- whatever escapes is a counterexample
            print(f"--seed {options.seed} --only {number}: {error!r}", file=sys.stderr)  # noqa: T201 -- a tool
            return 1
    seconds = time.perf_counter() - began
    print(f"{len(numbers)} cases in {seconds:.1f} s: {len(numbers) / seconds:.0f}/s")  # noqa: T201 -- a tool
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:10d}  {outcome}")  # noqa: T201 -- a tool
    return 0
