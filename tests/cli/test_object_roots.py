"""What a URL of a store means, and that it is said how that was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli.object_options import is_object_source
from asyncdicom.cli.object_roots import ObjectRoot, find_root
from asyncdicom.errors import Unauthorized
from asyncdicom.protocol.object_stores.urls import parse_object_url
from tests.jobs.object_support import MemoryStore

if TYPE_CHECKING:
    from asyncdicom.ports.objects import ObjectEntry

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "root", "asked"),
    [
        pytest.param("s3://bucket", ObjectRoot("bucket", ""), [], id="a bucket"),
        pytest.param("s3://bucket/a/", ObjectRoot("bucket", "a/"), [], id="a folder"),
        pytest.param(
            "s3://bucket/a/1.dcm",
            ObjectRoot("bucket", "a/1.dcm", is_single=True),
            ["head a/1.dcm"],
            id="an object",
        ),
        pytest.param("s3://bucket/a", ObjectRoot("bucket", "a/"), ["head a"], id="no object"),
        pytest.param(
            "s3://bucket/a/*.dcm", ObjectRoot("bucket", "a/", "a/*.dcm"), [], id="a pattern"
        ),
    ],
)
async def test_what_a_url_means(
    url: str, root: ObjectRoot, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryStore({"a/1.dcm": b"x"})
    assert await find_root(store, parse_object_url(url), is_quiet=False) == root
    assert store.asked == asked
    told = capsys.readouterr().err
    assert ("is no object: everything below s3://bucket/a/ is meant" in told) == (
        asked == ["head a"]
    )


async def test_a_store_that_tells_strangers_nothing_is_asked_for_a_list() -> None:
    class Closed(MemoryStore):
        async def entry(self, bucket: str, key: str) -> ObjectEntry:
            raise Unauthorized(f"{bucket}/{key} does not open", status_code=403)

    root = await find_root(Closed({}), parse_object_url("s3://bucket/a"), is_quiet=True)
    assert root == ObjectRoot("bucket", "a/")


async def test_the_quiet_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    await find_root(MemoryStore({}), parse_object_url("s3://bucket/a"), is_quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("source", "is_one"),
    [("s3://b/k", True), ("GS://b", True), ("http://s3/", False), ("s3", False)],
)
def test_which_sources_are_object_stores(source: str, *, is_one: bool) -> None:
    assert is_object_source(source) == is_one
