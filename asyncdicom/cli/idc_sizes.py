"""Sizes as people read them."""

from __future__ import annotations

__all__ = ["size"]


def size(byte_count: int) -> str:
    """Return a size in MB, from 10 GB on in GB, from 10 TB on in TB (powers of ten)."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if byte_count >= 10 * factor:
            return f"{byte_count / factor:.1f} {unit}"
    return f"{byte_count / 1e6:.1f} MB"
