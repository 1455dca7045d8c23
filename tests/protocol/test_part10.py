"""Whole files of each kind: compared with pydicom, cut at every byte, damaged at random."""

from __future__ import annotations

import random
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncdicom.errors import AsyncDicomError, ContentError, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.part10 import (
    DEFAULT_TAGS,
    InstanceFacts,
    Part10Limits,
    Part10Walker,
)
from tests.support import dicom
from tests.support.chunking import bytewise, cut, every_split, feedings, random_cuts, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.model import Buffer

Verdict: TypeAlias = InstanceFacts | tuple[str, str]

SAMPLES = dicom.samples()
EACH_SAMPLE = pytest.mark.parametrize(
    "content", [pytest.param(content, id=name) for name, content in SAMPLES.items()]
)
SMALL = Part10Limits(max_file_meta_bytes=256)


def verdict(chunks: Iterable[Buffer], limits: Part10Limits | None = None) -> Verdict:
    walker = Part10Walker(limits=limits) if limits else Part10Walker()
    try:
        for chunk in chunks:
            walker.receive_data(chunk)
        return walker.receive_eof()
    except AsyncDicomError as error:
        return type(error).__name__, str(error)


def skipping_verdict(content: bytes, step: int) -> tuple[Verdict, int]:
    """Feed in steps, but skip whatever nobody looks at; count what was skipped."""
    walker = Part10Walker()
    at = skipped = 0
    try:
        while at < len(content):
            idle = min(walker.idle_bytes, len(content) - at)
            if idle:
                walker.skip(idle)
                skipped += idle
                at += idle
            else:
                walker.receive_data(content[at : at + step])
                at += step
        return walker.receive_eof(), skipped
    except AsyncDicomError as error:
        return (type(error).__name__, str(error)), skipped


def test_facts_of_an_instance() -> None:
    facts = verdict([dicom.ct(number=7, series=3, study=2)])
    assert isinstance(facts, InstanceFacts)
    assert facts.sop_instance_uid == facts.media_storage_sop_instance_uid
    assert facts.sop_instance_uid == dicom.uid("instance", 7)
    assert facts.series_instance_uid == dicom.uid("series", 3)
    assert facts.study_instance_uid == dicom.uid("study", 2)
    assert facts.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert facts.byte_count == len(dicom.ct(number=7))
    assert facts.has_pixel_data
    assert facts.elements == {
        "StudyDate": "20260102",
        "SeriesDate": "20260103",
        "AccessionNumber": "A17",
        "Modality": "CT",
        "StudyDescription": "Head and neck",
        "SeriesDescription": "axial 1.0",
        "PatientName": "Doe^Jane^^Dr",
        "PatientID": "P-0042",
        "StudyID": "S1",
        "SeriesNumber": "3",
        "InstanceNumber": "7",
    }


@EACH_SAMPLE
def test_facts_are_what_pydicom_reads(content: bytes) -> None:
    facts = verdict([content])
    dataset = pydicom.dcmread(BytesIO(content))
    assert isinstance(facts, InstanceFacts), facts
    assert facts.transfer_syntax_uid == str(dataset.file_meta.TransferSyntaxUID)
    assert facts.media_storage_sop_instance_uid == str(dataset.file_meta.MediaStorageSOPInstanceUID)
    assert facts.sop_class_uid == str(dataset.SOPClassUID)
    assert facts.sop_instance_uid == dataset.SOPInstanceUID
    assert facts.study_instance_uid == dataset.StudyInstanceUID
    assert facts.series_instance_uid == dataset.SeriesInstanceUID
    assert facts.number_of_frames == int(dataset.get("NumberOfFrames", 1))
    assert facts.has_pixel_data is ("PixelData" in dataset)
    assert facts.elements == {
        keyword: str(dataset[keyword].value)
        for keyword in DEFAULT_TAGS.values()
        if dataset.get(keyword)
    }


@EACH_SAMPLE
def test_no_verdict_depends_on_the_cuts(content: bytes) -> None:
    expected = verdict(whole(content))
    assert isinstance(expected, InstanceFacts), expected
    assert verdict(bytewise(content)) == expected
    assert all(verdict(chunks) == expected for chunks in every_split(content))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type) -> None:
    content = dicom.ct()
    pieces = [kind(piece) for piece in cut(content, [100, 200, 310, 700])]
    assert verdict(pieces) == verdict([content])


def test_nothing_of_a_buffer_is_kept() -> None:
    buffer = bytearray(dicom.ct())
    walker = Part10Walker()
    walker.receive_data(memoryview(buffer))
    buffer.clear()
    assert walker.receive_eof() == verdict([dicom.ct()])


