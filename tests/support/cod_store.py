"""A Cloud-Optimized DICOM store that the package of that name has written.

    with running_cod_store(folder) as store:
        store.url                           # cod+http://127.0.0.1:PORT/bucket/prefix?token=...
        store.series["multi-frame"]         # what was asked for
        store.instances("multi-frame")      # what is in its tar: the truth about the bytes

Strategy: the package takes seconds to import and to write, so that its objects are
written once in a process (`written_objects`), and each emulator is filled with them:
a test may damage its own store.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.uid import (
    CTImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

from tests.support import cod_writer
from tests.support.dicom import add_pixels, identified, part10
from tests.support.gcs import PROJECT, Gcs, running_gcs
from tests.support.peers import PEERS_PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["BUCKET", "PREFIX", "SERIES", "CodSeries", "CodStore", "running_cod_store"]

BUCKET = "cod-store"
PREFIX = "lake/dicomweb"
WRITE_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class CodSeries:
    """A series as it is ordered from the package."""

    name: str
    study: int
    number: int
    """Of the series; each one is a series of its own."""
    instance_count: int = 3
    frame_count: int = 1
    version: str = "2.0"
    """Of the metadata."""
    is_compressed: bool = False
    """Re-encoded as JPEG 2000 by the package, so that bytes are not those of the source."""
    is_hashed: bool = False
    """UIDs of the store stand for the original ones."""
    has_thumbnail: bool = False
    """A JPEG; of more than one frame it would be a film, for which ffmpeg has to be there."""

    @property
    def original_study_uid(self) -> str:
        """UID in the files."""
        return f"2.999.20264.{self.study}"

    @property
    def original_series_uid(self) -> str:
        """UID in the files."""
        return f"{self.original_study_uid}.{self.number}"

    @property
    def study_uid(self) -> str:
        """UID in the names of the store."""
        return self._stored(self.original_study_uid)

    @property
    def series_uid(self) -> str:
        """UID in the names of the store."""
        return self._stored(self.original_series_uid)

    @property
    def instance_uids(self) -> list[str]:
        """UIDs in the names of the store."""
        numbers = range(1, self.instance_count + 1)
        return [self._stored(f"{self.original_series_uid}.{number}") for number in numbers]

    def files(self) -> list[bytes]:
        """Return the Part 10 files that the package is given."""
        return [self._file(number) for number in range(1, self.instance_count + 1)]

    def _stored(self, uid: str) -> str:
        return cod_writer.hashed(uid) if self.is_hashed else uid

    def _file(self, number: int) -> bytes:
        several = self.frame_count > 1
        kind = MultiFrameGrayscaleWordSecondaryCaptureImageStorage if several else CTImageStorage
        dataset = identified(sop_class_uid=kind, number=number)
        dataset.StudyInstanceUID = self.original_study_uid
        dataset.SeriesInstanceUID = self.original_series_uid
        dataset.SOPInstanceUID = f"{self.original_series_uid}.{number}"
        dataset.SeriesNumber = str(self.number)
        add_pixels(dataset, rows=32, columns=32, frames=self.frame_count)
        # Each frame of each instance is another one.
        dataset.PixelData = b"".join(
            bytes([number, frame]) * 8 + dataset.PixelData[16:2048]
            for frame in range(self.frame_count)
        )
        return part10(dataset)


SERIES = (
    CodSeries("single-frame", 1, 1),
    CodSeries("multi-frame", 1, 2, instance_count=2, frame_count=4),
    CodSeries("compressed", 1, 3, is_compressed=True),
    CodSeries("compressed multi-frame", 1, 4, instance_count=2, frame_count=4, is_compressed=True),
    CodSeries("thumbnail", 1, 5, instance_count=1, has_thumbnail=True),
    CodSeries("hashed", 2, 1, is_hashed=True),
    CodSeries("first version", 3, 1, version="1.0"),
    CodSeries("first version, multi-frame", 3, 2, frame_count=4, version="1.0", instance_count=2),
    CodSeries("first version, hashed", 4, 1, version="1.0", is_hashed=True),
)


@dataclass(frozen=True, slots=True)
class CodStore:
    """An emulator that holds the store."""

    gcs: Gcs
    series: Mapping[str, CodSeries]
    """By name."""

    @property
    def url(self) -> str:
        """Its address in the documented form; the emulator lets every token in."""
        return f"cod+{self.gcs.url}/{BUCKET}/{PREFIX}?token=sesame"

    def key(self, name: str, suffix: str) -> str:
        """Return the key of an object of a series: `.tar`, `/metadata.json`, `/index.sqlite`."""
        series = self.series[name]
        return f"{PREFIX}/studies/{series.study_uid}/series/{series.series_uid}{suffix}"

    def instances(self, name: str) -> dict[str, bytes]:
        """Return the members of the tar of a series as Python's tarfile finds them, by UID."""
        content = self.gcs.download(BUCKET, self.key(name, ".tar"))
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            members = [(member, tar.extractfile(member)) for member in tar.getmembers()]
            return {Path(one.name).stem: file.read() for one, file in members if file is not None}


@contextmanager
def running_cod_store(folder: Path, series: tuple[CodSeries, ...] = SERIES) -> Iterator[CodStore]:
    """Start an emulator that holds a store; stop it with the block.

    Args:
        folder: An existing folder for the log.
        series: What is in the store.

    """
    with running_gcs(folder, {BUCKET: written_objects(series)}) as gcs:
        yield CodStore(gcs, {one.name: one for one in series})


@cache
def written_objects(series: tuple[CodSeries, ...] = SERIES) -> Mapping[str, bytes]:
    """Let the package write series, and return the objects of the store by key."""
    with tempfile.TemporaryDirectory(prefix="cod-") as name, running_gcs(Path(name)) as gcs:
        gcs.add_bucket(BUCKET)
        order = {
            "project": PROJECT,
            "datastore": f"gs://{BUCKET}/{PREFIX}",
            "series": [_ordered(one, Path(name) / str(n)) for n, one in enumerate(series)],
        }
        done = subprocess.run(
            [PEERS_PYTHON, cod_writer.__file__],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=WRITE_DEADLINE_S,
            check=False,
            env={**os.environ, "STORAGE_EMULATOR_HOST": gcs.url, "TMPDIR": name},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return {key: gcs.download(BUCKET, key) for key in gcs.keys(BUCKET)}


def _ordered(series: CodSeries, folder: Path) -> dict[str, Any]:
    """Write the files of a series, and say what shall become of them."""
    folder.mkdir()
    paths = [folder / f"{number}.dcm" for number in range(series.instance_count)]
    for path, content in zip(paths, series.files(), strict=True):
        path.write_bytes(content)
    uids = {"study_uid": series.study_uid, "series_uid": series.series_uid}
    return asdict(series) | uids | {"files": [str(path) for path in paths]}
