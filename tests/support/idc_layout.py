"""Buckets of the Imaging Data Commons on this machine, from real rows of its index.

    layout = IdcLayout(folder / "buckets")
    layout.add(collection("prostate_3t"))                   # 1,258 objects, 298 MB
    layout.add(collection("qin_pet_phantom"), scale=0.01)   # 2,816 objects, 3 MB
    layout.add([*prior_versions(), big_series(), *other_buckets()])
    index = layout.write_index(folder)                      # Parquet that says these sizes

    layout.root / bucket / crdc_series_uuid / crdc_instance_uuid.dcm

Strategy: the index says which series there are, in which bucket and how large they
are; the instances below are made up, the same ones each time. A file is valid
DICOM with the UIDs of its series, noise for pixels, and exactly as long as its
share of the series: a Data Set Trailing Padding takes up the rest. With a scale of 1
the files of a series add up to the `series_size_MB` of the index.
"""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb
import idc_index_data
from pydicom.dataset import Dataset

from tests.support.dicom import part10

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from asyncdicom.model import Buffer

__all__ = [
    "BIG_SERIES_UUID",
    "IdcIndexFiles",
    "IdcLayout",
    "IdcObject",
    "IdcSeries",
    "big_series",
    "collection",
    "later_versions",
    "other_buckets",
    "prior_versions",
]

