"""The answer to a C-STORE-RQ is a C-STORE-RSP, however it was put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import UsageError
from asyncdicom.protocol.dimse.commands import CStoreRequest, CStoreResponse
from asyncdicom.protocol.dimse.store_answers import encode_store_response

LATIN = st.text(st.characters(max_codepoint=255), max_size=70)


@given(LATIN, LATIN, st.integers(0, 65535), st.sampled_from((0, 0xA700, 0xA900, 0xB000, 0xFFFF)))
def test_the_answer_to_a_store_request_is_a_store_response(
    sop_class: str, instance: str, message_id: int, status: int
) -> None:
    request = CStoreRequest(message_id, sop_class, instance)
    expected = CStoreResponse(message_id, status, sop_class, instance).encode()
    assert encode_store_response(request, status) == expected
    # From what was noted, too.
    assert encode_store_response(request, status) == expected


def test_what_is_no_character_of_one_byte_is_refused() -> None:
    with pytest.raises(UsageError):
        encode_store_response(CStoreRequest(1, "1.2", "\u0661"), 0)
