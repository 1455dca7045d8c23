"""The entry point: help is instant, mistakes are told in a line, and each end has its code."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from asyncdicom import errors
from asyncdicom._version import __version__
from asyncdicom.cli import app
from asyncdicom.cli.app import COMMANDS, application, exit_code_of, main
from asyncdicom.cli.driving import exit_code_of as exit_code_of_run
from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.run import GRACE_S, Interrupts, run
from asyncdicom.events import RunEnded
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Failed, Resource, Stored, Target, Uid

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target(Resource.STUDY, Uid("1"))
STORED = Stored(TARGET, "a", 1, "")


@pytest.fixture(autouse=True)
def no_file_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def ended_with(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended_with(name, "--help") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: asyncdicom {name}")
    assert "Examples:" in told


def test_help_lists_all_commands_without_importing_them() -> None:
    code = "import sys; from asyncdicom.cli.app import main\ntry: main(['--help'])\nfinally: "
    code += "print(*[m for m in sys.modules if 'asyncdicom' in m or m in ('pydicom', 'asyncio')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *told, modules = done.stdout.splitlines()
    for name, line in COMMANDS.items():
        assert any(name in text and line[:30] in text for text in told)
    assert not {"pydicom", "asyncdicom.cli.get", "asyncdicom.cli.dump"} & set(modules.split())


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended_with("--version") == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["nosuch"], id="no such command"),
        pytest.param(["get"], id="no source"),
        pytest.param(["get", "http://a", "--nosuch"], id="no such option"),
        pytest.param(["get", "http://a"], id="no selection"),
        pytest.param(["get", "http://a", "--study", "1", "PatientID=1"], id="two selections"),
        pytest.param(["get", "http://a", "--study", "1", "-I", "-l", "{PatientID}"], id="template"),
        pytest.param(["get", "http://a", "--study", "x"], id="no UID"),
        pytest.param(["get", "s3://a/b", "--study", "1"], id="a source to come"),
        pytest.param(["dump", "-w", "http://a", "-o", "x"], id="no study"),
        pytest.param(["get", "http://a", "--study", "1", "--concurrency", "0"], id="out of bounds"),
        pytest.param(["config", "show", "nosuch"], id="config of no command"),
    ],
)
def test_a_mistake_of_the_user_ends_with_2_and_a_line(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended_with(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.InvalidUid("x"), 2),
        (errors.StorageError("x", path="y"), 2),
        (errors.DiskFull("x", path="y"), 2),
        (errors.RunAborted("x"), 3),
        (errors.NotFound("x", status_code=404), 4),
        (errors.Unreachable("x"), 5),
        (errors.TlsRejected("x"), 5),
        (errors.Stalled("x"), 5),
        (errors.Unauthorized("x", status_code=401), 5),
        (errors.UnexpectedContent("x"), 5),
        (errors.Incomplete("x", expected=2, received=1), 1),
        (errors.Truncated("x"), 1),
        (errors.OriginError("x", status_code=500), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_that_ends_a_command_has_its_code(
    error: errors.AsyncDicomError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code_of(error) == code

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(application, "main", fail)
    assert ended_with("get") == code
    assert capsys.readouterr().err.startswith(f"asyncdicom: {error}\n")


def test_what_breaks_off_has_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def abort(**_: object) -> None:
        raise click.exceptions.Abort

    monkeypatch.setattr(application, "main", abort)
    assert ended_with() == 130


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(BrokenPipeError(), "", id="the reader has gone"),
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device"),
            "asyncdicom: stdout cannot be written: No space left on device\n",
            id="the disk is full",
        ),
    ],
)
@pytest.mark.parametrize("is_in_a_task", [False, True])
def test_output_that_nobody_takes_is_no_crash(
    error: OSError,
    told: str,
    *,
    is_in_a_task: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def leave(**_: object) -> None:
        raise ExceptionGroup("tasks", [error]) if is_in_a_task else error

    monkeypatch.setattr(application, "main", leave)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    assert ended_with() == 1
    sys.stdout.close()
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(errno.ENOSPC, "full", "a file"), id="of a file"),
        pytest.param(OSError(errno.ECONNRESET, "reset"), id="of the network"),
        pytest.param(ExceptionGroup("tasks", [ValueError()]), id="another one"),
    ],
)
def test_what_is_no_error_of_stdout_is_not_told_as_one(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(application, "main", fail)
    with pytest.raises(type(error)):
        main([])


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        pytest.param("<&-", 5, id="stdin"),
        pytest.param(">&-", 5, id="stdout, not written to"),
        pytest.param("2>&-", 5, id="stderr"),
        pytest.param("<&- >&- 2>&-", 5, id="all"),
    ],
)
def test_no_socket_takes_the_place_of_a_closed_stream(redirection: str, code: int) -> None:
    # It would be given what is said to people, and libuv aborts (134) when it is closed.
    get = f"exec {sys.executable} -m asyncdicom get http://127.0.0.1:1/x --study 1.2 -r 0"
    assert subprocess.run(["sh", "-c", f"{get} {redirection}"], check=False).returncode == code


def test_a_signal_while_modules_are_imported_is_no_crash() -> None:
    code = """
import sys, types
class Interrupted(types.ModuleType):
    def __getattr__(self, name): raise KeyboardInterrupt
sys.modules["asyncdicom.cli.app"] = Interrupted("asyncdicom.cli.app")
from asyncdicom.__main__ import run
run()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_data_for_a_closed_stdout_is_not_taken_for_shown() -> None:
    line = f"exec {sys.executable} -m asyncdicom --version >&-"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "asyncdicom: stdout cannot be written: Bad file descriptor\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (ExitCode.ABORTED, 3)])
