"""A DICOMweb origin: what is there (QIDO-RS) and how one target is fetched (WADO-RS).

Content negotiation is learnt, not guessed: each kind of resource starts with
the most exact Accept value and moves to the next alternative when the server
answers 406 (PS3.18 §8.7.4). The first alternative that brings an answer is
where all later requests for that kind begin; one odd instance changes nothing
for a server that has understood the exact value before.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import NotAcceptable
from asyncdicom.policy.pacing import Pacer
from asyncdicom.ports.http import HttpRequest
from asyncdicom.protocol import wado_rs
from asyncdicom.records import dataclass
from asyncdicom.sources.patience import Patience
from asyncdicom.sources.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from asyncdicom.model import Header, Resource, SearchTarget, Target
    from asyncdicom.ports.http import HttpTransport
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
        patience: How long it wants to be left alone.

    """

    def __init__(
        self, root: Root, transport: HttpTransport, options: SourceOptions | None = None
    ) -> None:
        self.root = root
        self._options = options or SourceOptions()
        rate = self._options.bytes_per_s
        self._pacer = None if rate is None else Pacer(rate)
        self.patience = Patience()
        self._transport = transport
        self._make: Callable[..., Transaction] = Transaction
        self._proven: dict[Resource, int] = {}
        self._headers: dict[Resource, tuple[tuple[Header, ...], ...]] = {}

    def making(self, make: Callable[..., Transaction]) -> Self:
        """Return the same service with transactions of another make; what one learns, both know.

        Args:
            make: Is called as `Transaction` is, and returns one.

        """
        twin = copy.copy(self)
        twin._make = make
        return twin

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
        return self.transaction(target, self.url_of(target), 0)

    def ask(
        self, target: Target | SearchTarget, url: str
    ) -> AbstractAsyncContextManager[Transaction]:
        """Ask for a URL as if it were a target of that kind (a page of a search)."""
        return _Negotiation(self, target, url)

    def first_alternative(self, resource: Resource) -> int:
        """Return the number of the Accept value to begin with."""
        return self._proven.get(resource, 0)

    def note_understood(self, resource: Resource, alternative: int) -> None:
        """Begin with this Accept value from now on, unless another one was understood before."""
        self._proven.setdefault(resource, alternative)

    def transaction(self, target: Target | SearchTarget, url: str, alternative: int) -> Transaction:
        """Return the transaction with a certain Accept value, not yet begun."""
        headers = self.alternatives(target.resource)[alternative]
        return self._make(
            self._transport,
            HttpRequest(url, headers=headers),
            target,
            sends_credentials=self._options.sends_credentials,
            pacer=self._pacer,
        )

    def alternatives(self, resource: Resource) -> tuple[tuple[Header, ...], ...]:
        """Return the request fields for each Accept value, in the order to try them."""
        headers = self._headers.get(resource)
        if headers is None:
            coding = "gzip" if wado_rs.accepts_gzip(resource) else "identity"
            syntax = self._options.transfer_syntax
            headers = self._headers[resource] = tuple(
                (("accept", accept), ("accept-encoding", coding), *self._options.further_headers)
                for accept in wado_rs.accept_alternatives(resource, syntax)
            )
        return headers


class _Negotiation:
    """Asks with one Accept value after the other until one is not answered with 406.

    A class and not a generator: it stands around every request, and costs 10 us less.
    """

    def __init__(self, source: DicomWebSource, target: Target | SearchTarget, url: str) -> None:
        self._source = source
        self._target = target
        self._url = url
        self._transaction: Transaction | None = None

    async def __aenter__(self) -> Transaction:
        source, resource = self._source, self._target.resource
        last = len(source.alternatives(resource)) - 1
        number = source.first_alternative(resource)
        while True:
            if source.patience.resume_at_s:
                await source.patience.until_over()
            transaction = source.transaction(self._target, self._url, number)
            await transaction.__aenter__()
            status_code = transaction.response.status_code
            if status_code in (429, 503):
                source.patience.extend(transaction.asked_pause_s)
            if status_code != 406 or number == last:
                break
            # Left as one that is refused: what little is left of it is read, not reset.
            refusal = NotAcceptable("another media type is asked for", status_code=406)
            await transaction.__aexit__(NotAcceptable, refusal, None)
            number += 1
        if status_code == 200:
            source.note_understood(resource, number)
        self._transaction = transaction
        return transaction

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._transaction is not None, "left after it was entered"
        return await self._transaction.__aexit__(kind, error, traceback)
