"""Citations from the resolver of DOIs, by content negotiation.

text = await resolver.citation("10.7937/k9/tcia.2015.1buvfjr7", CitationFormat.APA)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import LimitExceeded, UnexpectedContent
from asyncdicom.ports.http import HttpRequest
from asyncdicom.protocol.idc.citations import citation_url
from asyncdicom.protocol.wado_rs import judge

if TYPE_CHECKING:
    from asyncdicom.protocol.idc.citations import CitationFormat
    from asyncdicom.transports.redirects import Session

__all__ = ["CitationResolver"]

MAX_BYTES = 1024 * 1024
"""A citation with two hundred authors has some 20,000."""


class CitationResolver:
    """Asks a resolver; redirects to the agency that registered a DOI are followed."""

    def __init__(self, session: Session, url: str) -> None:
        self._session = session
        self._url = url

    async def citation(self, doi: str, kind: CitationFormat) -> str:
        """Return how a DOI is cited.

        Raises:
            NotFound: If there is no such DOI.
            UnexpectedContent: If the answer is empty, or a page for people.
            FetchError: If it did not come.

        """
        request = HttpRequest(
            citation_url(doi, resolver=self._url), headers=(("Accept", kind.accept),)
        )
        async with self._session.request(request) as response:
            judge(response.status_code)
            body = bytearray()
            while data := await response.read():
                body += data
                if len(body) > MAX_BYTES:
                    raise LimitExceeded(f"more than {MAX_BYTES} bytes are no citation")
            media_type = (response.header("content-type") or "").partition(";")[0].strip().lower()
        text = body.decode("utf-8", "replace").strip()
        if not text or media_type == "text/html":
            raise UnexpectedContent("the answer is no citation")
        return text
