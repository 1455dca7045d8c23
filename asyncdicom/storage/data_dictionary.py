"""The data dictionary of pydicom (PS3.6 §6, Annex A), loaded when it is first asked.

Rule: pydicom costs a quarter of a second to import; whoever needs no names and no
implicit VR does not pay it.
"""

from __future__ import annotations

import functools

__all__ = ["follows_pixel_representation", "name_of", "tag_and_vr_of", "uid_name_of", "vr_of"]

# PS3.6 §6 leaves some VRs to the context. Pixel data in implicit VR is OW (PS3.5 §A.1);
# numbers are unsigned unless Pixel Representation says otherwise.
_AMBIGUOUS = {
    "OB or OW": "OW",
    "US or OW": "OW",
    "US or SS": "US",
    "US or SS or OW": "US",
}


@functools.lru_cache(maxsize=4096)
def vr_of(tag: int) -> str:
    """Return the VR of a tag; UN if the dictionary does not know it."""
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415 -- lazy on purpose

    group, element = tag >> 16, tag & 0xFFFF
    if element == 0:
        return "UL"  # PS3.5 §7.2: group length
    if group % 2:
        # PS3.5 §7.8.1: a private creator is LO; what it reserves is unknown.
        return "LO" if 0x10 <= element <= 0xFF else "UN"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    return _AMBIGUOUS.get(vr, vr if len(vr) == 2 else "UN")


@functools.lru_cache(maxsize=4096)
def follows_pixel_representation(tag: int) -> bool:
    """Tell whether an element is SS where Pixel Representation (0028,0103) is 1."""
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415 -- lazy on purpose

    try:
        return "SS" in dictionary_VR(tag)
    except KeyError:
        return False


@functools.lru_cache(maxsize=4096)
def name_of(tag: int) -> str:
    """Return the name of a tag, such as "Patient's Name"; empty if nobody knows it."""
    from pydicom.datadict import dictionary_description  # noqa: PLC0415 -- lazy on purpose

    try:
        return dictionary_description(tag)
    except (KeyError, ValueError, OverflowError):
        return ""


def tag_and_vr_of(keyword: str) -> tuple[int, str] | None:
    """Return tag and VR of a keyword such as PatientBirthDate; None if there is none."""
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 -- lazy on purpose

    # The dictionary has retired elements without a keyword.
    tag = tag_for_keyword(keyword) if keyword else None
    return None if tag is None else (int(tag), vr_of(int(tag)))


def uid_name_of(uid: str) -> str:
    """Return the name of a UID of the Standard (PS3.6 Annex A), or the UID itself."""
    from pydicom._uid_dict import UID_dictionary  # noqa: PLC0415 -- lazy on purpose

    return UID_dictionary[uid][0] if uid in UID_dictionary else uid
