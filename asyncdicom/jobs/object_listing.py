"""The objects of one group, drawn page by page while they are fetched.

    listing = GroupListing(group, scheme="s3")
    yield ObjectTask(listing)               # lists a page, then:
    wanted = listing.take(page)
    yield from listing.follow(wanted)       # its objects, and in time the next page

Rule: one page is being fetched and one is being listed, never more: 92,000 objects
below one prefix take the memory of two pages (and of a number each, where somebody said
how many there are), and no worker waits for a list that could have been asked for before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import field
from typing import TYPE_CHECKING

from asyncdicom.errors import Incomplete, NotFound, ProtocolError
from asyncdicom.model import ObjectTarget, Resource
from asyncdicom.protocol.object_stores.globs import matcher
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.errors import FetchError
    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.ports.objects import ListingPage, ObjectEntry

__all__ = ["GroupListing", "ObjectTask"]

LOW_WATER = 256
"""Objects left of a page when the next one is asked for: more than workers take meanwhile."""


@dataclass(slots=True, eq=False)
class ObjectTask:
    """List the next page of a group, or fetch one object of it."""

    listing: GroupListing
    entry: ObjectEntry | None = None
    """The object; None for the next page. A later version takes its place where there is one."""
    is_stale: bool = False
    """Whether what was listed of the object is in doubt: it is asked for before the next try."""
    has_changed: bool = False
    """Whether the object turned out to be another version than the one listed."""
    is_vacant: bool = False
    """Whether nobody had the name of the file when it was looked for."""
    has_claimed: bool = False
    """Whether the name of the file is this task's own."""

    @property
    def target(self) -> ObjectTarget:
        """What outcomes call it."""
        return self.listing.target if self.entry is None else self.listing.target_of(self.entry)

    def __str__(self) -> str:
        return str(self.target)


@dataclass(slots=True, eq=False)
class GroupListing:
    """A group, and how far its listing has come."""

    group: ObjectGroup
    scheme: str
    accepts: Callable[[ObjectGroup, str], bool]
    """Tells of a key whether it is wanted."""
    count: int = 0
    """Objects listed so far that are wanted."""
    byte_count: int = 0
    """Size of all of them."""
    continuation: str | None = None
    is_complete: bool = False
    """Whether the last page has come."""
    _entries: deque[ObjectEntry] = field(default_factory=deque)
    _listed: set[int] = field(default_factory=set)
    """Keys of the last page; of all pages where they are counted."""
    _tokens: set[int] = field(default_factory=set)
    """Of the pages so far."""
    _is_drawn: bool = False
    _is_listing: bool = True
    _matches: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        if self.group.pattern is not None:
            self._matches = matcher(self.group.pattern)

    @property
    def target(self) -> ObjectTarget:
        """The listing; of a single object, that object."""
        group = self.group
        resource = Resource.OBJECT if group.is_single else Resource.LISTING
        return ObjectTarget(
            self.scheme,
            group.bucket,
            group.prefix,
            resource,
            group.study_instance_uid,
            group.series_instance_uid,
            group.sop_instance_uid,
        )

    def target_of(self, entry: ObjectEntry) -> ObjectTarget:
        """Return one object of the group, as far as the group knows it."""
        group = self.group
        return ObjectTarget(
            self.scheme,
            group.bucket,
            entry.key,
            Resource.OBJECT,
            group.study_instance_uid,
            group.series_instance_uid,
            group.sop_instance_uid,
        )

    def take(self, page: ListingPage) -> tuple[ObjectEntry, ...]:
        """Take a page, and return what is wanted of it.

        What is listed twice counts once, or it would stand in for something that is missing.

        Raises:
            ProtocolError: If the pages go round in a circle.

        """
        if page.continuation is not None:
            token = hash(page.continuation)
            if token in self._tokens:
                raise ProtocolError("the pages of the list go round in a circle")
            self._tokens.add(token)
        listed = {hash(entry.key): entry for entry in page.entries}
        fresh = [entry for name, entry in listed.items() if name not in self._listed]
        wanted = tuple(entry for entry in fresh if self._is_wanted(entry))
        if self.group.expected_count is None:
            self._listed = set(listed)
        else:
            self._listed.update(listed)
        self.count += len(wanted)
        self.byte_count += sum(entry.byte_count for entry in wanted)
        self.continuation = page.continuation
        self.is_complete = page.continuation is None
        self._is_listing = False
        return wanted

    def follow(self, entries: Iterable[ObjectEntry] = ()) -> Iterator[ObjectTask]:
        """Return the tasks that follow from a page: its objects, and in time the next page."""
        self._entries.extend(entries)
        return iter(()) if self._is_drawn else self._draw()

    def verdict(self) -> FetchError | None:
        """Say what is wrong with a complete listing: nothing, or not what should be there."""
        group = self.group
        if self.count == 0 and not group.expected_count:
            return NotFound("no object below this prefix", status_code=404)
        if group.expected_count is not None and self.count != group.expected_count:
            return Incomplete(
                f"{group.expected_count} objects expected, {self.count} listed",
                expected=group.expected_count,
                received=self.count,
            )
        if group.expected_bytes is not None and (
            abs(self.byte_count - group.expected_bytes) > group.rounded_by_bytes
        ):
            return Incomplete(
                f"{group.expected_bytes} bytes expected, {self.byte_count} listed",
                expected=group.expected_count,
                received=self.count,
            )
        return None

    def _draw(self) -> Iterator[ObjectTask]:
        self._is_drawn = True
        try:
            while True:
                if self._is_next_due():
                    self._is_listing = True
                    yield ObjectTask(self)
                elif self._entries:
                    yield ObjectTask(self, self._entries.popleft())
                else:
                    return
        finally:
            self._is_drawn = False

    def _is_wanted(self, entry: ObjectEntry) -> bool:
        # A key that ends so is the marker of a folder, made by consoles.
        if entry.byte_count == 0 and entry.key.endswith("/"):
            return False
        if self._matches is not None and not self._matches(entry.key):
            return False
        return self.accepts(self.group, entry.key)

    def _is_next_due(self) -> bool:
        if self.is_complete or self._is_listing:
            return False
        return len(self._entries) <= LOW_WATER
