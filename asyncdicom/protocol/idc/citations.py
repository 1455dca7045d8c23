"""How data sets of the Imaging Data Commons want to be cited.

Each series names the DOI of what it came from; a DOI is turned into a citation by
asking its resolver for one of a few media types (content negotiation of DOIs).
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import quote

__all__ = ["IDC_DOI", "RESOLVER", "CitationFormat", "citation_dois", "citation_url"]

IDC_DOI = "10.1148/rg.230180"
"""The paper that describes the Imaging Data Commons; cited together with its data."""

RESOLVER = "https://dx.doi.org"


class CitationFormat(StrEnum):
    """Forms that the resolver of DOIs writes."""

    APA = "apa"
    BIBTEX = "bibtex"
    JSON = "json"
    TURTLE = "turtle"

    @property
    def accept(self) -> str:
        """Media type to ask for."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    CitationFormat.APA: "text/x-bibliography; style=apa; locale=en-US",
    CitationFormat.BIBTEX: "application/x-bibtex",
    CitationFormat.JSON: "application/vnd.citationstyles.csl+json",
    CitationFormat.TURTLE: "text/turtle",
}


def citation_dois(source_dois: set[str]) -> list[str]:
    """Return what to cite, in order: the sources of the data, then the paper about the Commons."""
    return [*sorted(source_dois - {IDC_DOI}), IDC_DOI]


def citation_url(doi: str, *, resolver: str = RESOLVER) -> str:
    """Return where the citation of a DOI is asked for."""
    return f"{resolver.rstrip('/')}/{quote(doi, safe='/.:;()-_')}"
