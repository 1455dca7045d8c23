"""The tables hold what pydicom's dictionary holds, each once, likely ones first."""

from __future__ import annotations

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES as THEIRS

from asyncdicom.protocol.dimse.transfer_syntaxes import (
    ALL_TRANSFER_SYNTAXES,
    BIG_ENDIAN,
    COMMON_TRANSFER_SYNTAXES,
    DEFLATED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    LOSSLESS,
    LOSSY,
    REFERENCED,
    UNCOMPRESSED,
    VIDEO,
    is_for_any_class,
    transfer_syntax_name,
)

PREFIX = "1.2.840.10008.1.2"
NEVER_OF_AN_INSTANCE = {
    f"{PREFIX}.6.1",  # MIME
    f"{PREFIX}.6.2",  # XML
    f"{PREFIX}.7.1",  # SMPTE: streams, not instances
    f"{PREFIX}.7.2",
    f"{PREFIX}.7.3",
    "1.2.840.10008.1.20",  # Papyrus
}
STANDARD = {
    uid: name
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "Transfer Syntax" and uid not in NEVER_OF_AN_INSTANCE
}


def test_each_transfer_syntax_of_instances_is_known_by_its_name() -> None:
    assert {uid: transfer_syntax_name(uid) for uid in ALL_TRANSFER_SYNTAXES} == STANDARD
    assert len(set(ALL_TRANSFER_SYNTAXES)) == len(ALL_TRANSFER_SYNTAXES)


def test_whatever_pynetdicom_accepts_is_known() -> None:
    assert set(THEIRS) - NEVER_OF_AN_INSTANCE <= set(ALL_TRANSFER_SYNTAXES)


def test_what_is_not_known_goes_by_its_uid() -> None:
    assert transfer_syntax_name("2.999.7") == "2.999.7"


def test_what_is_uncompressed_comes_first() -> None:
    assert UNCOMPRESSED == (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
    assert ALL_TRANSFER_SYNTAXES[:2] == COMMON_TRANSFER_SYNTAXES[:2] == UNCOMPRESSED


def test_common_ones_are_few_enough_for_six_classes() -> None:
    assert set(COMMON_TRANSFER_SYNTAXES) < set(ALL_TRANSFER_SYNTAXES)
    assert len(set(COMMON_TRANSFER_SYNTAXES)) == len(COMMON_TRANSFER_SYNTAXES)
    assert 6 * len(COMMON_TRANSFER_SYNTAXES) <= 127


def keeps_each_pixel(uid: str) -> bool:
    name = transfer_syntax_name(uid).replace("Near-Lossless", "")
    return "Lossless" in name or "Deflated" in name


def test_the_names_say_what_keeps_each_pixel() -> None:
    assert all(map(keeps_each_pixel, LOSSLESS))
    assert not any(map(keeps_each_pixel, LOSSY))


def test_only_pixels_are_compressed_as_images() -> None:
    for_any = [uid for uid in ALL_TRANSFER_SYNTAXES if is_for_any_class(uid)]
    assert for_any == [*UNCOMPRESSED, DEFLATED, BIG_ENDIAN]
    assert not any(map(is_for_any_class, (*LOSSLESS, *LOSSY, *VIDEO, *REFERENCED)))
    assert is_for_any_class("2.999.7")


def test_pydicom_agrees_about_compression() -> None:
    compressed = {uid for uid in (*LOSSLESS, *LOSSY, *VIDEO) if UID(uid).is_compressed}
    assert compressed == {*LOSSLESS, *LOSSY, *VIDEO}
