"""An archive over a folder of DICOM files, indexed with pydicom.

    archive = FolderArchive.index(Path("studies"))

The index keeps UIDs and paths; attributes, frames and files are read when they
are asked for, so reading may block. Files are served as they are on disk.
"""

from __future__ import annotations

import logging
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.errors import InvalidDicomError
from pydicom.filewriter import correct_ambiguous_vr

from asyncdicom.errors import ConfigError
from asyncdicom.mock.archive import PIXEL_DATA, Attributes, Unreadable
from asyncdicom.model import is_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pydicom.dataset import FileDataset

    from asyncdicom.model import Buffer

__all__ = ["FolderArchive"]

logger = logging.getLogger(__name__)

BULK_FROM_BYTES = 1024
"""Binary values of this length and more become bulk data; shorter ones stay in the metadata."""

BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

READ_BYTES = 1024 * 1024
"""How much of a file is read at once."""

EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"

BROKEN = (
    InvalidDicomError,  # no Part 10 file
    EOFError,  # ends early
    OSError,  # gone, or not ours to read
    AttributeError,  # elements that frames need are missing
    KeyError,  # unknown VR
    NotImplementedError,  # unknown VR, at the second look
    TypeError,  # an empty value where a number is needed
    ValueError,  # a value that is not what its VR says
)
"""What pydicom raises for files that are not as they should be."""

UID_TAGS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
INDEX_TAGS = [*UID_TAGS, "Modality", "NumberOfFrames", "Rows"]


