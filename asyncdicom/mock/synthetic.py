"""A synthetic archive: deterministic studies that are made while they are served.

    archive = SyntheticArchive(SyntheticOptions(studies=2, instances=300, rows=512))

The same options give the same bytes, in every process. UIDs carry their own
indices, so nothing has to be stored to find an instance again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from asyncdicom.mock import templates
from asyncdicom.mock.archive import PIXEL_DATA, Attributes, Lazy
from asyncdicom.mock.objects import RLE_LOSSLESS, Kind, SyntheticOptions, describe, kinds_of
from asyncdicom.mock.pixels import FrameBodies, jpeg2000_bodies, native_bodies, rle_bodies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asyncdicom.mock.templates import Template
    from asyncdicom.model import Buffer

__all__ = ["SyntheticArchive", "SyntheticOptions"]

UID_ROOT = "1.2.826.0.1.3680043.8.498"
"""The root that pydicom lends to its users for UIDs like these."""

# Indices are added to these, so that every UID of a level has the same length
# and no component starts with a zero (PS3.5 §9.1).
FIRST_STUDY, FIRST_SERIES, FIRST_INSTANCE = 1_000_001, 1_001, 1_000_001
PLACEHOLDER_INSTANCE = 9_999_999


class SyntheticArchive:
    """Deterministic studies, made on demand.

    Args:
        options: What it shall hold.

    """

    is_blocking = False

    def __init__(self, options: SyntheticOptions | None = None) -> None:
        self.options = options or SyntheticOptions()
        self.kinds = kinds_of(self.options)
        self.studies: Sequence[SyntheticStudy] = Lazy(
            self.options.studies, lambda at: SyntheticStudy(self, at)
        )
        # A template holds a few KB; a client that walks the archive comes back
        # to the same few series, so a small cache is a full one.
        self.series_template = lru_cache(maxsize=256)(self._series_template)
        self._bodies: dict[str, FrameBodies] = {}

    @property
    def uid_prefix(self) -> str:
        """What all UIDs of this archive start with, dot included."""
        return f"{UID_ROOT}.{self.options.seed + 1}."

    def study(self, study_instance_uid: str) -> SyntheticStudy | None:
        """Look one study up."""
        at = index_below(study_instance_uid, self.uid_prefix, FIRST_STUDY)
        return self.studies[at] if at in range(len(self.studies)) else None

    def bodies(self, kind: Kind) -> FrameBodies:
        """Return the frame bodies of a kind, made at first use."""
        syntax = kind.transfer_syntax_uid
        if syntax not in self._bodies:
            self._bodies[syntax] = self._make_bodies(syntax)
        return self._bodies[syntax]

    def _make_bodies(self, syntax: str) -> FrameBodies:
        options = self.options
        if templates.is_native(syntax):
            return native_bodies(options.frame_bytes, options.seed)
        if syntax == RLE_LOSSLESS:
            return rle_bodies(options.frame_bytes, options.seed)
        return jpeg2000_bodies(options.rows, options.columns or options.rows, options.seed)

    def _series_template(self, study_at: int, series_at: int) -> Template:
        kind = self.kinds[series_at % len(self.kinds)]
        dataset = describe(self.options, kind, study_at, series_at)
        study_uid = f"{self.uid_prefix}{FIRST_STUDY + study_at}"
        dataset.StudyInstanceUID = study_uid
        dataset.SeriesInstanceUID = f"{study_uid}.{FIRST_SERIES + series_at}"
        dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{PLACEHOLDER_INSTANCE}"
        tail = b""
        if kind.frames:
            frame_bytes = self.bodies(kind).frame_bytes
            tail = templates.pixel_data_header(kind.transfer_syntax_uid, frame_bytes, kind.frames)
        return templates.build_template(
            dataset, transfer_syntax_uid=kind.transfer_syntax_uid, tail=tail
        )


@dataclass(frozen=True, slots=True)
class SyntheticStudy:
    """One study of a synthetic archive."""

    archive: SyntheticArchive
    at: int
    """From 0."""

    @property
    def study_instance_uid(self) -> str:
        """Its UID."""
        return f"{self.archive.uid_prefix}{FIRST_STUDY + self.at}"

    @property
    def all_series(self) -> Sequence[SyntheticSeries]:
        """All series, in order."""
        count = self.archive.options.series_per_study
        return Lazy(count, lambda at: SyntheticSeries(self.archive, self.at, at))

    def series(self, series_instance_uid: str) -> SyntheticSeries | None:
        """Look one series up."""
        at = index_below(series_instance_uid, f"{self.study_instance_uid}.", FIRST_SERIES)
        every = self.all_series
        return every[at] if at in range(len(every)) else None


@dataclass(frozen=True, slots=True)
class SyntheticSeries:
    """One series of a synthetic archive."""

    archive: SyntheticArchive
    study_at: int
    at: int
    """From 0."""

    @property
    def series_instance_uid(self) -> str:
        """Its UID."""
        uid: str = self.template.attributes["0020000E"]["Value"][0]
        return uid

    @property
    def kind(self) -> Kind:
        """What its instances are."""
        return self.archive.kinds[self.at % len(self.archive.kinds)]

    @property
    def modality(self) -> str:
        """Modality of the series."""
        return self.kind.modality

    @property
    def template(self) -> Template:
        """What its instances have in common."""
        return self.archive.series_template(self.study_at, self.at)

    @property
    def instances(self) -> Sequence[SyntheticInstance]:
        """All instances, in order."""
        return Lazy(self.archive.options.instances, lambda at: SyntheticInstance(self, at))

    def instance(self, sop_instance_uid: str) -> SyntheticInstance | None:
        """Look one instance up."""
        at = index_below(sop_instance_uid, f"{self.series_instance_uid}.", FIRST_INSTANCE)
        every = self.instances
        return every[at] if at in range(len(every)) else None


@dataclass(frozen=True)
class SyntheticInstance:
    """One instance of a synthetic archive."""

    series: SyntheticSeries
    at: int
    """From 0."""

    @cached_property
    def template(self) -> Template:
        """What it has in common with the rest of its series."""
        return self.series.template

    @property
    def study_instance_uid(self) -> str:
        """UID of its study."""
        return self.series_instance_uid.rpartition(".")[0]

    @property
    def series_instance_uid(self) -> str:
        """UID of its series."""
        return self.template.placeholder_uid.rpartition(".")[0]

    @property
    def sop_instance_uid(self) -> str:
        """Its own UID."""
        return f"{self.series_instance_uid}.{FIRST_INSTANCE + self.at}"

    @property
    def transfer_syntax_uid(self) -> str:
        """Transfer Syntax it is stored in."""
        return self.series.kind.transfer_syntax_uid

    @property
    def frame_count(self) -> int:
        """Number of frames; 0 without pixel data."""
        return self.series.kind.frames

    @property
    def bulk(self) -> Mapping[str, str]:
        """VR of each bulk element."""
        if not self.frame_count:
            return {}
        return {templates.PRIVATE_BULK: "OB", PIXEL_DATA: self._pixel_vr}

    @property
    def _pixel_vr(self) -> str:
        return "OW" if templates.is_native(self.transfer_syntax_uid) else "OB"

    def attributes(self) -> Attributes:
        """Return all elements but those in `bulk`."""
        return self.template.patched_attributes(self.sop_instance_uid, self.at + 1)

    def file_bytes(self) -> int:
        """Length of the Part 10 file, in bytes."""
        head_bytes = len(self.template.head)
        if not self.frame_count:
            return head_bytes
        frame_bytes = self.series.archive.bodies(self.series.kind).frame_bytes
        if templates.is_native(self.transfer_syntax_uid):
            return head_bytes + self.frame_count * frame_bytes
        items = self.frame_count * (8 + frame_bytes)
        return head_bytes + items + len(templates.SEQUENCE_DELIMITER)

    def file(self) -> Iterator[Buffer]:
        """Produce the Part 10 file, piece by piece."""
        yield self.template.patched_head(self.sop_instance_uid, self.at + 1)
        is_native = templates.is_native(self.transfer_syntax_uid)
        for number in range(1, self.frame_count + 1):
            frame = self.frame(number)
            if not is_native:
                yield templates.item_header(sum(len(piece) for piece in frame))
            yield from frame
        if self.frame_count and not is_native:
            yield templates.SEQUENCE_DELIMITER

    def frame(self, number: int) -> Sequence[Buffer]:
        """Return one frame, from 1."""
        series = self.series
        key = (series.study_at, series.at, self.at, number)
        return series.archive.bodies(series.kind).frame(key)

    def bulk_value(self, tag: str) -> Sequence[Buffer]:
        """Return the value of a bulk element."""
        if tag == templates.PRIVATE_BULK:
            return [self.template.private_bulk]
        frames = range(1, self.frame_count + 1)
        return [piece for number in frames for piece in self.frame(number)]


def index_below(uid: str, prefix: str, first: int) -> int:
    """Return the index that a UID's last component stands for, or -1."""
    component = uid.removeprefix(prefix)
    is_ours = uid.startswith(prefix) and component.isdecimal() and component.isascii()
    return int(component) - first if is_ours and len(component) < 9 else -1
