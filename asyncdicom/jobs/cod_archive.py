"""A Cloud-Optimized DICOM store as an archive that jobs get instances from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncdicom.jobs.cod_get import CodGetJob, CodRetriever
from asyncdicom.jobs.cod_plan import CodPlanner
from asyncdicom.jobs.lookup import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.jobs.get import GetJob, GetOptions
    from asyncdicom.jobs.stores import Retriever, Store, WriterT
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Target
    from asyncdicom.sources.cod import CodSource

    Wrap = Callable[[Retriever[Any]], Retriever[Any]]

__all__ = ["CodArchive"]


class CodArchive:
    """Makes the jobs of one store.

    Attributes:
        source: The store.

    """

    def __init__(self, source: CodSource, *, wrap: Wrap | None = None) -> None:
        """Prepare.

        Args:
            source: The store.
            wrap: Is given each retriever, and returns the one to use.

        """
        self.source = source
        self._wrap = wrap or _as_it_is

    @property
    def url(self) -> str:
        """What names the store; never holds its token."""
        return self.source.url

    @property
    def claims(self) -> str:
        """What it says it has done: a store of objects says nothing."""
        return ""

    def wrapping(self, wrap: Wrap) -> CodArchive:
        """Return the same store, whose retrievers are wrapped."""
        return CodArchive(self.source, wrap=wrap)

    def url_of(self, target: Target) -> str:
        """Return what names a target in reports."""
        return self.source.url_of(target)

    async def prepare(self) -> None:
        """Do nothing: requests need no preparation."""

    def get_job(
        self,
        store: Store[WriterT],
        tally: Tally,
        options: GetOptions,
        *,
        witness: Witness = Witness.AUTO,  # noqa: ARG002 -- as WebArchive; the metadata is the only one
    ) -> GetJob[WriterT]:
        """Return a job that gets instances into a store."""
        options = replace(options, planner=CodPlanner(options.granularity))
        retriever = self._wrap(CodRetriever(self.source))
        return CodGetJob(self.source, retriever, store, tally, options)


def _as_it_is(retriever: Retriever[Any]) -> Retriever[Any]:
    return retriever
