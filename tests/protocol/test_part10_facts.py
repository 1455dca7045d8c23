"""Who an instance says it is, from values as they stand in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import AsyncDicomError, ContentError, Truncated
from asyncdicom.model import Uid
from asyncdicom.protocol.part10_dataset import DataSetWalker
from asyncdicom.protocol.part10_facts import FileMeta, InstanceFacts, instance_facts
from asyncdicom.protocol.part10_vocabulary import (
    DEFAULT_TAGS,
    EXPLICIT,
    Part10Limits,
    Tags,
    watch_list,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

META = FileMeta(
    transfer_syntax_uid=Uid("1.2.840.10008.1.2.1"), media_storage_sop_instance_uid=Uid("1.2.3")
)
IDENTITY = {
    Tags.SOP_CLASS_UID: b"1.2.840.10008.5.1.4.1.1.2",
    Tags.SOP_INSTANCE_UID: b"1.2.3\0",
    Tags.STUDY_INSTANCE_UID: b"1.2",
    Tags.SERIES_INSTANCE_UID: b"1.2.9",
}
PRIVATE = {**IDENTITY, Tags.SOP_CLASS_UID: b"2.999.1"}
PIXELS = {Tags.PIXEL_DATA: 2}


def facts(
    values: Mapping[int, bytes],
    lengths: Mapping[int, int] = PIXELS,
    collect: Mapping[int, str] = DEFAULT_TAGS,
) -> InstanceFacts:
    walker = DataSetWalker(EXPLICIT, start=0, watch=watch_list(()), limits=Part10Limits())
    walker.values.update(values)
    walker.lengths.update(lengths)
    found, doubt = instance_facts(META, walker, collect, 500)
    assert found.doubts == (() if doubt is None else (str(doubt),))
    return found


def test_all_facts() -> None:
    values = {**IDENTITY, Tags.NUMBER_OF_FRAMES: b"3 ", Tags.SPECIFIC_CHARACTER_SET: b"ISO_IR 101"}
    values[0x00100010] = b"\xb1^B "
    values[0x00100020] = b" "
    assert facts(values) == InstanceFacts(
        transfer_syntax_uid=Uid("1.2.840.10008.1.2.1"),
        media_storage_sop_instance_uid=Uid("1.2.3"),
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance_uid=Uid("1.2.3"),
        study_instance_uid=Uid("1.2"),
        series_instance_uid=Uid("1.2.9"),
        byte_count=500,
        number_of_frames=3,
        has_pixel_data=True,
        elements={"PatientName": "ą^B"},
    )


def test_other_elements_are_handed_back_on_request() -> None:
    found = facts({**IDENTITY, 0x00180015: b"CHEST "}, collect={0x00180015: "BodyPartExamined"})
    assert found.elements == {"BodyPartExamined": "CHEST"}


def test_an_instance_of_a_private_class_may_lack_study_and_pixels() -> None:
    values = {Tags.SOP_CLASS_UID: b"2.999.1", Tags.SOP_INSTANCE_UID: b"1.2.3"}
    found = facts(values, {})
    assert (found.study_instance_uid, found.series_instance_uid) == (None, None)
    assert not found.has_pixel_data


@pytest.mark.parametrize(
    ("raw", "frames"),
    [
        pytest.param(b"1", 1, id="one"),
        pytest.param(b"+12 ", 12, id="signed and padded"),
        pytest.param(b"", 1, id="empty"),
        pytest.param(b"0", 1, id="zero"),
        pytest.param(b"000000000002", 2, id="twelve characters"),
    ],
)
def test_number_of_frames(raw: bytes, frames: int) -> None:
    assert facts({**PRIVATE, Tags.NUMBER_OF_FRAMES: raw}).number_of_frames == frames


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"-1", id="negative"),
        pytest.param(b"1_0", id="a spelling of Python"),
        pytest.param(b"1\\2", id="two values"),
        pytest.param(b"+", id="a lone sign"),
        pytest.param(b"\xb2", id="a digit that is none"),
        pytest.param(b"9" * 13, id="too many digits"),
        pytest.param(b"9" * 4096, id="far too many digits"),
    ],
)
def test_no_number_of_frames(raw: bytes) -> None:
    with pytest.raises(ContentError, match=r"^NumberOfFrames is not a number$"):
        facts({**PRIVATE, Tags.NUMBER_OF_FRAMES: raw})


@pytest.mark.parametrize(
    ("tag", "keyword"),
    [
        (Tags.SOP_CLASS_UID, "SOPClassUID"),
        (Tags.SOP_INSTANCE_UID, "SOPInstanceUID"),
        (Tags.STUDY_INSTANCE_UID, "StudyInstanceUID"),
        (Tags.SERIES_INSTANCE_UID, "SeriesInstanceUID"),
    ],
)
def test_uids_must_be_uids(tag: int, keyword: str) -> None:
    for hostile in (b"../../etc/passwd", b"/abs", b"1.2\0.3", b"1" * 65, b"\xff\xfe", b" "):
        with pytest.raises(ContentError, match=f"^{keyword} is not a UID"):
            facts({**IDENTITY, tag: hostile})


@pytest.mark.parametrize(
    ("values", "error"),
    [
        pytest.param({}, Truncated("the data set ends before SOPClassUID"), id="nothing"),
        pytest.param(
            {Tags.SOP_CLASS_UID: b"1.2"},
            Truncated("the data set ends before SOPInstanceUID"),
            id="cut behind the class",
        ),
        pytest.param(
            {**IDENTITY, Tags.SOP_INSTANCE_UID: b""},
            ContentError("SOPInstanceUID is missing"),
            id="empty in between",
        ),
        pytest.param(
            {k: v for k, v in IDENTITY.items() if k != Tags.SERIES_INSTANCE_UID},
            Truncated("the data set ends before SeriesInstanceUID"),
            id="cut behind the study",
        ),
    ],
)
def test_missing_identity(values: dict[int, bytes], error: AsyncDicomError) -> None:
    with pytest.raises(type(error), match=f"^{error}$"):
        facts(values, {})


def test_witnesses_are_heard() -> None:
    report = {**IDENTITY, Tags.SOP_CLASS_UID: b"1.2.840.10008.5.1.4.1.1.88.11"}
    assert facts(report, {}).doubts == ("the data set ends before ContentSequence",)
    assert facts(IDENTITY, {}).doubts == ("the data set ends before PixelData",)
