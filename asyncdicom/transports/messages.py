"""Texts of foreign libraries, made fit for our messages."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["one_line", "system_reason", "whole_story"]

MAX_CHARACTERS = 160
MAX_READ_CHARACTERS = 4096
"""Of a text: some libraries quote what a server has sent, as much as it was."""
MAX_DEPTH = 16

# It begins where a run of these characters does: no run is looked at twice.
_URL = re.compile(r"(?<![a-z0-9+.-])[a-z0-9+.-]++://\S+", re.IGNORECASE)
_ERRNO = re.compile(r"\s*[(\[](?:os error|errno) -?\d+[)\]]\s*", re.IGNORECASE)
_BYTES = re.compile(r"\s*(?:bytearray\()?\bb\\*['\"].*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def one_line(text: str) -> str:
    """Return one line in lower case, without what may hold credentials or patient data.

    Those are URLs, and bytes that a parser quotes because they are not what it expects.
    """
    # Blanks first: behind long runs of them each pattern would look again and again.
    flat = " ".join(_CONTROL.sub(" ", text[:MAX_READ_CHARACTERS]).split())
    flat = _ERRNO.sub(" ", _URL.sub("the URL", _BYTES.sub("", flat)))
    flat = " ".join(flat.split()).rstrip(".: ")
    if len(flat) > MAX_CHARACTERS:
        flat = flat[: MAX_CHARACTERS - 3] + "..."
    return flat[:1].lower() + flat[1:] if flat else "no reason was given"


def system_reason(error: BaseException) -> str:
    """Return what the system said at the root of an error, else what the error says itself."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and (reason := _reason_of(cause)):
            return one_line(reason)
    return one_line(str(error))


def whole_story(error: BaseException) -> str:
    """Return what an error and all its causes say, to be searched and never to be shown."""
    return " ".join(str(cause) for cause in _chain(error))


def _reason_of(error: OSError) -> str | None:
    # The numbers of ssl and of name resolution are not those of the system.
    if isinstance(error, (ssl.SSLError, socket.gaierror)):
        return error.strerror
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return "connection reset by peer" if isinstance(error, ConnectionResetError) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    for _ in range(MAX_DEPTH):
        if current is None:
            return
        yield current
        if isinstance(current, BaseExceptionGroup):
            current = current.exceptions[0]
        else:
            # aiohttp keeps the error of the system as an attribute.
            kept = getattr(current, "os_error", None)
            current = current.__cause__ or current.__context__ or kept
