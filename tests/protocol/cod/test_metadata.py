"""Metadata of a series: versions, compression, UIDs, spans; what is refused, and by what name."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from asyncdicom.errors import (
    ContentError,
    LimitExceeded,
    ProtocolError,
    Truncated,
    UnexpectedContent,
)
from asyncdicom.model import Uid
from asyncdicom.protocol.cod import metadata
from asyncdicom.protocol.cod.metadata import (
    CodInstance,
    MetadataReader,
    OwnUids,
    RefusedInstance,
    data_set_of,
)
from asyncdicom.protocol.payload_events import NEED_DATA
from tests.support.chunking import bytewise, feedings, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.protocol.cod.metadata import SeriesEntry

STUDY, SERIES, INSTANCE = Uid("1.2.3.45"), Uid("1.2.3.45.6"), Uid("1.2.3.45.6.7")
DATA_SET = {
    "0020000D": {"vr": "UI", "Value": [STUDY]},
    "0020000E": {"vr": "UI", "Value": [SERIES]},
    "00080018": {"vr": "UI", "Value": [INSTANCE]},
}
CRC32C = b"\x01\x02\x03\x04"


def packed(data_set: Any) -> str:
    return base64.b64encode(zstandard.compress(json.dumps(data_set).encode())).decode()


def entry(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "instance_uid": INSTANCE,
        "series_uid": SERIES,
        "study_uid": STUDY,
        "has_pixeldata": True,
        "metadata": packed(DATA_SET),
        "uri": f"gs://b/dicomweb/studies/{STUDY}/series/{SERIES}.tar://instances/{INSTANCE}.dcm",
        "headers": {"start_byte": 1536, "end_byte": 2236},
        "offset_tables": {},
        "crc32c": base64.b64encode(CRC32C).decode(),
        "size": 700,
        "version": "2.0",
    }
    return {key: value for key, value in (made | changes).items() if value is not ...}


def first_version(**changes: Any) -> dict[str, Any]:
    gone = dict.fromkeys(("instance_uid", "series_uid", "study_uid", "has_pixeldata"), ...)
    return entry(**{**gone, "metadata": DATA_SET, "version": "1.0", **changes})


def document(instances: dict[str, Any] | None = None, **changes: Any) -> bytes:
    cod = {"instances": {INSTANCE: entry()} if instances is None else instances}
    made = {"study_uid": STUDY, "series_uid": SERIES, "cod": cod} | changes
    return json.dumps({key: value for key, value in made.items() if value is not ...}).encode()


def read(chunks: Iterable[bytes]) -> list[SeriesEntry]:
    reader = MetadataReader(STUDY, SERIES)
    found = []
    for chunk in chunks:
        reader.receive_data(chunk)
        while (one := reader.next_event()) is not NEED_DATA:
            found.append(one)
    reader.receive_eof()
    return found


EXPECTED = CodInstance(INSTANCE, 1536, 700, CRC32C, OwnUids(INSTANCE, SERIES, STUDY))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(entry(), id="2.0"),
        pytest.param(first_version(), id="1.0"),
        pytest.param(first_version(version=...), id="no version"),
        pytest.param(entry(uri=..., url=entry()["uri"]), id="url in place of uri"),
        pytest.param(entry(size=...), id="no size"),
        pytest.param(
            entry(headers={"start_byte": 1536, "end_byte": 2235}), id="the end is the last byte"
        ),
    ],
)
def test_each_version_says_where_an_instance_is(made: dict[str, Any]) -> None:
    assert read([document({INSTANCE: made})]) == [EXPECTED]


def test_the_verdict_does_not_depend_on_cuts_or_compression() -> None:
    plain = document()
    for chunks in feedings(plain):
        assert read(chunks) == [EXPECTED]
    for chunks in feedings(gzip.compress(plain)):
        assert read(chunks) == [EXPECTED]


def test_other_fields_of_users_do_not_matter() -> None:
    made = document(thumbnail={"uri": "x"}, redactions=[1], cod_version=3)
    assert read([made]) == [EXPECTED]


def test_an_empty_series_has_no_instances() -> None:
    assert read([document({})]) == []


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(document(cod=...), id="nothing of that kind"),
        pytest.param(document(cod=None), id="null"),
        pytest.param(document(cod={}), id="nothing in it"),
        pytest.param(document(cod={"instances": [entry()]}), id="a list"),
        pytest.param(document(cod={"instances": None}), id="null in it"),
    ],
)
def test_a_document_that_says_nothing_of_instances_is_not_an_empty_series(made: bytes) -> None:
    with pytest.raises(UnexpectedContent, match="says nothing of instances"):
        read([made])


@pytest.mark.parametrize("content", [document(), gzip.compress(document()), b"{", b"\x1f"])
def test_a_cut_document_is_a_truncation(content: bytes) -> None:
    for chunks in (whole(content[:-1]), bytewise(content[:-1])):
        with pytest.raises(Truncated):
            read(chunks)


NESTED = [
    pytest.param("[" * 20_000 + "]" * 20_000, id="arrays"),
    pytest.param('{"a":' * 20_000 + "1" + "}" * 20_000, id="objects"),
]


@pytest.mark.parametrize("value", NESTED)
def test_what_is_nested_without_end_is_damaged(value: str) -> None:
    text = f'{{"cod": {{"instances": {{"{INSTANCE}": {value}}}}}}}'.encode()
    with pytest.raises(ProtocolError, match="damaged"):
        read([text])
    with pytest.raises(ProtocolError, match="damaged"):
        data_set_of({"metadata": base64.b64encode(zstandard.compress(value.encode())).decode()})


def test_numbers_that_json_does_not_have_pass() -> None:
    odd = DATA_SET | {"00189087": {"vr": "FD", "Value": [float("nan"), float("inf")]}}
    assert read([document({INSTANCE: first_version(metadata=odd)})]) == [EXPECTED]
    assert list(data_set_of(entry(metadata=packed(odd)))) == list(odd)


HASHED = Uid("1.2.9.9")


def hashed_document(**changes: Any) -> bytes:
    uri = f"gs://b/studies/{STUDY}/series/{SERIES}.tar://instances/{HASHED}.dcm"
    made = entry(uri=uri, study_uid="1.9.1", series_uid="1.9.2", instance_uid="1.9.3")
    names = {
        "study_uid": ...,
        "series_uid": ...,
        "deid_study_uid": STUDY,
        "deid_series_uid": SERIES,
    }
    return document({HASHED: made}, **(names | changes))


def test_in_a_hashed_store_key_and_file_are_told_apart() -> None:
    own = OwnUids(Uid("1.9.3"), Uid("1.9.2"), Uid("1.9.1"))
    assert read([hashed_document()]) == [CodInstance(HASHED, 1536, 700, CRC32C, own)]


def test_without_hashes_a_file_has_the_uid_of_its_key() -> None:
    made = hashed_document(
        deid_study_uid=..., deid_series_uid=..., study_uid=STUDY, series_uid=SERIES
    )
    with pytest.raises(ContentError, match="not theirs"):
        read([made])


@pytest.mark.parametrize("name", ["study_uid", "series_uid"])
def test_metadata_of_another_series_is_refused(name: str) -> None:
    with pytest.raises(UnexpectedContent, match="of another"):
        read([document(None, **{name: "1.2.999"})])
    with pytest.raises(UnexpectedContent, match="of another"):
        read([hashed_document(**{f"deid_{name}": "1.2.999"})])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        pytest.param(entry(version="3.0"), "unknown version '3.0'", id="version"),
        pytest.param(entry(version=2.0), "unknown version '2.0'", id="version as a number"),
        pytest.param(entry(uri="gs://b/other.tar://x"), "outside of the archive", id="uri"),
        pytest.param(entry(uri=...), "outside of the archive", id="no uri"),
        pytest.param(entry(uri=7), "outside of the archive", id="uri is a number"),
        pytest.param(entry(headers=...), "where", id="no headers"),
        pytest.param(entry(headers=[]), "where", id="headers are a list"),
        pytest.param(entry(headers={"start_byte": -1}), "where", id="negative start"),
        pytest.param(entry(headers={"start_byte": True}), "where", id="start is true"),
        pytest.param(entry(size=0), "where", id="empty"),
        pytest.param(entry(size=-5), "where", id="negative size"),
        pytest.param(entry(size=1 << 63), "where", id="absurd size"),
        pytest.param(entry(size="700"), "where", id="size is text"),
        pytest.param(
            entry(size=..., headers={"start_byte": 9, "end_byte": 9}), "where", id="no bytes"
        ),
        pytest.param(entry(crc32c="?"), "checksum", id="no base64"),
        pytest.param(entry(crc32c="AAAA"), "checksum", id="three bytes"),
        pytest.param(entry(crc32c=17), "checksum", id="checksum is a number"),
        pytest.param("text", "nothing of instance", id="no object"),
    ],
)
def test_an_entry_that_nothing_can_be_fetched_by_is_refused_by_name(
    made: Any, message: str
) -> None:
    other = Uid("1.2.3.45.6.8")
    fine = entry(instance_uid=other, uri=entry()["uri"].replace(INSTANCE, other))
    refused, found = read([document({INSTANCE: made, other: fine})])
    assert isinstance(refused, RefusedInstance)
    assert refused.sop_instance_uid == INSTANCE
    assert message in str(refused.error)
    assert isinstance(found, CodInstance)


def test_a_key_that_is_no_uid_is_refused_and_can_be_printed() -> None:
    (refused,) = read([document({"../\n" + "x" * 999: entry()})])
    assert isinstance(refused, RefusedInstance)
    assert refused.sop_instance_uid is None
    assert str(refused.error).isprintable()
    assert len(str(refused.error)) < 200


def test_a_key_twice_is_refused() -> None:
    text = json.dumps(entry())
    made = f'{{"cod": {{"instances": {{"{INSTANCE}": {text}, "{INSTANCE}": {text}}}}}}}'
    _, refused = read([made.encode()])
    assert isinstance(refused, RefusedInstance)
    assert "twice" in str(refused.error)


def test_a_checksum_may_be_missing() -> None:
    (found,) = read([document({INSTANCE: entry(crc32c=...)})])
    assert isinstance(found, CodInstance)
    assert found.crc32c is None


def test_uids_that_are_none_are_not_compared() -> None:
    (found,) = read([document({INSTANCE: first_version(metadata={"00080018": {"Value": []}})})])
    assert isinstance(found, CodInstance)
    assert found.own == OwnUids(None, None, None)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"<html>not found</html>", ProtocolError, id="html"),
        pytest.param(document()[:-9] + b"]" * 9, ProtocolError, id="brackets"),
        pytest.param(b'{"cod": {"instances": {"1.2": {"a": x}}}}', ProtocolError, id="a value"),
        pytest.param(gzip.compress(document())[:-8] + b"\0" * 8, ProtocolError, id="gzip"),
        pytest.param(gzip.compress(b"{" + b" " * 60_000_000), LimitExceeded, id="a bomb"),
    ],
)
def test_what_is_no_such_document_is_refused(content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read([content])


def test_the_data_set_comes_out_of_each_version() -> None:
    assert data_set_of(entry()) == DATA_SET
    assert data_set_of(first_version()) == DATA_SET


def test_bulk_data_has_a_uri_that_is_text() -> None:
    odd = {"uri": "gs://b/x", "head": "\ufffd"}
    found = {
        "7FE00010": {"vr": "OW", "BulkDataURI": odd},
        "00081115": {"vr": "SQ", "Value": [{"00090010": {"vr": "UN", "BulkDataURI": odd}}, None]},
        "odd": 7,
    }
    mended = data_set_of(entry(metadata=packed(found)))
    assert mended["7FE00010"]["BulkDataURI"] == "gs://b/x"
    assert mended["00081115"]["Value"][0]["00090010"]["BulkDataURI"] == "gs://b/x"


@pytest.mark.parametrize(
    "made",
    [
        pytest.param("?", id="no base64"),
        pytest.param("AAAA", id="no zstandard"),
        pytest.param(base64.b64encode(zstandard.compress(b"{")).decode(), id="no JSON"),
        pytest.param(packed([1]), id="no data set"),
        pytest.param(None, id="nothing"),
    ],
)
def test_a_damaged_data_set_is_refused(made: Any) -> None:
    with pytest.raises(ProtocolError):
        data_set_of(entry(metadata=made))


def test_a_data_set_that_inflates_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MAX_DATA_SET_BYTES", 1000)
    with pytest.raises(LimitExceeded):
        data_set_of(entry(metadata=packed({"a": "x" * 2000})))
