"""A DICOMweb service as an archive that jobs get instances from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.jobs.get import GetJob, GetOptions
from asyncdicom.jobs.intake import WebRetriever
from asyncdicom.jobs.lookup import Lookup, Witness

if TYPE_CHECKING:
    from asyncdicom.jobs.stores import Finder, Store, WriterT
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Target
    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["WebArchive"]


class WebArchive:
    """Makes the jobs of one DICOMweb service.

    Attributes:
        source: The service.

    """

    def __init__(self, source: DicomWebSource, *, retrieving: DicomWebSource | None = None) -> None:
        """Prepare.

        Args:
            source: The service.
            retrieving: The same service, as instances shall be retrieved from it.

        """
        self.source = source
        self._retrieving = retrieving or source

    @property
    def url(self) -> str:
        """Its root."""
        return self.source.root.url

    @property
    def claims(self) -> str:
        """What it says it has done: DICOMweb has no such thing."""
        return ""

    def url_of(self, target: Target) -> str:
        """Return the URL of a target."""
        return self.source.url_of(target)

    async def prepare(self) -> None:
        """Do nothing: requests need no preparation."""

    def finder(self) -> Finder:
        """Return who says what targets hold."""
        return Lookup(self.source)

    def get_job(
        self,
        store: Store[WriterT],
        tally: Tally,
        options: GetOptions,
        *,
        witness: Witness = Witness.AUTO,
    ) -> GetJob[WriterT]:
        """Return a job that gets instances into a store."""
        lookup = Lookup(self.source, witness=witness)
        return GetJob(WebRetriever(self._retrieving), lookup, store, tally, options)
