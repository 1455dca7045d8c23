"""Digests that stores promise for their objects, and bytes compared with them as they pass.

    digests = RunningDigests(answer.entry)
    while data := await answer.read():
        digests.update(data)
    is_proven = digests.verify()

Strategy: a store may promise several digests; one of them proves that the bytes are those it
holds, so only the one that costs least is computed (measured, in GB/s on one core: crc32c
13, crc64nvme 16, crc32 3.8, sha1 1.6, sha256 1.5, md5 0.55). A store that promises nothing
costs nothing.

An ETag is the MD5 of an object that was uploaded in one part, and was not encrypted with a key
of its own. An ETag `...-N` is the MD5 of the MD5s of N parts (nobody documents it, everybody
does it); what the size of these parts was is known or guessed from the usual ones.

Rules:
* CRC-64/NVME is what Amazon keeps of an object uploaded since 2025 unless told otherwise.
* What is promised and does not match is an error. What was only guessed proves something
  if it matches, and nothing if it does not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from asyncdicom.errors import DigestMismatch
from asyncdicom.protocol.object_stores.values import ObjectDigest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.model import Buffer
    from asyncdicom.protocol.object_stores.values import ObjectEntry

__all__ = [
    "COMPUTED",
    "RunningDigests",
    "digests_of_fields",
    "has_plain_etag",
    "md5_of_etag",
    "usual_part_bytes",
]

# What uploaders take, the most usual first: AWS CLI and boto3; the least that S3 allows and
# Amazon's SDKs; s5cmd; MinIO and others; rclone with large files.
_USUAL_PART_BYTES: Final = tuple(
    count * 1024 * 1024
    for count in (8, 5, 50, 16, 64, 10, 100, 32, 128, 15, 25, 20, 6, 256, 512, 1024)
)

MAX_GUESSES: Final = 2
"""Each costs an MD5 of all bytes."""

MAX_PARTS: Final = 10_000
"""Of S3; an ETag that names more is none of this kind."""

_MD5 = re.compile(r"[0-9A-Fa-f]{32}")
_MD5_OF_PARTS = re.compile(r"([0-9A-Fa-f]{32})-([0-9]{1,5})")


class _Hash(Protocol):
    def update(self, data: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    """CRC-32 of ISO 3309, as zip and gzip have it."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Buffer) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crc64Nvme:
    """CRC-64/NVME (NVM Express NVM Command Set §5.2.1.3.4), in big-endian order as S3 writes it."""

    __slots__ = ("_update", "_value")

    def __init__(self) -> None:
        # Imported here: it costs 10 ms, and few stores but Amazon's have it.
        from anycrc import Model  # noqa: PLC0415 -- lazy on purpose

        self._update: Callable[[Buffer, int], int] = Model("CRC64-NVME").calc
        self._value = 0

    def update(self, data: Buffer) -> None:
        self._value = self._update(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(8, "big")


class _Crc32c:
    """CRC-32C (RFC 9260 Appendix A), in big-endian order as stores write it."""

    __slots__ = ("_extend", "_value")

    def __init__(self) -> None:
        # Imported here: it takes 2 ms of a start, and few stores but Google's promise it.
        from google_crc32c import extend  # noqa: PLC0415 -- lazy on purpose

        self._extend: Callable[[int, bytes], int] = extend
        self._value = 0

    def update(self, data: Buffer) -> None:
        # The library takes nothing but bytes; a copy costs less than any other digest.
        self._value = self._extend(self._value, bytes(data))

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _md5() -> _Hash:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> _Hash:
    return hashlib.sha1(usedforsecurity=False)


COMPUTED: Final[dict[str, Callable[[], _Hash]]] = {
    "crc32c": _Crc32c,
    "crc64nvme": _Crc64Nvme,
    "crc32": _Crc32,
    "sha1": _sha1,
    "sha256": hashlib.sha256,
    "md5": _md5,
}
"""Digests that are computed, the fastest first."""

_DIGEST_BYTES: Final = {
    "crc32c": 4, "crc32": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32, "md5": 16
}  # fmt: skip

_CHECKSUM_FIELDS: Final = tuple((name, f"x-amz-checksum-{name}") for name in _DIGEST_BYTES)


def digests_of_fields(
    fields: Mapping[str, str], *, is_whole: bool, trusts_etag: bool = True
) -> tuple[ObjectDigest, ...]:
    """Return what the head of an answer promises for the whole object.

    Args:
        fields: By their names in lower case.
        is_whole: Whether the answer is the whole object: of a span, S3 may send the checksum
            of the part that it happens to be.
        trusts_etag: Whether an ETag that looks like an MD5 is one.

    """
    found: dict[str, bytes] = {}
    hashes = fields.get("x-goog-hash")
    if hashes is not None:
        for item in hashes.split(","):
            algorithm, _, encoded = item.strip().partition("=")
            _add(found, algorithm, encoded)
    if is_whole and fields.get("x-amz-checksum-type", "").upper() != "COMPOSITE":
        for algorithm, name in _CHECKSUM_FIELDS:
            value = fields.get(name)
            # `value-N` is the checksum of the checksums of N parts.
            if value is not None and "-" not in value:
                _add(found, algorithm, value)
    if trusts_etag and "md5" not in found and has_plain_etag(fields):
        md5 = md5_of_etag(fields.get("etag", "").strip('"'))
        if md5 is not None:
            found["md5"] = md5
    return tuple([ObjectDigest(*item) for item in found.items()])


def _add(found: dict[str, bytes], algorithm: str, encoded: str) -> None:
    try:
        value = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return
    if len(value) == _DIGEST_BYTES.get(algorithm):
        found[algorithm] = value


def has_plain_etag(fields: Mapping[str, str]) -> bool:
    """Tell whether the ETag is made of the bytes: not with SSE-KMS or with a customer's key."""
    if "x-amz-server-side-encryption-customer-algorithm" in fields:
        return False
    return "kms" not in fields.get("x-amz-server-side-encryption", "").lower()


def md5_of_etag(etag: str | None) -> bytes | None:
    """Return the MD5 that an ETag without quotes may be, or None."""
    if etag is None or _MD5.fullmatch(etag) is None:
        return None
    return bytes.fromhex(etag)


def usual_part_bytes(byte_count: int, part_count: int) -> tuple[int, ...]:
    """Return the usual sizes of parts that make so many of an object, the most usual first."""
    if part_count == 1:
        return (max(byte_count, 1),)
    fitting = [size for size in _USUAL_PART_BYTES if -(-byte_count // size) == part_count]
    return tuple(fitting[:MAX_GUESSES])


class RunningDigests:
    """Compares the bytes of one object, in order from its first, with what its store promised.

    Attributes:
        is_idle: Whether there is nothing to compare with, so that `update` does nothing.

    """

    __slots__ = ("_hash", "_parted", "_promised", "is_idle")

    def __init__(self, entry: ObjectEntry) -> None:
        """Prepare.

        Args:
            entry: As the head of the answer says it (a list knows no digests of S3).

        """
        self._hash: _Hash | None = None
        self._promised: ObjectDigest | None = None
        self._parted: tuple[_PartedMd5, ...] = ()
        values = {digest.algorithm: digest for digest in entry.digests}
        algorithm = next((name for name in COMPUTED if name in values), None)
        if algorithm is not None:
            self._promised = values[algorithm]
            self._hash = COMPUTED[algorithm]()
        elif entry.etag is not None and "-" in entry.etag:
            self._parted = _parted(entry)
        self.is_idle = self._hash is None and not self._parted

    def update(self, data: Buffer) -> None:
        """Take the next bytes; large pieces let other threads run meanwhile."""
        if self._hash is not None:
            self._hash.update(data)
        for parted in self._parted:
            parted.update(data)

    def verify(self) -> bool:
        """Compare, behind the last byte.

        Returns:
            Whether the bytes are proven: False where the store promised nothing that
            can be compared, or a guess did not fit.

        Raises:
            DigestMismatch: If they are not those that the store promised.

        """
        if self._hash is not None and self._promised is not None:
            if self._hash.digest() != self._promised.value:
                raise DigestMismatch(f"not the {self._promised.algorithm} that the store promised")
            return True
        if any(parted.matches() for parted in self._parted):
            return True
        if any(parted.is_certain for parted in self._parted):
            raise DigestMismatch("not the ETag that the store promised")
        return False


def _parted(entry: ObjectEntry) -> tuple[_PartedMd5, ...]:
    match = _MD5_OF_PARTS.fullmatch(entry.etag or "")
    if match is None or not 1 <= int(match[2]) <= MAX_PARTS:
        return ()
    expected, count = bytes.fromhex(match[1]), int(match[2])
    if entry.part_bytes:
        # Parts of another size than the store says make another count; they prove nothing.
        if -(-entry.byte_count // entry.part_bytes) != count:
            return ()
        return (_PartedMd5(expected, entry.part_bytes, is_certain=True),)
    sizes = usual_part_bytes(entry.byte_count, count)
    return tuple([_PartedMd5(expected, size, is_certain=False) for size in sizes])


class _PartedMd5:
    """The MD5 of the MD5s of parts of one size; the last may be shorter."""

    __slots__ = ("_expected", "_of_parts", "_part", "_part_bytes", "_room_bytes", "is_certain")

    def __init__(self, expected: bytes, part_bytes: int, *, is_certain: bool) -> None:
        self.is_certain = is_certain
        self._expected = expected
        self._part_bytes = self._room_bytes = part_bytes
        self._part = _md5()
        self._of_parts = bytearray()

    def update(self, data: Buffer) -> None:
        rest = memoryview(data)
        while len(rest) > self._room_bytes:
            self._part.update(rest[: self._room_bytes])
            rest = rest[self._room_bytes :]
            self._of_parts += self._part.digest()
            self._part = _md5()
            self._room_bytes = self._part_bytes
        self._part.update(rest)
        self._room_bytes -= len(rest)

    def matches(self) -> bool:
        # A full part stays open until a byte follows it, so that no empty one is behind it.
        of_parts = _md5()
        of_parts.update(self._of_parts + self._part.digest())
        return of_parts.digest() == self._expected
