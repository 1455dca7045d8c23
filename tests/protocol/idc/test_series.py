from __future__ import annotations

from dataclasses import replace

from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.protocol.idc.series import Series

SERIES = Series("uuid", "c", "p", "1.2", "1.2.3", "CT", "idc-open-data-two", 3, 1_000_000)


def test_keys_begin_with_the_uuid() -> None:
    assert SERIES.prefix == "uuid/"


def test_the_bucket_at_google_follows_from_that_at_amazon() -> None:
    assert SERIES.bucket_in(Location.AWS) == "idc-open-data-two"
    assert SERIES.bucket_in(Location.GCS) == "idc-open-idc1"


def test_an_earlier_version_says_its_own_bucket_at_google() -> None:
    earlier = replace(SERIES, aws_bucket="idc-open-data", gcs_bucket="public-datasets-idc")
    assert earlier.bucket_in(Location.GCS) == "public-datasets-idc"
    assert earlier.bucket_in(Location.AWS) == "idc-open-data"
