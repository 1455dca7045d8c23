"""A DICOMweb origin: what is there (QIDO-RS) and how one target is fetched (WADO-RS).

Content negotiation is learnt, not guessed: each kind of resource starts with
the most exact Accept value and moves to the next alternative when the server
answers 406 (PS3.18 §8.7.4). The first alternative that brings an answer is
where all later requests for that kind begin; one odd instance changes nothing
for a server that has understood the exact value before.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.policy.pacing import Pacer
from asyncdicom.ports import HttpRequest
from asyncdicom.protocol import wado_rs
from asyncdicom.sources.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.model import Header, Resource, SearchTarget, Target
    from asyncdicom.ports import HttpTransport
    from asyncdicom.protocol.urls import Root

__all__ = ["DicomWebSource", "SourceOptions"]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is asked."""

    transfer_syntax: str = "*"
    """Transfer Syntax UID asked for, or `*` for "as stored"."""
    further_headers: tuple[Header, ...] = ()
    """Sent with every request to the origin of the root."""
    sends_credentials: bool = False
    """Whether the transport adds an Authorization field; for records."""
    bytes_per_s: float | None = None
    """Most that is received per second, or None."""


class DicomWebSource:
    """A DICOMweb service behind one root URL.

    Attributes:
        root: Where the service lives.

    """

    def __init__(
        self, root: Root, transport: HttpTransport, options: SourceOptions | None = None
    ) -> None:
        self.root = root
        self._options = options or SourceOptions()
        rate = self._options.bytes_per_s
        self._pacer = None if rate is None else Pacer(rate)
        self._transport = transport
        self._proven: dict[Resource, int] = {}
        self._headers: dict[Resource, tuple[tuple[Header, ...], ...]] = {}

    def url_of(self, target: Target) -> str:
        """Return the absolute URL of a target.

        Raises:
            UnexpectedContent: If a BulkDataURI cannot be fetched over HTTP.

        """
        return wado_rs.url_of(self.root.url, target)

    def transact(self, target: Target) -> AbstractAsyncContextManager[Transaction]:
        """Ask for a target; the answer is not judged yet.

        Raises:
            TransportError: If no answer came (on entering).
            UnexpectedContent: If a BulkDataURI cannot be fetched over HTTP.

        """
        return self.ask(target, self.url_of(target))

    def unsent(self, target: Target) -> Transaction:
        """Return the transaction that a target would begin with, for a record of its failure.

        Raises:
            UnexpectedContent: As `transact`.

        """
        return self._transaction(target, self.url_of(target), 0)

    @asynccontextmanager
    async def ask(self, target: Target | SearchTarget, url: str) -> AsyncIterator[Transaction]:
        """Ask for a URL as if it were a target of that kind (a page of a search)."""
        resource = target.resource
        count = len(self._alternatives(resource))
        for number in range(self._proven.get(resource, 0), count):
            is_last = number + 1 == count
            async with self._transaction(target, url, number) as transaction:
                status_code = transaction.response.status_code
                if status_code == 406 and not is_last:
                    continue
                if status_code == 200:
                    self._proven.setdefault(resource, number)
                yield transaction
                return

    def _transaction(
        self, target: Target | SearchTarget, url: str, alternative: int
    ) -> Transaction:
        headers = self._alternatives(target.resource)[alternative]
        return Transaction(
            self._transport,
            HttpRequest(url, headers=headers),
            target,
            sends_credentials=self._options.sends_credentials,
            pacer=self._pacer,
        )

    def _alternatives(self, resource: Resource) -> tuple[tuple[Header, ...], ...]:
        headers = self._headers.get(resource)
        if headers is None:
            coding = "gzip" if wado_rs.accepts_gzip(resource) else "identity"
            syntax = self._options.transfer_syntax
            headers = self._headers[resource] = tuple(
                (("accept", accept), ("accept-encoding", coding), *self._options.further_headers)
                for accept in wado_rs.accept_alternatives(resource, syntax)
            )
        return headers
