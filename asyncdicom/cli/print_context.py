"""What earlier elements say about later ones: character set, and the sign of pixel values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncdicom.protocol.data_values import values_of
from asyncdicom.protocol.part10_vocabulary import Tags
from asyncdicom.storage.data_dictionary import follows_pixel_representation

if TYPE_CHECKING:
    from asyncdicom.protocol.data_elements import ElementFound
    from asyncdicom.protocol.data_values import Value

__all__ = ["Context"]

_PIXEL_REPRESENTATION: Final = 0x00280103


class Context:
    """Follows one data set; an item inherits what rules the data set around it."""

    def __init__(self) -> None:
        self._character_sets = [b""]
        self._is_signed = False

    def enter_item(self, depth: int) -> None:
        """Let the elements of an item begin, whose sequence is at a depth."""
        del self._character_sets[depth + 1 :]
        self._character_sets.append(self._character_sets[depth])

    def vr(self, element: ElementFound) -> str:
        """Return the VR of an element: in implicit VR, some are signed where the pixels are."""
        is_told = element.encoding.is_explicit or element.vr != "US"
        if is_told or not self._is_signed or not follows_pixel_representation(element.tag):
            return element.vr
        return "SS"

    def values(self, element: ElementFound, raw: bytes) -> list[Value]:
        """Return the values of an element, and remember what they say about others."""
        if element.tag == Tags.SPECIFIC_CHARACTER_SET:
            # PS3.3 §C.12.1.1.2: it rules the data set or item that it stands in.
            self._character_sets[element.depth] = raw
        values = values_of(
            self.vr(element),
            raw,
            is_big_endian=element.encoding.is_big_endian,
            character_set=self._character_sets[element.depth],
        )
        if element.tag == _PIXEL_REPRESENTATION:
            self._is_signed = values == [1]
        return values
