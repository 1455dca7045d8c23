"""Build HTML and SVG in which nothing can be forgotten to be escaped.

    element("td", url, class_="url")          # url is escaped
    element("tr", *cells)                     # cells are Markup: kept as they are

Rule: only this module makes `Markup`. Every other string is text from a
stranger, and is made printable and escaped on its way in, as a child or as an
attribute.
"""

from __future__ import annotations

import re
from html import escape

from asyncdicom.cli.report_format import printable

__all__ = ["Markup", "element", "joined", "text"]

_VOID = frozenset({"path", "rect", "line", "circle", "meta", "br", "hr"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: str) -> Markup:
    """Escape a text, unless it is markup already."""
    return value if isinstance(value, Markup) else Markup(escape(printable(value), quote=True))


def joined(*pieces: str) -> Markup:
    """Put pieces behind each other; what is no markup is escaped."""
    return Markup("".join(text(piece) for piece in pieces))


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Build an element.

    Args:
        name: Tag, from our own code.
        children: Content; what is no markup is escaped.
        attributes: `class_` is `class`, `aria_label` is `aria-label`; None leaves one out.

    """
    pairs = "".join(
        f' {_attribute_name(key)}="{_attribute_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{pairs}/>")
    return Markup(f"<{name}{pairs}>{joined(*children)}</{name}>")


def _attribute_name(key: str) -> str:
    name = key.rstrip("_").replace("_", "-")
    assert _NAME.fullmatch(name), "attribute names come from our own code"
    return name


def _attribute_value(value: str | float) -> str:
    if isinstance(value, str):
        return text(value)
    # Tenths of a pixel are finer than any screen, and keep the file small.
    return f"{value:.1f}".rstrip("0").rstrip(".")
