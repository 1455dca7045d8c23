"""Paths, media types and statuses of Retrieve Transactions."""

from __future__ import annotations

import pytest

from asyncdicom import errors
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.protocol.wado_rs import (
    accept_alternatives,
    accepts_gzip,
    judge,
    path_of,
    url_of,
)

S, E, I = Uid("1.2"), Uid("1.2.3"), Uid("1.2.3.4")  # noqa: E741 -- study, series, instance


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target(Resource.STUDY, S), "/studies/1.2"),
        (Target(Resource.SERIES, S, E), "/studies/1.2/series/1.2.3"),
        (Target(Resource.INSTANCE, S, E, I), "/studies/1.2/series/1.2.3/instances/1.2.3.4"),
        (Target(Resource.METADATA, S), "/studies/1.2/metadata"),
        (Target(Resource.METADATA, S, E), "/studies/1.2/series/1.2.3/metadata"),
        (
            Target(Resource.FRAME, S, E, I, 7),
            "/studies/1.2/series/1.2.3/instances/1.2.3.4/frames/7",
        ),
        (Target(Resource.RENDERED, S), "/studies/1.2/rendered"),
        (Target(Resource.THUMBNAIL, S, E), "/studies/1.2/series/1.2.3/thumbnail"),
        (Target(Resource.SEARCH, S), "/studies/1.2/series"),
        (Target(Resource.SEARCH, S, E), "/studies/1.2/series/1.2.3/instances"),
    ],
    ids=str,
)
def test_paths_are_those_of_the_standard(target: Target, path: str) -> None:
    assert path_of(target) == path
    assert url_of("http://h/rs", target) == f"http://h/rs{path}"


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("https://other/bulk/1", "https://other/bulk/1"),
        ("/rs/bulk/1", "http://h/rs/bulk/1"),
        ("bulkdata/a b", "http://h/rs/studies/1.2/bulkdata/a%20b"),
        ("bulkdata/a%20b", "http://h/rs/studies/1.2/bulkdata/a%20b"),
    ],
    ids=["absolute", "absolute path", "relative, with a blank", "already escaped"],
)
def test_a_bulkdata_uri_is_relative_to_the_metadata_of_the_study(uri: str, url: str) -> None:
    assert url_of("http://h/rs", Target(Resource.BULKDATA, S, E, I, bulkdata_uri=uri)) == url


def test_a_bulkdata_uri_of_another_kind_is_refused() -> None:
    target = Target(Resource.BULKDATA, S, E, I, bulkdata_uri="file:///etc/passwd")
    with pytest.raises(errors.UnexpectedContent, match="unusable BulkDataURI"):
        url_of("http://h/rs", target)


@pytest.mark.parametrize("resource", [Resource.STUDY, Resource.SERIES, Resource.INSTANCE])
def test_instances_are_asked_for_as_stored(resource: Resource) -> None:
    first = accept_alternatives(resource)[0]
    assert first == 'multipart/related; type="application/dicom"; transfer-syntax=*'


def test_an_explicit_transfer_syntax_has_no_alternative() -> None:
    assert accept_alternatives(Resource.INSTANCE, "1.2.840.10008.1.2.1") == (
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1',
    )


def test_frames_are_asked_for_as_stored() -> None:
    assert "transfer-syntax=*" in accept_alternatives(Resource.FRAME)[0]


@pytest.mark.parametrize("resource", list(Resource))
def test_every_kind_has_an_accept_value_and_none_is_repeated(resource: Resource) -> None:
    alternatives = accept_alternatives(resource)
    assert alternatives
    assert len(set(alternatives)) == len(alternatives)


@pytest.mark.parametrize("resource", list(Resource))
def test_gzip_is_offered_for_json_only(resource: Resource) -> None:
    assert accepts_gzip(resource) is ("json" in accept_alternatives(resource)[0])


def test_200_is_fine() -> None:
    judge(200)


@pytest.mark.parametrize(
    ("status_code", "kind"),
    [
        (204, errors.UnexpectedContent),
        (206, errors.Incomplete),
        (304, errors.UnexpectedContent),
        (400, errors.OriginError),
        (401, errors.Unauthorized),
        (403, errors.Unauthorized),
        (404, errors.NotFound),
        (406, errors.NotAcceptable),
        (407, errors.Unauthorized),
        (410, errors.NotFound),
        (413, errors.OriginError),
        (415, errors.NotAcceptable),
        (429, errors.Throttled),
        (500, errors.OriginError),
        (503, errors.Throttled),
        (599, errors.OriginError),
    ],
)
def test_every_other_status_says_no(status_code: int, kind: type[errors.FetchError]) -> None:
    with pytest.raises(kind, match=str(status_code)) as caught:
        judge(status_code, retry_after_s=3.0)
    assert type(caught.value) is kind
    if isinstance(caught.value, errors.OriginError):
        assert caught.value.retry_after_s == 3.0
