"""Instances that a DICOMDIR can list, and the tree that a DICOMDIR makes of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pydicom

from tests.support import dicom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.dataset import Dataset

__all__ = ["CT", "listable", "report_document", "sorted_tree", "tree_of"]

CT = "1.2.840.10008.5.1.4.1.1.2"


def listable(number: int = 1, *, sop_class_uid: str = CT, **values: Any) -> Dataset:
    """Return a data set with all that its records need; values by keyword, None takes one away."""
    study, series = values.pop("study", 1), values.pop("series", 1)
    dataset = dicom.identified(
        sop_class_uid=sop_class_uid, number=number, series=series, study=study
    )
    dataset.StudyTime = "101112"
    dataset.ContentDate, dataset.ContentTime = "20260103", "111213.5"
    if sop_class_uid == CT:
        dataset.Rows = dataset.Columns = 4
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def report_document(number: int = 1, **values: Any) -> Dataset:
    with io.BytesIO(dicom.structured_report(number=number)) as stream:
        dataset = pydicom.dcmread(stream)
    dataset.StudyTime = "101112"
    dataset.ContentDate, dataset.ContentTime = "20260103", "111213"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def tree_of(path: Path) -> Any:
    """Follow the links of a DICOMDIR: nested lists of type, identity and what is below."""
    directory = pydicom.dcmread(path)
    by_place = {record.seq_item_tell: record for record in directory.DirectoryRecordSequence}

    def entity(place: int) -> Iterator[Any]:
        while place:
            record = by_place.pop(place)
            assert record.RecordInUseFlag == 0xFFFF
            below = entity(record.OffsetOfReferencedLowerLevelDirectoryEntity)
            yield record.DirectoryRecordType, identity_of(record), list(below)
            place = record.OffsetOfTheNextDirectoryRecord

    first = directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    last = directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity
    roots = list(by_place)
    found = list(entity(first))
    assert by_place == {}
    assert (first in roots and last in roots) or not found
    return found


def identity_of(record: Dataset) -> str:
    if "ReferencedFileID" in record:
        file_id = record.ReferencedFileID
        return file_id if isinstance(file_id, str) else "/".join(file_id)
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "PatientID"):
        if keyword in record:
            return str(record[keyword].value)
    return ""


def sorted_tree(tree: Any) -> Any:
    return sorted((type_, identity, sorted_tree(below)) for type_, identity, below in tree)
