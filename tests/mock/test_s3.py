"""The S3 face answers as Amazon's API reference says, judged by Python's own XML parser."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from itertools import chain
from typing import TYPE_CHECKING

import google_crc32c
import pytest

from asyncdicom.mock import S3Server
from asyncdicom.mock.messages import Request
from asyncdicom.mock.s3 import OTHER_VERSION, S3Face, S3Options
from asyncdicom.protocol.part10 import Part10Walker
from tests.mock.s3_support import Bucket, body_of, read_page, small_archive, truth_of
from tests.support.peers import require_peer
from tests.support.s5cmd import s5cmd_command, s5cmd_environ

if TYPE_CHECKING:
    from pathlib import Path

BUCKET = Bucket()


def test_a_list_names_each_object_with_size_and_md5() -> None:
    (page,) = BUCKET.pages()

    assert page.keys == BUCKET.keys
    assert page.sizes == [len(content) for content in BUCKET.truth.values()]
    digests = [hashlib.md5(content).hexdigest() for content in BUCKET.truth.values()]
    assert page.etags == [f'"{digest}"' for digest in digests]
    assert not page.is_truncated


@pytest.mark.parametrize("max_keys", [1, 2, 3, 5, 11, 12])
def test_pages_add_up_to_the_list(max_keys: int) -> None:
    pages = Bucket(max_keys=max_keys).pages()

    assert list(chain.from_iterable(page.keys for page in pages)) == BUCKET.keys
    assert [page.is_truncated for page in pages] == [True] * (len(pages) - 1) + [False]
    assert {len(page.keys) for page in pages[:-1]} <= {max_keys}


def test_a_page_is_no_longer_than_is_asked_for() -> None:
    assert read_page(BUCKET.listing(max_keys="2")).keys == BUCKET.keys[:2]
    assert read_page(BUCKET.listing(max_keys="0")).keys == []


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_prefix_selects_a_study_or_a_series(pieces: int) -> None:
    prefix = "/".join(BUCKET.keys[-1].split("/")[:pieces]) + "/"

    (page,) = BUCKET.pages(prefix=prefix)

    assert page.keys == [key for key in BUCKET.keys if key.startswith(prefix)]
    assert 0 < len(page.keys) < len(BUCKET.keys)


def test_a_prefix_may_end_anywhere() -> None:
    prefix = BUCKET.keys[4][:-7]
    assert read_page(BUCKET.listing(prefix=prefix)).keys == [
        key for key in BUCKET.keys if key.startswith(prefix)
    ]
    assert read_page(BUCKET.listing(prefix="none/")).keys == []


@pytest.mark.parametrize("max_keys", [1, 1000])
def test_a_delimiter_gathers_what_lies_deeper(max_keys: int) -> None:
    bucket = Bucket(max_keys=max_keys)

    pages = bucket.pages(delimiter="/")

    prefixes = list(chain.from_iterable(page.prefixes for page in pages))
    assert prefixes == sorted({f"{key.split('/')[0]}/" for key in BUCKET.keys})
    assert [page.keys for page in pages] == [[]] * len(pages)
    below = bucket.pages(delimiter="/", prefix=prefixes[0])
    assert len(list(chain.from_iterable(page.prefixes for page in below))) == 2


def test_a_list_starts_after_a_key() -> None:
    assert read_page(BUCKET.listing(start_after=BUCKET.keys[3])).keys == BUCKET.keys[4:]


def test_keys_are_encoded_where_that_is_asked_for() -> None:
    page = read_page(BUCKET.listing(encoding_type="url", prefix="1 ü/"))
    assert page.keys == []
    assert b"<Prefix>1%20%C3%BC/</Prefix>" in body_of(
        BUCKET.listing(encoding_type="url", prefix="1 ü/")
    )
    assert read_page(BUCKET.listing(encoding_type="url")).keys == BUCKET.keys


def test_an_object_is_the_file_of_the_instance() -> None:
    for at in range(len(BUCKET.keys)):
        response = BUCKET.get(at)
        assert body_of(response) == BUCKET.content(at)
        assert response.status == 200
        digest = hashlib.md5(BUCKET.content(at)).hexdigest()
        assert response.header("etag") == f'"{digest}"'


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        pytest.param("bytes=0-0", 0, 0, id="first byte"),
        pytest.param("bytes=10-99", 10, 99, id="middle"),
        pytest.param("bytes=100-", 100, None, id="to the end"),
        pytest.param("bytes=-7", -7, None, id="last bytes"),
        pytest.param("bytes=5-99999999", 5, None, id="beyond the end"),
    ],
)
def test_a_range_is_answered_with_its_place(value: str, first: int, last: int | None) -> None:
    content = BUCKET.content()
    start = first % len(content)
    end = len(content) - 1 if last is None else last

    response = BUCKET.get(Range=value)

    assert response.status == 206
    assert body_of(response) == content[start : end + 1]
    assert response.body.byte_count() == end + 1 - start
    assert response.header("content-range") == f"bytes {start}-{end}/{len(content)}"


@pytest.mark.parametrize(
    "value", ["bytes=0-1,5-6", "lines=1-2", "bytes=-", f"bytes=0-{'9' * 5000}"], ids=range(4)
)
def test_a_range_that_is_none_is_ignored(value: str) -> None:
    assert body_of(BUCKET.get(Range=value)) == BUCKET.content()


@pytest.mark.parametrize("value", ["bytes=99999999-", "bytes=7-3", "bytes=-0"])
def test_a_range_without_a_byte_is_refused(value: str) -> None:
    assert error_of(BUCKET.get(Range=value)) == (416, "InvalidRange")


def error_of(response: object) -> tuple[int, str]:
    root = ET.fromstring(body_of(response))  # type: ignore[arg-type]  # -- an answer
    return response.status, root.findtext("Code", "")  # type: ignore[attr-defined]  # -- as above


def test_conditions_are_kept() -> None:
    etag = BUCKET.get().header("etag")
    assert etag is not None
    assert BUCKET.get(If_Match=etag).status == 200
    assert BUCKET.get(If_Match=etag.strip('"')).status == 200
    assert error_of(BUCKET.get(If_Match='"other"')) == (412, "PreconditionFailed")
    assert BUCKET.get(If_None_Match=etag).status == 304
    assert BUCKET.get(If_None_Match='"other"').status == 200


def test_a_checksum_is_told_to_who_asks() -> None:
    response = BUCKET.get(x_amz_checksum_mode="ENABLED")

    value = google_crc32c.value(BUCKET.content()).to_bytes(4, "big")
    assert response.header("x-amz-checksum-crc32c") == base64.b64encode(value).decode()
    assert BUCKET.get().header("x-amz-checksum-crc32c") is None


def test_the_checksum_may_be_that_of_amazon() -> None:
    face = S3Face(BUCKET.archive, S3Options(checksum="crc64nvme"))
    asked = Request("GET", f"/dicom/{BUCKET.keys[0]}", (), (("x-amz-checksum-mode", "ENABLED"),))
    value = face.respond(asked).header("x-amz-checksum-crc64nvme")
    assert value is not None
    assert len(base64.b64decode(value)) == 8


def test_the_other_version_has_the_same_length_and_other_pixels() -> None:
    path = f"/dicom/{BUCKET.keys[0]}"

    other = body_of(BUCKET.ask(path, {"versionId": OTHER_VERSION}))

    content = BUCKET.content()
    assert len(other) == len(content)
    different = [at for at, (a, b) in enumerate(zip(content, other, strict=True)) if a != b]
    assert different == list(range(different[0], len(content)))
    walker = Part10Walker()
    walker.receive_data(other)
    assert f"{walker.receive_eof().sop_instance_uid}.dcm" in path


@pytest.mark.parametrize(
    ("path", "query", "method", "expected"),
    [
        pytest.param("/dicom/1.2/3.4/5.6.dcm", {}, "GET", (404, "NoSuchKey"), id="key"),
        pytest.param("/dicom/folder/", {}, "GET", (404, "NoSuchKey"), id="folder"),
        pytest.param("/other", {"list-type": "2"}, "GET", (404, "NoSuchBucket"), id="bucket"),
        pytest.param("/dicom", {}, "GET", (501, "NotImplemented"), id="old list"),
        pytest.param("/dicom/x", {}, "PUT", (405, "MethodNotAllowed"), id="upload"),
        pytest.param(
            "/dicom",
            {"list-type": "2", "continuation-token": "ä"},
            "GET",
            (400, "InvalidArgument"),
            id="token",
        ),
        pytest.param(
            "/dicom",
            {"list-type": "2", "max-keys": "many"},
            "GET",
            (400, "InvalidArgument"),
            id="max-keys",
        ),
        pytest.param(
            "/dicom",
            {"list-type": "2", "max-keys": "9" * 5000},
            "GET",
            (400, "InvalidArgument"),
            id="max-keys of 5000 digits",
        ),
    ],
)
def test_refusals(path: str, query: dict[str, str], method: str, expected: tuple[int, str]) -> None:
    assert error_of(BUCKET.ask(path, query, method)) == expected


def test_buckets_are_listed_and_placed() -> None:
    assert b"<Name>dicom</Name>" in body_of(BUCKET.ask("/"))
    assert BUCKET.ask("/dicom", method="HEAD").header("x-amz-bucket-region") == "us-east-1"
    assert b"LocationConstraint" in body_of(BUCKET.ask("/dicom", {"location": ""}))


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.dcm")}


@pytest.mark.anyio
async def test_s5cmd_fetches_the_bucket(tmp_path: Path) -> None:
    require_peer("s5cmd")
    import anyio  # noqa: PLC0415 -- only here

    archive = small_archive()
    async with S3Server(archive) as server:
        command = s5cmd_command(server.url, "cp", "s3://dicom/*", f"{tmp_path}/")
        done = await anyio.run_process(command, check=False, env=s5cmd_environ())

    assert (done.returncode, done.stderr) == (0, b"")
    assert files_below(tmp_path) == truth_of(archive)
