from __future__ import annotations

import pytest

from asyncdicom.protocol.idc.citations import (
    IDC_DOI,
    CitationFormat,
    citation_dois,
    citation_url,
)


def test_the_paper_about_the_commons_is_cited_last_and_once() -> None:
    assert citation_dois({"10.7937/b", IDC_DOI, "10.7937/a"}) == ["10.7937/a", "10.7937/b", IDC_DOI]
    assert citation_dois(set()) == [IDC_DOI]


@pytest.mark.parametrize(
    ("doi", "url"),
    [
        pytest.param("10.7937/k9/tcia.1", "https://dx.doi.org/10.7937/k9/tcia.1", id="plain"),
        pytest.param("10.1/a b?c#d", "https://dx.doi.org/10.1/a%20b%3Fc%23d", id="escaped"),
        pytest.param("10.1/(a)1:2;3", "https://dx.doi.org/10.1/(a)1:2;3", id="as DOIs are written"),
    ],
)
def test_the_address_of_a_citation(doi: str, url: str) -> None:
    assert citation_url(doi) == url


def test_a_resolver_may_be_another_one() -> None:
    assert citation_url("10.1/a", resolver="http://localhost:1/") == "http://localhost:1/10.1/a"


@pytest.mark.parametrize("kind", CitationFormat)
def test_each_form_is_asked_for_by_a_media_type(kind: CitationFormat) -> None:
    assert "/" in kind.accept
