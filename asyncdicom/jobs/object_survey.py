"""List groups of objects and compare their counts; alone, that is `get --dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.events import Listed
from asyncdicom.jobs.object_listing import GroupListing, ObjectTask
from asyncdicom.model import Failed
from asyncdicom.ports.objects import ListingPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.ports.objects import ObjectEntry, ObjectStore

__all__ = ["Lister", "ObjectSurvey", "accept_all"]


def accept_all(group: ObjectGroup, key: str) -> bool:  # noqa: ARG001 -- a default
    """Want every object."""
    return True


class Lister:
    """Lists groups, page by page.

    Attributes:
        store: What is listed.

    """

    def __init__(
        self,
        store: ObjectStore,
        tally: Tally,
        accepts: Callable[[ObjectGroup, str], bool] = accept_all,
    ) -> None:
        """Prepare.

        Args:
            store: What is listed.
            tally: The books of the run.
            accepts: Tells of a key of a group whether it is wanted.

        """
        self.store = store
        self._tally = tally
        self._accepts = accepts

    def tasks(self, groups: Iterable[ObjectGroup]) -> Iterator[ObjectTask]:
        """Yield the first task of each group."""
        for group in groups:
            yield ObjectTask(GroupListing(group, self.store.scheme, self._accepts))

    async def next_page(self, listing: GroupListing) -> tuple[ObjectEntry, ...]:
        """List the next page of a group, and return what is wanted of it.

        Behind the last one, what was listed is told, and compared with what has to be there.

        Raises:
            FetchError: If the store does not list it.

        """
        group = listing.group
        if group.is_single:
            page = ListingPage((await self.store.entry(group.bucket, group.prefix),))
        else:
            page = await self.store.page(
                group.bucket, group.prefix, continuation=listing.continuation
            )
        wanted = listing.take(page)
        self._tally.expect(len(wanted), sum(entry.byte_count for entry in wanted))
        if listing.is_complete:
            self._judge(listing)
        return wanted

    def _judge(self, listing: GroupListing) -> None:
        self._tally.tell(Listed(listing.target, listing.count, listing.byte_count))
        error = listing.verdict()
        if error is not None:
            self._tally.record(Failed(listing.target, error))


class ObjectSurvey:
    """Performs list tasks and nothing else; driven by a scheduler."""

    def __init__(self, lister: Lister, tally: Tally) -> None:
        self._lister = lister
        self._tally = tally

    def tasks(self, groups: Iterable[ObjectGroup]) -> Iterator[ObjectTask]:
        """Yield the first task of each group."""
        return self._lister.tasks(groups)

    async def perform(self, task: ObjectTask, attempt: int) -> Iterable[ObjectTask]:  # noqa: ARG002 -- Performer
        """List a page; return the next one."""
        await self._lister.next_page(task.listing)
        return task.listing.follow()

    def give_up(
        self, task: ObjectTask, error: AsyncDicomError, attempts: int
    ) -> Iterable[ObjectTask]:
        """Name what could not be listed."""
        self._tally.record(Failed(task.target, error, attempts))
        return ()
