"""A Cloud-Optimized DICOM store as an archive that jobs get instances from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.jobs.cod_get import CodFinder, CodGetJob, CodRetriever
from asyncdicom.jobs.cod_plan import CodPlanner
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.jobs.lookup import Witness
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Resource, Target

if TYPE_CHECKING:
    from asyncdicom.jobs.get import GetJob, GetOptions
    from asyncdicom.jobs.stores import Finder, Store
    from asyncdicom.jobs.tally import Tally
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

    def finder(self) -> Finder:
        """Return who says what targets hold."""
        return _StudyFinder(self.source)

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


class _StudyFinder:
    """Says what whole studies hold, too: all their series together."""

    def __init__(self, source: CodSource) -> None:
        self._finder = CodFinder(source)

    async def expectation_of(self, target: Target) -> Expectation:
        """Return what a study or series must hold; raises as `CodFinder`.

        Of a study that includes what nothing can be fetched by: the store has it.
        """
        study = target.study_instance_uid
        if target.resource is not Resource.STUDY:
            return await self._finder.expectation_of(target)
        found, count = Expectation(study), 0
        for series in await self._finder.series_of(study):
            read = await self._finder.series_at(Target(Resource.SERIES, study, series))
            found.absorb(read.expected)
            for refused in read.refused:
                if refused.sop_instance_uid is not None:
                    found.expect(refused.sop_instance_uid, series)
            count += len(read.expected) + len(read.refused)
        # What has no UID, or that of another one, is in no list; it is counted.
        found.counted = count
        return found
