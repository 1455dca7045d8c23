"""What `asyncdicom receive` says while it runs, through Python's logging.

    configure_logging(level="info", config_file=None)
    Receiver(settings, folder, observers=[EventLog(shows_paths=True)])

Loggers are `asyncdicom.receiver.association`, `.object`, `.study` and `.hook`, so that a
configuration file can part them.

Rule: messages hold UIDs and AE titles. A path is told only where it is made of these: with
names from a layout, folders may be called as patients are.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import tomllib
from configparser import Error as IniError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.dimse.sop_classes import sop_class_name, transfer_syntax_name
from asyncdicom.receiver.events import (
    AssociationBegan,
    AssociationEnded,
    AssociationRefused,
    ConnectionFailed,
    DuplicateFate,
    HookFailed,
    InstanceDuplicated,
    InstanceRefused,
    InstanceStored,
    Listening,
    ReceiverEnded,
    StudyCompleted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncdicom.receiver.events import ReceiverEvent

__all__ = ["LEVELS", "EventLog", "configure_logging"]

LEVELS: Final = {
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG - 5,
}

ROOT: Final = "asyncdicom.receiver"

_ASSOCIATION = logging.getLogger(f"{ROOT}.association")
_OBJECT = logging.getLogger(f"{ROOT}.object")
_STUDY = logging.getLogger(f"{ROOT}.study")
_HOOK = logging.getLogger(f"{ROOT}.hook")
_ITSELF = logging.getLogger(ROOT)

_KINDS: Final[Mapping[type[Any], tuple[logging.Logger, int]]] = {
    Listening: (_ITSELF, logging.INFO),
    AssociationBegan: (_ASSOCIATION, logging.INFO),
    AssociationEnded: (_ASSOCIATION, logging.INFO),
    AssociationRefused: (_ASSOCIATION, logging.WARNING),
    ConnectionFailed: (_ASSOCIATION, logging.WARNING),
    InstanceStored: (_OBJECT, logging.INFO),
    InstanceDuplicated: (_OBJECT, logging.INFO),
    InstanceRefused: (_OBJECT, logging.ERROR),
    StudyCompleted: (_STUDY, logging.INFO),
    HookFailed: (_HOOK, logging.ERROR),
    ReceiverEnded: (_ITSELF, logging.INFO),
}

_DEFAULTS: Final[dict[str, Any]] = {"version": 1, "disable_existing_loggers": False}
"""Of dictionaries, so that a file has to name neither."""

_INITIALS: Final = {"CRITICAL": "F", "ERROR": "E", "WARNING": "W", "INFO": "I", "DEBUG": "D"}

_MEMBERS_WITH_VALUES: Final = ("path", "message")
"""Of events; where paths are not told, these are not, either."""


def configure_logging(*, level: str, config_file: str | None) -> None:
    """Send messages to stderr from a level on, or wherever a file says.

    Raises:
        ConfigError: If the file cannot be read, or is no configuration of Python's logging.

    """
    if config_file is not None:
        _configure_from(Path(config_file))
        return
    handler = _ToStderr()
    handler.setFormatter(_WithInitial())
    logger = logging.getLogger(ROOT)
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(LEVELS[level])


# What dictConfig and fileConfig raise; dictConfig wraps in ValueError what handlers raise.
_UNUSABLE = (
    *(ValueError, TypeError, AttributeError, KeyError, RuntimeError, ImportError, OSError),
    IniError,
)


class EventLog:
    """Writes each event to the log (`ReceiverObserver`)."""

    def __init__(
        self, *, shows_paths: bool, tells_itself: bool = True, shows_contexts: bool = False
    ) -> None:
        """Prepare.

        Args:
            shows_paths: Whether paths hold nothing but dates and UIDs.
            tells_itself: Whether beginning and end are told, which somebody else may do.
            shows_contexts: Whether presentation contexts are told.

        """
        self._shows_paths = shows_paths
        self._tells_itself = tells_itself
        self._shows_contexts = shows_contexts

    def __call__(self, event: ReceiverEvent) -> None:
        """Take notice of an event."""
        logger, level = _kind_of(event)
        if not logger.isEnabledFor(level) or (logger is _ITSELF and not self._tells_itself):
            return
        logger.log(level, "%s", self._text(event))
        if self._shows_contexts and isinstance(event, AssociationBegan):
            for line in _contexts_of(event):
                logger.log(level, "%s", line)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", json.dumps(self._facts(event)))

    def _text(self, event: ReceiverEvent) -> str:
        if self._shows_paths:
            return str(event)
        match event:
            case InstanceStored():
                size = f"({event.byte_count} bytes)"
                return f"stored {event.sop_instance_uid} {size} from {event.caller}"
            case InstanceDuplicated():
                fate = event.fate.value
                return f"duplicate {event.sop_instance_uid} from {event.caller}: {fate}"
            case InstanceRefused():
                why = event.error.reason
                return f"refused an object from {event.caller} with {event.status:04X}: {why}"
            case _:
                return str(event)

    def _facts(self, event: ReceiverEvent) -> dict[str, Any]:
        facts = event.to_json()
        if not self._shows_paths:
            for name in _MEMBERS_WITH_VALUES:
                facts.pop(name, None)
        return facts


def _contexts_of(event: AssociationBegan) -> Iterator[str]:
    for number, (sop_class, transfer_syntax) in enumerate(event.contexts):
        answer = "refused" if transfer_syntax is None else transfer_syntax_name(transfer_syntax)
        yield f"  context {2 * number + 1}: {sop_class_name(sop_class)}: {answer}"


def _kind_of(event: ReceiverEvent) -> tuple[logging.Logger, int]:
    logger, level = _KINDS[type(event)]
    if isinstance(event, ConnectionFailed) and event.is_silent:
        # Load balancers look whether anybody listens, every few seconds.
        return logger, logging.INFO
    if isinstance(event, AssociationEnded) and event.failure is not None:
        return logger, logging.WARNING
    if isinstance(event, InstanceDuplicated) and event.fate is not DuplicateFate.SKIPPED:
        # dcmrecv warns, too, when a file gives way.
        return logger, logging.WARNING
    return logger, level


class _ToStderr(logging.StreamHandler[Any]):
    """Writes to what `sys.stderr` is now: a live line may stand in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _WithInitial(logging.Formatter):
    """`W: rejected ...`, as DCMTK's tools write."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_INITIALS.get(record.levelname, 'T')}: {super().format(record)}"


def _configure_from(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the logging configuration {str(path)!r}") from error
    if "log4cplus." in text:
        raise ConfigError(
            f"{str(path)!r} is a configuration of log4cplus, which DCMTK uses",
            hint="write one for Python's logging: TOML or JSON (dictConfig) or INI (fileConfig)",
        )
    try:
        _apply(path, text)
    except _UNUSABLE as e:
        raise ConfigError(
            f"cannot use the logging configuration {str(path)!r}: {_cause_of(e)}"
        ) from e


def _apply(path: Path, text: str) -> None:
    """Take a dictionary (TOML, JSON) or sections (INI), by the ending of the name."""
    match path.suffix.lower():
        case ".toml":
            logging.config.dictConfig(_DEFAULTS | tomllib.loads(text))
        case ".json":
            logging.config.dictConfig(_DEFAULTS | json.loads(text))
        case _:
            logging.config.fileConfig(path, disable_existing_loggers=False, encoding="utf-8")


def _cause_of(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"
