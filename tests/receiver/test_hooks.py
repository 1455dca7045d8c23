"""Hooks run, a few at a time and not for long; what they do harms nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.receiver import hooks
from asyncdicom.receiver.events import (
    AssociationEnded,
    Caller,
    HookFailed,
    InstanceStored,
    StudyCompleted,
)
from asyncdicom.receiver.hook_commands import PLACEHOLDERS
from asyncdicom.receiver.hook_values import values_of
from asyncdicom.receiver.hooks import Hooks
from asyncdicom.receiver.settings import HookSettings
from asyncdicom.receiver.statistics import ReceiverStatistics
from tests.receiver.support import Told, rules, sending, serving, until
from tests.support.dicom import ct, uid

pytestmark = pytest.mark.anyio

CALLER = Caller(7, "127.0.0.1:4711", "-rf\0\n", "STORE")
STORED = InstanceStored(CALLER, "-a/b.dcm", "1.1", "1.2", "1.3", "1.4", "1.5", 100, "00")
ENDED = AssociationEnded(CALLER, 3, 1, 1000, 1.5, "the peer aborted")
COMPLETED = StudyCompleted("1.3", 3, 300, ("CT01", "CT\n02"))


def writing(folder: Path, *placeholders: str) -> str:
    """Return a hook that writes its arguments to a file of its own, at once or not at all."""
    script = folder / "hook.py"
    script.write_text(
        "import os, sys\n"
        "name = sys.argv[1] + str(os.getpid())\n"
        "open(name, 'w').write('\\n'.join(sys.argv[2:]))\n"
        "os.rename(name, name + '.done')\n"
    )
    return f"{sys.executable} -S {script} {folder}/out {' '.join(placeholders)}"


def written(folder: Path) -> list[list[str]]:
    return sorted(path.read_text().split("\n") for path in folder.glob("*.done"))


def made(told: Told, **settings: Any) -> tuple[Hooks, ReceiverStatistics]:
    statistics = ReceiverStatistics()
    return Hooks(HookSettings(**settings), "/out", told, statistics), statistics


async def test_hooks_run_for_instances_associations_and_studies(tmp_path: Path) -> None:
    root, scripts = tmp_path / "in", tmp_path / "scripts"
    scripts.mkdir()
    settings = HookSettings(
        on_object=writing(scripts, "object", "{file}", "{calling_ae}"),
        on_association=writing(scripts, "association", "{stored}", "{failure}"),
        on_study=writing(scripts, "study", "{study_instance_uid}", "{instances}"),
    )
    async with serving(root, hooks=settings, storing=rules("{PatientID}")) as served:
        async with sending(served.port, calling_ae="-rf") as sender:
            assert await sender.store(ct(number=1)) == 0
            await sender.release()
        await served.told.until(AssociationEnded)
    assert written(scripts) == [
        ["association", "1", ""],
        ["object", f"{root}/P-0042/{uid('instance', 1)}.dcm", "_rf"],
        ["study", uid("study", 1), "1"],
    ]
    assert not served.told.of(HookFailed)
    assert served.receiver.statistics().hooks_run == 3


async def test_the_environment_tells_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    script = f"import os; os.rename({str(tmp_path)!r}, os.environ['ASYNCDICOM_CALLING_AE'])"
    hooks_, _ = made(told, on_object=f'{sys.executable} -S -c "{script}"')
    new = tmp_path.with_name("-renamed")
    monkeypatch.chdir(tmp_path.parent)
    caller = Caller(1, "127.0.0.1:4711", "-renamed", "STORE")
    hooks_.note(InstanceStored(caller, "a", "1", "1", "1", "1", "1", 1, "0"))
    await hooks_.aclose(8)
    assert not told.events
    assert new.exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        pytest.param("/no/such/program", "cannot be run: No such file or directory", id="absent"),
        pytest.param("/etc/passwd", "cannot be run: Permission denied", id="no program"),
        pytest.param("false", "ended with 1", id="exit code"),
        pytest.param("sh -c 'kill -9 $$'", "ended with -9", id="killed"),
    ],
)
async def test_a_hook_that_fails_is_told_and_harms_nothing(
    tmp_path: Path, command: str, reason: str
) -> None:
    settings = HookSettings(on_object=command)
    async with serving(tmp_path, hooks=settings) as served, sending(served.port) as sender:
        assert await sender.store(ct(number=1)) == 0
        (failed,) = await served.told.until(HookFailed)
        assert await sender.store(ct(number=2)) == 0
    assert failed.reason == reason
    assert failed.hook == "object"
    assert failed.what == uid("instance", 1)
    assert served.receiver.statistics().hooks_failed == 2
    assert len(served.files()) == 2


async def test_a_hook_that_lasts_is_killed_with_its_children(tmp_path: Path) -> None:
    told = Told()
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $! > {pids}.part; mv {pids}.part {pids}; wait"
    hooks_, statistics = made(told, on_object=f"sh -c '{script}'", timeout_s=0.5)
    hooks_.note(STORED)
    (failed,) = await told.until(HookFailed)
    assert failed.reason == "was killed after 0.5 s"
    child = int(pids.read_text())
    await until(lambda: not is_alive(child))
    await hooks_.aclose(0)
    assert (statistics.hooks_run, statistics.hooks_running) == (1, 0)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


async def test_only_a_few_run_at_a_time(tmp_path: Path) -> None:
    told = Told()
    gate = tmp_path / "gate"
    script = f"while [ ! -e {gate} ]; do sleep 0.01; done"
    hooks_, statistics = made(told, on_object=f"sh -c '{script}'", max_at_once=2)
    for _ in range(5):
        hooks_.note(STORED)
    await until(lambda: statistics.hooks_run == 2)
    assert statistics.hooks_running == 2
    gate.touch()
    await hooks_.aclose(8)
    assert statistics.hooks_run == 5
    assert not told.events


async def test_those_that_wait_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "MAX_WAITING", 2)
    told = Told()
    hooks_, _ = made(told, on_object="sleep 600", max_at_once=1)
    for _ in range(4):
        hooks_.note(STORED)
    assert [one.reason for one in told.of(HookFailed)] == ["was not run: 2 others wait"]
    await hooks_.aclose(0)
    reasons = [one.reason for one in told.of(HookFailed)[1:]]
    assert reasons == [*["was not run: the receiver ended before"] * 2, reasons[2]]
    assert reasons[2] == "was killed: the receiver ended"


async def test_a_hook_that_was_about_to_begin_is_told_as_failed() -> None:
    told = Told()
    hooks_, _ = made(told, on_object="true")
    hooks_.note(STORED)
    hooks_.hurry()
    await hooks_.aclose(0)
    (failed,) = told.of(HookFailed)
    assert failed.reason == "was killed: the receiver ended"


@pytest.mark.parametrize("timeout_s", [0.1, 600], ids=["too long", "to the end"])
async def test_a_hook_that_may_not_be_killed_is_told_and_holds_up_nobody(
    timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(_group: int, _number: int) -> None:
        # As for a command behind sudo, which runs as somebody else.
        raise PermissionError(errno.EPERM, "Operation not permitted")

    start = asyncio.create_subprocess_exec
    processes: list[asyncio.subprocess.Process] = []

    async def started(*command: Any, **how: Any) -> asyncio.subprocess.Process:
        processes.append(await start(*command, **how))
        return processes[0]

    monkeypatch.setattr(os, "killpg", forbid)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)
    told = Told()
    hooks_, _ = made(told, on_object="sleep 600", timeout_s=timeout_s)
    hooks_.note(STORED)
    await until(lambda: processes)
    if timeout_s < 1:
        await told.until(HookFailed)
    await hooks_.aclose(0)
    assert [one.reason for one in told.of(HookFailed)] == ["may not be killed, and runs on"]
    assert processes[0].returncode is None
    processes[0].kill()
    await processes[0].wait()


async def test_the_end_waits_for_hooks_but_not_for_ever() -> None:
    told = Told()
    hooks_, _ = made(told, on_association="sleep 600")
    hooks_.note(ENDED)
    began_s = asyncio.get_running_loop().time()
    await hooks_.aclose(0.1)
    assert asyncio.get_running_loop().time() - began_s < 30
    (failed,) = told.of(HookFailed)
    assert failed.reason == "was killed: the receiver ended"


@pytest.mark.parametrize("hook", ["on_object", "on_association", "on_study"])
async def test_a_hook_that_cannot_be_read_is_refused_at_once(hook: str) -> None:
    with pytest.raises(ConfigError, match="unknown placeholder"):
        made(Told(), **{hook: "run {PatientName}"})


@pytest.mark.parametrize(
    ("kind", "event", "what"),
    [
        pytest.param("object", STORED, "1.2", id="object"),
        pytest.param("association", ENDED, "association 7", id="association"),
        pytest.param("study", COMPLETED, "1.3", id="study"),
    ],
)
def test_each_placeholder_has_its_value(kind: str, event: Any, what: str) -> None:
    told, values = values_of(event, "/out")
    assert told == what
    assert values.keys() == set(PLACEHOLDERS[kind])
    assert all(value.isprintable() for value in values.values())


@pytest.mark.parametrize(
    ("ae_title", "value"),
    [
        pytest.param("../../etc", "_._.._etc", id="to elsewhere"),
        pytest.param("..", "_.", id="up"),
        pytest.param(".", "_", id="here"),
        pytest.param("/etc", "_etc", id="from the root"),
        pytest.param("CT 1.2", "CT 1.2", id="an AE title"),
        pytest.param("", "", id="none"),
    ],
)
def test_an_ae_title_leads_to_no_other_folder(ae_title: str, value: str) -> None:
    caller = Caller(7, "127.0.0.1:4711", ae_title, ae_title)
    _, values = values_of(STORED._replace(caller=caller), "/out")
    assert values["calling_ae"] == values["called_ae"] == value
    _, of_study = values_of(StudyCompleted("1.3", 3, 300, (ae_title, "CT02")), "/out")
    assert of_study["calling_aes"] == f"{value}\\CT02"


def test_values_are_fit_for_arguments() -> None:
    _, values = values_of(STORED, "/out")
    assert values["calling_ae"] == "-rf__"
    assert values["path"] == "./-a/b.dcm"
    assert values["file"] == "/out/-a/b.dcm"
    assert values["folder"] == "/out/-a"
    assert values_of(COMPLETED, "/out")[1]["calling_aes"] == "CT01\\CT_02"
    with pytest.raises(TypeError, match="HookFailed"):
        values_of(HookFailed("object", "x", "y", "z"), "/out")
