"""Faults of the S3 face, in the language of `faults`.

    NAME:KIND[+KIND…][:option=value[,option=value…]]

    503:object:retry-after=1,times=3         three are told to slow down
    truncate:object:at=4000                  objects end after 4000 bytes, and say so
    cut:object:at=1000,times=1,per=path      each object breaks once after 1000 bytes
    changed:object:after=2                   another version is there after two answers
    404:object:path=*/1.2.3.dcm              this one is listed, and is not there
    repeat-token:listing                     the list never comes to an end

NAME is one of `s3_effects.S3_EFFECTS`, or a status. KIND is object (GET), head (HEAD) or
listing, and says that a fault is one of S3; it may be left out where no other face has
an effect of that name. Selectors are those of all faults; the path of a request is
`/BUCKET/KEY`, that of a list `/BUCKET`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.mock.effects import EFFECTS
from asyncdicom.mock.faults import Fault, Plan, read_pairs, read_selector, read_settings
from asyncdicom.mock.s3_effects import S3_EFFECTS, S3_KINDS, S3Effect, s3_status_effect

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["S3Plan", "is_s3_fault", "parse_s3_fault"]


def is_s3_fault(text: str) -> bool:
    """Tell whether a fault is one of S3: by its kind, or by a name that only S3 has."""
    name, kinds, _ = _split(text)
    return bool(set(kinds.split("+")) & set(S3_KINDS)) or name in S3_EFFECTS.keys() - EFFECTS.keys()


def _split(text: str) -> tuple[str, str, str]:
    """Split a fault into name, kinds and options."""
    name, _, rest = text.strip().partition(":")
    first, _, others = rest.partition(":")
    return (name, "", first) if "=" in first else (name, first, others)


def _effect(name: str) -> S3Effect | None:
    return S3_EFFECTS.get(name) or s3_status_effect(name)


def parse_s3_fault(text: str) -> Fault:
    """Read a fault.

    Raises:
        ConfigError: If a name is unknown, or a value is of the wrong kind.

    """
    name, kinds, options = _split(text)
    effect = _effect(name)
    if effect is None:
        raise ConfigError(f"unknown fault: {name!r}", hint="`mock --list-faults` lists them")
    pairs = read_pairs(options, text)
    selector = read_selector(kinds, pairs, text, frozenset(effect.kinds))
    return Fault(effect, selector, read_settings(effect, pairs, text), text.strip())


class S3Plan(Plan[Fault]):
    """Faults of S3.

    Args:
        faults: As text, or read already.

    """

    def __init__(self, faults: Iterable[Fault | str] = ()) -> None:
        super().__init__(f if isinstance(f, Fault) else parse_s3_fault(f) for f in faults)
