"""Kill -9 at random moments under load (E5): what was answered with 0000 is there, and whole.

`ASYNCDICOM_TEST_RECEIVER_KILLS` says how many processes are killed: 8 unless told, 200 before
a release of a change to what stores.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncdicom.protocol.dimse.messages import CStoreRequest
from tests.receiver.support import CT, Sender, data_set_of, files_below, sending
from tests.support.dicom import ct, uid
from tests.support.scripted_peer import message_pdus

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = int(os.environ.get("ASYNCDICOM_TEST_RECEIVER_KILLS", "8"))
SENDERS = 4
OURS = ".asyncdicom-"
ROOT = Path(__file__).parents[2]

TEMPLATE = data_set_of(ct(number=1, rows=96, columns=96))
"""18 KB: two PDUs."""
PIXELS_AT = len(TEMPLATE) - 8
UID_AT = TEMPLATE.index(uid("instance", 1).encode())


def data_set(sop_instance_uid: str, variant: int) -> bytes:
    """Return a CT image of a UID; each variant has other pixels."""
    made = bytearray(TEMPLATE)
    made[UID_AT : UID_AT + len(sop_instance_uid)] = sop_instance_uid.encode()
    made[PIXELS_AT : PIXELS_AT + 4] = variant.to_bytes(4, "little")
    return bytes(made)


@dataclass
class Ledger:
    """What was sent, and what of it was answered, by UID; variants in their order."""

    sent: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)

    def check(self, root: Path) -> None:
        """Compare a folder with what was promised; whatever has a final name is whole."""
        found = {
            name.removesuffix(".dcm"): data_set_of(content)
            for name, content in files_below(root).items()
            if not name.startswith(OURS)
        }
        for one, content in found.items():
            least, last = self.acknowledged.get(one, 0), self.sent[one]
            allowed = [data_set(one, variant) for variant in range(least, last + 1)]
            assert content in allowed, f"{one} is torn, or older than what was answered"
        missing = self.acknowledged.keys() - found.keys()
        assert not missing, "answered with 0000, and not there"


@dataclass(frozen=True)
class Moment:
    """When to kill."""

    acknowledged: int
    """So many instances have to be answered before."""
    later_s: float


@pytest.mark.timeout(60 + 6 * KILLS)
@pytest.mark.parametrize("durability", ["none", "batch"])
def test_what_was_answered_outlives_kill_9(tmp_path: Path, durability: str) -> None:
    ledger = Ledger()
    numbers = itertools.count(10_000_001)
    generator = random.Random(4)
    in_flight = 0
    for _ in range(max(1, KILLS // 2)):
        with receiving(tmp_path, durability) as (process, port):
            before = len(ledger.acknowledged)
            moment = Moment(before + generator.randrange(60), generator.uniform(0, 0.02))
            asyncio.run(store_until_killed(process, port, ledger, numbers, moment))
            assert process.wait(10) == -9
            in_flight += len(ledger.sent) > len(ledger.acknowledged)
        ledger.check(tmp_path)
    assert in_flight, "no kill came in the middle"
    with receiving(tmp_path, durability) as (process, _):
        assert not [one for one in files_below(tmp_path) if one.startswith(OURS)]
        process.terminate()
        assert process.wait(10) == 0
    ledger.check(tmp_path)


class receiving:  # noqa: N801 -- a context manager reads as what it does
    """A receiver in a process of its own: yields the process and its port."""

    def __init__(self, root: Path, durability: str) -> None:
        self._command = [sys.executable, "-m", "tests.receiver.program", str(root), durability]

    def __enter__(self) -> tuple[subprocess.Popen[bytes], int]:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        first = json.loads(self._process.stdout.readline())
        return self._process, first["port"]

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


async def store_until_killed(
    process: subprocess.Popen[bytes],
    port: int,
    ledger: Ledger,
    numbers: Iterator[int],
    moment: Moment,
) -> None:
    """Store over several associations, new instances and one again and again, up to the kill."""

    async def store(sender: Sender, sop_instance_uid: str) -> None:
        variant = ledger.sent.get(sop_instance_uid, -1) + 1
        ledger.sent[sop_instance_uid] = variant
        sender.message_id += 1
        request = CStoreRequest(sender.message_id, CT, sop_instance_uid)
        await sender.peer.send(*message_pdus(3, request, data_set(sop_instance_uid, variant)))
        assert await sender.answer() == 0
        ledger.acknowledged[sop_instance_uid] = variant
        if len(ledger.acknowledged) > moment.acknowledged:
            asyncio.get_running_loop().call_later(moment.later_s, process.kill)

    async def keep_storing(number: int) -> None:
        again = f"2.999.3.2000000{number}"
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            async with sending(port) as sender:
                while True:
                    await store(sender, f"2.999.3.{next(numbers)}")
                    await store(sender, again)

    await asyncio.gather(*map(keep_storing, range(SENDERS)))
