"""One object with as many requests as it takes, and never two versions of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    ObjectChanged,
    ProtocolError,
    Truncated,
)
from asyncdicom.jobs.object_fetch import WholeFetch, check_listed, is_same_version
from asyncdicom.ports.objects import ObjectEntry
from tests.jobs.object_support import Cut, MemoryStore

pytestmark = pytest.mark.anyio

ENTRY = ObjectEntry("a", 10, "etag", "2026-12-01T00:00:00Z")


class Bytes(bytearray):
    """A sink; what the answer said of the object is kept, too."""

    entry: ObjectEntry | None = None

    def begin(self, entry: ObjectEntry) -> None:
        """Keep it."""
        assert self.entry is None, "a fetch begins once"
        self.entry = entry

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.extend(data)


class Replaced(MemoryStore):
    """Its object is another one of the same size as soon as it was asked for once."""

    def entry_of(self, key: str) -> ObjectEntry:
        """Return what it is now, and let it be another one next time."""
        entry = super().entry_of(key)
        self.objects = {key: self.objects[key][::-1]}
        return replace(entry, modified_at=f"2026-12-01T00:00:{len(self.asked):02}Z")


class Longer(MemoryStore):
    """Says that its objects are shorter than they are."""

    def entry_of(self, key: str) -> ObjectEntry:
        """Leave out a byte."""
        entry = super().entry_of(key)
        return replace(entry, byte_count=entry.byte_count - 1)


@pytest.mark.parametrize("has_etags", [True, False])
async def test_a_version_that_replaces_another_one_is_not_appended(*, has_etags: bool) -> None:
    cut = [Cut(4, ConnectionLost("cut"))]
    store = Replaced({"a": b"0123456789"}, {"a": [*cut]}, has_etags=has_etags)
    with pytest.raises(ObjectChanged):
        await WholeFetch(store, "bucket", "a", Bytes()).run()


async def test_an_object_that_goes_on_is_refused() -> None:
    with pytest.raises(ProtocolError, match="goes on at byte 9"):
        await WholeFetch(Longer({"a": b"0123456789"}), "bucket", "a", Bytes()).run()


@pytest.mark.parametrize("honours_ranges", [True, False])
@pytest.mark.parametrize("cuts", [[1], [5, 2], [9], [3, 3, 3]])
async def test_wherever_it_breaks_it_comes_whole(cuts: list[int], *, honours_ranges: bool) -> None:
    reached, faults = 0, []
    for cut in cuts:
        # A server that ignores ranges begins anew, so its cut counts from the first byte.
        faults.append(Cut(cut if honours_ranges else reached + cut))
        reached += cut
    store = MemoryStore({"a": b"0123456789"}, {"a": [*faults]}, honours_ranges=honours_ranges)
    sink = Bytes()
    entry = await WholeFetch(store, "bucket", "a", sink).run()
    assert bytes(sink) == b"0123456789"
    assert (entry, sink.entry) == (store.entry_of("a"), entry)


@pytest.mark.parametrize("error", [ConnectionLost("cut"), Truncated("no end", offset=10)])
async def test_what_breaks_behind_its_last_byte_is_no_reason_to_ask_for_more(
    error: AsyncDicomError,
) -> None:
    store = MemoryStore({"a": b"0123456789"}, {"a": [Cut(10, error)]})
    with pytest.raises(type(error)):
        await WholeFetch(store, "bucket", "a", Bytes()).run()
    assert store.asked == ["get a"]


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param(ENTRY, True, id="the same"),
        pytest.param(replace(ENTRY, modified_at="later"), True, id="the tag decides"),
        pytest.param(replace(ENTRY, etag="other"), False, id="another tag"),
        pytest.param(replace(ENTRY, etag=None), False, id="no tag any more"),
        pytest.param(replace(ENTRY, byte_count=11), False, id="another size"),
    ],
)
def test_what_is_one_version(other: ObjectEntry, *, is_same: bool) -> None:
    assert is_same_version(ENTRY, other) == is_same
    assert is_same_version(other, ENTRY) == is_same


def test_without_tags_the_time_decides() -> None:
    entry = replace(ENTRY, etag=None)
    assert is_same_version(entry, entry)
    assert not is_same_version(entry, replace(entry, modified_at="later"))
    nothing = replace(entry, modified_at=None)
    assert not is_same_version(nothing, nothing)


def test_what_came_is_what_was_listed() -> None:
    check_listed(ENTRY, replace(ENTRY, etag=None))
    check_listed(replace(ENTRY, etag=None), ENTRY)
    longer, no_tag = ENTRY.byte_count + 1, replace(ENTRY, etag=None, byte_count=1)
    for other in (replace(ENTRY, etag="other"), replace(ENTRY, byte_count=longer), no_tag):
        with pytest.raises(ObjectChanged):
            check_listed(other, ENTRY)


def test_an_answer_that_is_too_short_for_its_version_is_no_other_version() -> None:
    with pytest.raises(Truncated, match=f"an answer of 1 bytes, {ENTRY.byte_count} are listed"):
        check_listed(replace(ENTRY, byte_count=1), ENTRY)
