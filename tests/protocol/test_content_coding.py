"""Content-codings come off whole, within bounds, wherever the network cuts."""

from __future__ import annotations

import gzip
import zlib

import pytest

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UnexpectedContent
from asyncdicom.protocol import content_coding
from asyncdicom.protocol.content_coding import Decoder, decoder_for

CONTENT = b'[{"00080018": {"vr": "UI", "Value": ["1.2.3"]}}]' * 50


def decoded(coding: str, body: bytes, step: int) -> bytes:
    decoder = decoder_for(coding)
    assert decoder is not None
    pieces = [
        piece
        for start in range(0, len(body), step)
        for piece in decoder.decode(body[start : start + step])
    ]
    decoder.end()
    return b"".join(pieces)


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("gzip", gzip.compress(CONTENT), id="gzip"),
        pytest.param("X-GZip ", gzip.compress(CONTENT), id="its old name"),
        pytest.param("deflate", zlib.compress(CONTENT), id="deflate"),
    ],
)
def test_content_comes_back(coding: str, body: bytes, step: int) -> None:
    assert decoded(coding, body, step) == CONTENT


@pytest.mark.parametrize("coding", [None, "", "identity", " Identity "])
def test_without_a_coding_there_is_nothing_to_take_off(coding: str | None) -> None:
    assert decoder_for(coding) is None


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip,br"])
def test_a_coding_that_was_not_offered_is_refused(coding: str) -> None:
    with pytest.raises(UnexpectedContent, match="not offered"):
        decoder_for(coding)


def test_a_cut_anywhere_is_noticed() -> None:
    body = gzip.compress(CONTENT)
    for end in range(1, len(body)):
        decoder = Decoder()
        for _ in decoder.decode(body[:end]):
            pass
        with pytest.raises(Truncated):
            decoder.end()


def test_an_empty_body_needs_no_end() -> None:
    Decoder().end()


def test_damage_is_noticed() -> None:
    body = bytearray(gzip.compress(CONTENT))
    body[len(body) // 2] ^= 0xFF
    with pytest.raises((ProtocolError, Truncated)):
        decoded("gzip", bytes(body), 64)


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    bomb = zlib.compress(bytes(64 * 1024 * 1024), 9)
    decoder = Decoder()
    sizes: list[int] = []
    with pytest.raises(LimitExceeded, match="grows more than 100 times"):
        sizes.extend(len(piece) for piece in decoder.decode(bomb))
    assert max(sizes) <= content_coding.PIECE_BYTES
    assert sum(sizes) <= content_coding.RATIO_MATTERS_FROM_BYTES


def test_the_sum_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_coding, "MAX_DECODED_BYTES", 1000)
    with pytest.raises(LimitExceeded, match="exceeds 1000 bytes"):
        decoded("gzip", gzip.compress(CONTENT), 100_000)


@pytest.mark.parametrize("step", [1, 100_000])
def test_a_series_of_members_is_read_to_its_end(step: int) -> None:
    body = gzip.compress(CONTENT) + gzip.compress(b"more")
    assert decoded("gzip", body, step) == CONTENT + b"more"


def test_what_follows_and_is_no_member_is_damage() -> None:
    with pytest.raises(ProtocolError, match="damaged"):
        decoded("gzip", gzip.compress(CONTENT) + b"trailing", 100_000)
