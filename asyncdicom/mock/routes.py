"""What a DICOMweb path asks for (PS3.18 §10.4.1.1, §10.6.1.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from asyncdicom.model import Resource, is_uid

__all__ = ["Level", "Refused", "Route", "parse_route"]

Level = Resource
"""STUDY, SERIES or INSTANCE, where a level is meant."""

LEVELS = {"studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}

ENDS = {
    "metadata": Resource.METADATA,
    "rendered": Resource.RENDERED,
    "thumbnail": Resource.THUMBNAIL,
}


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


def parse_route(path: str) -> Route:
    """Read a path below the DICOMweb root, such as `studies/1.2/metadata`.

    Raises:
        Refused: 404 if it names no resource, 400 if an identifier is nonsense.

    """
    route = Route(Resource.SEARCH, Level.STUDY)
    rest = path.strip("/").split("/")
    while rest and rest[0] in LEVELS:
        route = descend(route, LEVELS[rest[0]], rest[1:2])
        rest = rest[2:]
    return finish(route, rest) if rest else known(route, path)


def descend(route: Route, level: Level, identifier: list[str]) -> Route:
    """Go one level deeper: to one target, or to the search for such targets."""
    if not identifier:
        return replace(route, resource=Resource.SEARCH, level=level)
    (uid,) = identifier
    if not is_uid(uid):
        raise Refused(400, f"not a UID: {uid[:70]!r}")
    route = replace(route, resource=level, level=level)
    match level:
        case Level.STUDY:
            return replace(route, study=uid)
        case Level.SERIES:
            return replace(route, series=uid)
    return replace(route, instance=uid)


def known(route: Route, path: str) -> Route:
    """Refuse paths that skip a level, such as `series/1.2`."""
    uids = (route.study, route.series, route.instance)
    if route.resource is Resource.SEARCH and path.strip("/").partition("/")[0] in LEVELS:
        return route
    depth = (Level.STUDY, Level.SERIES, Level.INSTANCE).index(route.level) + 1
    if route.resource is not Resource.SEARCH and None not in uids[:depth]:
        return route
    raise Refused(404, "no such resource; see PS3.18 Table 10.4.1-1")


def finish(route: Route, rest: list[str]) -> Route:
    """Read what follows the last UID."""
    route = known(route, "")
    match rest:
        case [end] if end in ENDS:
            return replace(route, resource=ENDS[end])
        case ["frames", numbers]:
            return replace(at_instance(route), resource=Resource.FRAME, frames=frames(numbers))
        case ["frames", numbers, ("rendered" | "thumbnail") as end]:
            return replace(at_instance(route), resource=ENDS[end], frames=frames(numbers))
        case ["bulkdata", tag]:
            return replace(at_instance(route), resource=Resource.BULKDATA, bulk_tag=tag.upper())
    raise Refused(404, "no such resource; see PS3.18 Table 10.4.1-1")


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
