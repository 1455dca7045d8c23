"""Where the series of the Imaging Data Commons are: two clouds, the same keys.

    Location.GCS.bucket_of("idc-open-data-two")     "idc-open-idc1"

A series is `{bucket}/{crdc_series_uuid}/{crdc_instance_uuid}.dcm` in both; what a UUID
names never changes.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["IDC_BUCKETS", "Location", "location_of"]


class Location(StrEnum):
    """A cloud that holds everything, open to everybody."""

    AWS = "aws"
    GCS = "gcs"

    @property
    def endpoint_url(self) -> str:
        """Where it answers the S3 API."""
        return _ENDPOINTS[self]

    @property
    def root(self) -> str:
        """A bucket as a URL; the store behind it has all of them."""
        return f"{'gs' if self is Location.GCS else 's3'}://idc-open-data"

    def bucket_of(self, bucket: str) -> str:
        """Return the bucket here that holds what a bucket of either cloud holds.

        A bucket that is not of the Imaging Data Commons stays as it is.
        """
        pairs = _TO_GCS if self is Location.GCS else _TO_AWS
        return pairs.get(bucket, bucket)


_ENDPOINTS = {
    Location.AWS: "https://s3.amazonaws.com",
    Location.GCS: "https://storage.googleapis.com",
}

_TO_GCS = {"idc-open-data-two": "idc-open-idc1", "idc-open-data-cr": "idc-open-cr"}

# Until version 19 the main bucket of Google was another one.
_TO_AWS = {gcs: aws for aws, gcs in _TO_GCS.items()} | {"public-datasets-idc": "idc-open-data"}

IDC_BUCKETS = frozenset({"idc-open-data", *_TO_GCS, *_TO_AWS})
"""All buckets of the Imaging Data Commons, in either cloud."""


def location_of(scheme: str, bucket: str) -> Location | None:
    """Tell which cloud a URL means; None if its bucket is in both, or in neither.

    Manifests for s5cmd write `s3://` for either, and leave the endpoint to the command.
    """
    if scheme == "gs" or bucket in _TO_AWS:
        return Location.GCS
    if bucket in _TO_GCS:
        return Location.AWS
    return None
