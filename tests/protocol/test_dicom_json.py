"""The DICOM JSON Model as archives write it: the Standard's way, and other ways."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from asyncdicom.errors import ContentError
from asyncdicom.model import Uid
from asyncdicom.protocol import dicom_json
from asyncdicom.protocol.dicom_json import (
    InstanceMetadata,
    instance_metadata,
    integer,
    person_name,
    text,
    uid,
    value,
    values,
)
from tests.support import dicom

if TYPE_CHECKING:
    from collections.abc import Callable

TAG = "00280010"


def has(found: object, vr: str = "US") -> dict[str, Any]:
    return {"vr": vr, "Value": [found]}


IDENTITY: dict[str, Any] = {
    "00080016": has("1.2.840.10008.5.1.4.1.1.2", "UI"),
    "00080018": has("1.2.3", "UI"),
    "0020000D": has("1.2", "UI"),
    "0020000E": has("1.2.9", "UI"),
}
IMAGE: dict[str, Any] = {
    **IDENTITY,
    "00083002": has("1.2.840.10008.1.2.1", "UI"),
    "00280002": has(1),
    "00280008": has("3", "IS"),
    "00280010": has(512),
    "00280011": has(256),
    "00280100": has(16),
    "7FE00010": {"vr": "OW", "BulkDataURI": "bulk/pixels"},
}


def test_metadata_of_an_image() -> None:
    assert instance_metadata(IMAGE) == InstanceMetadata(
        sop_instance_uid=Uid("1.2.3"),
        series_instance_uid=Uid("1.2.9"),
        study_instance_uid=Uid("1.2"),
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.2"),
        number_of_frames=3,
        rows=512,
        columns=256,
        bits_allocated=16,
        samples_per_pixel=1,
        has_pixel_data=True,
        available_transfer_syntax_uid=Uid("1.2.840.10008.1.2.1"),
        frame_bytes=512 * 256 * 2,
        estimated_bytes=3 * 512 * 256 * 2 + 4096,
        bulkdata_uris=(),
    )


def test_metadata_of_what_is_no_image() -> None:
    found = instance_metadata({k: v for k, v in IDENTITY.items() if k != "00080016"})
    assert found.sop_class_uid is None
    assert found.available_transfer_syntax_uid is None
    assert (found.number_of_frames, found.rows, found.columns) == (1, 0, 0)
    assert not found.has_pixel_data
    assert (found.frame_bytes, found.estimated_bytes) == (None, 0)


@pytest.mark.parametrize("name", dicom.samples())
def test_pydicoms_json_is_understood(name: str) -> None:
    dataset = dcmread(DicomBytesIO(dicom.samples()[name]))
    found = instance_metadata(dataset.to_json_dict())
    assert found.sop_instance_uid == str(dataset.SOPInstanceUID)
    assert found.series_instance_uid == str(dataset.SeriesInstanceUID)
    assert found.study_instance_uid == str(dataset.StudyInstanceUID)
    assert found.number_of_frames == int(dataset.get("NumberOfFrames", 1))
    assert found.has_pixel_data is ("PixelData" in dataset)
    assert found.rows == dataset.get("Rows", 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"00280010": None, "7FE00010": has("x")}, True, id="listed, no rows"),
        pytest.param({"7FE00010": None}, True, id="stripped, but an image is described"),
        pytest.param({"7FE00010": None, "00280010": has(0)}, False, id="no rows"),
        pytest.param({"7FE00010": None, "00280011": None}, False, id="no columns"),
        pytest.param(
            {"7FE00010": None, "00280010": None, "7FE00008": {"vr": "OF", "InlineBinary": ""}},
            True, id="float pixels",
        ),
        pytest.param(
            {"7FE00010": None, "00280010": None, "7FE00009": {"vr": "OD", "BulkDataURI": "x"}},
            True, id="double float pixels",
        ),
    ],
)  # fmt: skip
def test_pixel_data_is_told(changes: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 -- a table's column
    assert instance_metadata({**IMAGE, **changes}).has_pixel_data is expected


@pytest.mark.parametrize(
    ("changes", "frame_bytes"),
    [
        pytest.param({"00280002": None}, 512 * 256 * 2, id="one sample unless told otherwise"),
        pytest.param({"00280100": has(1)}, 512 * 32, id="1 bit"),
        pytest.param({"00280100": has(1), "00280010": has(1), "00280011": has(9)}, 2, id="9 bits"),
        pytest.param({"00280100": None}, None, id="no bits"),
        pytest.param({"00280010": None}, None, id="no rows"),
        pytest.param({"00280002": has(3), "00280100": has(8)}, 512 * 256 * 3, id="color"),
        pytest.param(
            {"00280002": has(3), "00280100": has(8), "00280004": has("YBR_FULL_422", "CS")},
            512 * 256 * 2, id="shared chrominance",
        ),
        pytest.param({"00280004": has("YBR_FULL_422", "CS")}, 512 * 256 * 2,
                     id="one sample shares nothing"),
    ],
)  # fmt: skip
def test_bytes_of_a_frame(changes: dict[str, Any], frame_bytes: int | None) -> None:
    assert instance_metadata({**IMAGE, **changes}).frame_bytes == frame_bytes


def test_a_study_that_the_server_leaves_out_is_the_one_asked_for() -> None:
    element = {k: v for k, v in IDENTITY.items() if k != "0020000D"}
    found = instance_metadata(element, study_instance_uid=Uid("9.9"))
    assert found.study_instance_uid == "9.9"
    assert instance_metadata(IDENTITY, study_instance_uid=Uid("9.9")).study_instance_uid == "1.2"


@pytest.mark.parametrize("tag", ["00080018", "0020000D", "0020000E"])
def test_an_instance_has_its_uids(tag: str) -> None:
    with pytest.raises(ContentError, match=f"^attribute {tag} is missing$"):
        instance_metadata({k: v for k, v in IDENTITY.items() if k != tag})
    with pytest.raises(ContentError, match=f"^attribute {tag} is not a UID"):
        instance_metadata({**IDENTITY, tag: has("../../x")})


@pytest.mark.parametrize("tag", ["00280010", "00280011", "00280008", "00280002", "00280100"])
def test_counts_are_not_negative(tag: str) -> None:
    with pytest.raises(ContentError, match=f"^attribute {tag} is negative$"):
        instance_metadata({**IMAGE, tag: has(-1)})


def test_bulkdata_is_found_anywhere_but_in_the_pixel_data() -> None:
    icon = {"7FE00010": {"vr": "OW", "BulkDataURI": "icon"}}
    deep = {"00880200": {"vr": "SQ", "Value": [icon, None]}}
    element = {
        **IMAGE,
        "7fe00008": {"vr": "OF", "BulkDataURI": "float"},
        "00282000": {"vr": "OB", "BulkDataURI": "../bulk/icc"},
        "52009229": {"vr": "SQ", "Value": [{}, deep]},
        "0029100a": {"vr": "UN", "BulkDataURI": "small letters"},
        "00091010": {"vr": "UN", "InlineBinary": "AAAA"},
        "00091011": None,
    }
    assert instance_metadata(element).bulkdata_uris == (
        ("00282000", "../bulk/icc"),
        ("52009229.2.00880200.1.7FE00010", "icon"),
        ("0029100A", "small letters"),
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        pytest.param(
            {"00282000": {"vr": "OB", "BulkDataURI": {"uri": "x"}}},
            "BulkDataURI of attribute 00282000 is no text",
            id="no text",
        ),
        pytest.param(
            {"00880200": {"vr": "SQ", "Value": [{"0028200a": {"BulkDataURI": 1}}]}},
            "BulkDataURI of attribute 00880200.1.0028200A is no text",
            id="no text in an item",
        ),
        pytest.param(
            {"../../etc": {"vr": "OB", "BulkDataURI": "x"}},
            "an attribute of the metadata has a name that is no tag",
            id="a hostile tag",
        ),
        pytest.param(
            {"../../etc": {"vr": "SQ", "Value": [{"00282000": {"BulkDataURI": "x"}}]}},
            "an attribute of the metadata has a name that is no tag",
            id="a hostile tag on the way",
        ),
        pytest.param(
            {"00282000\n": {"vr": "OB", "BulkDataURI": "x"}},
            "an attribute of the metadata has a name that is no tag",
            id="a line break behind a tag",
        ),
    ],
)
def test_bulkdata_that_is_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContentError) as caught:
        instance_metadata({**IDENTITY, **attributes})
    assert str(caught.value) == message


def test_sequences_are_followed_to_the_limit() -> None:
    element: dict[str, Any] = {"00282000": {"BulkDataURI": "x"}}
    for _ in range(64):
        element = {"00880200": {"vr": "SQ", "Value": [element]}}
    assert len(instance_metadata({**IDENTITY, **element}).bulkdata_uris) == 1
    element = {"00880200": {"vr": "SQ", "Value": [element]}}
    with pytest.raises(ContentError, match=r"^sequences are nested more than 64 deep$"):
        instance_metadata({**IDENTITY, **element})


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        pytest.param(None, [], id="null"),
        pytest.param({}, [], id="empty"),
        pytest.param({"vr": "US"}, [], id="no Value"),
        pytest.param({"Value": None}, [], id="null for Value"),
        pytest.param({"Value": []}, [], id="empty Value"),
        pytest.param({"Value": [1, None]}, [1, None], id="several"),
        pytest.param({"Value": 1}, [1], id="without a list"),
    ],
)
def test_values(attribute: object, expected: list[object]) -> None:
    assert values({TAG: attribute}, TAG) == expected
    assert value({TAG: attribute}, TAG) == (expected[0] if expected else None)


def test_absent_attributes_have_no_value() -> None:
    assert values({}, TAG) == []
    assert (value({}, TAG), text({}, TAG), person_name({}, TAG)) == (None, "", "")
    assert (integer({}, TAG), uid({}, TAG)) == (None, None)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(512, 512, id="number"),
        pytest.param("512", 512, id="text"),
        pytest.param(" +7 ", 7, id="padded and signed"),
        pytest.param("-7", -7, id="negative"),
        pytest.param(512.0, 512, id="whole float"),
        pytest.param("", None, id="empty text"),
        pytest.param(None, None, id="null"),
        pytest.param("9" * 15, 999_999_999_999_999, id="15 digits"),
    ],
)
def test_integers(found: object, expected: int | None) -> None:
    assert integer({TAG: has(found)}, TAG) == expected


@pytest.mark.parametrize(
    "found",
    ["x", "1.5", 1.5, True, [], {}, "1_0", "²", "9" * 16, 10**15, "+", "--1", 1e300, float("inf")],
)
def test_no_integers(found: object) -> None:
    with pytest.raises(ContentError, match=f"^attribute {TAG} is no whole number$"):
        integer({TAG: has(found)}, TAG)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(["ONLINE "], "ONLINE", id="padded"),
        pytest.param(["A", None, "B"], "A\\\\B", id="several"),
        pytest.param([1.5, 2], "1.5\\2", id="numbers"),
    ],
)
def test_text(found: list[object], expected: str) -> None:
    assert text({TAG: {"Value": found}}, TAG) == expected


@pytest.mark.parametrize("found", [True, [], {}])
def test_no_text(found: object) -> None:
    with pytest.raises(ContentError, match=f"^attribute {TAG} is no text$"):
        text({TAG: has(found)}, TAG)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({"Alphabetic": "Doe^Jane"}, "Doe^Jane", id="alphabetic"),
        pytest.param(
            {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"},
            "Wang^XiaoDong=王^小东",
            id="ideographic",
        ),
        pytest.param({"Phonetic": "やまだ"}, "==やまだ", id="phonetic alone"),
        pytest.param({"Alphabetic": None}, "", id="null"),
        pytest.param("Doe^Jane", "Doe^Jane", id="text instead of an object"),
    ],
)
def test_person_names(found: object, expected: str) -> None:
    assert person_name({TAG: has(found)}, TAG) == expected


def test_no_person_name() -> None:
    with pytest.raises(ContentError, match=f"^attribute {TAG} is no person name$"):
        person_name({TAG: has({"Alphabetic": ["Doe"]})}, TAG)


@pytest.mark.parametrize(
    ("found", "expected"), [("1.2.3", "1.2.3"), ("1.2 ", "1.2"), ("", None), (None, None)]
)
def test_uids(found: object, expected: str | None) -> None:
    assert uid({TAG: has(found)}, TAG) == expected


@pytest.mark.parametrize("found", [1, 1.2, {}, [], "1.2/..", "1" * 65, " "])
def test_no_uids(found: object) -> None:
    with pytest.raises(ContentError, match=f"^attribute {TAG} is not a UID"):
        uid({TAG: has(found)}, TAG)


ACCESSORS: list[Callable[..., object]] = [values, value, text, person_name, integer, uid]


@pytest.mark.parametrize("accessor", ACCESSORS)
@pytest.mark.parametrize("wrong", ["x", 1, [], True])
def test_an_attribute_that_is_no_object_is_named(
    accessor: Callable[..., object], wrong: object
) -> None:
    with pytest.raises(ContentError, match=f"^attribute {TAG} is no JSON object$"):
        accessor({TAG: wrong}, TAG)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda children: (
        st.lists(children, max_size=2)
        | st.dictionaries(
            st.sampled_from(["Value", "vr", "BulkDataURI", "Alphabetic", "00880200"]), children
        )
    ),
    max_leaves=6,
)


@given(attributes=st.dictionaries(st.sampled_from([*IMAGE, "00282000", "00880200", "x"]), ANY_JSON))
def test_only_content_errors_escape(attributes: dict[str, Any]) -> None:
    element = {**IMAGE, **attributes}
    with suppress(ContentError):
        instance_metadata(element)
    for tag in attributes:
        with suppress(ContentError):
            person_name(element, tag)


def test_all_that_search_needs_is_named() -> None:
    answer = {
        dicom_json.NUMBER_OF_STUDY_RELATED_INSTANCES: has("12", "IS"),
        dicom_json.NUMBER_OF_STUDY_RELATED_SERIES: has(2, "IS"),
        dicom_json.NUMBER_OF_SERIES_RELATED_INSTANCES: has(6, "IS"),
        dicom_json.INSTANCE_AVAILABILITY: has("NEARLINE", "CS"),
    }
    assert sorted(answer) == ["00080056", "00201206", "00201208", "00201209"]
    assert integer(answer, dicom_json.NUMBER_OF_STUDY_RELATED_INSTANCES) == 12
    assert text(answer, dicom_json.INSTANCE_AVAILABILITY) == "NEARLINE"


def test_what_stands_where_a_uid_belongs_is_not_told() -> None:
    with pytest.raises(ContentError) as caught:
        uid({TAG: {"vr": "UI", "Value": ["DOE^JANE"]}}, TAG)
    assert str(caught.value) == f"attribute {TAG} is not a UID"
    assert caught.value.__cause__ is None
