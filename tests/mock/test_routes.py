"""Paths are read as PS3.18 §10.4.1.1 and §10.6.1.1 lay them out."""

from __future__ import annotations

import pytest

from asyncdicom.mock.routes import Level, Refused, Route, parse_route
from asyncdicom.model import Resource

R = Resource
INSTANCE = "studies/1/series/2/instances/3"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("studies", Route(R.SEARCH, Level.STUDY)),
        ("/studies/", Route(R.SEARCH, Level.STUDY)),
        ("series", Route(R.SEARCH, Level.SERIES)),
        ("instances", Route(R.SEARCH, Level.INSTANCE)),
        ("studies/1", Route(R.STUDY, Level.STUDY, "1")),
        ("studies/1/series", Route(R.SEARCH, Level.SERIES, "1")),
        ("studies/1/instances", Route(R.SEARCH, Level.INSTANCE, "1")),
        ("studies/1/metadata", Route(R.METADATA, Level.STUDY, "1")),
        ("studies/1/series/2", Route(R.SERIES, Level.SERIES, "1", "2")),
        ("studies/1/series/2/instances", Route(R.SEARCH, Level.INSTANCE, "1", "2")),
        ("studies/1/series/2/thumbnail", Route(R.THUMBNAIL, Level.SERIES, "1", "2")),
        (INSTANCE, Route(R.INSTANCE, Level.INSTANCE, "1", "2", "3")),
        (f"{INSTANCE}/rendered", Route(R.RENDERED, Level.INSTANCE, "1", "2", "3")),
        (f"{INSTANCE}/frames/1,2", Route(R.FRAME, Level.INSTANCE, "1", "2", "3", (1, 2))),
        (f"{INSTANCE}/frames/4/rendered", Route(R.RENDERED, Level.INSTANCE, "1", "2", "3", (4,))),
        (
            f"{INSTANCE}/bulkdata/7fe00010",
            Route(R.BULKDATA, Level.INSTANCE, "1", "2", "3", (), "7FE00010"),
        ),
    ],
)
def test_a_path_names_a_resource(path: str, route: Route) -> None:
    assert parse_route(path) == route


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 404),
        ("nothing", 404),
        ("studies/1/nothing", 404),
        ("series/2", 404),
        ("series/2/instances", 404),
        ("studies/1/studies", 404),
        ("instances/3", 404),
        ("studies/1/instances/3", 404),
        ("metadata", 404),
        ("studies/metadata", 400),
        ("studies/1/frames/1", 404),
        ("studies/1/bulkdata/7FE00010", 404),
        ("studies/../etc", 400),
        ("studies/1/series/x", 400),
        (f"studies/{'1' * 65}", 400),
        (f"{INSTANCE}/frames", 404),
        (f"{INSTANCE}/frames/0", 400),
        (f"{INSTANCE}/frames/-1", 400),
        (f"{INSTANCE}/frames/1,,2", 400),
        (f"{INSTANCE}/frames/1,x", 400),
        (f"{INSTANCE}/bulkdata/7FE00010/more", 404),
    ],
)
def test_a_path_that_names_nothing_is_refused(path: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        parse_route(path)
    assert refused.value.status == status
