"""Directory records made from an instance (PS3.3 §F.3.2.2, §F.5).

    instance = read_instance(file, keys)
    record = leaf_record(instance, "A/1/IM000001", keys)

Rule: values are copied byte by byte, and Specific Character Set with them where they need it.
Nothing is invented: a type 1 key without a value is an error that names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ContentError
from asyncdicom.model import is_uid
from asyncdicom.protocol.data_sets import (
    DataElement,
    Item,
    collect,
    encoded,
    needs_character_set,
)
from asyncdicom.protocol.part10_vocabulary import Tags
from asyncdicom.storage.dicomdir_file import (
    FILE_ID,
    IDENTITIES,
    RECORD_TYPE,
    Record,
    order_of,
    text_in,
)
from asyncdicom.storage.dicomdir_records import (
    ATTRIBUTES,
    DIRECTORY_SOP_CLASS_UID,
    GROUPS,
    IMAGE,
    PRIVATE,
    PRIVATE_RECORD_UID,
    ROOT_TYPES,
    record_type_of,
)

if TYPE_CHECKING:
    from asyncdicom.storage.dicom_source import DicomFile
    from asyncdicom.storage.dicomdir_records import DicomdirKeys

__all__ = ["Instance", "LacksKeys", "group_record", "leaf_record", "read_instance"]

_MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x00020002
_PRIVATE_RECORD_UID: Final = 0x00041432
_SOP_CLASS_UID: Final = 0x00041510
_SOP_INSTANCE_UID: Final = 0x00041511
_TRANSFER_SYNTAX_UID: Final = 0x00041512
_CONTENT_SEQUENCE: Final = ATTRIBUTES["ContentSequence"][0]
_RELATIONSHIP_TYPE: Final = 0x0040A010
_VERIFICATION_DATE_TIME: Final = ATTRIBUTES["VerificationDateTime"][0]
_VERIFYING_OBSERVERS: Final = 0x0040A073
_ALWAYS: Final = (Tags.SPECIFIC_CHARACTER_SET, Tags.SOP_CLASS_UID, Tags.SOP_INSTANCE_UID)


class LacksKeys(ContentError):
    """The instance has no value for what a record needs.

    Attributes:
        record_type: Of the record.

    """

    def __init__(self, record_type: str, keywords: list[str]) -> None:
        super().__init__(f"lacks {', '.join(keywords)}, which its {record_type} record needs")
        self.record_type = record_type
        self.keywords = keywords


@dataclass(frozen=True, slots=True)
class Instance:
    """What the records need to know of an instance."""

    record_type: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    elements: Item

    @property
    def groups(self) -> tuple[str, ...]:
        """Types of the records above its own."""
        return () if self.record_type in ROOT_TYPES else GROUPS


def read_instance(file: DicomFile, keys: DicomdirKeys) -> Instance | None:
    """Read what the records need; None if the file is a DICOMDIR.

    Raises:
        ContentError: If it does not say which instance it is.
        ProtocolError: If what is read is damaged.
        LimitExceeded: If a key is too large to be copied.

    """
    sop_class_uid = file.meta_text(_MEDIA_STORAGE_SOP_CLASS_UID)
    if sop_class_uid == DIRECTORY_SOP_CLASS_UID:
        return None
    record_type = record_type_of(sop_class_uid)
    elements = collect(file.elements(_wanted(record_type, keys)), file.source)
    sop_instance_uid = text_in(elements, Tags.SOP_INSTANCE_UID)
    if not all(map(is_uid, (sop_instance_uid, sop_class_uid, file.transfer_syntax_uid))):
        raise ContentError("does not say which instance of which class it is, in which encoding")
    if record_type is None:
        record_type = IMAGE if Tags.ROWS in elements else PRIVATE
    return Instance(
        record_type,
        sop_class_uid,
        sop_instance_uid,
        file.transfer_syntax_uid,
        _completed(elements, record_type),
    )


@lru_cache(maxsize=64)
def _wanted(record_type: str | None, keys: DicomdirKeys) -> frozenset[int]:
    own = (record_type,) if record_type else (IMAGE, PRIVATE)
    tags = {key.tag for type_ in (*GROUPS, *own) for key in keys.of(type_)}
    if record_type is None:
        tags.add(Tags.ROWS)
    if record_type == "SR DOCUMENT":
        tags.add(_VERIFYING_OBSERVERS)
    return frozenset([*_ALWAYS, *tags])


def _completed(elements: Item, record_type: str) -> Item:
    """Take from reports and key objects what their records ask for (PS3.3 §F.5.25, §F.5.26)."""
    if record_type not in ("SR DOCUMENT", "KEY OBJECT DOC"):
        return elements
    content = elements.pop(_CONTENT_SEQUENCE, None)
    # Only what modifies the title: the document's own content would make the record huge.
    modifiers = tuple(
        item
        for item in (content.items if content else ())
        if text_in(item, _RELATIONSHIP_TYPE) == "HAS CONCEPT MOD"
    )
    if modifiers:
        elements[_CONTENT_SEQUENCE] = DataElement(_CONTENT_SEQUENCE, "SQ", items=modifiers)
    observers = elements.pop(_VERIFYING_OBSERVERS, None)
    times = [
        item[_VERIFICATION_DATE_TIME]
        for item in (observers.items if observers else ())
        if _VERIFICATION_DATE_TIME in item
    ]
    if times:
        elements[_VERIFICATION_DATE_TIME] = max(times, key=lambda time: time.raw)
    return elements


def leaf_record(instance: Instance, path: str, keys: DicomdirKeys) -> Record:
    """Make the record that references the file.

    Raises:
        LacksKeys: If the instance has no value for a type 1 key.

    """
    own = _taken(instance, instance.record_type, keys)
    elements = [
        *_private(instance.record_type),
        DataElement(FILE_ID, "CS", path.replace("/", "\\").encode("ascii")),
        DataElement(_SOP_CLASS_UID, "UI", instance.sop_class_uid.encode("ascii")),
        DataElement(_SOP_INSTANCE_UID, "UI", instance.sop_instance_uid.encode("ascii")),
        DataElement(_TRANSFER_SYNTAX_UID, "UI", instance.transfer_syntax_uid.encode("ascii")),
        *own,
    ]
    record = _record(instance, instance.record_type, path, elements)
    record.file_id, record.sop_instance_uid = path, instance.sop_instance_uid
    return record


def group_record(instance: Instance, record_type: str, keys: DicomdirKeys) -> Record:
    """Make the record of the patient, study or series.

    Raises:
        LacksKeys: If the instance has no value for a type 1 key.

    """
    identity = text_in(instance.elements, IDENTITIES[record_type])
    return _record(instance, record_type, identity, _taken(instance, record_type, keys))


def _private(record_type: str) -> list[DataElement]:
    if record_type != PRIVATE:
        return []
    return [DataElement(_PRIVATE_RECORD_UID, "UI", PRIVATE_RECORD_UID.encode("ascii"))]


def _record(
    instance: Instance, record_type: str, identity: str, elements: list[DataElement]
) -> Record:
    content = [DataElement(RECORD_TYPE, "CS", record_type.encode("ascii")), *elements]
    character_set = instance.elements.get(Tags.SPECIFIC_CHARACTER_SET)
    # PS3.3 §F.3.2.2: required where a key holds more than the default repertoire.
    if character_set is not None and any(map(needs_character_set, content)):
        content.append(character_set)
    content.sort(key=lambda element: element.tag)
    order = order_of(record_type, instance.elements, identity)
    return Record(record_type, identity, order, b"".join(map(encoded, content)))


def _taken(instance: Instance, record_type: str, keys: DicomdirKeys) -> list[DataElement]:
    """Return the keys of a record with their values."""
    found, lacking = [], []
    for key in keys.of(record_type):
        element = instance.elements.get(key.tag)
        if element is not None and not element.is_empty:
            found.append(element)
        elif key.requirement == 1:
            lacking.append(key.keyword)
        elif key.requirement == 2:
            found.append(DataElement(key.tag, key.vr))
    if lacking:
        raise LacksKeys(record_type, lacking)
    return found
