"""Each effect of S3 is wrong in the way its summary says, and in no other."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from itertools import islice

import pytest

from asyncdicom.mock.s3_effects import S3_EFFECTS
from tests.mock.s3_support import Bucket, body_of, read_page

TRUE = Bucket()


def md5(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (404, "NoSuchKey"), (500, "InternalError"), (503, "SlowDown")],
)
def test_a_status_has_the_code_of_s3(status: int, code: str) -> None:
    response = Bucket(f"{status}:object").get()
    assert response.status == status
    assert ET.fromstring(body_of(response)).findtext("Code") == code


def test_a_status_may_have_another_code_and_a_pause() -> None:
    response = Bucket("400:object:as=ExpiredToken,retry-after=7").get()
    assert ET.fromstring(body_of(response)).findtext("Code") == "ExpiredToken"
    assert response.header("retry-after") == "7"


def test_below_300_a_status_stands_alone() -> None:
    assert body_of(Bucket("206:object").get()) == TRUE.content()


def test_error_200() -> None:
    response = Bucket("error-200:listing").listing()
    assert response.status == 200
    assert ET.fromstring(body_of(response)).tag == "Error"


def test_wrong_etag_of_an_object() -> None:
    response = Bucket("wrong-etag:object").get()
    assert response.header("etag") not in (None, md5(TRUE.content()))
    assert body_of(response) == TRUE.content()


def test_wrong_etag_in_a_list() -> None:
    page = read_page(Bucket(f"wrong-etag:listing:key={TRUE.keys[1]}").listing())
    true = [md5(content) for content in TRUE.truth.values()]
    assert [at for at, etag in enumerate(page.etags) if etag != true[at]] == [1]


def test_no_etag() -> None:
    assert set(read_page(Bucket("no-etag").listing()).etags) == {""}
    assert Bucket("no-etag").get().header("etag") == '""'


def test_wrong_checksum() -> None:
    bucket = Bucket("wrong-checksum")
    asked = bucket.get(x_amz_checksum_mode="ENABLED").header("x-amz-checksum-crc32c")
    assert asked is not None
    assert base64.b64decode(asked) == bytes(4)
    assert bucket.get().header("x-amz-checksum-crc32c") is None


def test_ignore_range() -> None:
    response = Bucket("ignore-range").get(Range="bytes=5-9")
    assert (response.status, response.header("content-range")) == (200, None)
    assert body_of(response) == TRUE.content()


def test_range_200() -> None:
    response = Bucket("range-200").get(Range="bytes=5-9")
    assert response.status == 200
    assert response.header("content-range") == f"bytes 5-9/{len(TRUE.content())}"
    assert body_of(response) == TRUE.content()[5:10]


def test_wrong_range() -> None:
    response = Bucket("wrong-range:by=2").get(Range="bytes=5-9")
    assert response.header("content-range") == f"bytes 7-11/{len(TRUE.content())}"
    assert body_of(response) == TRUE.content()[5:10]
    assert body_of(Bucket("wrong-range").get()) == TRUE.content()


def test_other_range() -> None:
    response = Bucket("other-range:by=2").get(Range="bytes=5-9")
    assert response.header("content-range") == f"bytes 7-11/{len(TRUE.content())}"
    assert body_of(response) == TRUE.content()[7:12]
    assert body_of(Bucket("other-range").get()) == TRUE.content()


def test_changed() -> None:
    bucket = Bucket("changed:object:after=1")
    first = bucket.get()
    etag = first.header("etag")
    assert etag is not None
    second = bucket.get()
    assert body_of(first) == TRUE.content()
    assert second.header("etag") == md5(body_of(second)) != etag
    assert bucket.get(If_Match=etag).status == 412


def test_other_object() -> None:
    bucket = Bucket("extra-key:to=../x.dcm", f"other-object:path=*/x.dcm,to={TRUE.keys[1]}")
    assert body_of(bucket.ask("/dicom/../x.dcm")) == TRUE.content(1)
    assert body_of(bucket.get(0)) == TRUE.content(0)


def test_wrong_size() -> None:
    page = read_page(Bucket(f"wrong-size:by=-5,key={TRUE.keys[2]}").listing())
    true = [len(content) for content in TRUE.truth.values()]
    assert page.sizes == [size - 5 * (at == 2) for at, size in enumerate(true)]


def test_keys_are_missing_twice_or_too_many() -> None:
    key = TRUE.keys[0]
    assert body_of(Bucket(f"missing-key:key={key}").listing()).count(b"<Key>") == len(TRUE.keys) - 1
    assert body_of(Bucket(f"duplicate-key:key={key}").listing()).count(key.encode()) == 2
    assert b"<Key>../../x</Key>" in body_of(Bucket("extra-key:to=../../x").listing())


def test_repeat_token() -> None:
    bucket = Bucket("repeat-token", max_keys=5)
    first = read_page(bucket.listing())
    assert first.token is not None
    for _ in range(3):
        again = read_page(bucket.listing(continuation_token=first.token))
        assert (again.token, again.is_truncated) == (first.token, True)
        assert again.keys == TRUE.keys[5:10]


def test_missing_token() -> None:
    page = read_page(Bucket("missing-token", max_keys=5).listing())
    assert (page.token, page.is_truncated) == (None, True)
    last = read_page(Bucket("missing-token").listing())
    assert (last.token, last.is_truncated) == (None, True)


def test_endless_page() -> None:
    body = Bucket("endless-page").listing().body.buffers()
    pieces = b"".join(map(bytes, islice(body, 3)))
    assert pieces.count(TRUE.keys[0].encode()) == 128


@pytest.mark.parametrize("name", [name for name, e in S3_EFFECTS.items() if "listing" in e.kinds])
def test_what_is_no_list_stays_what_it_is(name: str) -> None:
    response = Bucket(f"{name}:listing").ask("/dicom", {"list-type": "2", "max-keys": "x"})
    assert response.status in {200, 302, 400}


@pytest.mark.parametrize("name", S3_EFFECTS)
def test_each_effect_is_described(name: str) -> None:
    assert S3_EFFECTS[name].summary
    assert S3_EFFECTS[name].kinds
