"""A Cloud-Optimized DICOM store as an archive that jobs get instances from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.jobs.cod_get import CodGetJob, CodRetriever
from asyncdicom.jobs.cod_plan import CodPlanner
from asyncdicom.jobs.lookup import Witness
from asyncdicom.jobs.stores import WriterT

if TYPE_CHECKING:
    from asyncdicom.jobs.get import GetJob, GetOptions
    from asyncdicom.jobs.stores import Store
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Target
    from asyncdicom.sources.cod import CodSource

__all__ = ["CodArchive"]


class CodArchive:
    """Makes the jobs of one store.

    Attributes:
        source: The store.

    """

    def __init__(self, source: CodSource, *, retrieving: CodSource | None = None) -> None:
        """Prepare.

        Args:
            source: The store.
            retrieving: The same store, as archives shall be retrieved from it.

        """
        self.source = source
        self._retrieving = retrieving or source

    @property
    def url(self) -> str:
        """What names the store; never holds its token."""
        return self.source.url

    @property
    def claims(self) -> str:
        """What it says it has done: a store of objects says nothing."""
        return ""

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
        retriever = CodRetriever[WriterT](self._retrieving)
        return CodGetJob(self.source, retriever, store, tally, options)
