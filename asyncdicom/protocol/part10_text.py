r"""Decode the text of a data element by its Specific Character Set (PS3.3 §C.12.1.1.2, PS3.5 §6.1).

    decode_text(b"Buc^J\xe9r\xf4me ", b"ISO_IR 100")     # "Buc^Jérôme"

Rule: best effort, and never an exception. The text names folders; what a character
set does not define becomes U+FFFD.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["decode_text"]

_DEFAULT_CODEC: Final = "latin-1"
"""Without a character set only ASCII is legal; archives send Latin-1 all the same."""

# PS3.3 Tables C.12-2 to C.12-5: defined terms, without "ISO_IR" or "ISO 2022 IR".
_CODECS: Final = {
    "6": _DEFAULT_CODEC,
    "100": "latin-1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "148": "iso8859_9",
    "203": "iso8859_15",
    "13": "shift_jis",
    "166": "iso8859_11",
    "192": "utf-8",
    "87": "iso2022_jp",
    "159": "iso2022_jp_2",
    "149": "euc_kr",
    "58": "gb2312",
    "GB18030": "gb18030",
    "GBK": "gbk",
}

# PS3.3 Table C.12-3 and C.12-4: escape sequence, codec, and whether the codec
# itself wants to see the escape sequence.
_ESCAPES: Final = {
    b"\x1b(B": ("latin-1", False),
    b"\x1b(J": ("shift_jis", False),
    b"\x1b)I": ("shift_jis", False),
    b"\x1b-A": ("latin-1", False),
    b"\x1b-B": ("iso8859_2", False),
    b"\x1b-C": ("iso8859_3", False),
    b"\x1b-D": ("iso8859_4", False),
    b"\x1b-F": ("iso8859_7", False),
    b"\x1b-G": ("iso8859_6", False),
    b"\x1b-H": ("iso8859_8", False),
    b"\x1b-L": ("iso8859_5", False),
    b"\x1b-M": ("iso8859_9", False),
    b"\x1b-T": ("iso8859_11", False),
    b"\x1b-b": ("iso8859_15", False),
    b"\x1b$B": ("iso2022_jp", True),
    b"\x1b$(D": ("iso2022_jp_2", True),
    b"\x1b$)C": ("euc_kr", False),
    b"\x1b$)A": ("gb2312", False),
}
# "ISO_IR 100", "ISO 2022 IR 100", and with the blanks that archives mistake.
_PREFIX: Final = re.compile(r"ISO[ _](?:2022[ _]?)?IR[ _]?")
_ESCAPED_RUN: Final = re.compile(rb"(\x1b\$[()][ACD]|\x1b\$B|\x1b[()-].)([^\x1b]*)", re.DOTALL)


# The instances of a series share most of their text.
@lru_cache(maxsize=1024)
def decode_text(raw: bytes, character_set: bytes = b"") -> str:
    r"""Return a value as text, without the padding around it; several values keep their `\`.

    Args:
        raw: Value of the element.
        character_set: Value of Specific Character Set (0008,0005) of the same data set.

    """
    if raw.isascii() and b"\x1b" not in raw:
        text = raw.decode("ascii")
    elif b"\x1b" in raw:
        text = _decode_escaped(raw, _codec_of(character_set))
    else:
        text = raw.decode(_codec_of(character_set), "replace")
    # PS3.5 §6.2: blanks pad text and NUL pads UIDs; neither means anything.
    return text.strip(" \0")


@lru_cache(maxsize=64)
def _codec_of(character_set: bytes) -> str:
    """Return the codec of the first value, which holds until an escape sequence says otherwise."""
    first = character_set.decode("latin-1").split("\\")[0].strip(" \0").upper()
    number = _PREFIX.sub("", first)
    return _CODECS.get(number, _DEFAULT_CODEC)


def _decode_escaped(raw: bytes, codec: str) -> str:
    """Decode code extension techniques (PS3.5 §6.1.2.5): each escape rules up to the next."""
    head, escape, rest = raw.partition(b"\x1b")
    text = head.decode(codec, "replace")
    for match in _ESCAPED_RUN.finditer(escape + rest):
        codec_of_run, wants_escape = _ESCAPES.get(match[1], (codec, False))
        run = match[0] if wants_escape else match[2]
        text += run.decode(codec_of_run, "replace")
    return text
