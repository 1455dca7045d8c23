"""Names that DCMTK gives to SOP classes and transfer syntaxes, in configuration files of its tools.

    find_sop_class("CTImageStorage")                # "1.2.840.10008.5.1.4.1.1.2"
    find_transfer_syntax("LittleEndianExplicit")    # "1.2.840.10008.1.2.1"

Strategy: names of storage SOP classes follow from those of the Standard: their words
without blanks and hyphens. The table of exceptions says where they do not. Transfer
syntaxes are named by hand, and those that are younger than DCMTK 3.6.7 by the same rule.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from asyncdicom.protocol.dimse.sop_classes import (
    ALL_TRANSFER_SYNTAXES,
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MODALITY_WORKLIST,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
    VERIFICATION,
    transfer_syntax_name,
)
from asyncdicom.protocol.dimse.storage_classes import STORAGE_CLASSES, STORAGE_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["SOP_CLASSES", "TRANSFER_SYNTAXES", "find_sop_class", "find_transfer_syntax"]

UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")
"""Leading zeros, which PS3.5 §9.1 forbids, are let through: some vendors' classes have them."""
MAX_UID_CHARACTERS: Final = 64

_WORD: Final = re.compile(r"[A-Za-z0-9]+")
# As written in one word, whatever the Standard hyphenates.
_JOINED: Final = (
    ("Multi-frame", "Multiframe"),
    ("Multi-channel", "Multichannel"),
    ("B-scan", "Bscan"),
    ("12-lead", "TwelveLead"),
    (" (QR)", ""),
)
_EXCEPTIONS: Final[Mapping[str, str]] = {
    "4.1.1.9.1": "DRAFT_WaveformStorage",
    "4.1.1.77.1": "RETIRED_VLImageStorage",
    "4.1.1.77.2": "RETIRED_VLMultiframeImageStorage",
    "4.1.1.88.1": "DRAFT_SRTextStorage",
    "4.1.1.88.2": "DRAFT_SRAudioStorage",
    "4.1.1.88.3": "DRAFT_SRDetailStorage",
    "4.1.1.88.4": "DRAFT_SRComprehensiveStorage",
    "4.1.1.601.1": "DICONDE_EddyCurrentImageStorage",
    "4.1.1.601.2": "DICONDE_EddyCurrentMultiframeImageStorage",
    "4.1.1.601.4": "DICONDE_ThermographyMultiFrameImageStorage",
    "4.34.1": "DRAFT_RTBeamsDeliveryInstructionStorage",
}
_OTHERS: Final[Mapping[str, str]] = {
    "VerificationSOPClass": VERIFICATION,
    "RETIRED_StoredPrintStorage": "1.2.840.10008.5.1.1.27",
    # Older releases of DCMTK wrote these two so.
    "ImplantationPlanSRDocumentStorage": f"{STORAGE_ROOT}4.1.1.88.70",
    "RETIRED_VLMultiFrameImageStorage": f"{STORAGE_ROOT}4.1.1.77.2",
    "FINDPatientRootQueryRetrieveInformationModel": PATIENT_ROOT.find,
    "MOVEPatientRootQueryRetrieveInformationModel": PATIENT_ROOT.move,
    "GETPatientRootQueryRetrieveInformationModel": PATIENT_ROOT.get,
    "FINDStudyRootQueryRetrieveInformationModel": STUDY_ROOT.find,
    "MOVEStudyRootQueryRetrieveInformationModel": STUDY_ROOT.move,
    "GETStudyRootQueryRetrieveInformationModel": STUDY_ROOT.get,
    "RETIRED_FINDPatientStudyOnlyQueryRetrieveInformationModel": PATIENT_STUDY_ONLY.find,
    "RETIRED_MOVEPatientStudyOnlyQueryRetrieveInformationModel": PATIENT_STUDY_ONLY.move,
    "RETIRED_GETPatientStudyOnlyQueryRetrieveInformationModel": PATIENT_STUDY_ONLY.get,
    "FINDModalityWorklistInformationModel": MODALITY_WORKLIST.find,
    "StorageCommitmentPushModelSOPClass": "1.2.840.10008.1.20.1",
    "ModalityPerformedProcedureStepSOPClass": "1.2.840.10008.3.1.2.3.3",
    "InstanceAvailabilityNotificationSOPClass": "1.2.840.10008.5.1.4.33",
}

