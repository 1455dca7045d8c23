"""`ObjectSource.list`: the objects below a prefix, page after page, each tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError, Incomplete
from asyncdicom.jobs.object_survey import Lister
from asyncdicom.jobs.tally import Tally
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.jobs.object_listing import ObjectTask
    from asyncdicom.library.prefetch import Prefetch
    from asyncdicom.ports.objects import ObjectStore

__all__ = ["OBJECTS_AHEAD", "ListedObject", "Pages"]

OBJECTS_AHEAD = 1000
"""Objects that wait for the consumer: one page of S3, about 0.5 MB."""


@dataclass(frozen=True, slots=True)
class ListedObject:
    """What a store says of an object."""

    url: str
    """`s3://bucket/key`."""
    key: str
    """As a whole, the prefix included."""
    byte_count: int
    etag: str | None
    """Without its quotes; None where the store says none."""
    modified_at: str | None
    """As the store wrote it (RFC 3339); None where it says nothing."""


class Pages:
    """Performs the pages of one list; driven by a scheduler with one worker.

    Args:
        store: What is listed.
        prefetch: Takes the objects.
        accepts: Tells of a key whether it is wanted.

    """

    def __init__(
        self,
        store: ObjectStore,
        prefetch: Prefetch[ListedObject],
        accepts: Callable[[ObjectGroup, str], bool],
    ) -> None:
        # Who lists counts for himself; an empty list is a list.
        self._lister = Lister(store, Tally(), accepts)
        self._prefetch = prefetch
        self._count = 0
        self._error: AsyncDicomError | None = None

    def tasks(self, group: ObjectGroup) -> Iterator[ObjectTask]:
        """Yield the first page."""
        return self._lister.tasks([group])

    def judge(self) -> None:
        """Confirm that the list came to its end; what came was handed over.

        Raises:
            Incomplete: If it broke off.
            FetchError: If there is no list at all.

        """
        if self._error is None:
            return
        if not self._count:
            raise self._error
        message = f"the list broke off behind {self._count} objects"
        raise Incomplete(message, expected=None, received=self._count) from self._error

    async def perform(self, task: ObjectTask, attempt: int) -> Iterable[ObjectTask]:  # noqa: ARG002 -- Performer
        """Hand over a page; return the next one."""
        for entry in await self._lister.next_page(task.listing):
            await self._prefetch.until_room(self)
            self._prefetch.hold(1)
            url = task.listing.target_of(entry).url
            listed = ListedObject(url, entry.key, entry.byte_count, entry.etag, entry.modified_at)
            self._prefetch.put(listed, 1)
            self._count += 1
        return task.listing.follow()

    def give_up(
        self,
        task: ObjectTask,  # noqa: ARG002 -- Performer
        error: AsyncDicomError,
        attempts: int,  # noqa: ARG002 -- Performer
    ) -> Iterable[ObjectTask]:
        """Take note that the list ends here."""
        self._error = error
        return ()