# A cut between two elements of a private class has no witness; the last byte of the
# deflated sample is the NUL that pads its stream to an even length.
UNDETECTABLE = {
    "private sop class": [
        *(308, 324, 340, 352, 362, 384, 402, 422, 436, 460, 484, 494, 504, 514, 532, 608)
    ],
    "deflated": [823],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_cut_at_any_byte_is_noticed(name: str) -> None:
    content = SAMPLES[name]
    verdicts = [verdict([content[:end]]) for end in range(len(content))]
    passed = [end for end, found in enumerate(verdicts) if isinstance(found, InstanceFacts)]
    assert passed == UNDETECTABLE.get(name, [])
    others = {found[0] for found in verdicts if not isinstance(found, InstanceFacts)}
    assert others == {Truncated.__name__}


@EACH_SAMPLE
def test_bytes_behind_the_file_are_noticed(content: bytes) -> None:
    for behind in (b"\r\n", b"\r\n--boundary--\r\n", b"x", b"<html></html>", content):
        found = verdict([content, behind])
        assert not isinstance(found, InstanceFacts), behind
        assert found[0] in {ProtocolError.__name__, Truncated.__name__}


@EACH_SAMPLE
def test_zeros_behind_the_file_are_borne_with(content: bytes) -> None:
    for count in (2, 512):
        assert isinstance(verdict([content + bytes(count)]), InstanceFacts)


def head(*elements: bytes, length: int | None = None) -> bytes:
    block = b"".join(elements)
    claimed = len(block) if length is None else length
    group_length = dicom.explicit(0x00020000, "UL", claimed.to_bytes(4, "little"))
    return bytes(128) + b"DICM" + group_length + block


NOT_DICOM = 'no "DICM" behind the preamble: not a DICOM file'
DISAGREES = "file meta disagrees with its group length"
SOP = dicom.explicit(0x00020003, "UI", b"2.999.3.10000001")
SYNTAX = dicom.explicit(0x00020010, "UI", b"1.2.840.10008.1.2.1\0")
VERSION = dicom.explicit(0x00020001, "OB", b"\0\1")
DATA_SET = dicom.ct()[dicom.data_set_offset(dicom.ct()) :]


def test_the_least_file_meta_is_enough() -> None:
    for file_meta in (head(SOP, SYNTAX), head(VERSION, SYNTAX, SOP)):
        facts = verdict([file_meta + DATA_SET])
        assert isinstance(facts, InstanceFacts)
        assert facts.sop_instance_uid == "2.999.3.10000001"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", ("Truncated", "the file ends inside of its file meta at byte 0"),
                     id="nothing"),
        pytest.param(b"<html>" * 100,
                     ("ProtocolError", f"{NOT_DICOM} at byte 128"), id="a page that says sorry"),
        pytest.param(b"DICM" + bytes(140), ("ProtocolError", f"{NOT_DICOM} at byte 128"),
                     id="DICM elsewhere"),
        pytest.param(bytes(128) + b"DICM" + SOP,
                     ("ProtocolError", "file meta has no group length at byte 132"),
                     id="no group length"),
        pytest.param(head(SOP, SYNTAX, length=257) + bytes(300),
                     ("LimitExceeded", "file meta claims more than 256 bytes at byte 132"),
                     id="too much file meta"),
        pytest.param(head(SOP, SYNTAX, length=10) + DATA_SET,
                     ("ProtocolError", f"{DISAGREES} at byte 144"),
                     id="the group ends inside of a value"),
        pytest.param(head(SOP, SYNTAX, length=len(SOP) + 5) + DATA_SET,
                     ("ProtocolError",
                      f"{DISAGREES} at byte {144 + len(SOP)}"),
                     id="the group ends inside of a header"),
        pytest.param(head(VERSION, length=10) + DATA_SET,
                     ("ProtocolError", f"{DISAGREES} at byte 144"),
                     id="the group ends inside of a long header"),
        pytest.param(head(SYNTAX, SOP, length=len(SOP + SYNTAX) + 34) + DATA_SET,
                     ("ProtocolError", f"{DISAGREES} at byte {144 + len(SOP + SYNTAX)}"),
                     id="the group reaches into the data set"),
        pytest.param(head(SYNTAX, SOP, length=len(SYNTAX)) + DATA_SET,
                     ("ProtocolError", "file meta lacks MediaStorageSOPInstanceUID"),
                     id="the group ends early"),
        pytest.param(head(SYNTAX, SOP, VERSION, length=len(SYNTAX + SOP)) + DATA_SET,
                     ("ProtocolError",
                      f"(0002,0001) does not belong here at byte {144 + len(SYNTAX + SOP)}"),
                     id="file meta behind its group length"),
        pytest.param(head(SOP) + DATA_SET, ("ProtocolError", "file meta lacks TransferSyntaxUID"),
                     id="no transfer syntax"),
        pytest.param(head() + DATA_SET, ("ProtocolError", "file meta lacks TransferSyntaxUID"),
                     id="empty file meta"),
        pytest.param(head(SOP, dicom.explicit(0x00020010, "UI", b"../../x ")) + DATA_SET,
                     ("ContentError", "TransferSyntaxUID is not a UID: '../../x'"),
                     id="a hostile transfer syntax"),
        pytest.param(head(SOP, SYNTAX),
                     ("Truncated", "the data set ends before SOPClassUID"), id="no data set"),
    ],
)  # fmt: skip
def test_file_meta_that_is_refused(content: bytes, expected: tuple[str, str]) -> None:
    assert {verdict(chunks, SMALL) for chunks in feedings(content)} == {expected}


