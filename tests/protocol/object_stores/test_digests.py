"""What a store promises, and bytes that keep the promise or do not."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import TYPE_CHECKING

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import DigestMismatch
from asyncdicom.protocol.object_stores.digests import (
    COMPUTED,
    RunningDigests,
    digests_of_fields,
    md5_of_etag,
    usual_part_bytes,
)
from asyncdicom.protocol.object_stores.values import ObjectDigest, ObjectEntry
from tests.support.chunking import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIB = 1024 * 1024
DATA = bytes(range(256)) * 40


def crc64nvme_of(data: bytes) -> bytes:
    """Return the CRC-64/NVME, bit by bit as it is defined."""
    value = 2**64 - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x9A6C9329AC4BC9B5 if value & 1 else 0)
    return (value ^ (2**64 - 1)).to_bytes(8, "big")


DIGESTS = {
    "crc32c": google_crc32c.value(DATA).to_bytes(4, "big"),
    "crc64nvme": crc64nvme_of(DATA),
    "crc32": zlib.crc32(DATA).to_bytes(4, "big"),
    "sha1": hashlib.sha1(DATA).digest(),
    "sha256": hashlib.sha256(DATA).digest(),
    "md5": hashlib.md5(DATA).digest(),
}


def coded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def entry(*algorithms: str, etag: str | None = None, part_bytes: int | None = None) -> ObjectEntry:
    digests = tuple(ObjectDigest(name, DIGESTS[name]) for name in algorithms)
    return ObjectEntry("k", len(DATA), etag, digests=digests, part_bytes=part_bytes)


def verify(of: ObjectEntry, pieces: Iterable[bytes]) -> bool:
    running = RunningDigests(of)
    for piece in pieces:
        running.update(piece)
    return running.verify()


def multipart_etag(data: bytes, part_bytes: int) -> str:
    parts = [data[i : i + part_bytes] for i in range(0, len(data), part_bytes)] or [b""]
    md5s = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(md5s).hexdigest()}-{len(parts)}"


@pytest.mark.parametrize("algorithm", COMPUTED)
@given(places=st.lists(st.integers(0, len(DATA)), max_size=4), wrong=st.integers(0, len(DATA) - 1))
def test_bytes_are_proven_and_a_wrong_one_is_found(
    algorithm: str, places: list[int], wrong: int
) -> None:
    assert verify(entry(algorithm), cut(DATA, places))
    damaged = bytearray(DATA)
    damaged[wrong] ^= 1
    with pytest.raises(DigestMismatch, match=algorithm):
        verify(entry(algorithm), cut(bytes(damaged), places))


@pytest.mark.parametrize("algorithm", COMPUTED)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind_are_taken(algorithm: str, kind: type) -> None:
    assert verify(entry(algorithm), [kind(DATA[:100]), kind(DATA[100:])])


def test_the_crc_of_amazon_is_that_of_the_catalogue() -> None:
    assert crc64nvme_of(b"123456789").hex() == "ae8b14860a799888"


def test_what_amazon_keeps_by_default_is_compared_rather_than_the_etag() -> None:
    fields = {
        "etag": f'"{hashlib.md5(DATA).hexdigest()}"',
        "x-amz-checksum-crc64nvme": coded(bytes(8)),
        "x-amz-checksum-type": "FULL_OBJECT",
    }
    promised = ObjectEntry("k", len(DATA), digests=digests_of_fields(fields, is_whole=True))
    with pytest.raises(DigestMismatch, match="crc64nvme"):
        verify(promised, [DATA])


def test_a_cut_object_is_found() -> None:
    with pytest.raises(DigestMismatch):
        verify(entry("md5"), [DATA[:-1]])


def test_what_costs_least_is_computed() -> None:
    wrong_md5 = ObjectDigest("md5", bytes(16))
    both = ObjectEntry("k", len(DATA), digests=(wrong_md5, ObjectDigest("crc32c", bytes(4))))
    with pytest.raises(DigestMismatch, match="crc32c"):
        verify(both, [DATA])
    right = ObjectEntry("k", 1, digests=(wrong_md5, ObjectDigest("crc32c", DIGESTS["crc32c"])))
    assert verify(right, [DATA])


@pytest.mark.parametrize(
    "promised",
    [
        entry(),
        entry(etag="no-digest"),
        entry(etag="0123"),
        entry(etag="0" * 32 + "-0"),
        entry(etag="0" * 32 + "-99999"),
        ObjectEntry("k", 1, digests=(ObjectDigest("unheard-of", bytes(8)),)),
    ],
)
def test_nothing_promised_costs_nothing_and_proves_nothing(promised: ObjectEntry) -> None:
    assert RunningDigests(promised).is_idle
    assert not verify(promised, [DATA])


@pytest.mark.parametrize("part_bytes", [3, 7, 100, len(DATA) - 1, len(DATA), len(DATA) + 1])
@given(places=st.lists(st.integers(0, len(DATA)), max_size=6))
def test_the_md5_of_parts_of_known_size(part_bytes: int, places: list[int]) -> None:
    promised = entry(etag=multipart_etag(DATA, part_bytes), part_bytes=part_bytes)
    assert verify(promised, cut(DATA, places))
    with pytest.raises(DigestMismatch, match="ETag"):
        verify(promised, cut(DATA[:-1] + b"x", places))


@pytest.mark.parametrize("byte_count", [1, 5 * MIB, 20 * MIB, 20 * MIB + 1])
@pytest.mark.parametrize("part", [5 * MIB, 8 * MIB, 16 * MIB, 50 * MIB])
def test_usual_parts_are_guessed(byte_count: int, part: int) -> None:
    data = bytes(byte_count)
    promised = ObjectEntry("k", byte_count, multipart_etag(data, part))
    assert not RunningDigests(promised).is_idle
    assert verify(promised, cut(data, [byte_count // 3, byte_count // 2]))


def test_a_guess_that_does_not_fit_proves_nothing() -> None:
    data = bytes(20 * MIB)
    odd = ObjectEntry("k", len(data), multipart_etag(data, 7 * MIB + 5))
    assert not verify(odd, [data])
    wrong = ObjectEntry("k", len(data), f"{'0' * 32}-3")
    assert not verify(wrong, [data])


def test_parts_of_different_sizes_prove_nothing() -> None:
    parts = (DATA[:5000], DATA[5000:7000], DATA[7000:])
    md5s = b"".join(hashlib.md5(part).digest() for part in parts)
    odd = entry(etag=f"{hashlib.md5(md5s).hexdigest()}-3", part_bytes=1000)
    assert not verify(odd, [DATA])


def test_an_object_of_one_part_or_of_none() -> None:
    assert verify(entry(etag=multipart_etag(DATA, len(DATA))), [DATA])
    assert verify(ObjectEntry("k", 0, multipart_etag(b"", 1)), [])


@pytest.mark.parametrize(
    ("byte_count", "parts", "sizes"),
    [
        (100 * MIB, 13, (8 * MIB,)),
        (100 * MIB, 2, (50 * MIB, 64 * MIB)),
        (15 * MIB, 2, (8 * MIB, 10 * MIB)),
        (100 * MIB, 3, ()),
        (5, 1, (5,)),
        (0, 1, (1,)),
    ],
)
def test_only_sizes_that_make_so_many_parts_are_tried(
    byte_count: int, parts: int, sizes: tuple[int, ...]
) -> None:
    assert usual_part_bytes(byte_count, parts) == sizes


MD5_ETAG = DIGESTS["md5"].hex()


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"etag": f'"{MD5_ETAG}"'}, {"md5"}, id="an ETag of one part"),
        pytest.param({"etag": f'"{MD5_ETAG.upper()}"'}, {"md5"}, id="in upper case"),
        pytest.param({"etag": '"0123"'}, set(), id="an ETag that is none"),
        pytest.param({"etag": f'"{MD5_ETAG}-2"'}, set(), id="an ETag of parts"),
        pytest.param(
            {"etag": f'"{MD5_ETAG}"', "x-amz-server-side-encryption": "AES256"},
            {"md5"},
            id="encrypted with the key of the store",
        ),
        pytest.param(
            {"etag": f'"{MD5_ETAG}"', "x-amz-server-side-encryption": "aws:kms"},
            set(),
            id="encrypted with a managed key",
        ),
        pytest.param(
            {"etag": f'"{MD5_ETAG}"', "x-amz-server-side-encryption": "aws:kms:dsse"},
            set(),
            id="encrypted twice",
        ),
        pytest.param(
            {"etag": f'"{MD5_ETAG}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"},
            set(),
            id="encrypted with a key of the owner",
        ),
        pytest.param(
            {
                "x-amz-checksum-crc32c": coded(DIGESTS["crc32c"]),
                "x-amz-checksum-sha256": coded(DIGESTS["sha256"]),
                "x-amz-checksum-crc64nvme": coded(DIGESTS["crc64nvme"]),
            },
            {"crc32c", "sha256", "crc64nvme"},
            id="checksums of Amazon",
        ),
        pytest.param(
            {"x-amz-checksum-sha256": coded(DIGESTS["sha256"]) + "-2"}, set(), id="of parts"
        ),
        pytest.param(
            {
                "x-amz-checksum-crc32": coded(DIGESTS["crc32"]),
                "x-amz-checksum-type": "COMPOSITE",
            },
            set(),
            id="of parts, otherwise said",
        ),
        pytest.param(
            {"x-goog-hash": f"crc32c={coded(bytes(4))}, md5={coded(bytes(16))}"},
            {"crc32c", "md5"},
            id="hashes of Google",
        ),
        pytest.param({"x-goog-hash": "crc32c=A, md5"}, set(), id="hashes that are none"),
        pytest.param({"x-amz-checksum-crc32": "AAAA"}, set(), id="a checksum of another length"),
        pytest.param({"x-amz-checksum-crc32": "%%%%"}, set(), id="a checksum that is none"),
        pytest.param({"x-goog-hash": "blake3=" + coded(bytes(32))}, set(), id="one of nobody"),
    ],
)
def test_what_a_head_promises(fields: Mapping[str, str], names: set[str]) -> None:
    found = digests_of_fields(fields, is_whole=True)
    assert {digest.algorithm for digest in found} == names
    for digest in found:
        assert digest.value in (DIGESTS.get(digest.algorithm), bytes(len(digest.value)))


def test_the_checksum_of_a_span_is_not_that_of_the_object() -> None:
    fields = {"x-amz-checksum-crc32": coded(DIGESTS["crc32"]), "etag": MD5_ETAG}
    found = digests_of_fields(fields, is_whole=False)
    assert [digest.algorithm for digest in found] == ["md5"]


def test_an_etag_need_not_be_trusted() -> None:
    assert digests_of_fields({"etag": MD5_ETAG}, is_whole=True, trusts_etag=False) == ()


def test_google_s_own_md5_goes_before_the_etag() -> None:
    fields = {"x-goog-hash": f"md5={coded(bytes(16))}", "etag": MD5_ETAG}
    assert digests_of_fields(fields, is_whole=True) == (ObjectDigest("md5", bytes(16)),)


@pytest.mark.parametrize("etag", [None, "", "0" * 31, "0" * 33, "g" * 32, "0" * 32 + "-1"])
def test_what_is_no_md5(etag: str | None) -> None:
    assert md5_of_etag(etag) is None


def test_what_may_be_an_md5() -> None:
    assert md5_of_etag(MD5_ETAG) == DIGESTS["md5"]