_IMAGES: Final[Mapping[str, str]] = {
    "JPEGBaseline": "50",
    "JPEGExtended:Process2+4": "51",
    "JPEGExtended:Process3+5": "52",
    "JPEGSpectralSelection:Non-hierarchical:Process6+8": "53",
    "JPEGSpectralSelection:Non-hierarchical:Process7+9": "54",
    "JPEGFullProgression:Non-hierarchical:Process10+12": "55",
    "JPEGFullProgression:Non-hierarchical:Process11+13": "56",
    "JPEGLossless:Non-hierarchical:Process14": "57",
    "JPEGLossless:Non-hierarchical:Process15": "58",
    "JPEGExtended:Hierarchical:Process16+18": "59",
    "JPEGExtended:Hierarchical:Process17+19": "60",
    "JPEGSpectralSelection:Hierarchical:Process20+22": "61",
    "JPEGSpectralSelection:Hierarchical:Process21+23": "62",
    "JPEGFullProgression:Hierarchical:Process24+26": "63",
    "JPEGFullProgression:Hierarchical:Process25+27": "64",
    "JPEGLossless:Hierarchical:Process28": "65",
    "JPEGLossless:Hierarchical:Process29": "66",
    "JPEGLossless:Non-hierarchical-1stOrderPrediction": "70",
    "JPEGLSLossless": "80",
    "JPEGLSLossy": "81",
    "JPEG2000LosslessOnly": "90",
    "JPEG2000": "91",
    "JPEG2000MulticomponentLosslessOnly": "92",
    "JPEG2000Multicomponent": "93",
    "JPIPReferenced": "94",
    "JPIPReferencedDeflate": "95",
    "MPEG2MainProfile@MainLevel": "100",
    "MPEG2MainProfile@HighLevel": "101",
    "MPEG4HighProfile/Level4.1": "102",
    "MPEG4BDcompatibleHighProfile/Level4.1": "103",
    "MPEG4HighProfile/Level4.2For2DVideo": "104",
    "MPEG4HighProfile/Level4.2For3DVideo": "105",
    "MPEG4StereoHighProfile/Level4.2": "106",
    "HEVCMainProfile/Level5.1": "107",
    "HEVCMain10Profile/Level5.1": "108",
}


def _name(suffix: str, standard: str) -> str:
    """Return DCMTK's name of a storage SOP class, from that of the Standard."""
    if suffix in _EXCEPTIONS:
        return _EXCEPTIONS[suffix]
    is_retired = standard.endswith(" (Retired)")
    text = standard.removesuffix(" (Retired)").removesuffix(" SOP Class")
    for written, joined in _JOINED:
        text = text.replace(written, joined)
    for body in ("DICOS ", "DICONDE "):
        if text.startswith(body):
            return f"{body.strip()}_{_in_one_word(text.removeprefix(body))}"
    return "RETIRED_" * is_retired + _in_one_word(text)


def _in_one_word(text: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in _WORD.findall(text))


def _storage_classes() -> Iterator[tuple[str, str]]:
    for suffix, (_, standard) in STORAGE_CLASSES.items():
        yield _name(suffix, standard), f"{STORAGE_ROOT}{suffix}"


SOP_CLASSES: Final[Mapping[str, str]] = MappingProxyType({**dict(_storage_classes()), **_OTHERS})
"""UID by name."""
_KNOWN_TO_DCMTK: Final[Mapping[str, str]] = {
    "LittleEndianImplicit": IMPLICIT_VR_LITTLE_ENDIAN,
    "LittleEndianExplicit": EXPLICIT_VR_LITTLE_ENDIAN,
    "BigEndianExplicit": BIG_ENDIAN,
    # The byte order of the machine: what we receive is kept as it came, and is best
    # little endian, since big endian is retired.
    "LocalEndianExplicit": EXPLICIT_VR_LITTLE_ENDIAN,
    "OppositeEndianExplicit": BIG_ENDIAN,
    "DeflatedLittleEndianExplicit": DEFLATED,
    "RLELossless": "1.2.840.10008.1.2.5",
    **{name: f"1.2.840.10008.1.2.4.{suffix}" for name, suffix in _IMAGES.items()},
}


def _younger() -> Iterator[tuple[str, str]]:
    for uid in set(ALL_TRANSFER_SYNTAXES) - set(_KNOWN_TO_DCMTK.values()):
        yield _in_one_word(transfer_syntax_name(uid)), uid


TRANSFER_SYNTAXES: Final[Mapping[str, str]] = MappingProxyType(
    {**_KNOWN_TO_DCMTK, **dict(_younger())}
)
"""UID by name."""


def find_sop_class(value: str) -> str | None:
    """Return the UID of a SOP class by DCMTK's name, or a UID as it is; else None."""
    return SOP_CLASSES.get(value) or _uid(value)


def find_transfer_syntax(value: str) -> str | None:
    """Return the UID of a transfer syntax by DCMTK's name, or a UID as it is; else None."""
    return TRANSFER_SYNTAXES.get(value) or _uid(value)


def _uid(value: str) -> str | None:
    is_uid = len(value) <= MAX_UID_CHARACTERS and UID.fullmatch(value) is not None
    return value if is_uid else None
