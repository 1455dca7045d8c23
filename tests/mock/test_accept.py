"""The media type is chosen as PS3.18 §8.7 and RFC 9110 §12.5.1 say."""

from __future__ import annotations

import pytest

from asyncdicom.mock.accept import Offer, choose, parse_accept

MULTIPART = Offer("application/dicom", is_multipart=True)
SINGLE = Offer("application/dicom", is_multipart=False)
PICTURE = Offer("image/jpeg", is_multipart=False)

DICOM = 'multipart/related; type="application/dicom"'


@pytest.mark.parametrize(
    ("field", "chosen"),
    [
        pytest.param(None, MULTIPART, id="no field: the first offer"),
        pytest.param("*/*", MULTIPART, id="anything"),
        pytest.param(DICOM, MULTIPART, id="quoted type"),
        pytest.param("multipart/related;type=application/dicom", MULTIPART, id="bare type"),
        pytest.param("multipart/related", MULTIPART, id="multipart without a type"),
        pytest.param("application/dicom", SINGLE, id="single part"),
        pytest.param("APPLICATION/DICOM", SINGLE, id="capitals"),
        pytest.param("application/*", SINGLE, id="any subtype"),
        pytest.param("image/*", PICTURE, id="any picture"),
        pytest.param(f"application/dicom;q=0.5, {DICOM}", MULTIPART, id="weights"),
        pytest.param(f"application/dicom, {DICOM}", SINGLE, id="order"),
        pytest.param('multipart/related; type="a,b;c", application/dicom', SINGLE, id="quotes"),
        pytest.param("text/html", None, id="nothing of it"),
        pytest.param("application/dicom;q=0", None, id="excluded"),
        pytest.param('multipart/related; type="image/jpeg"', None, id="not as a part"),
    ],
)
def test_choice(field: str | None, chosen: Offer | None) -> None:
    found = choose(parse_accept(field), [MULTIPART, SINGLE, PICTURE])
    assert (found[0] if found else None) == chosen


@pytest.mark.parametrize(
    ("field", "syntax"),
    [
        pytest.param(DICOM, None, id="absent"),
        pytest.param(f"{DICOM}; transfer-syntax=*", "*", id="any"),
        pytest.param(f'{DICOM}; Transfer-Syntax="1.2"', "1.2", id="quoted, capitals"),
    ],
)
def test_transfer_syntax_is_read(field: str, syntax: str | None) -> None:
    assert parse_accept(field)[0].transfer_syntax == syntax
