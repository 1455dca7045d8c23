"""Workers are there before the block and gone after it, whatever they do.

Forked in a process of its own: this one has threads.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from asyncdicom.engine.processes import usable_cores


def program(body: str) -> subprocess.CompletedProcess[str]:
    """Run a program that makes workers, and wait for its end."""
    head = """
        import os, signal, socket, sys, time
        from asyncdicom.engine import processes
        from asyncdicom.engine.processes import worker_processes

        def until_end(sock):
            sock.setblocking(True)
            while data := sock.recv(100):
                sock.sendall(data + str(os.getpid()).encode())

        def gone(process_id):
            try:
                os.kill(process_id, 0)
            except ProcessLookupError:
                return True
            return False
    """
    text = textwrap.dedent(head) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=15, check=False
    )


def test_each_worker_is_a_process_that_ends_with_the_block() -> None:
    done = program("""
        with worker_processes(3, until_end) as workers:
            for worker in workers:
                worker.sock.setblocking(True)
                worker.sock.sendall(b"I am ")
                assert worker.sock.recv(100) == b"I am %d" % worker.process_id
        assert all(gone(worker.process_id) for worker in workers)
        print("once")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "once\n", "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_worker_does_not_hear_the_signals_of_its_group(name: str) -> None:
    done = program(f"""
        with worker_processes(1, until_end) as [worker]:
            worker.sock.setblocking(True)
            worker.sock.sendall(b"a")
            worker.sock.recv(100)
            os.kill(worker.process_id, signal.{name})
            worker.sock.sendall(b"b")
            assert worker.sock.recv(100).startswith(b"b")
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_that_does_not_end_is_killed() -> None:
    done = program("""
        processes.END_S = 0.2
        def stay(sock):
            time.sleep(60)
        with worker_processes(1, stay) as [worker]:
            pass
        assert gone(worker.process_id)
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_that_fails_says_why_and_runs_nothing_else() -> None:
    done = program("""
        def fail(sock):
            raise ValueError("told")
        with worker_processes(1, fail) as [worker]:
            worker.sock.setblocking(True)
            assert worker.sock.recv(1) == b""
        print("the end")
    """)
    assert (done.returncode, done.stdout) == (0, "the end\n")
    assert "ValueError: told" in done.stderr


def test_a_worker_hears_that_the_one_who_made_it_was_killed() -> None:
    done = program("""
        reading, writing = os.pipe()
        maker = os.fork()
        if maker == 0:
            os.close(reading)
            with worker_processes(2, until_end):
                os.kill(os.getpid(), signal.SIGKILL)
        os.close(writing)
        assert os.read(reading, 1) == b""      # the last holder of the pipe has gone
        os.waitpid(maker, 0)
    """)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_is_a_core_to_use() -> None:
    assert usable_cores() >= 1
