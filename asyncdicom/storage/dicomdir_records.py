"""Directory records: which type an instance has, and which keys it takes (PS3.3 §F.4, §F.5).

Rule: the keys and their types are those of PS3.3 §F.5. A type 1 key has a value, a type 2 key may
be empty, a type 3 key is copied where the instance has it. Type 1C and 2C are copied where they
are, because the instance has them under the same condition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "ATTRIBUTES",
    "DIRECTORY_SOP_CLASS_UID",
    "GROUPS",
    "IMAGE",
    "PRIVATE",
    "PRIVATE_RECORD_UID",
    "ROOT_TYPES",
    "DicomdirKeys",
    "RecordKey",
    "parse_record_key",
    "record_keys",
    "record_type_of",
]

DIRECTORY_SOP_CLASS_UID: Final = "1.2.840.10008.1.3.10"
"""Media Storage Directory Storage (PS3.4 §B.5): the DICOMDIR itself."""

PRIVATE_RECORD_UID: Final = "2.25.273106189826230929063463206812163412517"
"""Of our records for instances that PS3.3 §F.4 has no type for (PS3.3 §F.6.1)."""

IMAGE: Final = "IMAGE"
PRIVATE: Final = "PRIVATE"
GROUPS: Final = ("PATIENT", "STUDY", "SERIES")
"""Records that reference no file, from the root down."""

ROOT_TYPES: Final = frozenset(
    ["HANGING PROTOCOL", "PALETTE", "IMPLANT", "IMPLANT ASSY", "IMPLANT GROUP"]
)
"""Records of instances that belong to no patient (PS3.3 §F.4)."""


@dataclass(frozen=True, slots=True)
class RecordKey:
    """An attribute that a record takes from its instance."""

    keyword: str
    tag: int
    vr: str
    requirement: int
    """1: needs a value; 2: may be empty; 3: only where the instance has it (PS3.5 §7.4)."""


ATTRIBUTES: Final = {
    "ImageType": (0x00080008, "CS"),
    "InstanceCreationDate": (0x00080012, "DA"),
    "InstanceCreationTime": (0x00080013, "TM"),
    "StudyDate": (0x00080020, "DA"),
    "ContentDate": (0x00080023, "DA"),
    "StudyTime": (0x00080030, "TM"),
    "ContentTime": (0x00080033, "TM"),
    "AccessionNumber": (0x00080050, "SH"),
    "Modality": (0x00080060, "CS"),
    "Manufacturer": (0x00080070, "LO"),
    "StudyDescription": (0x00081030, "LO"),
    "ProcedureTypeCodeSequence": (0x00760020, "SQ"),
    "ReferencedSeriesSequence": (0x00081115, "SQ"),
    "ReferencedImageEvidenceSequence": (0x00089092, "SQ"),
    "PatientName": (0x00100010, "PN"),
    "PatientID": (0x00100020, "LO"),
    "DataPointRows": (0x00289001, "UL"),
    "DataPointColumns": (0x00289002, "UL"),
    "StudyInstanceUID": (0x0020000D, "UI"),
    "SeriesInstanceUID": (0x0020000E, "UI"),
    "StudyID": (0x00200010, "SH"),
    "SeriesNumber": (0x00200011, "IS"),
    "InstanceNumber": (0x00200013, "IS"),
    "NumberOfFrames": (0x00280008, "IS"),
    "Rows": (0x00280010, "US"),
    "Columns": (0x00280011, "US"),
    "VerificationDateTime": (0x0040A030, "DT"),
    "ConceptNameCodeSequence": (0x0040A043, "SQ"),
    "CompletionFlag": (0x0040A491, "CS"),
    "VerificationFlag": (0x0040A493, "CS"),
    "ContentSequence": (0x0040A730, "SQ"),
    "HL7InstanceIdentifier": (0x0040E001, "ST"),
    "DocumentTitle": (0x00420010, "ST"),
    "MIMETypeOfEncapsulatedDocument": (0x00420012, "LO"),
    "ContentLabel": (0x00700080, "CS"),
    "ContentDescription": (0x00700081, "LO"),
    "PresentationCreationDate": (0x00700082, "DA"),
    "PresentationCreationTime": (0x00700083, "TM"),
    "ContentCreatorName": (0x00700084, "PN"),
    "BlendingSequence": (0x00700402, "SQ"),
    "HangingProtocolName": (0x00720002, "SH"),
    "HangingProtocolDescription": (0x00720004, "LO"),
    "HangingProtocolLevel": (0x00720006, "CS"),
    "HangingProtocolCreator": (0x00720008, "LO"),
    "HangingProtocolCreationDateTime": (0x0072000A, "DT"),
    "HangingProtocolDefinitionSequence": (0x0072000C, "SQ"),
    "HangingProtocolUserIdentificationCodeSequence": (0x0072000E, "SQ"),
    "NumberOfPriorsReferenced": (0x00720014, "US"),
    "UserContentLabel": (0x30100033, "SH"),
    "UserContentLongLabel": (0x30100034, "LO"),
    "StructureSetLabel": (0x30060002, "SH"),
    "StructureSetDate": (0x30060008, "DA"),
    "StructureSetTime": (0x30060009, "TM"),
    "DoseSummationType": (0x3004000A, "CS"),
    "DoseComment": (0x30040006, "LO"),
    "RTPlanLabel": (0x300A0002, "SH"),
    "RTPlanDate": (0x300A0006, "DA"),
    "RTPlanTime": (0x300A0007, "TM"),
    "TreatmentDate": (0x30080250, "DA"),
    "TreatmentTime": (0x30080251, "TM"),
    "ImplantSize": (0x00686210, "LO"),
    "ImplantPartNumber": (0x00221097, "LO"),
    "ImplantName": (0x00221095, "LO"),
    "ImplantAssemblyTemplateName": (0x00760001, "LO"),
    "ImplantTemplateGroupName": (0x00780001, "LO"),
    "ImplantTemplateGroupIssuer": (0x00780020, "LO"),
}
"""Tag and VR of each key below (PS3.6 §6), so that no dictionary has to be loaded."""

_DATED: Final = "ContentDate:1 ContentTime:1 InstanceNumber:1"
_IDENTIFIED: Final = (
    "InstanceNumber:1 ContentLabel:1 ContentDescription:2 ContentCreatorName:2"
    " ContentDate:1 ContentTime:1"
)
_KEYS: Final = {
    "PATIENT": "PatientName:2 PatientID:1",
    "STUDY": "StudyDate:1 StudyTime:1 StudyDescription:2 StudyInstanceUID:1 StudyID:1"
    " AccessionNumber:2",
    "SERIES": "Modality:1 SeriesInstanceUID:1 SeriesNumber:1",
    "IMAGE": "InstanceNumber:1",
    "RT DOSE": "InstanceNumber:1 DoseSummationType:1 DoseComment:3",
    "RT STRUCTURE SET": "InstanceNumber:1 StructureSetLabel:1 StructureSetDate:2"
    " StructureSetTime:2",
    "RT PLAN": "InstanceNumber:1 RTPlanLabel:1 RTPlanDate:2 RTPlanTime:2",
    "RT TREAT RECORD": "InstanceNumber:1 TreatmentDate:2 TreatmentTime:2",
    "PRESENTATION": "PresentationCreationDate:1 PresentationCreationTime:1 InstanceNumber:1"
    " ContentLabel:1 ContentDescription:2 ContentCreatorName:2 ReferencedSeriesSequence:3"
    " BlendingSequence:3",
    "WAVEFORM": _DATED,
    "SR DOCUMENT": f"{_DATED} CompletionFlag:1 VerificationFlag:1 VerificationDateTime:3"
    " ConceptNameCodeSequence:1 ContentSequence:3",
    "KEY OBJECT DOC": f"{_DATED} ConceptNameCodeSequence:1 ContentSequence:3",
    "SPECTROSCOPY": f"{_DATED} ImageType:1 ReferencedImageEvidenceSequence:3 NumberOfFrames:1"
    " Rows:1 Columns:1 DataPointRows:1 DataPointColumns:1",
    "RAW DATA": "ContentDate:1 ContentTime:1 InstanceNumber:2",
    "REGISTRATION": _IDENTIFIED,
    "FIDUCIAL": _IDENTIFIED,
    "HANGING PROTOCOL": "HangingProtocolName:1 HangingProtocolDescription:1"
    " HangingProtocolLevel:1 HangingProtocolCreator:1 HangingProtocolCreationDateTime:1"
    " HangingProtocolDefinitionSequence:1 NumberOfPriorsReferenced:1"
    " HangingProtocolUserIdentificationCodeSequence:2",
    "ENCAP DOC": "ContentDate:2 ContentTime:2 InstanceNumber:1 DocumentTitle:2"
    " HL7InstanceIdentifier:3 ConceptNameCodeSequence:2 MIMETypeOfEncapsulatedDocument:1",
    "VALUE MAP": _IDENTIFIED,
    "STEREOMETRIC": "",
    "PALETTE": "ContentLabel:1 ContentDescription:2",
    "IMPLANT": "Manufacturer:1 ImplantName:1 ImplantSize:3 ImplantPartNumber:1",
    "IMPLANT ASSY": "ImplantAssemblyTemplateName:1 Manufacturer:1 ProcedureTypeCodeSequence:1",
    "IMPLANT GROUP": "ImplantTemplateGroupName:1 ImplantTemplateGroupIssuer:1",
    "PLAN": "",
    "MEASUREMENT": _IDENTIFIED,
    "SURFACE": _IDENTIFIED,
    "SURFACE SCAN": "ContentDate:1 ContentTime:1",
    "TRACT": _IDENTIFIED,
    "ASSESSMENT": "InstanceNumber:1 InstanceCreationDate:1 InstanceCreationTime:2",
    "RADIOTHERAPY": "InstanceNumber:1 UserContentLabel:3 UserContentLongLabel:3"
    " ContentDescription:2 ContentCreatorName:2",
    "PRIVATE": "InstanceNumber:3",
}
"""PS3.3 §F.5.1 to §F.5.47, as KEYWORD:TYPE."""

# PS3.4 §B.5: what stands behind the root of the storage SOP classes.
_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
_TYPES: Final = {
    "RT DOSE": "481.2",
    "RT STRUCTURE SET": "481.3",
    "RT PLAN": "481.5 481.8",
    "RT TREAT RECORD": "481.4 481.6 481.7 481.9",
    "RADIOTHERAPY": "481.10 481.11 481.12 481.13 481.14 481.15 481.16 481.17 481.18 481.19 481.20"
    " 481.21 481.22 481.25",
    "PRESENTATION": "11.1 11.2 11.3 11.4 11.5 11.6 11.7 11.8 11.9 11.10 11.11 11.12 131",
    "WAVEFORM": "9.1.1 9.1.2 9.1.3 9.1.4 9.2.1 9.3.1 9.4.1 9.4.2 9.5.1 9.6.1 9.6.2 9.7.1 9.7.2"
    " 9.7.3 9.7.4 9.8.1 9.100.1 9.100.2",
    "SR DOCUMENT": "88.11 88.22 88.33 88.34 88.35 88.40 88.50 88.65 88.67 88.68 88.69 88.70"
    " 88.71 88.72 88.73 88.74 88.75 88.76 88.77 78.6 79.1",
    "KEY OBJECT DOC": "88.59",
    "SPECTROSCOPY": "4.2",
    "RAW DATA": "66",
    "REGISTRATION": "66.1 66.3",
    "FIDUCIAL": "66.2",
    "SURFACE": "66.5",
    "TRACT": "66.6",
    "VALUE MAP": "67",
    "SURFACE SCAN": "68.1 68.2",
    "STEREOMETRIC": "77.1.5.3",
    "MEASUREMENT": "78.1 78.2 78.3 78.4 78.5 78.7 78.8 80.1",
    "ASSESSMENT": "90.1",
    "ENCAP DOC": "104.1 104.2 104.3 104.4 104.5",
}
_OTHER_TYPES: Final = {
    "1.2.840.10008.5.1.4.34.7": "PLAN",
    "1.2.840.10008.5.1.4.34.10": "PLAN",
    "1.2.840.10008.5.1.4.38.1": "HANGING PROTOCOL",
    "1.2.840.10008.5.1.4.39.1": "PALETTE",
    "1.2.840.10008.5.1.4.43.1": "IMPLANT",
    "1.2.840.10008.5.1.4.44.1": "IMPLANT ASSY",
    "1.2.840.10008.5.1.4.45.1": "IMPLANT GROUP",
}
_TYPE_BY_CLASS: Final = _OTHER_TYPES | {
    _ROOT + suffix: type_ for type_, suffixes in _TYPES.items() for suffix in suffixes.split()
}

# Those that archives hold by the million, so that nothing is read to tell that they are images.
_IMAGES: Final = frozenset(
    _ROOT + suffix
    for suffix in (
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "2", "2.1", "3.1", "4", "4.1", "6.1", "6.2"),
        *("7", "7.1", "7.2", "7.3", "7.4", "12.1", "12.2", "20", "128", "130", "481.1"),
    )
)


def record_type_of(sop_class_uid: str) -> str | None:
    """Return the type of an instance's record.

    Returns:
        None if the class is unknown to us: it is an image if it has rows.

    """
    return IMAGE if sop_class_uid in _IMAGES else _TYPE_BY_CLASS.get(sop_class_uid)


def record_keys(record_type: str) -> tuple[RecordKey, ...]:
    """Return the keys that PS3.3 §F.5 gives a record."""
    return tuple(map(_standard_key, _KEYS[record_type].split()))


def _standard_key(text: str) -> RecordKey:
    keyword, _, requirement = text.partition(":")
    tag, vr = ATTRIBUTES[keyword]
    return RecordKey(keyword, tag, vr, int(requirement))


def parse_record_key(text: str, find: Callable[[str], tuple[int, str] | None]) -> RecordKey:
    """Read `KEYWORD[:TYPE]`; the type is 3 where none is given.

    Args:
        text: As the user wrote it.
        find: Tag and VR of a keyword, for those that are not in `ATTRIBUTES`.

    Raises:
        ConfigError: If it is none.

    """
    keyword, colon, requirement = text.partition(":")
    found = ATTRIBUTES.get(keyword) or find(keyword)
    if found is None:
        raise ConfigError(f"no such attribute: {keyword!r}", hint="a keyword is like PatientSex")
    if colon and requirement not in ("1", "2", "3"):
        raise ConfigError(
            f"not the type of a key: {requirement!r}",
            hint="1 needs a value, 2 may be empty, 3 is optional",
        )
    # PS3.3 §F.3.2.2: group 0004 is the directory's own.
    if found[0] >> 16 <= 4 or found[0] == _CHARACTER_SET:
        raise ConfigError(f"{keyword} is set by the directory itself", hint="leave it out")
    return RecordKey(keyword, *found, int(requirement or "3"))


_CHARACTER_SET: Final = 0x00080005


@dataclass(frozen=True)
class DicomdirKeys:
    """Keys of the user's, beyond those of PS3.3 §F.5, or with another type than there."""

    patient: tuple[RecordKey, ...] = ()
    study: tuple[RecordKey, ...] = ()
    series: tuple[RecordKey, ...] = ()
    image: tuple[RecordKey, ...] = ()
    """Of the records that reference a file, whatever their type."""
    _cache: dict[str, tuple[RecordKey, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, record_type: str) -> tuple[RecordKey, ...]:
        """Return all keys of a record, by tag; the user's word stands over the Standard's."""
        if record_type not in self._cache:
            own = {"PATIENT": self.patient, "STUDY": self.study, "SERIES": self.series}
            merged = _merged(record_keys(record_type), own.get(record_type, self.image))
            self._cache[record_type] = merged
        return self._cache[record_type]


def _merged(standard: Iterable[RecordKey], own: Iterable[RecordKey]) -> tuple[RecordKey, ...]:
    by_tag = {key.tag: key for key in (*standard, *own)}
    return tuple(by_tag[tag] for tag in sorted(by_tag))
