"""Ask for the citations of DOIs, some at once, each until it came or cannot come."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.protocol.idc.citations import CitationFormat
    from asyncdicom.sources.citations import CitationResolver

__all__ = ["CitationJob"]


class CitationJob:
    """Performs DOIs; driven by a scheduler.

    Attributes:
        citations: What came, by DOI.
        errors: Why the others did not.

    """

    def __init__(self, resolver: CitationResolver, kind: CitationFormat) -> None:
        self._resolver = resolver
        self._kind = kind
        self.citations: dict[str, str] = {}
        self.errors: dict[str, AsyncDicomError] = {}

    async def perform(self, task: str, attempt: int) -> Iterable[str]:  # noqa: ARG002 -- Performer
        """Ask for one."""
        self.citations[task] = await self._resolver.citation(task, self._kind)
        return ()

    def give_up(
        self,
        task: str,
        error: AsyncDicomError,
        attempts: int,  # noqa: ARG002 -- Performer
    ) -> Iterable[str]:
        """Remember why it did not come."""
        self.errors[task] = error
        return ()
