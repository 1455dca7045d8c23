"""The tree of errors: documented, exported, one line each, with the facts they promise."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom import errors
from asyncdicom.errors import (
    MAX_SHOWN_CHARACTERS,
    AsyncDicomError,
    ConfigError,
    ConnectionLost,
    DiskFull,
    Incomplete,
    InvalidUid,
    LimitExceeded,
    NameTaken,
    NotFound,
    ProtocolError,
    StorageError,
    Throttled,
    TlsRejected,
    TransportError,
    Truncated,
    UidMismatch,
    UnsafeName,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def classes_below(base: type[BaseException]) -> Iterator[type[BaseException]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from classes_below(kind)


ALL: list[type[BaseException]] = [AsyncDicomError, *classes_below(AsyncDicomError), UsageError]


FACTS: dict[str, Any] = {
    "message": "it happened",
    "status": 0xA700,
    "status_code": 404,
    "expected": "1.2.3",
    "received": "1.2.4",
    "path": "out/1.dcm",
}
"""What each error can be made of."""


def example_of(kind: type[BaseException]) -> BaseException:
    if not issubclass(kind, AsyncDicomError):
        return kind("it happened")
    names = inspect.signature(kind).parameters
    return kind(**{name: FACTS[name] for name in names if name in FACTS})


def parents_in_docstring() -> dict[str, str]:
    """Read the tree that the module draws of itself: name and name above it."""
    assert errors.__doc__ is not None
    above: list[str] = []
    parents: dict[str, str] = {}
    for bullet in re.finditer(r"^( *)\* `(\w+)`", errors.__doc__, flags=re.MULTILINE):
        depth = len(bullet[1]) // 4
        above[depth:] = [bullet[2]]
        parents[bullet[2]] = above[depth - 1] if depth else ""
    return parents


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in ALL}
    assert parents_in_docstring() == {**real, "AsyncDicomError": "", "UsageError": ""}


def test_every_error_is_exported() -> None:
    assert sorted(errors.__all__) == errors.__all__
    assert {kind.__name__ for kind in ALL} == set(errors.__all__)
    assert set(errors.__all__) <= set(asyncdicom.__all__)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_speaks_in_lower_case_without_a_period(kind: type[BaseException]) -> None:
    line = str(example_of(kind))
    assert line.isprintable()
    assert line[0].islower()
    assert not line.endswith(".")


@pytest.mark.parametrize("kind", ALL)
def test_an_error_says_itself_what_it_is_for(kind: type[BaseException]) -> None:
    assert kind.__dict__["__doc__"]


def test_a_wrong_program_is_not_an_error_of_the_world() -> None:
    assert not issubclass(UsageError, AsyncDicomError)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        pytest.param(AsyncDicomError("it failed"), "it failed", id="plain"),
        pytest.param(ConfigError("not a URL"), "not a URL", id="without a hint"),
        pytest.param(ConfigError("not a URL", hint="give one"), "not a URL; give one", id="hint"),
        pytest.param(TransportError("reset"), "reset", id="without an origin"),
        pytest.param(
            ConnectionLost("reset", origin="https://a:443"), "reset (https://a:443)", id="origin"
        ),
        pytest.param(ProtocolError("no boundary"), "no boundary", id="without an offset"),
        pytest.param(Truncated("cut", offset=0), "cut at byte 0", id="the first byte"),
        pytest.param(
            UidMismatch(expected="1.2", received="1.3"),
            "asked for instance 1.2, received 1.3",
            id="another instance",
        ),
        pytest.param(DiskFull("no space", path="a/b"), "no space: a/b", id="path"),
        pytest.param(
            StorageError("no space", path="a", hint="make room"),
            "no space: a; make room",
            id="path and hint",
        ),
        pytest.param(
            UnsafeName("odd", path="a\nb\x1b[2J"), r"odd: a\nb\x1b[2J", id="control characters"
        ),
        pytest.param(
            UnsafeName("long", path="x" * 600), f"long: {'x' * 509}...", id="a path without end"
        ),
        pytest.param(
            UnsafeName("long", path="x" * MAX_SHOWN_CHARACTERS),
            f"long: {'x' * MAX_SHOWN_CHARACTERS}",
            id="a path that just fits",
        ),
    ],
)
def test_an_error_is_one_line(error: AsyncDicomError, shown: str) -> None:
    assert str(error) == shown
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(TlsRejected("x"), "tls-rejected", id="two words"),
        pytest.param(Truncated("x"), "truncated", id="one word"),
        pytest.param(InvalidUid("x"), "invalid-uid", id="uid"),
        pytest.param(LimitExceeded("x"), "limit-exceeded", id="limit"),
    ],
)
def test_reasons_are_words_for_scripts(error: AsyncDicomError, reason: str) -> None:
    assert error.reason == reason


def test_facts_are_kept() -> None:
    throttled = Throttled("busy", status_code=503, retry_after_s=2.5)
    assert (throttled.status_code, throttled.retry_after_s) == (503, 2.5)
    assert NotFound("gone", status_code=404).retry_after_s is None
    incomplete = Incomplete("some", expected=3, received=2, missing=("1.2",))
    assert (incomplete.expected, incomplete.received, incomplete.missing) == (3, 2, ("1.2",))
    taken = NameTaken("taken", path="a", existing_byte_count=7, is_identical=True)
    assert (taken.path, taken.existing_byte_count, taken.is_identical) == ("a", 7, True)
