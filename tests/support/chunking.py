"""Ways to cut a payload as a network may: no verdict may depend on them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

__all__ = ["bytewise", "cut", "every_split", "feedings", "random_cuts", "whole"]


def whole(payload: bytes) -> list[bytes]:
    """Return the payload in one piece."""
    return [payload]


def bytewise(payload: bytes) -> list[bytes]:
    """Return the payload in pieces of one byte."""
    return [payload[i : i + 1] for i in range(len(payload))]


def cut(payload: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut a payload at the given offsets; pieces may be empty."""
    edges = [0, *sorted(places), len(payload)]
    return [payload[a:b] for a, b in pairwise(edges)]


def every_split(payload: bytes) -> Iterator[list[bytes]]:
    """Yield the payload in two pieces, cut at each offset."""
    for place in range(1, len(payload)):
        yield [payload[:place], payload[place:]]


def random_cuts(payload: bytes, source: random.Random, *, at_most: int) -> list[bytes]:
    """Cut a payload at up to `at_most` random offsets."""
    places = [source.randint(0, len(payload)) for _ in range(source.randint(0, at_most))]
    return cut(payload, places)


def feedings(payload: bytes) -> Iterator[list[bytes]]:
    """Yield the three ways each parser case is fed: whole, bytewise, every split."""
    yield whole(payload)
    yield bytewise(payload)
    yield from every_split(payload)
