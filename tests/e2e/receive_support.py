"""`asyncdicom receive` and dcmrecv as real processes, and what DCMTK's clients send to them.

with running_receive(folder, "+ssd") as receiver:
    send(receiver.port, files)
assert receiver.code == 0
receiver.events()
"""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.e2e.support import PROGRAM, clean_environ
from tests.support.peers import find_program
from tests.support.processes import accepts_connections, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Receiving", "files_in", "running_dcmrecv", "running_receive", "send", "sent"]

START_DEADLINE_S = 40.0
END_DEADLINE_S = 40.0


@dataclass(slots=True)
class Receiving:
    """A receiver of ours, running or ended."""

    process: subprocess.Popen[bytes]
    folder: Path
    out: Path
    err: Path
    port: int = 0

    @property
    def code(self) -> int | None:
        """Exit code, once it has ended."""
        return self.process.poll()

    def events(self) -> list[dict[str, Any]]:
        """Return what `--json` told so far."""
        lines = self.out.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def names(self) -> list[str]:
        """Return the names of the events so far."""
        return [event["event"] for event in self.events()]

    def log(self) -> str:
        """Return what it said on stderr so far."""
        return self.err.read_text(errors="replace")

    def wait_for(self, event: str, count: int = 1) -> None:
        """Wait until an event was told so many times."""
        wait_until(
            lambda: self.names().count(event) >= count,
            self.process,
            deadline_s=START_DEADLINE_S,
            log=self.err,
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(END_DEADLINE_S)


@contextmanager
def running_receive(
    folder: Path,
    *words: str,
    environ: dict[str, str] | None = None,
    max_files: int | None = None,
) -> Iterator[Receiving]:
    """Run `asyncdicom receive` on a free port of 127.0.0.1, with `folder/in`; end it in order.

    `max_files` is what it may open at most (`ulimit -n`).
    """
    target = folder / "in"
    target.mkdir(exist_ok=True)
    command = [PROGRAM, "receive", "0", "--host", "127.0.0.1", "--json", "-od", str(target)]
    if max_files is not None:
        command = ["sh", "-c", f'ulimit -n {max_files}; exec "$@"', "sh", *command]
    out, err = folder / "out.jsonl", folder / "err.txt"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *words], stdout=stdout, stderr=stderr, env=environ or clean_environ()
        )
    receiving = Receiving(process, target, out, err)
    try:
        receiving.wait_for("listening")
        receiving.port = receiving.events()[0]["port"]
        yield receiving
        if process.poll() is None:
            receiving.end()
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_dcmrecv(folder: Path, *words: str) -> Iterator[int]:
    """Run dcmrecv on a free port, with `folder/theirs`; yield the port."""
    program = find_program("dcmrecv")
    assert program is not None, "dcmrecv is not installed"
    target = folder / "theirs"
    target.mkdir()
    port = free_port()
    log = folder / "dcmrecv.txt"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [program, "-od", str(target), *words, str(port)], stdout=sink, stderr=sink
        )
    try:
        wait_until(lambda: accepts_connections(port), process, deadline_s=START_DEADLINE_S, log=log)
        yield port
    finally:
        process.kill()
        process.wait()


def send(port: int, files: Sequence[Path], *words: str, program: str = "storescu") -> None:
    """Send files with a client of DCMTK.

    Raises:
        AssertionError: If it says that something was not sent.

    """
    done = sent(port, files, *words, program=program)
    assert done.returncode == 0, done.stdout


def sent(
    port: int, files: Sequence[Path], *words: str, program: str = "storescu"
) -> subprocess.CompletedProcess[str]:
    """Send files with a client of DCMTK, and return what it says."""
    path = find_program(program)
    assert path is not None, f"{program} is not installed"
    return subprocess.run(
        [path, *words, "127.0.0.1", str(port), *map(str, files)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=50,
        env=clean_environ(TCP_NODELAY="1"),
    )


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of each file by its path below a folder; a dot begins names of ours."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
