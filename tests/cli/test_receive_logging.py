"""What `receive` says: levels, files of Python's logging, and never a patient's name."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, get_args

import pytest

from asyncdicom.cli.receive_logging import EventLog, configure_logging
from asyncdicom.errors import ConfigError, DiskFull
from asyncdicom.receiver.events import (
    AssociationBegan,
    AssociationEnded,
    AssociationRefused,
    Caller,
    ConnectionFailed,
    DuplicateFate,
    HookFailed,
    InstanceDuplicated,
    InstanceRefused,
    InstanceStored,
    Listening,
    ReceiverEnded,
    ReceiverEvent,
    StudyCompleted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLER = Caller(1, "127.0.0.1:4711", "CT1", "STORE")
PATH = "Doe^Jane/1.2.3.dcm"
STORED = InstanceStored(CALLER, PATH, "1.2", "1.2.3", "1", "1.2", "1.2.840.10008.1.2", 9, "00")
EVENTS: dict[str, tuple[ReceiverEvent, str]] = {
    "listening": (Listening("127.0.0.1", 104), "I"),
    "began": (AssociationBegan(CALLER), "I"),
    "released": (AssociationEnded(CALLER, 1, 0, 9, 0.1), "I"),
    "broken": (AssociationEnded(CALLER, 1, 0, 9, 0.1, "aborted"), "W"),
    "rejected": (AssociationRefused(CALLER, "unknown", is_transient=False), "W"),
    "failed": (ConnectionFailed("127.0.0.1:4711", "no TLS", is_silent=False), "W"),
    "probe": (ConnectionFailed("127.0.0.1:4711", "it left", is_silent=True), "I"),
    "stored": (STORED, "I"),
    "replaced": (InstanceDuplicated(CALLER, "1.2.3", PATH, DuplicateFate.REPLACED), "W"),
    "skipped": (InstanceDuplicated(CALLER, "1.2.3", PATH, DuplicateFate.SKIPPED), "I"),
    "refused": (InstanceRefused(CALLER, "1.2.3", 0xA700, DiskFull("disk is full", path=PATH)), "E"),
    "study": (StudyCompleted("1", 1, 9, ("CT1",)), "I"),
    "hook": (HookFailed("study", "program", "1", "ended with 1"), "E"),
    "ended": (ReceiverEnded(1, 0, 0, 1, 0, 9, 0.1), "I"),
}
LEVELS = ("F", "E", "W", "I", "D")


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("asyncdicom.receiver")
    before = (root.handlers[:], root.level, ours.handlers[:], ours.level, ours.propagate)
    # As in a new process: an earlier test may have run the whole command in this one.
    ours.handlers, ours.propagate = [], True
    ours.setLevel(logging.NOTSET)
    yield
    for handler in {*root.handlers, *ours.handlers} - {*before[0], *before[2]}:
        handler.close()
    root.handlers, root.level = before[0], before[1]
    ours.handlers, ours.propagate = before[2], before[4]
    ours.setLevel(before[3])
    for name in ("association", "object", "study", "hook"):
        logging.getLogger(f"asyncdicom.receiver.{name}").setLevel(logging.NOTSET)


def test_each_kind_of_event_is_told() -> None:
    assert {type(event) for event, _ in EVENTS.values()} == set(get_args(ReceiverEvent))


@pytest.mark.parametrize(("event", "initial"), EVENTS.values(), ids=EVENTS)
@pytest.mark.parametrize(
    ("level", "shown"), [("fatal", "F"), ("error", "FE"), ("warn", "FEW"), ("info", "FEWI")]
)
def test_an_event_is_told_from_its_level_on(
    level: str, shown: str, event: ReceiverEvent, initial: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(level=level, config_file=None)
    EventLog(shows_paths=True)(event)
    expected = f"{initial}: {event}\n" if initial in shown else ""
    assert capsys.readouterr().err == expected


def test_presentation_contexts_are_told_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", config_file=None)
    contexts = (("1.2.840.10008.1.1", "1.2.840.10008.1.2"), ("2.999.9.1", None))
    EventLog(shows_paths=True, shows_contexts=True)(AssociationBegan(CALLER, contexts))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "I:   context 1: Verification: Implicit VR Little Endian",
        "I:   context 3: 2.999.9.1: refused",
    ]


@pytest.mark.parametrize("level", ["debug", "trace"])
def test_debugging_tells_all_that_is_known(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level=level, config_file=None)
    EventLog(shows_paths=True)(STORED)
    text, facts = capsys.readouterr().err.splitlines()
    assert text == f"I: {STORED}"
    assert json.loads(facts.removeprefix("D: ")) == STORED.to_json()


@pytest.mark.parametrize(("event", "_initial"), EVENTS.values(), ids=EVENTS)
def test_no_path_that_may_name_a_patient_is_told(
    event: ReceiverEvent, _initial: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(level="trace", config_file=None)
    EventLog(shows_paths=False)(event)
    said = capsys.readouterr().err
    assert said
    assert "Doe" not in said


def test_beginning_and_end_are_left_to_others(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="debug", config_file=None)
    log = EventLog(shows_paths=True, tells_itself=False)
    for name in ("listening", "ended"):
        log(EVENTS[name][0])
    assert capsys.readouterr().err == ""


def test_handlers_of_others_are_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.StreamHandler()
    logging.getLogger().addHandler(root)
    configure_logging(level="info", config_file=None)
    EventLog(shows_paths=True)(STORED)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_file_that_says_only_the_root_is_for_everything(tmp_path: Path) -> None:
    file, log = tmp_path / "logging.toml", tmp_path / "log"
    file.write_text(
        f"""[handlers.file]