INDEX = str(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
PRIOR_VERSIONS_INDEX = str(idc_index_data.PRIOR_VERSIONS_INDEX_PARQUET_FILEPATH)

BIG_SERIES_UUID = "000d7651-98cb-4792-b8e0-f1b18582ad90"
"""A segmentation of 182 MB: one series, one object."""
_OTHER_PATIENTS = ("ACRIN-NSCLC-FDG-PET-015", "MIDRC-RICORD-1C-419639-001214")
"""67 objects in idc-open-data-two, 21 in idc-open-data-cr."""
_PRIOR_COUNT = 3
"""Objects of an earlier version: the index does not say how many there were."""

SMALLEST_BYTES = 1024
"""Of a file, whatever the scale: UIDs and names need three quarters of it."""
_NOISE_PERIOD_BYTES = (1 << 22) + 26
"""Not a multiple of any part size: equal parts of a large object have different bytes."""
_ELEMENT_HEAD_BYTES = 12
_TEMPLATE_UID = "2.25." + "9" * 38


@dataclass(frozen=True, slots=True)
class IdcSeries:
    """A version of a series, as a row of the index tells it."""

    collection_id: str
    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    bucket: str
    crdc_series_uuid: str
    instance_count: int
    byte_count: int
    """Of all its objects together."""
    is_current: bool = True


@dataclass(frozen=True, slots=True)
class IdcObject:
    """An instance in its bucket."""

    series: IdcSeries
    key: str
    sop_instance_uid: str
    byte_count: int

    @property
    def url(self) -> str:
        """Where it is, as manifests spell it."""
        return f"s3://{self.series.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class IdcIndexFiles:
    """An index of what was laid out, in two Parquet files with the columns of the real one."""

    index: Path
    prior_versions: Path


_COLUMNS = (
    "collection_id, PatientID, StudyInstanceUID, SeriesInstanceUID, Modality, aws_bucket, "
    "crdc_series_uuid"
)


def _current(condition: str, *values: Any) -> list[IdcSeries]:
    """Return the series of the index that a condition holds for."""
    statement = (
        f"SELECT {_COLUMNS}, instanceCount, round(series_size_MB * 1e6)::BIGINT "
        f"FROM read_parquet(?) WHERE {condition} ORDER BY crdc_series_uuid"
    )
    rows = duckdb.connect().execute(statement, [INDEX, *values]).fetchall()
    return [IdcSeries(*row) for row in rows]


def collection(collection_id: str) -> list[IdcSeries]:
    """Return every current series of a collection."""
    return _current("collection_id = ?", collection_id)


def big_series() -> IdcSeries:
    """Return a series that is one object of 182 MB."""
    (series,) = _current("crdc_series_uuid = ?", BIG_SERIES_UUID)
    return series


def other_buckets() -> list[IdcSeries]:
    """Return the series of two patients, in the two other buckets."""
    return _current("PatientID IN (?, ?)", *_OTHER_PATIENTS)


def prior_versions() -> list[IdcSeries]:
    """Return earlier versions of series: three of which there is a later one, three removed ones.

    A few have several rows in the real index; these have one.
    """
    statement = (
        f"SELECT {_COLUMNS}, {_PRIOR_COUNT}, round(series_size_MB * 1e6)::BIGINT, false "
        "FROM read_parquet($prior) AS prior WHERE series_size_MB BETWEEN 0.1 AND 2 "
        "AND {} (SELECT 1 FROM read_parquet($index) AS now "
        "WHERE now.SeriesInstanceUID = prior.SeriesInstanceUID) "
        "QUALIFY count(*) OVER (PARTITION BY crdc_series_uuid) = 1 "
        "ORDER BY crdc_series_uuid LIMIT 3"
    )
    names = {"prior": PRIOR_VERSIONS_INDEX, "index": INDEX}
    found: list[IdcSeries] = []
    for exists in ("EXISTS", "NOT EXISTS"):
        rows = duckdb.connect().execute(statement.format(exists), names).fetchall()
        found += [IdcSeries(*row) for row in rows]
    return found


def later_versions(series: Iterable[IdcSeries]) -> list[IdcSeries]:
    """Return the current versions of series, of those that were not removed."""
    uids = [each.series_instance_uid for each in series]
    return _current("SeriesInstanceUID IN (SELECT unnest(?::VARCHAR[]))", uids)


@dataclass(slots=True)
class IdcLayout:
    """A folder of buckets.

    Args:
        root: Made if it is not there; holds a folder for each bucket.

    """

    root: Path
    objects: list[IdcObject] = field(default_factory=list)

    def add(self, series: Iterable[IdcSeries], *, scale: float = 1.0) -> list[IdcObject]:
        """Write the objects of series.

        Args:
            series: What to write.
            scale: Of the sizes; files do not become smaller than `SMALLEST_BYTES`.

        """
        added = [one for each in series for one in self._write(each, scale)]
        self.objects += added
        return added

    def path(self, one: IdcObject) -> Path:
        """Return the file of an object: the truth about its bytes."""
        return self.root / one.series.bucket / one.key

    def objects_of(self, crdc_series_uuid: str) -> list[IdcObject]:
        """Return the objects of a version of a series."""
        return [one for one in self.objects if one.series.crdc_series_uuid == crdc_series_uuid]

    def write_index(self, folder: Path) -> IdcIndexFiles:
        """Write an index of what was laid out: the rows of the real one, with these sizes."""
        sizes: defaultdict[str, int] = defaultdict(int)
        for one in self.objects:
            sizes[one.series.crdc_series_uuid] += one.byte_count
        files = IdcIndexFiles(folder / "idc_index.parquet", folder / "prior_versions.parquet")
        database = duckdb.connect()
        database.execute("CREATE TABLE laid_out (uuid VARCHAR, byte_count BIGINT)")
        database.execute(
            "INSERT INTO laid_out SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[])",
            [list(sizes), list(sizes.values())],
        )
        for source, target in ((INDEX, files.index), (PRIOR_VERSIONS_INDEX, files.prior_versions)):
            database.execute(
                "COPY (SELECT rows.* REPLACE (byte_count / 1e6 AS series_size_MB) "
                f"FROM read_parquet('{source}') AS rows "
                "JOIN laid_out ON uuid = crdc_series_uuid ORDER BY uuid) "
                f"TO '{target}' (FORMAT parquet)"
            )
        return files

    def _write(self, series: IdcSeries, scale: float) -> Iterator[IdcObject]:
        folder = self.root / series.bucket / series.crdc_series_uuid
        folder.mkdir(parents=True, exist_ok=True)
        make = _FileMaker(series)
        for number, byte_count in enumerate(shares(series, scale)):
            crdc_instance_uuid = uuid.uuid5(uuid.UUID(series.crdc_series_uuid), str(number))
            name = f"{crdc_instance_uuid}.dcm"
            uid = f"2.25.{10**37 + crdc_instance_uuid.int % (9 * 10**37)}"
            with (folder / name).open("wb") as sink:
                sink.writelines(make.pieces(uid, number, byte_count))
            yield IdcObject(series, f"{series.crdc_series_uuid}/{name}", uid, byte_count)


def shares(series: IdcSeries, scale: float = 1.0) -> list[int]:
    """Return how long each file of a series is: even, and of all sizes alike within 2 bytes."""
    count = series.instance_count
    pairs = max(round(series.byte_count * scale) // 2, count * SMALLEST_BYTES // 2)
    return [2 * (pairs // count + (number < pairs % count)) for number in range(count)]


class _FileMaker:
    """Makes the files of a series from one head."""

    def __init__(self, series: IdcSeries) -> None:
        self._head = _head(series)
        is_large = series.byte_count // series.instance_count > 1 << 22
        self._columns = 2048 if is_large else 64
        self._start = random.Random(series.crdc_series_uuid).randrange(0, 1 << 20, 2)

    def pieces(self, sop_instance_uid: str, number: int, byte_count: int) -> Iterator[Buffer]:
        """Make a file of a length."""
        noise = _noise()
        free = byte_count - len(self._head) - 2 * _ELEMENT_HEAD_BYTES
        rows, rest = divmod(free, 2 * self._columns)
        head = self._head.replace(_TEMPLATE_UID.encode(), sop_instance_uid.encode())
        for element, value in ((_ROWS, rows), (_COLUMNS_OF_PIXELS, self._columns)):
            head = head.replace(element + b"\0\0", element + value.to_bytes(2, "little"))
        yield head
        left = free - rest
        yield b"\xe0\x7f\x10\x00OW\0\0" + left.to_bytes(4, "little")
        start = (self._start + 2 * 509 * number) % len(noise)
        while left:
            piece = noise[start : start + left]
            yield piece
            left -= len(piece)
            start = 0
        # Data Set Trailing Padding (PS3.10 §7.2).
        yield b"\xfc\xff\xfc\xffOB\0\0" + rest.to_bytes(4, "little") + bytes(rest)


_ROWS = b"\x28\0\x10\0US\x02\0"
_COLUMNS_OF_PIXELS = b"\x28\0\x11\0US\x02\0"


def _head(series: IdcSeries) -> bytes:
    """Return everything in front of the pixels; UID and size are filled in for each file."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = _TEMPLATE_UID
    dataset.Modality = series.modality
    dataset.PatientID = series.patient_id
    dataset.StudyInstanceUID = series.study_instance_uid
    dataset.SeriesInstanceUID = series.series_instance_uid
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = 0
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    return part10(dataset)


@cache
def _noise() -> memoryview:
    return memoryview(random.Random("idc").randbytes(_NOISE_PERIOD_BYTES))