def test_a_command_may_return_its_code(
    monkeypatch: pytest.MonkeyPatch, returned: int | None, code: int
) -> None:
    monkeypatch.setattr(application, "main", lambda **_: returned)
    assert ended_with() == code


@pytest.mark.parametrize(
    ("arguments", "moved"),
    [
        (["get", "--config", "f", "x"], ["--config", "f", "get", "x"]),
        (["get", "x", "--config=f"], ["--config=f", "get", "x"]),
        (["get", "--", "--config", "f"], ["get", "--", "--config", "f"]),
        (["get", "x"], ["get", "x"]),
        (["get", "--config"], ["--config"]),
    ],
)
def test_config_may_stand_behind_the_command(arguments: list[str], moved: list[str]) -> None:
    assert app._config_first(arguments) == moved


CONFIGURATIONS = {
    "missing": None,
    "no TOML": b"x = [",
    "no text": b"\xff\xfe",
    "unknown option": b"[receive]\nnope = 1\n",
    "unknown command": b"[nope]\nx = 1\n",
    "unknown option of another command": b"[get]\nnope = 1\n",
    "argument": b"[receive]\nport = 11112\n",
    "number out of bounds": b"[receive]\nmax-pdu = 5\n",
    "no number": b"[receive]\nstudy-idle = nan\n",
    "no flag": b"[receive]\nquiet = 'maybe'\n",
    "half of a pair": b"[receive]\nconfig-file = 'x'\n",
    "no list": b"[receive]\nallow-from = '10.0.0.0/8'\n",
}


@pytest.mark.parametrize("spelling", ["--config FILE", "environment", "home"])
@pytest.mark.parametrize("content", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_configuration_that_receive_cannot_use_has_the_code_of_its_options(
    content: bytes | None,
    spelling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "xdg" / "asyncdicom" / "config.toml"
    file.parent.mkdir(parents=True)
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    if spelling != "home":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    if spelling == "environment":
        monkeypatch.setenv("ASYNCDICOM_CONFIG", str(file))
    words = ["--config", str(file)] if spelling == "--config FILE" else []
    assert ended_with("receive", "0", *words, "-od", str(tmp_path / "nope")) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_configuration_without_a_name_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended_with("receive", "0", "--config") == 1
    assert ended_with("get", "x", "--config") == 2
    assert ended_with("--config") == 2
    assert "requires an argument" in capsys.readouterr().err


@pytest.mark.parametrize("home", ["/dev/null", "/nonexistent", "x" * 300])
def test_a_home_that_cannot_be_read_is_no_home(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", home)
    assert ended_with("receive", "0", "-od", "/nonexistent") == 45


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("outcomes", "aborted", "code"),
    [
        pytest.param([STORED], None, 0, id="complete"),
        pytest.param([], None, 0, id="nothing to do"),
        pytest.param(
            [Stored(TARGET, "a", 1, ""), errors.ConnectionLost("x")], None, 1, id="partly"
        ),
        pytest.param([errors.Truncated("x")], None, 1, id="nothing whole"),
        pytest.param([errors.Unreachable("x")], None, 5, id="unreachable"),
        pytest.param([errors.NotFound("x", status_code=404)], None, 4, id="not there"),
        pytest.param([errors.Truncated("x")], "1 error", 3, id="aborted"),
        pytest.param([STORED], "interrupted", 3, id="stopped"),
        pytest.param([errors.Unreachable("x")], "1 error", 5, id="aborted as unreachable"),
    ],
)
async def test_each_end_of_a_run_has_its_code(
    outcomes: list[Stored | errors.AsyncDicomError], aborted: str | None, code: int
) -> None:
    tally = Tally()
    for outcome in outcomes:
        tally.record(outcome if isinstance(outcome, Stored) else Failed(TARGET, outcome))
    ended = tally.end(aborted)
    assert isinstance(ended, RunEnded)
    assert exit_code_of_run(ended, tally) == code


class Stopped:
    """Notes how it is stopped, and ends then."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []
        self.is_over = asyncio.Event()

    def stop(self, reason: str, *, grace_s: float) -> None:
        self.told.append((reason, grace_s))
        if grace_s == 0 or reason == "terminated":
            self.is_over.set()
        else:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("sent", "code", "told"),
    [
        pytest.param(signal.SIGTERM, 143, [("terminated", GRACE_S)], id="one signal"),
        pytest.param(
            signal.SIGINT, 130, [("interrupted", GRACE_S), ("terminated", 0.0)], id="two of them"
        ),
    ],
)
def test_a_signal_stops_what_runs_in_order(
    sent: signal.Signals, code: int, told: list[tuple[str, float]]
) -> None:
    stopped: list[Stopped] = []

    async def work(interrupts: Interrupts) -> int:
        stopped.append(Stopped())
        interrupts.stops(stopped[0])
        os.kill(os.getpid(), sent)
        await stopped[0].is_over.wait()
        return 1

    assert run(work) == code
    assert stopped[0].told == told


def test_a_signal_before_anything_runs_ends_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def work(_: Interrupts) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        return 0

    assert run(work) == 130
    assert "interrupted before anything was fetched" in capsys.readouterr().err


def test_a_command_that_is_left_alone_returns_its_code() -> None:
    async def work(_: Interrupts) -> int:
        return 4

    assert run(work) == 4
