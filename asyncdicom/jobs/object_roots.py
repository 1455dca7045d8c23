"""What `s3://bucket/key` means: one object, all below a folder, or what a pattern matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import NotFound, Unauthorized
from asyncdicom.jobs.object_groups import ObjectGroup
from asyncdicom.model import Resource
from asyncdicom.protocol.object_stores.globs import has_wildcard, literal_prefix
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncdicom.engine.scheduler import Performer, Scheduler
    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.object_groups import ObjectNaming
    from asyncdicom.model import ObjectTarget
    from asyncdicom.ports.objects import ObjectStore
    from asyncdicom.protocol.object_stores.urls import ObjectUrl

__all__ = ["ObjectRoot", "find_root", "group_of"]


@dataclass(frozen=True, slots=True)
class ObjectRoot:
    """What a URL turned out to be."""

    bucket: str
    prefix: str
    """What is listed; of a single object, its key."""
    pattern: str | None = None
    is_single: bool = False

    def group(self, naming: ObjectNaming) -> ObjectGroup:
        """Return it as a group."""
        return ObjectGroup(
            self.bucket, self.prefix, naming, pattern=self.pattern, is_single=self.is_single
        )


def group_of(target: ObjectTarget, naming: ObjectNaming, root: ObjectRoot) -> ObjectGroup:
    """Return what a target names, such as one that failed before, as a group.

    Args:
        target: An object, or a list.
        naming: Names its files.
        root: What was asked for; its list is of what its pattern matches.

    """
    is_listing = target.resource is Resource.LISTING
    if is_listing and (target.bucket, target.key) == (root.bucket, root.prefix):
        return root.group(naming)
    return ObjectGroup(
        target.bucket,
        target.key,
        naming,
        is_single=target.resource is Resource.OBJECT,
        study_instance_uid=target.study_instance_uid,
        series_instance_uid=target.series_instance_uid,
        sop_instance_uid=target.sop_instance_uid,
    )


async def find_root(
    store: ObjectStore,
    url: ObjectUrl,
    *,
    schedule: Callable[[Performer[ObjectUrl]], Scheduler[ObjectUrl]],
    tell: Callable[[str], object] | None = None,
) -> ObjectRoot:
    """Tell what a URL means; where it may be an object or a folder, the store decides.

    Args:
        store: Where it is.
        url: As it was written.
        schedule: Makes what asks, and asks again where the store does not answer.
        tell: Told in a sentence if it is no object but a folder, or None.

    Raises:
        FetchError: If the store does not say.
        RunAborted: If the scheduler was stopped.

    """
    if has_wildcard(url.key):
        return ObjectRoot(url.bucket, literal_prefix(url.key), url.key)
    if not url.key or url.key.endswith("/"):
        return ObjectRoot(url.bucket, url.key)
    question = _Question(store)
    await schedule(question).run([url])
    if question.is_object:
        return ObjectRoot(url.bucket, url.key, is_single=True)
    if question.error is not None:
        raise question.error
    if tell is not None:
        tell(f"{url} is no object: everything below {url}/ is meant")
    return ObjectRoot(url.bucket, f"{url.key}/")


class _Question:
    """Asks whether there is an object of a name; driven by a scheduler."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.is_object = False
        self.error: AsyncDicomError | None = None

    async def perform(self, task: ObjectUrl, attempt: int) -> Iterable[ObjectUrl]:  # noqa: ARG002 -- Performer
        try:
            await self._store.entry(task.bucket, task.key)
        except (NotFound, Unauthorized):
            # S3 tells those who may not list a bucket 403 of what is not there; a list says more.
            return ()
        self.is_object = True
        return ()

    def give_up(
        self,
        task: ObjectUrl,  # noqa: ARG002 -- Performer
        error: AsyncDicomError,
        attempts: int,  # noqa: ARG002 -- Performer
    ) -> Iterable[ObjectUrl]:
        self.error = error
        return ()
