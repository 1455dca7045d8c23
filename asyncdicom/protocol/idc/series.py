"""A series of the Imaging Data Commons, as its index describes it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Series", "Totals"]

ROUNDED_BYTES = 5_000
"""How far the size of an earlier version may be off: the index has it in 0.01 MB."""


@dataclass(frozen=True, slots=True)
class Series:
    """One version of a series."""

    crdc_series_uuid: str
    collection_id: str
    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    aws_bucket: str
    instance_count: int | None
    """None for an earlier version: the index does not say."""
    byte_count: int
    """To the byte, or as `rounded_by_bytes` says."""
    gcs_bucket: str | None = None
    """Of an earlier version; that of a current one follows from the other bucket."""
    rounded_by_bytes: int = 0
    values: Mapping[str, str] = field(default_factory=dict)
    """Of further columns, where templates want them."""

    @property
    def prefix(self) -> str:
        """What the keys of its objects begin with."""
        return f"{self.crdc_series_uuid}/"

    def bucket_in(self, location: Location) -> str:
        """Return the bucket that holds it."""
        if location is Location.GCS and self.gcs_bucket is not None:
            return self.gcs_bucket
        return location.bucket_of(self.aws_bucket)


@dataclass(frozen=True, slots=True)
class Totals:
    """How much is selected."""

    series: int
    instances: int
    """Of the series that say how many they have."""
    byte_count: int
    uncounted_series: int = 0
    """Earlier versions, whose instances the index does not count."""
