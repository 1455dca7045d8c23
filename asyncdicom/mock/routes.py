"""What a DICOMweb path asks for (PS3.18 §10.4.1.1, §10.6.1.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from asyncdicom.model import Resource, is_uid

__all__ = ["Level", "Refused", "Route", "parse_route"]

Level = Resource
"""STUDY, SERIES or INSTANCE, where a level is meant."""

LEVELS = {"studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}
"""Names in a path, in the order in which they may follow each other."""

ENDS = {
    "metadata": Resource.METADATA,
    "rendered": Resource.RENDERED,
    "thumbnail": Resource.THUMBNAIL,
}


NO_RESOURCE = "no such resource; see PS3.18 Table 10.4.1-1"


class Refused(Exception):
    """A request that is answered with an error status.

    Attributes:
        status: HTTP status, 400 to 599.
        detail: One sentence for the person who reads the body.

    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Route:
    """What is asked for."""

    resource: Resource
    level: Level
    """Of the target; of the results where the resource is SEARCH."""
    study: str | None = None
    series: str | None = None
    instance: str | None = None
    frames: tuple[int, ...] = ()
    """From 1; for FRAME, and for a rendered frame."""
    bulk_tag: str = ""


@lru_cache(maxsize=4096)
def parse_route(path: str) -> Route:
    """Read a path below the DICOMweb root, such as `studies/1.2/metadata`.

    Raises:
        Refused: 404 if it names no resource, 400 if an identifier is nonsense.

    """
    pieces = path.strip("/").split("/")
    names = tuple(LEVELS)
    depth = 0
    while depth < 3 and len(pieces) > 2 * depth + 1 and pieces[2 * depth] == names[depth]:
        depth += 1
    uids, rest = pieces[1 : 2 * depth : 2], pieces[2 * depth :]
    for uid in uids:
        if not is_uid(uid):
            raise Refused(400, f"not a UID: {uid[:70]!r}")
    study, series, instance = (*uids, None, None, None)[:3]
    if len(rest) == 1 and rest[0] in names[depth:]:
        return Route(Resource.SEARCH, LEVELS[rest[0]], study, series, instance)
    if not depth:
        raise Refused(404, NO_RESOURCE)
    level = LEVELS[names[depth - 1]]
    route = Route(level, level, study, series, instance)
    return finish(route, rest) if rest else route


def finish(route: Route, rest: list[str]) -> Route:
    """Read what follows the last UID."""
    match rest:
        case [end] if end in ENDS:
            return replace(route, resource=ENDS[end])
        case ["frames", numbers]:
            return replace(at_instance(route), resource=Resource.FRAME, frames=frames(numbers))
        case ["frames", numbers, ("rendered" | "thumbnail") as end]:
            return replace(at_instance(route), resource=ENDS[end], frames=frames(numbers))
        case ["bulkdata", tag]:
            return replace(at_instance(route), resource=Resource.BULKDATA, bulk_tag=tag.upper())
    raise Refused(404, NO_RESOURCE)


def at_instance(route: Route) -> Route:
    """Refuse frames and bulk data of anything but an instance."""
    if route.level is not Level.INSTANCE:
        raise Refused(404, "only instances have frames and bulk data")
    return route


def frames(numbers: str) -> tuple[int, ...]:
    """Read a frame list: comma separated, from 1 (PS3.18 §10.4.1.1.3)."""
    texts = numbers.split(",")
    if not all(text.isascii() and text.isdecimal() and int(text[:9]) > 0 for text in texts):
        raise Refused(400, f"not a list of frame numbers: {numbers[:70]!r}")
    return tuple(int(text[:9]) for text in texts)