def test_no_more_is_read_once_the_file_is_refused() -> None:
    walker = Part10Walker()
    with pytest.raises(ProtocolError) as first:
        walker.receive_data(bytes(500))
    with pytest.raises(ProtocolError) as second:
        walker.receive_data(dicom.ct())
    with pytest.raises(ProtocolError) as third:
        walker.receive_eof()
    assert first.value is second.value
    assert first.value is third.value


def test_a_walker_ends_once() -> None:
    walker = Part10Walker()
    walker.receive_data(dicom.ct())
    walker.receive_eof()
    with pytest.raises(UsageError):
        walker.receive_data(b"")
    with pytest.raises(UsageError):
        walker.receive_eof()


def test_a_hostile_uid_is_told_when_the_structure_stands() -> None:
    content = dicom.ct().replace(
        b"\x18\0UI\x10\x00" + b"2.999.3.10000001", b"\x18\0UI\x10\x00" + b"../../../evil.sh"
    )
    walker = Part10Walker()
    walker.receive_data(content)
    with pytest.raises(ContentError, match=r"SOPInstanceUID is not a UID: '\.\./"):
        walker.receive_eof()


def test_two_identities_may_differ_and_both_are_told() -> None:
    facts = verdict([head(dicom.explicit(0x00020003, "UI", b"1.2.3\0"), SYNTAX) + DATA_SET])
    assert isinstance(facts, InstanceFacts)
    assert facts.media_storage_sop_instance_uid == "1.2.3"
    assert facts.sop_instance_uid == dicom.uid("instance", 1)


def test_a_large_instance_in_random_chunks() -> None:
    content = dicom.ct(rows=512, columns=512)
    source = random.Random(4)
    expected = verdict([content])
    assert isinstance(expected, InstanceFacts)
    for _ in range(20):
        assert verdict(random_cuts(content, source, at_most=30)) == expected


@EACH_SAMPLE
@pytest.mark.parametrize("step", [1, 7, 300])
def test_what_nobody_looks_at_may_be_skipped(content: bytes, step: int) -> None:
    assert skipping_verdict(content, step)[0] == verdict([content])
    cut_early = content[: len(content) * 2 // 3]
    assert skipping_verdict(cut_early, step)[0] == verdict([cut_early])


def test_pixel_data_is_what_nobody_looks_at() -> None:
    content = dicom.ct(rows=512, columns=512)
    found, skipped = skipping_verdict(content, 1000)
    assert found == verdict([content])
    assert len(content) - 2000 < skipped + 1000 < len(content)


def test_other_elements_may_be_asked_for() -> None:
    walker = Part10Walker(collect={**DEFAULT_TAGS, 0x00180060: "KVP"})
    walker.receive_data(dicom.ct(rows=256, columns=256))
    assert walker.receive_eof().elements["KVP"] == "120"


CRUMBS = (
    b"\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"SQ\0\0",
    b"UN\0\0\xff\xff\xff\xff",
    b"\0",
    bytes(9),
    b"../..",
    b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff",
)


@settings(max_examples=400)
@given(
    content=st.sampled_from(list(SAMPLES.values())),
    wounds=st.lists(
        st.tuples(
            st.integers(0, 1500),
            st.integers(0, 12),
            st.one_of(st.sampled_from(CRUMBS), st.binary(max_size=4)),
        ),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 2**16),
)
def test_damage_ends_in_a_verdict_that_no_cut_changes(
    content: bytes, wounds: list[tuple[int, int, bytes]], seed: int
) -> None:
    for at, removed, crumb in wounds:
        content = content[:at] + crumb + content[at + removed :]
    expected = verdict(whole(content))
    assert verdict(random_cuts(content, random.Random(seed), at_most=20)) == expected
    assert verdict(bytewise(content)) == expected
    assert skipping_verdict(content, 50)[0] == expected


def test_doubts_are_raised_or_handed_back() -> None:
    pixel_header = b"\xe0\x7f\x10\x00"
    content = dicom.small_instance(1)
    content = content[: content.rindex(pixel_header)]
    strict = Part10Walker()
    strict.receive_data(content)
    with pytest.raises(Truncated, match="PixelData"):
        strict.receive_eof()
    tolerant = Part10Walker(collect_doubts=True)
    tolerant.receive_data(content)
    assert tolerant.receive_eof().doubts == ("the data set ends before PixelData",)
