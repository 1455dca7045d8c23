from __future__ import annotations

import pytest

from asyncdicom.protocol.idc.buckets import IDC_BUCKETS, Location, location_of


@pytest.mark.parametrize(
    ("aws", "gcs"),
    [
        ("idc-open-data", "idc-open-data"),
        ("idc-open-data-two", "idc-open-idc1"),
        ("idc-open-data-cr", "idc-open-cr"),
    ],
)
def test_both_clouds_have_each_bucket_under_its_name(aws: str, gcs: str) -> None:
    assert Location.GCS.bucket_of(aws) == gcs
    assert Location.AWS.bucket_of(gcs) == aws
    assert Location.AWS.bucket_of(aws) == aws
    assert Location.GCS.bucket_of(gcs) == gcs
    assert {aws, gcs} <= IDC_BUCKETS


def test_the_bucket_of_earlier_versions_at_google_is_the_main_one_at_amazon() -> None:
    assert Location.AWS.bucket_of("public-datasets-idc") == "idc-open-data"


def test_a_bucket_of_somebody_else_is_left_alone() -> None:
    assert Location.AWS.bucket_of("my-mirror") == "my-mirror"
    assert "my-mirror" not in IDC_BUCKETS


@pytest.mark.parametrize(
    ("scheme", "bucket", "location"),
    [
        pytest.param("gs", "idc-open-data", Location.GCS, id="gs://"),
        pytest.param("s3", "idc-open-idc1", Location.GCS, id="Google's S3 interface"),
        pytest.param("s3", "public-datasets-idc", Location.GCS, id="Google's former bucket"),
        pytest.param("s3", "idc-open-data-two", Location.AWS, id="only Amazon has it"),
        pytest.param("s3", "idc-open-data", None, id="both have it"),
        pytest.param("s3", "my-mirror", None, id="neither"),
    ],
)
def test_an_address_tells_which_cloud_it_means(
    scheme: str, bucket: str, location: Location | None
) -> None:
    assert location_of(scheme, bucket) is location


def test_each_cloud_has_an_endpoint() -> None:
    assert Location.AWS.endpoint_url == "https://s3.amazonaws.com"
    assert Location.GCS.endpoint_url == "https://storage.googleapis.com"
    assert (Location.AWS.root, Location.GCS.root) == ("s3://idc-open-data", "gs://idc-open-data")
