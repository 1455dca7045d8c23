"""Retrievals answer what PS3.18 §10.4 says, and metadata says what the files hold."""

from __future__ import annotations

import base64
import gzip
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import orjson
import pydicom
import pytest
from pydicom.dataset import Dataset

from asyncdicom.mock import SyntheticArchive, SyntheticOptions, WebOptions
from asyncdicom.mock.dicomweb import DicomWeb
from asyncdicom.mock.messages import Request, Response

if TYPE_CHECKING:
    from asyncdicom.mock.synthetic import SyntheticInstance
from tests.mock.reading import split_parts

ARCHIVE = SyntheticArchive(SyntheticOptions(studies=2, instances=3, rows=16, mixed=True))
STUDY = ARCHIVE.studies[1]
SINGLE, MULTI, RLE, JPEG_2000, REPORT = (series.instances[1] for series in STUDY.all_series)

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"'


def path_of(instance: SyntheticInstance) -> str:
    return (
        f"/dicom-web/studies/{instance.study_instance_uid}"
        f"/series/{instance.series_instance_uid}/instances/{instance.sop_instance_uid}"
    )


def ask(path: str, accept: str | None = None, **options: Any) -> Response:
    headers = (("Accept", accept),) if accept else ()
    return DicomWeb(ARCHIVE, WebOptions(**options)).respond(Request("GET", path, (), headers))


def body_of(response: Response) -> bytes:
    data = b"".join(response.body.buffers())
    assert len(data) == response.body.byte_count()
    return data


def parts_of(response: Response) -> list[tuple[str, bytes]]:
    return split_parts(response.header("content-type") or "", body_of(response))


def file_of(instance: SyntheticInstance) -> bytes:
    return b"".join(instance.file())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(
            f"/dicom-web/studies/{STUDY.study_instance_uid}",
            [i for s in STUDY.all_series for i in s.instances],
            id="study",
        ),
        pytest.param(
            path_of(RLE).rpartition("/instances")[0],
            list(STUDY.all_series[2].instances),
            id="series",
        ),
        pytest.param(path_of(REPORT), [REPORT], id="instance"),
    ],
)
def test_a_retrieve_holds_exactly_the_files(path: str, expected: list[SyntheticInstance]) -> None:
    response = ask(path, DICOM)
    assert response.status == 200
    assert parts_of(response) == [
        (f"application/dicom; transfer-syntax={i.transfer_syntax_uid}", file_of(i))
        for i in expected
    ]


def test_an_instance_can_be_had_without_multipart() -> None:
    response = ask(path_of(SINGLE), "application/dicom")
    assert (response.header("content-type") or "").startswith("application/dicom;")
    assert body_of(response) == file_of(SINGLE)


def test_a_study_cannot_be_had_without_multipart() -> None:
    assert ask(f"/dicom-web/studies/{STUDY.study_instance_uid}", "application/dicom").status == 406


def test_the_same_request_gets_the_same_bytes() -> None:
    assert body_of(ask(path_of(SINGLE))) == body_of(ask(path_of(SINGLE)))


@pytest.mark.parametrize("instance", [SINGLE, MULTI, REPORT], ids=["single", "multi", "report"])
@pytest.mark.parametrize("options", [{}, {"absolute_bulk_uris": True}], ids=str)
def test_metadata_and_its_bulk_data_make_the_file_again(
    instance: SyntheticInstance, options: dict[str, Any]
) -> None:
    url = f"http://localhost{path_of(instance)}/metadata"
    (described,) = orjson.loads(body_of(ask(urlsplit(url).path, **options)))
    assert described.pop("00083002")["Value"] == [instance.transfer_syntax_uid]
    uris = [element.pop("BulkDataURI", "") for element in described.values()]
    assert {uri.startswith("http://localhost/") for uri in uris if uri} <= {bool(options)}
    for element, uri in zip(described.values(), uris, strict=True):
        if uri:
            ((_, value),) = parts_of(ask(urlsplit(urljoin(url, uri)).path))
            element["InlineBinary"] = base64.b64encode(value).decode()
    truth = pydicom.dcmread(BytesIO(file_of(instance)))
    assert Dataset.from_json(described).to_json_dict() == truth.to_json_dict()


