"""How long a person waits for help, and a program for the import.

python -m benchmarks.bench_startup [--repetitions 20]
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.common import (
    ASYNCDICOM,
    Contender,
    Job,
    Target,
    Verdict,
    parse_arguments,
    print_machine,
    print_results,
    print_verdicts,
    race,
)

if TYPE_CHECKING:
    import argparse

HELP = "asyncdicom --help"
IMPORT = "import asyncdicom"
NOTHING = "python -c pass"


def contenders() -> list[Contender]:
    """Return the two starts, and what the interpreter itself costs."""
    commands = {
        HELP: (*ASYNCDICOM, "--help"),
        IMPORT: (sys.executable, "-c", "import asyncdicom"),
        NOTHING: (sys.executable, "-c", "pass"),
    }
    return [_start(name, command) for name, command in commands.items()]


def _start(name: str, command: tuple[str, ...]) -> Contender:
    return Contender(name, lambda _folder: command, Job(1, 0), probe=command)


def main() -> int:
    """Start many times."""
    settings = parse_arguments("time to help and to import", _add_options)
    print_machine("Start", settings)
    try:
        results = race(contenders(), settings)
    finally:
        shutil.rmtree(settings.folder)
    print_results(results)
    return print_verdicts(
        [
            Verdict(f"seconds of `{name}`", results[name].median_s, Target(at_most=most_s))
            for name, most_s in ((HELP, 0.2), (IMPORT, 0.12))
        ]
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repetitions=20)


if __name__ == "__main__":
    sys.exit(main())
