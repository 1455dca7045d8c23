"""`asyncdicom receive` where its surroundings are hostile: descriptors, logs, signals, one folder.

Rule: whoever is let in is served, whoever is not is told why, and a signal ends it in any case.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncdicom.protocol.dimse.messages import CStoreRequest
from asyncdicom.protocol.upper_layer.pdu import AssociateAccept, AssociateReject
from tests.e2e.receive_support import files_in, running_receive
from tests.e2e.support import PROGRAM, clean_environ
from tests.receiver.support import CT, STORING, data_set_of
from tests.support.blocking_peer import BlockingPeer
from tests.support.dicom import ct, uid
from tests.support.processes import accepts_connections, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 10.0


def stored(peer: BlockingPeer, *numbers: int) -> list[int]:
    """Store small instances, and return the statuses."""
    return [
        peer.store(3, CStoreRequest(number, CT, uid("instance", number)), data)
        for number in numbers
        for data in (data_set_of(ct(number=number)),)
    ]


@contextmanager
def started(words: list[str], **streams: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a receiver with streams of its own; yield process and port."""
    port = free_port()
    command = [PROGRAM, "receive", str(port), "--host", "127.0.0.1", *words]
    with subprocess.Popen(command, env=clean_environ(), **streams) as process:  # type: ignore[call-overload]  # -- descriptors
        try:
            wait_until(
                lambda: accepts_connections(port),
                process,
                deadline_s=DEADLINE_S,
                log=Path(os.devnull),
            )
            yield process, port
        finally:
            process.kill()


@pytest.mark.parametrize("engine", ["native", "pynetdicom"])
def test_with_few_descriptors_few_are_let_in_and_all_of_them_served(
    engine: str, tmp_path: Path
) -> None:
    words = ("--dimse-engine", engine, "-td", "30")
    with running_receive(tmp_path, *words, max_files=64) as receiver, ExitStack() as stack:
        peers = [stack.enter_context(BlockingPeer(receiver.port)) for _ in range(11)]
        answers = [peer.ask(STORING) for peer in peers]
        admitted = [
            peer
            for peer, answer in zip(peers, answers, strict=True)
            if isinstance(answer, AssociateAccept)
        ]
        refusals = {one for one in answers if isinstance(one, AssociateReject)}
        assert refusals == {AssociateReject(2, 3, 2)}
        for number, peer in enumerate(admitted):
            assert stored(peer, number, number + 100) == [0, 0]
        for peer in peers:
            peer.sock.close()
        receiver.wait_for("associationEnded", len(admitted))
        with BlockingPeer(receiver.port) as late:
            assert stored(late.associate(STORING), 200) == [0]
    assert len(files_in(receiver.folder)) == 2 * len(admitted) + 1 > 4
    assert "may open 64 files (ulimit -n)" in receiver.log()
    assert "too many open files" not in receiver.log()


def test_a_reader_of_the_log_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with started(["-d", "-od", str(tmp_path)], stderr=writing, stdout=writing) as (process, port):
        os.close(writing)
        with BlockingPeer(port) as peer:
            assert set(stored(peer.associate(STORING), *range(300))) == {0}
            peer.release()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    os.close(reading)
    assert len(files_in(tmp_path)) == 300


@pytest.mark.parametrize("words", [["--json"], ["-v"]], ids=" ".join)
def test_a_log_on_a_full_disk_is_no_reason_to_end(words: list[str], tmp_path: Path) -> None:
    with (
        open("/dev/full", "wb") as full,  # noqa: PTH123 -- a device
        started([*words, "-od", str(tmp_path)], stdout=full.fileno(), stderr=full.fileno()) as it,
    ):
        process, port = it
        with BlockingPeer(port) as peer:
            assert stored(peer.associate(STORING), 1) == [0]
            peer.release()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    assert len(files_in(tmp_path)) == 1
