"""A DIMSE application entity as an archive that jobs get instances from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncdicom.jobs.dimse_get import DimseRetriever
from asyncdicom.jobs.dimse_get_job import TrustingGetJob
from asyncdicom.jobs.dimse_lookup import DimseLookup
from asyncdicom.jobs.dimse_plan import DimsePlanner
from asyncdicom.jobs.get import GetJob, GetOptions
from asyncdicom.jobs.lookup import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.jobs.dimse_move import MoveReceiver
    from asyncdicom.jobs.stores import Finder, Retriever, Store, WriterT
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Target
    from asyncdicom.sources.dimse import DimseSource

    Wrap = Callable[[Retriever[Any]], Retriever[Any]]

__all__ = ["DimseArchive"]


class DimseArchive:
    """Makes the jobs of one application entity.

    Attributes:
        source: The application entity.
        receiver: Where it moves instances to, or None if they are fetched by C-GET.

    """

    def __init__(
        self,
        source: DimseSource,
        receiver: MoveReceiver | None = None,
        *,
        wrap: Wrap | None = None,
    ) -> None:
        """Prepare.

        Args:
            source: The application entity.
            receiver: Where it moves instances to, instead of C-GET.
            wrap: Is given each retriever, and returns the one to use.

        """
        self.source = source
        self.receiver = receiver
        self._wrap = wrap or _as_it_is

    @property
    def url(self) -> str:
        """Its URL."""
        return self.source.url

    @property
    def claims(self) -> str:
        """What it says it has done, in the words of odil; empty if nothing."""
        return f"the archive says: {self.source.counts}" if self.source.counts.operations else ""

    def wrapping(self, wrap: Wrap) -> DimseArchive:
        """Return the same archive, whose retrievers are wrapped."""
        return DimseArchive(self.source, self.receiver, wrap=wrap)

    def url_of(self, target: Target) -> str:
        """Return what names a target in reports; DIMSE has no URLs."""
        uids = (target.study_instance_uid, target.series_instance_uid, target.sop_instance_uid)
        return "/".join([self.url, *(uid for uid in uids if uid is not None)])

    async def prepare(self) -> None:
        """Begin to listen, where instances come by C-MOVE.

        Raises:
            ConfigError: If the address is not ours or taken.

        """
        if self.receiver is not None:
            await self.receiver.open()

    def finder(self) -> Finder:
        """Return who says what targets hold."""
        return DimseLookup(self.source)

    def get_job(
        self,
        store: Store[WriterT],
        tally: Tally,
        options: GetOptions,
        *,
        witness: Witness = Witness.AUTO,  # noqa: ARG002 -- as WebArchive; C-FIND is the only one
    ) -> GetJob[WriterT]:
        """Return a job that gets instances into a store."""
        source, receiver = self.source, self.receiver
        planner = DimsePlanner(
            source.options.transfer_syntaxes if receiver is None else None,
            granularity=options.granularity,
            concurrency=options.concurrency,
        )
        options = replace(options, planner=planner)
        retriever, lookup = self._wrap(self._retriever()), DimseLookup(source)
        if source.options.max_associations > options.concurrency:
            return TrustingGetJob(retriever, lookup, store, tally, options)
        return GetJob(retriever, lookup, store, tally, options)

    def _retriever(self) -> Retriever[Any]:
        if self.receiver is None:
            return DimseRetriever(self.source)
        # Imported here: a C-GET needs no server.
        from asyncdicom.jobs.dimse_move import MoveRetriever  # noqa: PLC0415 -- lazy on purpose

        return MoveRetriever(self.source, self.receiver)


def _as_it_is(retriever: Retriever[Any]) -> Retriever[Any]:
    return retriever
