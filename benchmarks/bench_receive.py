"""Receiving what dcmsend sends, beside dcmrecv: one association, and 16 at once.

    python -m benchmarks.bench_receive [--repetitions 5] [--short]

1,000 x 1 KB, where the time between objects counts, and 300 x 512 KB. dcmrecv with its defaults
waits 40 to 90 ms for the acknowledgement of each object: it gets a fifth of them. Each of 16
senders has as many as the one, else their start would be what is measured (5 GB, sent and kept).
Rates are compared. `TCP_NODELAY=1` (both sides) and `+B` are dcmrecv at its best; the sender has
the same
setting with either receiver. The life of dcmsend counts, its start included; receivers are
running before. Each run compares the data sets that were kept with those that were sent.
dcmrecv never waits for the disk: we do not either (`--durability none`), and the default stands
beside.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import (
    ASYNCDICOM,
    Contender,
    Job,
    Result,
    Settings,
    Target,
    Verdict,
    json_seconds,
    parse_arguments,
    print_machine,
    print_results,
    print_verdicts,
    race,
    requests_ratio,
)
from tests.support.datasets import SliceStudy

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "asyncdicom receive"
OURS_PROMPT = "asyncdicom receive, TCP_NODELAY=1"
OURS_SYNCED = "asyncdicom receive, NODELAY, synced"
OURS_MANY = "asyncdicom receive, 16 senders"
BOUND = "discarded (the bound), NODELAY"
DCMRECV = "dcmrecv"
DCMRECV_PROMPT = "dcmrecv +B, TCP_NODELAY=1"

SLOW_SHARE = 5
SENDERS = 16
PROFILE = Path("/etc/dcmtk/storescp.cfg")
"""Association profiles that DCMTK ships: without one dcmrecv takes no images."""

WEIGHING_S = 0.1
"""Looking at the memory of three processes every 10 ms takes a tenth of a core from them."""

WITHOUT_SYNC = ("--durability", "none")
DCMRECV_WORDS = ("dcmrecv", "-xf", str(PROFILE), "Default", "-od", "{folder}")
DISCARDING = (sys.executable, "-m", "benchmarks.clients.receive_discarding", "{port}")


@dataclass(frozen=True, slots=True)
class Sent:
    """Files in a folder of their own."""

    folder: Path
    study: SliceStudy

    @property
    def job(self) -> Job:
        """How much it is; pixels only."""
        count = self.study.instance_count
        return Job(count, count * self.study.rows * self.study.columns * 2)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same objects: many, some for who is slow, and more for many senders."""

    title: str
    size: str
    all_of: Sent
    some_of: Sent
    more_of: Sent
    least_ratios: tuple[float, float]
    """To be reached against dcmrecv: with its defaults, and at its best."""


def pairs(settings: Settings) -> list[Pair]:
    """Write small objects and large ones."""
    small, large = (200, 60) if settings.is_short else (1000, 300)
    return [
        Pair(
            f"{small} x 1 KB",
            "1 KB",
            written(settings, SliceStudy(1, small, rows=16, columns=16)),
            written(settings, SliceStudy(2, small // SLOW_SHARE, rows=16, columns=16)),
            written(settings, SliceStudy(5, SENDERS * small, rows=16, columns=16)),
            (20, 0.8),
        ),
        Pair(
            f"{large} x 512 KB",
            "512 KB",
            written(settings, SliceStudy(3, large)),
            written(settings, SliceStudy(4, large // SLOW_SHARE)),
            written(settings, SliceStudy(6, SENDERS * large)),
            (5, 1),
        ),
    ]


def written(settings: Settings, study: SliceStudy) -> Sent:
    """Write a study as files."""
    folder = settings.folder / f"sent-{study.number}"
    folder.mkdir()
    for instance in study.instances():
        (folder / f"{instance.sop_instance_uid}.dcm").write_bytes(instance.content)
    return Sent(folder, study)


@dataclass(frozen=True, slots=True)
class Way:
    """How a receiver is sent to."""

    is_prompt: bool = False
    """Whether both sides do without Nagle's algorithm."""
    senders: int = 1
    is_kept: bool = True
    """Whether the receiver keeps files, which are compared then."""


PROMPT = Way(is_prompt=True)


def contenders(pair: Pair) -> list[Contender]:
    """Return ours, the bound, and dcmrecv."""
    whole = pair.all_of
    discarding = Way(is_prompt=True, is_kept=False)
    return [
        ours(OURS, whole, Way()),
        ours(OURS_PROMPT, whole, PROMPT),
        ours(OURS_SYNCED, whole, PROMPT, durability=()),
        ours(OURS_MANY, pair.more_of, Way(senders=SENDERS)),
        receiver(BOUND, whole, DISCARDING, discarding),
        receiver(DCMRECV, pair.some_of, (*DCMRECV_WORDS, "{port}"), Way()),
        receiver(DCMRECV_PROMPT, whole, (*DCMRECV_WORDS, "+B", "{port}"), PROMPT),
    ]


def ours(name: str, sent: Sent, way: Way, *, durability: Sequence[str] = WITHOUT_SYNC) -> Contender:
    """Return a way to run our command."""
    words = (*ASYNCDICOM, "receive", "{port}", "-od", "{folder}", *durability)
    return receiver(name, sent, words, way)


def receiver(name: str, sent: Sent, words: Sequence[str], way: Way) -> Contender:
    """Return a way to send to a receiver."""
    setting = ("env", "TCP_NODELAY=1") if way.is_prompt else ()
    client = (*setting, sys.executable, "-m", "benchmarks.clients.send_into", str(sent.folder))
    return Contender(
        name,
        lambda folder: [*client, str(folder) if way.is_kept else "-", str(way.senders), *words],
        sent.job,
        seconds=json_seconds,
        expected_files=sent.study.instance_count if way.is_kept else None,
        probe=probe(words),
    )


def probe(words: Sequence[str]) -> Sequence[str]:
    """Return what ends with 0 where a receiver, and dcmsend, can be run."""
    if words[0] == "dcmrecv":
        return ("sh", "-c", f"dcmrecv --version && dcmsend --version && test -f {PROFILE}")
    return ("dcmsend", "--version")


def judge(results: dict[str, Result], pair: Pair) -> list[Verdict]:
    """Return the verdicts on objects per second."""
    slow, best = pair.least_ratios
    return [
        faster(results, pair, (OURS, DCMRECV), slow),
        faster(results, pair, (OURS_PROMPT, DCMRECV_PROMPT), best),
        faster(results, pair, (OURS_MANY, OURS), 1.2),
    ]


def faster(
    results: dict[str, Result], pair: Pair, names: tuple[str, str], at_least: float
) -> Verdict:
    """Return the verdict on two of them."""
    mine, other = names
    ratio = requests_ratio(results, mine, other)
    return Verdict(f"{pair.size}: {mine}, times {other}", ratio, Target(at_least=at_least))


def main() -> int:
    """Race for small objects, then for large ones."""
    settings = parse_arguments("receiving, beside dcmrecv")
    print_machine("Receiving from dcmsend", settings, "uvloop")
    try:
        verdicts = []
        for pair in pairs(settings):
            results = race(contenders(pair), settings, weighs_all_every_s=WEIGHING_S)
            print_results(results, f"{pair.title}; dcmrecv with its defaults: 1 of {SLOW_SHARE}")
            verdicts += judge(results, pair)
    finally:
        shutil.rmtree(settings.folder)
    return print_verdicts(verdicts)


if __name__ == "__main__":
    sys.exit(main())
