"""The transfer syntaxes that instances are sent in (PS3.5 §10, PS3.6 Annex A).

Rule: where order matters, the likely ones come first: what archives hold most of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ALL_TRANSFER_SYNTAXES",
    "BIG_ENDIAN",
    "COMMON_TRANSFER_SYNTAXES",
    "DEFLATED",
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "LOSSLESS",
    "LOSSY",
    "REFERENCED",
    "UNCOMPRESSED",
    "VIDEO",
    "is_for_any_class",
    "transfer_syntax_name",
]

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
"""Deflated Explicit VR Little Endian (PS3.5 §A.5)."""
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
"""Retired, and still in archives."""

UNCOMPRESSED: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""Without big endian."""

_PREFIX: Final = "1.2.840.10008.1.2."

# Suffix to name, likely ones first.
_LOSSLESS: Final[Mapping[str, str]] = {
    "4.90": "JPEG 2000 Image Compression (Lossless Only)",
    "4.70": "JPEG Lossless, Non-Hierarchical, First-Order Prediction"
    " (Process 14 [Selection Value 1])",
    "4.80": "JPEG-LS Lossless Image Compression",
    "5": "RLE Lossless",
    "4.57": "JPEG Lossless, Non-Hierarchical (Process 14)",
    "4.201": "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
    "4.202": "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
    "4.110": "JPEG XL Lossless",
    "8.1": "Deflated Image Frame Compression",
    "4.92": "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)",
    "4.58": "JPEG Lossless, Non-Hierarchical (Process 15)",
    "4.65": "JPEG Lossless, Hierarchical (Process 28)",
    "4.66": "JPEG Lossless, Hierarchical (Process 29)",
}
_LOSSY: Final[Mapping[str, str]] = {
    "4.50": "JPEG Baseline (Process 1)",
    "4.91": "JPEG 2000 Image Compression",
    "4.51": "JPEG Extended (Process 2 and 4)",
    "4.81": "JPEG-LS Lossy (Near-Lossless) Image Compression",
    "4.203": "High-Throughput JPEG 2000 Image Compression",
    "4.112": "JPEG XL",
    "4.111": "JPEG XL JPEG Recompression",
    "4.93": "JPEG 2000 Part 2 Multi-component Image Compression",
    "4.52": "JPEG Extended (Process 3 and 5)",
    "4.53": "JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)",
    "4.54": "JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)",
    "4.55": "JPEG Full Progression, Non-Hierarchical (Process 10 and 12)",
    "4.56": "JPEG Full Progression, Non-Hierarchical (Process 11 and 13)",
    "4.59": "JPEG Extended, Hierarchical (Process 16 and 18)",
    "4.60": "JPEG Extended, Hierarchical (Process 17 and 19)",
    "4.61": "JPEG Spectral Selection, Hierarchical (Process 20 and 22)",
    "4.62": "JPEG Spectral Selection, Hierarchical (Process 21 and 23)",
    "4.63": "JPEG Full Progression, Hierarchical (Process 24 and 26)",
    "4.64": "JPEG Full Progression, Hierarchical (Process 25 and 27)",
}
_VIDEO: Final[Mapping[str, str]] = {
    "4.102": "MPEG-4 AVC/H.264 High Profile / Level 4.1",
    "4.100": "MPEG2 Main Profile / Main Level",
    "4.103": "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    "4.101": "MPEG2 Main Profile / High Level",
    "4.104": "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
    "4.107": "HEVC/H.265 Main Profile / Level 5.1",
    "4.108": "HEVC/H.265 Main 10 Profile / Level 5.1",
    "4.105": "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
    "4.106": "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
    "4.102.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1",
    "4.100.1": "Fragmentable MPEG2 Main Profile / Main Level",
    "4.103.1": "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    "4.101.1": "Fragmentable MPEG2 Main Profile / High Level",
    "4.104.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
    "4.105.1": "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
    "4.106.1": "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
}
_REFERENCED: Final[Mapping[str, str]] = {
    "4.94": "JPIP Referenced",
    "4.95": "JPIP Referenced Deflate",
    "4.204": "JPIP HTJ2K Referenced",
    "4.205": "JPIP HTJ2K Referenced Deflate",
}
_PLAIN: Final[Mapping[str, str]] = {
    EXPLICIT_VR_LITTLE_ENDIAN: "Explicit VR Little Endian",
    IMPLICIT_VR_LITTLE_ENDIAN: "Implicit VR Little Endian",
    DEFLATED: "Deflated Explicit VR Little Endian",
    BIG_ENDIAN: "Explicit VR Big Endian",
    ENCAPSULATED_UNCOMPRESSED: "Encapsulated Uncompressed Explicit VR Little Endian",
}


def _uids(table: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{_PREFIX}{suffix}" for suffix in table)


LOSSLESS: Final = _uids(_LOSSLESS)
"""Image compressions that keep every pixel."""
LOSSY: Final = _uids(_LOSSY)
"""Image compressions that need not; JPEG 2000 (.91) may."""
VIDEO: Final = _uids(_VIDEO)
"""MPEG-2, MPEG-4 and HEVC, for instances of many frames."""
REFERENCED: Final = _uids(_REFERENCED)
"""Data sets whose pixels are somewhere else."""

ALL_TRANSFER_SYNTAXES: Final = (
    *UNCOMPRESSED,
    *LOSSLESS,
    *LOSSY,
    DEFLATED,
    BIG_ENDIAN,
    *VIDEO,
    ENCAPSULATED_UNCOMPRESSED,
    *REFERENCED,
)
"""Each that an instance may be sent in. One association has room for two image classes in
all of them, so the common ones are to be tried first."""

COMMON_TRANSFER_SYNTAXES: Final = (
    *UNCOMPRESSED,
    *LOSSLESS[:6],
    *LOSSY[:5],
    DEFLATED,
    BIG_ENDIAN,
    *VIDEO[:3],
    VIDEO[5],
)
"""What hardly an instance of an archive is outside of: six image classes per association."""

_NAMES: Final[Mapping[str, str]] = {
    **_PLAIN,
    **{
        f"{_PREFIX}{suffix}": name
        for table in (_LOSSLESS, _LOSSY, _VIDEO, _REFERENCED)
        for suffix, name in table.items()
    },
}
_OF_IMAGES: Final = frozenset((*LOSSLESS, *LOSSY, *VIDEO, *REFERENCED, ENCAPSULATED_UNCOMPRESSED))


def transfer_syntax_name(uid: str) -> str:
    """Return the name of a transfer syntax, or the UID itself if it is not known."""
    return _NAMES.get(uid, uid)


def is_for_any_class(uid: str) -> bool:
    """Tell whether it says nothing about pixels, so that reports may have it too.

    One that is not known, such as a private one, may.
    """
    return uid not in _OF_IMAGES