def test_bulk_data_of_encapsulated_pixels_is_a_part_per_frame() -> None:
    parts = parts_of(ask(f"{path_of(JPEG_2000)}/bulkdata/7FE00010"))
    assert [data for _, data in parts] == [b"".join(JPEG_2000.frame(n)) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("below", ["", "/series"], ids=["study", "series"])
def test_metadata_of_the_levels_lists_every_instance(below: str) -> None:
    path = f"/dicom-web/studies/{STUDY.study_instance_uid}"
    if below:
        path += f"/series/{SINGLE.series_instance_uid}"
    described = orjson.loads(body_of(ask(f"{path}/metadata")))
    series = STUDY.all_series[:1] if below else STUDY.all_series
    assert [d["00080018"]["Value"][0] for d in described] == [
        i.sop_instance_uid for s in series for i in s.instances
    ]


@pytest.mark.parametrize(
    ("instance", "accept", "media_type"),
    [
        pytest.param(MULTI, OCTETS, "application/octet-stream", id="native"),
        pytest.param(MULTI, None, "application/octet-stream", id="native, anything"),
        pytest.param(
            JPEG_2000, f"{OCTETS}; transfer-syntax=*", "application/octet-stream", id="as stored"
        ),
        pytest.param(JPEG_2000, 'multipart/related; type="image/jp2"', "image/jp2", id="as jp2"),
    ],
)
def test_frames_come_in_the_order_asked_for(
    instance: SyntheticInstance, accept: str | None, media_type: str
) -> None:
    parts = parts_of(ask(f"{path_of(instance)}/frames/3,1", accept))
    assert [data for _, data in parts] == [b"".join(instance.frame(n)) for n in (3, 1)]
    assert all(kind.startswith(f"{media_type}; transfer-syntax=") for kind, _ in parts)


def test_one_frame_can_be_had_without_multipart() -> None:
    response = ask(f"{path_of(SINGLE)}/frames/1", "application/octet-stream")
    assert body_of(response) == b"".join(SINGLE.frame(1))


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        pytest.param("/elsewhere", None, 404, id="outside of the root"),
        pytest.param("/dicom-webstudies", None, 404, id="root as a prefix of a name"),
        pytest.param("/dicom-web/studies/1.2.3", None, 404, id="unknown study"),
        pytest.param(f"{path_of(SINGLE)}9", None, 404, id="unknown instance"),
        pytest.param(f"{path_of(MULTI)}/frames/5", None, 404, id="frame beyond the last"),
        pytest.param(f"{path_of(REPORT)}/frames/1", None, 404, id="frame of a report"),
        pytest.param(f"{path_of(REPORT)}/rendered", None, 406, id="picture of a report"),
        pytest.param(f"{path_of(SINGLE)}/bulkdata/00100010", None, 404, id="no bulk data"),
        pytest.param(path_of(SINGLE), "text/html", 406, id="instance as a page"),
        pytest.param(f"{path_of(SINGLE)}/rendered", "image/gif", 406, id="picture as gif"),
        pytest.param(
            path_of(RLE),
            DICOM.replace("*", "1.2.840.10008.1.2.1"),
            406,
            id="decoded instance",
        ),
    ],
)
def test_refusals(path: str, accept: str | None, status: int) -> None:
    response = ask(path, accept)
    assert response.status == status
    assert body_of(response)


def test_some_but_not_all_instances_in_a_syntax_are_206() -> None:
    accept = DICOM.replace("*", "1.2.840.10008.1.2.1")
    response = ask(f"/dicom-web/studies/{STUDY.study_instance_uid}", accept)
    assert response.status == 206
    assert len(parts_of(response)) == 9


@pytest.mark.parametrize(
    ("instance", "suffix", "status"),
    [
        pytest.param(SINGLE, "", 200, id="explicit instance"),
        pytest.param(RLE, "", 406, id="compressed instance"),
        pytest.param(RLE, "/frames/1", 406, id="compressed frame"),
        pytest.param(MULTI, "/frames/1", 200, id="native frame"),
    ],
)
def test_strictness_takes_a_missing_syntax_for_the_default_one(
    instance: SyntheticInstance, suffix: str, status: int
) -> None:
    assert ask(f"{path_of(instance)}{suffix}", strict_accept=True).status == status
    assert ask(f"{path_of(instance)}{suffix}").status == 200


@pytest.mark.parametrize(
    "end", ["rendered", "thumbnail", "frames/1/rendered", "frames/1/thumbnail"]
)
@pytest.mark.parametrize(
    ("accept", "magic"), [("image/jpeg", b"\xff\xd8\xff"), ("image/png", b"\x89PNG")]
)
def test_pictures_come_in_two_formats(end: str, accept: str, magic: bytes) -> None:
    response = ask(f"{path_of(JPEG_2000)}/{end}", accept)
    assert response.header("content-type") == accept
    assert body_of(response).startswith(magic)


def test_an_accept_in_the_query_replaces_the_field() -> None:
    request = Request("GET", f"{path_of(SINGLE)}/rendered", (("accept", "image/png"),))
    assert DicomWeb(ARCHIVE).respond(request).header("content-type") == "image/png"


BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


@pytest.mark.parametrize(
    ("token", "field", "status"),
    [
        pytest.param("secret", "Bearer secret", 200, id="bearer"),
        pytest.param("secret", "bearer secret", 200, id="scheme in lower case"),
        pytest.param("me:secret", BASIC, 200, id="basic"),
        pytest.param("secret", "Bearer wrong", 401, id="wrong token"),
        pytest.param("me:secret", "Basic me:secret", 401, id="not encoded"),
        pytest.param("secret", "secret", 401, id="no scheme"),
        pytest.param("secret", None, 401, id="nothing"),
    ],
)
def test_credentials_are_checked(token: str, field: str | None, status: int) -> None:
    headers = (("Authorization", field),) if field else ()
    web = DicomWeb(ARCHIVE, WebOptions(require_token=token))
    response = web.respond(Request("GET", "/dicom-web/studies", (), headers))
    assert response.status == status
    assert (response.header("www-authenticate") is not None) is (status == 401)


def test_json_is_compressed_for_those_who_accept_it() -> None:
    path = f"/dicom-web/studies/{STUDY.study_instance_uid}/metadata"
    request = Request("GET", path, (), (("Accept-Encoding", "br, gzip"),))
    packed = DicomWeb(ARCHIVE).respond(request)
    assert packed.header("content-encoding") == "gzip"
    assert gzip.decompress(body_of(packed)) == body_of(ask(path))
    assert ask(path).header("content-encoding") is None
    assert ask(path).header("vary") == "Accept-Encoding"


def test_pixels_are_never_compressed() -> None:
    request = Request("GET", path_of(SINGLE), (), (("Accept-Encoding", "gzip"),))
    assert DicomWeb(ARCHIVE).respond(request).header("content-encoding") is None


def test_nothing_can_be_stored() -> None:
    response = DicomWeb(ARCHIVE).respond(Request("POST", "/dicom-web/studies"))
    assert response.status == 405
