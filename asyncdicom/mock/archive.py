"""What a mock archive holds, in the Standard's terms (PS3.3 §7, PS3.4 §C.6).

Nothing here knows of HTTP, DIMSE or objects: each face of the mock reads the
same archive. Studies, series and instances are looked up lazily, so an archive
of a million instances costs no more than the ones that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asyncdicom.model import Buffer

__all__ = [
    "PIXEL_DATA",
    "Archive",
    "Attributes",
    "Instance",
    "Lazy",
    "Series",
    "Study",
    "Unreadable",
    "instance_count",
    "modalities_in",
]

Attributes: TypeAlias = dict[str, Any]
"""Elements in the DICOM JSON Model (PS3.18 §F.2), keyed by tag: `{"00100020": {"vr": …}}`."""

PIXEL_DATA = "7FE00010"
"""Tag of Pixel Data, as the DICOM JSON Model writes it."""


class Unreadable(Exception):
    """An instance that the archive lists, but cannot read."""


T_co = TypeVar("T_co", covariant=True)


class Instance(Protocol):
    """A SOP Instance."""

    @property
    def study_instance_uid(self) -> str:
        """UID of its study."""

    @property
    def series_instance_uid(self) -> str:
        """UID of its series."""

    @property
    def sop_instance_uid(self) -> str:
        """Its own UID."""

    @property
    def transfer_syntax_uid(self) -> str:
        """Transfer Syntax it is stored in (PS3.5 §10)."""

    @property
    def frame_count(self) -> int:
        """Number of frames; 0 without pixel data."""

    @property
    def bulk(self) -> Mapping[str, str]:
        """VR of each element that metadata shall replace by a BulkDataURI, by tag."""

    def attributes(self) -> Attributes:
        """Return all elements but those in `bulk`; the caller may change the dictionary."""

    def file_bytes(self) -> int:
        """Length of the Part 10 file, in bytes."""

    def file(self) -> Iterable[Buffer]:
        """Produce the Part 10 file, piece by piece."""

    def frame(self, number: int) -> Sequence[Buffer]:
        """Return one frame, from 1 to `frame_count`, in the stored Transfer Syntax."""

    def bulk_value(self, tag: str) -> Sequence[Buffer]:
        """Return the value of an element in `bulk`; Pixel Data only where it is native."""


class Series(Protocol):
    """A series with its instances."""

    @property
    def series_instance_uid(self) -> str:
        """Its UID."""

    @property
    def modality(self) -> str:
        """Modality, such as CT."""

    @property
    def instances(self) -> Sequence[Instance]:
        """All instances, in order."""

    def instance(self, sop_instance_uid: str) -> Instance | None:
        """Look one instance up."""


class Study(Protocol):
    """A study with its series."""

    @property
    def study_instance_uid(self) -> str:
        """Its UID."""

    @property
    def all_series(self) -> Sequence[Series]:
        """All series, in order; none is empty."""

    def series(self, series_instance_uid: str) -> Series | None:
        """Look one series up."""


class Archive(Protocol):
    """A place that holds studies."""

    @property
    def is_blocking(self) -> bool:
        """Whether reading from it may block, so that callers on an event loop use a thread."""

    @property
    def studies(self) -> Sequence[Study]:
        """All studies, in order."""

    def study(self, study_instance_uid: str) -> Study | None:
        """Look one study up."""


class Lazy(Sequence[T_co], Generic[T_co]):
    """A sequence whose items are made when they are asked for.

    Args:
        count: Number of items.
        make: Makes the item at an index, from 0.

    """

    def __init__(self, count: int, make: Callable[[int], T_co]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        if isinstance(index, slice):
            return [self._make(at) for at in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._make(index)


def instance_count(study: Study) -> int:
    """Count the instances of a study (0020,1208)."""
    return sum(len(series.instances) for series in study.all_series)


def modalities_in(study: Study) -> list[str]:
    """List the distinct modalities of a study (0008,0061)."""
    return sorted({series.modality for series in study.all_series})
