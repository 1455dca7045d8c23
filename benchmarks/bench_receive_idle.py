"""Holding 500 idle associations: what they take of memory, and of the pace of one that works.

    python -m benchmarks.bench_receive_idle [--repetitions 5] [--associations 500] [--short]

The receiver is a process of its own; its memory is the kernel's count of resident pages. What
works is dcmsend with 1,000 x 1 KB, in turns while the others are held and while they are not.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from asyncdicom.protocol.dimse.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal, Party, propose
from asyncdicom.protocol.upper_layer.pdu import encode
from benchmarks.clients.send_into import receiving, send
from benchmarks.common import (
    ASYNCDICOM,
    MB,
    Settings,
    Target,
    Verdict,
    parse_arguments,
    print_machine,
    print_verdicts,
)
from tests.support.datasets import SliceStudy
from tests.support.processes import resident_bytes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

HELD_MB = 60
SLOWDOWN = 1.1
REQUEST = encode(
    propose(
        [ContextProposal(VERIFICATION, (EXPLICIT_VR_LITTLE_ENDIAN,))],
        Party("ANY-SCP", "IDLE", 16384),
    )
)
ASSOCIATE_AC = 2
HEADER_BYTES = 6


@contextmanager
def holding(port: int, count: int) -> Iterator[None]:
    """Hold associations that say nothing."""
    with ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            for _ in range(count)
        ]
        for sock in held:
            sock.sendall(REQUEST)
        for sock in held:
            header = sock.recv(HEADER_BYTES, socket.MSG_WAITALL)
            if header[:1] != bytes([ASSOCIATE_AC]):
                sys.exit(f"the receiver does not accept {count} associations: {header.hex()}")
            sock.recv(int.from_bytes(header[2:], "big"), socket.MSG_WAITALL)
        yield


def written(settings: Settings) -> list[Path]:
    """Write what is sent."""
    count = 200 if settings.is_short else 1000
    folder = settings.folder / "sent"
    folder.mkdir()
    for instance in SliceStudy(1, count, rows=16, columns=16).instances():
        (folder / f"{instance.sop_instance_uid}.dcm").write_bytes(instance.content)
    return sorted(folder.iterdir())


def measure(settings: Settings, paths: Sequence[Path]) -> list[Verdict]:
    """Hold and let go, send each time, and judge."""
    count = settings.options.associations
    words = [*ASYNCDICOM, "receive", "{port}", "-od", "{folder}", "--durability", "none"]
    words += ["--max-associations", str(count + 8)]
    output = Path(tempfile.mkdtemp(dir=settings.folder))
    ratios, held_bytes = [], 0

    def sent_s() -> float:
        for path in output.iterdir():
            path.unlink()
        return send(paths, port, 1)

    with receiving(words, str(output)) as (port, process_id):
        sent_s()
        before_bytes = resident_bytes(process_id)
        for _ in range(settings.repetitions):
            alone_s = sent_s()
            with holding(port, count):
                held_bytes = max(held_bytes, resident_bytes(process_id))
                beside_s = sent_s()
                held_bytes = max(held_bytes, resident_bytes(process_id))
            ratios.append(beside_s / alone_s)
            print(f"alone {alone_s:.3f} s, beside {count} idle ones {beside_s:.3f} s")
    print(f"resident: {before_bytes / MB:.0f} MB with none, {held_bytes / MB:.0f} MB with {count}")
    return [
        Verdict(f"{count} idle associations: MB", held_bytes / MB, Target(at_most=HELD_MB)),
        Verdict(
            "1 KB beside them: seconds, times those alone",
            statistics.median(ratios),
            Target(at_most=SLOWDOWN),
        ),
    ]


def main() -> int:
    """Measure, as often as asked for."""
    settings = parse_arguments("idle associations", _add_options)
    print_machine("Idle associations", settings, "uvloop")
    try:
        verdicts = measure(settings, written(settings))
    finally:
        shutil.rmtree(settings.folder)
    return print_verdicts(verdicts)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--associations", type=int, default=500, metavar="N", help="held at once; default: 500"
    )


if __name__ == "__main__":
    sys.exit(main())
