"""Where `dump` puts things: scripts rely on it (DESIGN §5)."""

from __future__ import annotations

import pytest

from asyncdicom.jobs.dump_paths import path_of
from asyncdicom.model import Resource, Target, Uid

STUDY, SERIES, SOP = Uid("1"), Uid("2"), Uid("3")
ALL = (STUDY, SERIES, SOP)
BELOW = "1/series/2/instances/3"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target(Resource.METADATA, STUDY), "1/metadata"),
        (Target(Resource.METADATA, STUDY, SERIES), "1/series/2/metadata"),
        (Target(Resource.METADATA, *ALL), f"{BELOW}/metadata"),
        (Target(Resource.FRAME, *ALL, 17), f"{BELOW}/frames/17"),
        (Target(Resource.INSTANCE, *ALL), f"{BELOW}/_/3"),
        (
            Target(Resource.BULKDATA, *ALL, attribute="52009229.1.00280030"),
            f"{BELOW}/bulkdata/52009229.1.00280030",
        ),
        (Target(Resource.RENDERED, *ALL), f"{BELOW}/rendered"),
        (Target(Resource.THUMBNAIL, *ALL), f"{BELOW}/thumbnail"),
        (Target(Resource.SEARCH, STUDY), "1/search/series"),
        (Target(Resource.SEARCH, STUDY, SERIES), "1/series/2/search/instances"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_target_has_its_path(target: Target, path: str) -> None:
    assert path_of(target) == path
