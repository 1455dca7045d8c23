"""Patterns over keys as s5cmd has them: `*` is any text, slashes too, and `?` one character.

    is_wanted = Selection("uuid/*.dcm", exclude=("*/private/*",)).matches
    prefix = literal_prefix("uuid/*.dcm")       # "uuid/": what has to be listed

Rule: there are no other signs; `[` and `{` are letters of a key. A pattern runs in time
linear in the length of the key for each `*`, whatever it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Selection", "has_wildcard", "literal_prefix", "matcher"]

_WILDCARD = re.compile(r"[*?]")


def has_wildcard(text: str) -> bool:
    """Tell whether a text is a pattern and not the name of one object."""
    return _WILDCARD.search(text) is not None


def literal_prefix(pattern: str) -> str:
    """Return what all keys that match begin with."""
    wildcard = _WILDCARD.search(pattern)
    return pattern if wildcard is None else pattern[: wildcard.start()]


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a whole key matches."""
    expression = _expression(pattern)
    return lambda key: expression.fullmatch(key) is not None


def _expression(pattern: str) -> re.Pattern[str]:
    # Each run of text between two `*` is looked for once, at its first place: an atomic group
    # (`(?>...)`) never comes back to it, which plain `.*` would, once for each `*`.
    head, *runs = re.sub(r"\*+", "*", pattern).split("*")
    if not runs:
        return re.compile(_run(head), re.DOTALL)
    *inner, last = runs
    text = _run(head) + "".join([f"(?>.*?{_run(run)})" for run in inner if run])
    return re.compile(f"{text}.*{_run(last)}", re.DOTALL)


def _run(text: str) -> str:
    return re.escape(text).replace(r"\?", ".")


class Selection:
    """Which keys are wanted: by one pattern, and by lists of what to include and exclude.

    Args:
        pattern: That all keys have to match, or None.
        include: A key has to match one of these, if there are any.
        exclude: A key must match none of these.

    """

    def __init__(
        self,
        pattern: str | None = None,
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> None:
        self._pattern = None if pattern is None else matcher(pattern)
        self._include = tuple(map(matcher, include))
        self._exclude = tuple(map(matcher, exclude))

    def matches(self, key: str) -> bool:
        """Tell whether a key is wanted.

        Args:
            key: As a whole; for `include` and `exclude`, s5cmd takes what is behind the prefix
                that was listed, and so may the caller.

        """
        if self._pattern is not None and not self._pattern(key):
            return False
        if self._include and not any(matches(key) for matches in self._include):
            return False
        return not any(matches(key) for matches in self._exclude)