class = "logging.FileHandler"
filename = "{log}"
[root]
handlers = ["file"]
level = "INFO"
"""
    )
    configure_logging(level="warn", config_file=str(file))
    for name in ("began", "stored", "study", "hook"):
        EventLog(shows_paths=True)(EVENTS[name][0])
    assert len(log.read_text().splitlines()) == 4


CONFIGURATIONS = {
    "logging.toml": """
[handlers.file]
class = "logging.FileHandler"
filename = "LOG"
[loggers."asyncdicom.receiver.object"]
handlers = ["file"]
level = "INFO"
""",
    "logging.json": """{
"handlers": {"file": {"class": "logging.FileHandler", "filename": "LOG"}},
"loggers": {"asyncdicom.receiver.object": {"handlers": ["file"], "level": "INFO"}}}
""",
    "logging.cfg": """
[loggers]
keys = root, objects
[handlers]
keys = file
[formatters]
keys =
[logger_root]
handlers =
[logger_objects]
qualname = asyncdicom.receiver.object
handlers = file
level = INFO
[handler_file]
class = FileHandler
args = ("LOG",)
""",
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_file_says_what_goes_where(name: str, tmp_path: Path) -> None:
    file, log = tmp_path / name, tmp_path / "log"
    file.write_text(CONFIGURATIONS[name].replace("LOG", str(log)))
    configure_logging(level="warn", config_file=str(file))
    EventLog(shows_paths=True)(STORED)
    EventLog(shows_paths=True)(EVENTS["began"][0])
    assert log.read_text() == f"{STORED}\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param(
            "a", "log4cplus.rootLogger = DEBUG, console", "which DCMTK uses", id="log4cplus"
        ),
        pytest.param("a.toml", "handlers = ", "TOMLDecodeError", id="no TOML"),
        pytest.param("a.json", "{", "JSONDecodeError", id="no JSON"),
        pytest.param("a.json", "[]", "cannot use", id="no dictionary"),
        pytest.param("a.json", '{"version": 2}', "Unsupported version", id="unknown version"),
        pytest.param("a.toml", "loggers.a.handlers = ['no']", "cannot use", id="no such handler"),
        pytest.param("a.ini", "", "cannot use", id="empty"),
        pytest.param("a.ini", "no section", "cannot use", id="no INI"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        configure_logging(level="warn", config_file=str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "logging"
    if kind == "folder":
        file.mkdir()
    elif kind == "not UTF-8":
        file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=str(file)):
        configure_logging(level="warn", config_file=str(file))
