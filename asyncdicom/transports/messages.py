"""Texts of foreign libraries, made fit for our messages."""

from __future__ import annotations

import re

__all__ = ["one_line"]

MAX_CHARACTERS = 160

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_ERRNO = re.compile(r"\s*[(\[](?:os error|errno) -?\d+[)\]]\s*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def one_line(text: str) -> str:
    """Return one line in lower case, without URLs, which may hold credentials or patient data."""
    flat = _CONTROL.sub(" ", text)
    flat = _ERRNO.sub(" ", _URL.sub("the URL", flat))
    flat = " ".join(flat.split()).rstrip(". ")
    if len(flat) > MAX_CHARACTERS:
        flat = flat[: MAX_CHARACTERS - 3] + "..."
    return flat[:1].lower() + flat[1:] if flat else "no reason was given"
