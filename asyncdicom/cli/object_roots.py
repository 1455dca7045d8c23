"""What `s3://bucket/key` means: one object, all below a folder, or what a pattern matches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from asyncdicom.errors import NotFound, Unauthorized
from asyncdicom.jobs.object_groups import ObjectGroup
from asyncdicom.protocol.object_stores.globs import has_wildcard, literal_prefix
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from asyncdicom.jobs.object_groups import ObjectNaming
    from asyncdicom.ports.objects import ObjectStore
    from asyncdicom.protocol.object_stores.urls import ObjectUrl

__all__ = ["ObjectRoot", "find_root"]


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


async def find_root(store: ObjectStore, url: ObjectUrl, *, is_quiet: bool) -> ObjectRoot:
    """Tell what a URL means; where it may be an object or a folder, the store decides.

    Args:
        store: Where it is.
        url: As it was written.
        is_quiet: Do not say how it was decided.

    Raises:
        FetchError: If the store does not say.

    """
    if has_wildcard(url.key):
        return ObjectRoot(url.bucket, literal_prefix(url.key), url.key)
    if not url.key or url.key.endswith("/"):
        return ObjectRoot(url.bucket, url.key)
    try:
        await store.entry(url.bucket, url.key)
    except (NotFound, Unauthorized):
        # S3 tells those who may not list a bucket 403 of what is not there; a list says more.
        if not is_quiet:
            sys.stderr.write(f"{url} is no object: everything below {url}/ is meant\n")
        return ObjectRoot(url.bucket, f"{url.key}/")
    return ObjectRoot(url.bucket, url.key, is_single=True)
