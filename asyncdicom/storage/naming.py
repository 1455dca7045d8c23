"""File names made from text that nobody vouches for.

Every function here is total: any text, however hostile, gives one plain name of
at most 255 bytes that no file system we know takes for something else.

    plain_name("2_T1 MPRAGE / sag")   "2_T1 MPRAGE _ sag"
    plain_name("../../etc")           "___.._etc"
    iso_name("Großmann^X")            "GROSSMAN"
"""

from __future__ import annotations

import re
import unicodedata

__all__ = [
    "QUARANTINE",
    "collision_key",
    "iso_name",
    "plain_name",
    "quarantine_path",
    "suffixed",
]

MAX_NAME_BYTES = 255
"""NAME_MAX of every file system we know."""

ISO_CHARACTERS = 8
"""PS3.10 §8.2: a File ID component has at most eight characters; so has ISO 9660 level 1."""

QUARANTINE = "_quarantine"
"""Folder for what came without a valid UID."""

_JOINERS = "\u200c\u200d"
"""Format characters that words need (Persian, Indic scripts)."""

# Names that Windows gives to devices, whatever stands behind a dot.
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9¹²³]|LPT[0-9¹²³])(?=\.|$)", re.IGNORECASE)

_NOT_ISO = re.compile(r"[^A-Z0-9_]")


def plain_name(text: str) -> str:
    """Make one name from any text; what can stay stays as it is.

    Separators, control and bidirectional characters become `_`, so do dots at
    either end (hidden files, `..`, and what Windows drops); blanks at either end
    are padding (PS3.5 §6.2) and go; what is too long ends in a digest of the whole.
    """
    kept = text.strip(" \0")
    # What nearly every name is made of, said by four calls instead of one per character.
    if not (kept.isascii() and kept.isprintable()) or "/" in kept or "\\" in kept:
        kept = "".join("_" if _is_unsafe(character) else character for character in kept)
    name = _without_outer_dots(kept) or "_"
    name = _unlike_device(name)
    if len(name.encode()) > MAX_NAME_BYTES:
        return suffixed(name, f"_{_digest(text)[:16]}")
    return name


def iso_name(text: str) -> str:
    """Make a folder name for ISO 9660 level 1 and DICOM media (PS3.10 §8.5).

    The first eight characters after upper-casing (which may lengthen: ß), where
    everything but A-Z, 0-9 and `_` becomes `_`.
    """
    return _unlike_device(_NOT_ISO.sub("_", text.strip(" \0").upper()[:ISO_CHARACTERS]) or "_")


def suffixed(name: str, suffix: str, *, max_bytes: int = MAX_NAME_BYTES) -> str:
    """Append a suffix (ASCII), shortening the name where both do not fit."""
    head = name.encode()[: max_bytes - len(suffix)].decode(errors="ignore")
    return head + suffix


def quarantine_path(raw_uid: str) -> str:
    """Return where to keep what came under a UID that is none.

    Nothing of the text gets into the path; the report says what it was.
    """
    return f"{QUARANTINE}/{_digest(raw_uid)}"


def collision_key(name: str) -> str:
    """Return what two names share if some file system takes them for one (case, composition)."""
    # Unicode §3.13, D145: decomposed, for a capital may be folded from parts of one letter.
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _is_unsafe(character: str) -> bool:
    if character.isascii():
        return character in "/\\" or not character.isprintable()
    # Cc and Cf: control and format; Cs: half a character; Zl and Zp: line ends.
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and (
        character not in _JOINERS
    )


def _unlike_device(name: str) -> str:
    device = _DEVICE.match(name)
    return f"{device[0]}_{name[device.end() :]}" if device else name


def _without_outer_dots(name: str) -> str:
    tail = len(name) - len(name.rstrip(". "))
    name = name[: len(name) - tail] + "_" * tail
    head = len(name) - len(name.lstrip("."))
    return "_" * head + name[head:]


def _digest(text: str) -> str:
    import hashlib  # noqa: PLC0415 -- 2 ms of a start; hardly any name needs it

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