@dataclass(frozen=True)
class FolderInstance:
    """One DICOM file."""

    path: Path
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    frame_count: int

    @cached_property
    def bulk(self) -> Mapping[str, str]:
        """VR of each bulk element."""
        return {
            f"{element.tag:08X}": element.VR
            for element in self._dataset()
            if element.VR in BULK_VRS and len(element.value or b"") >= self._bulk_from(element.tag)
        }

    def _bulk_from(self, tag: int) -> int:
        return 1 if f"{tag:08X}" == PIXEL_DATA else BULK_FROM_BYTES

    def _dataset(self) -> FileDataset:
        with readable(self.path):
            return read_dataset(self.path, self.path.stat().st_mtime_ns)

    def attributes(self) -> Attributes:
        """Return all elements but those in `bulk`."""
        with readable(self.path):
            elements: dict[Any, Any] = {
                e.tag: e for e in self._dataset() if f"{e.tag:08X}" not in self.bulk
            }
            attributes: Attributes = Dataset(elements).to_json_dict(
                bulk_data_threshold=1 << 40, suppress_invalid_tags=True
            )
        return attributes

    def file_bytes(self) -> int:
        """Length of the file, in bytes."""
        with readable(self.path):
            return self.path.stat().st_size

    def file(self) -> Iterator[Buffer]:
        """Produce the file, piece by piece."""
        with self.path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                yield piece

    def frame(self, number: int) -> Sequence[Buffer]:
        """Return one frame, from 1; Big Endian pixels are turned round."""
        dataset = self._dataset()
        pixels = dataset.PixelData
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            with readable(self.path):
                return [get_frame(pixels, number - 1, number_of_frames=self.frame_count)]
        frame_bytes = self._frame_bytes(dataset, len(pixels))
        frame = pixels[(number - 1) * frame_bytes : number * frame_bytes]
        if self.transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN:
            frame = turned_round(frame, dataset.BitsAllocated)
        return [frame]

    def _frame_bytes(self, dataset: FileDataset, total_bytes: int) -> int:
        """Return the length of a native frame; the last one may be followed by a padding byte."""
        samples = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
        exact_bytes: int = samples * dataset.BitsAllocated // 8
        return min(exact_bytes, total_bytes // self.frame_count)

    def bulk_value(self, tag: str) -> Sequence[Buffer]:
        """Return the value of an element in `bulk`."""
        return [self._dataset()[int(tag, 16)].value]


@lru_cache(maxsize=4)
def read_dataset(path: Path, _mtime_ns: int) -> FileDataset:
    """Read a data set; a client that asks for frame after frame gets it from memory."""
    dataset = dcmread(path)
    # PS3.5 §8.2: in Implicit VR the VR of Pixel Data depends on Bits Allocated.
    syntax = dataset.file_meta.TransferSyntaxUID
    correct_ambiguous_vr(dataset, syntax != EXPLICIT_VR_BIG_ENDIAN)
    return dataset


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what pydicom raises for a broken file into `Unreadable`."""
    try:
        yield
    except BROKEN as error:
        raise Unreadable(f"{path.name}: {error}") from error


def turned_round(frame: bytes, bits_allocated: int) -> bytes:
    """Turn the bytes of each pixel round: octet streams are little endian (PS3.18 §8.7.3.5.2)."""
    kind = {16: "H", 32: "I"}.get(bits_allocated, "B")
    words = array(kind, frame)
    words.byteswap()
    return words.tobytes()


@dataclass(frozen=True, slots=True)
class FolderSeries:
    """The files of one series."""

    series_instance_uid: str
    by_uid: dict[str, FolderInstance]

    @property
    def modality(self) -> str:
        """Modality of its first file."""
        return self.instances[0].modality

    @property
    def instances(self) -> Sequence[FolderInstance]:
        """All instances, in the order of their paths."""
        return list(self.by_uid.values())

    def instance(self, sop_instance_uid: str) -> FolderInstance | None:
        """Look one instance up."""
        return self.by_uid.get(sop_instance_uid)


@dataclass(frozen=True, slots=True)
class FolderStudy:
    """The files of one study."""

    study_instance_uid: str
    by_uid: dict[str, FolderSeries]

    @property
    def all_series(self) -> Sequence[FolderSeries]:
        """All series, in the order of their first paths."""
        return list(self.by_uid.values())

    def series(self, series_instance_uid: str) -> FolderSeries | None:
        """Look one series up."""
        return self.by_uid.get(series_instance_uid)


class FolderArchive:
    """DICOM files of a folder.

    Args:
        instances: What is served; of several with one UID, the first.

    """

    is_blocking = True

    def __init__(self, instances: Iterable[FolderInstance]) -> None:
        self._by_uid: dict[str, FolderStudy] = {}
        for instance in instances:
            self._add(instance)

    @classmethod
    def index(cls, folder: Path) -> FolderArchive:
        """Index the files below a folder; what is no Part 10 file with UIDs is passed over.

        Raises:
            ConfigError: If there is no such folder, or nothing in it can be served.

        """
        if not folder.is_dir():
            raise ConfigError(f"not a folder: {folder}")
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        archive = cls(filter(None, map(read_instance, paths)))
        if not archive.studies:
            raise ConfigError(f"no DICOM file in {folder}")
        return archive

    def _add(self, instance: FolderInstance) -> None:
        study_uid, series_uid = instance.study_instance_uid, instance.series_instance_uid
        study = self._by_uid.setdefault(study_uid, FolderStudy(study_uid, {}))
        series = study.by_uid.setdefault(series_uid, FolderSeries(series_uid, {}))
        first = series.by_uid.setdefault(instance.sop_instance_uid, instance)
        if first is not instance:
            logger.warning("%s has the UID of %s, and is not served", instance.path, first.path)

    @property
    def studies(self) -> Sequence[FolderStudy]:
        """All studies, in the order of their first paths."""
        return list(self._by_uid.values())

    def study(self, study_instance_uid: str) -> FolderStudy | None:
        """Look one study up."""
        return self._by_uid.get(study_instance_uid)


def read_instance(path: Path) -> FolderInstance | None:
    """Read what the index needs, or None if the file cannot be served."""
    try:
        return read_index(path)
    except BROKEN as error:
        logger.info("%s is not served: %s", path, error)
        return None


def read_index(path: Path) -> FolderInstance | None:
    """Read the index elements of a Part 10 file, None if its UIDs cannot name it."""
    dataset = dcmread(path, stop_before_pixels=True, specific_tags=INDEX_TAGS)
    study, series, sop = (str(dataset.get(name, "")) for name in UID_TAGS)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None or not all(map(is_uid, (study, series, sop))):
        return None
    return FolderInstance(
        path=path,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop,
        transfer_syntax_uid=str(syntax),
        modality=str(dataset.get("Modality", "OT")),
        frame_count=int(dataset.get("NumberOfFrames") or 1) if "Rows" in dataset else 0,
    )
