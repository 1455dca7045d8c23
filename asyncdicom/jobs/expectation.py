"""What a study must hold: the list that everything received is counted against.

Rule: nothing is ever called complete without such a list. It comes from the
metadata of the study or from a search (QIDO-RS, C-FIND), and is compared with the
counts that the server keeps, where it keeps them.

Rule: what comes before the list is whole comes on trust. When the list has ended, what it
does not name is told, and has to be asked for alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncdicom.policy.granularity import UNKNOWN_INSTANCE_BYTES, SeriesSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncdicom.model import Target, Uid
    from asyncdicom.protocol.cod.metadata import CodInstance

__all__ = ["Expectation"]


@dataclass(slots=True)
class _Series:
    instances: list[Uid] = field(default_factory=list)
    byte_count: int = 0


@dataclass(slots=True)
class Expectation:
    """Instances expected of one study, and which of them are on disk.

    Memory: about 300 bytes per instance.
    """

    study_instance_uid: Uid
    counted: int | None = None
    """Instances the server counts (0020,1208), or None if it does not say."""
    settled: set[Uid] = field(default_factory=set)
    """Instances that are on disk and verified."""
    patient_id: str | None = None
    """PatientID, where unique keys have to name it."""
    further_classes: set[str] = field(default_factory=set)
    """SOP Class UIDs in the study of which nobody says which instances they are of."""
    class_counts: Counter[str] = field(default_factory=Counter)
    """Instances per SOP Class UID, as far as it is known."""
    is_listed: bool = True
    """Whether the list is whole; until then, instances come on trust."""
    places: dict[Uid, CodInstance] = field(default_factory=dict)
    """Where instances are in the archives of a Cloud-Optimized DICOM store, and what proves
    them; empty for any other source."""
    _on_trust: dict[Uid, Uid] = field(default_factory=dict)
    _class_of: dict[Uid, str] = field(default_factory=dict)
    _series_of: dict[Uid, Uid] = field(default_factory=dict)
    _series: dict[Uid, _Series] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._series_of)

    def __contains__(self, instance: Uid) -> bool:
        return instance in self._series_of

    def expect(
        self, instance: Uid, series: Uid, *, byte_count: int = 0, sop_class: str | None = None
    ) -> None:
        """Expect an instance; a second mention changes nothing but what was not known.

        Args:
            instance: SOP Instance UID.
            series: Series Instance UID.
            byte_count: Estimated size, or 0 if nobody said.
            sop_class: SOP Class UID, where it has to be known before it is fetched.

        """
        if sop_class is not None and instance not in self._class_of:
            self._class_of[instance] = sop_class
            self.class_counts[sop_class] += 1
        if instance in self._series_of:
            return
        found = self._series.setdefault(series, _Series())
        found.instances.append(instance)
        found.byte_count += byte_count or UNKNOWN_INSTANCE_BYTES
        self._series_of[instance] = series

    def trusts(self, instance: Uid, series: Uid) -> bool:
        """Tell whether an instance may come before the list is whole, and note that it did.

        No more may come so than the server counts.
        """
        if self.is_listed or len(self._on_trust) >= (self.counted or 0):
            return False
        self._on_trust[instance] = series
        return True

    def end_list(self) -> list[tuple[Uid, Uid]]:
        """Say that the list is whole; return series and instance of what it does not name."""
        self.is_listed = True
        on_trust, self._on_trust = self._on_trust, {}
        return [(series, uid) for uid, series in on_trust.items() if uid not in self]

    def series_of(self, instance: Uid) -> Uid | None:
        """Return the series that an instance is expected in, or None."""
        return self._series_of.get(instance)

    def instances_of(self, series: Uid) -> Sequence[Uid]:
        """Return the instances expected of a series, in the order they were met."""
        found = self._series.get(series)
        return () if found is None else found.instances

    def own_uid_of(self, instance: Uid) -> Uid:
        """Return the UID that the file of an instance says; a store may have hashed its own."""
        place = self.places.get(instance)
        return (place.own.sop_instance_uid if place is not None else None) or instance

    def proof_of(self, instance: Uid) -> dict[str, Any]:
        """Return `byte_count` and `crc32c` of an instance, where they are known."""
        place = self.places.get(instance)
        if place is None:
            return {}
        return {"byte_count": place.byte_count, "crc32c": place.crc32c}

    def series(self) -> list[SeriesSize]:
        """Return the series with their sizes, in the order they were met."""
        return [
            SeriesSize(uid, len(one.instances), one.byte_count) for uid, one in self._series.items()
        ]

    @property
    def byte_count(self) -> int:
        """Estimated size of all instances."""
        return sum(one.byte_count for one in self._series.values())

    @property
    def unlisted(self) -> int:
        """Instances that the server counts but does not list."""
        return max((self.counted or 0) - len(self), 0)

    def missing(self, target: Target) -> list[tuple[Uid, Uid]]:
        """Return series and instance of what a target should have brought and has not."""
        if target.sop_instance_uid is not None:
            wanted: Iterable[Uid] = (target.sop_instance_uid,)
        elif target.series_instance_uid is not None:
            series = self._series.get(target.series_instance_uid)
            wanted = series.instances if series is not None else ()
        else:
            wanted = self._series_of
        settled, series_of = self.settled, self._series_of
        return [(series_of[uid], uid) for uid in wanted if uid not in settled and uid in series_of]

    def classes_of(self, missing: Iterable[tuple[Uid, Uid]]) -> Counter[str]:
        """Return how many of these instances are of each SOP class, as far as it is known."""
        known = (self._class_of.get(instance) for _, instance in missing)
        return Counter(sop_class for sop_class in known if sop_class is not None)

    def absorb(self, other: Expectation) -> None:
        """Expect what another look at the same study expects, too."""
        for uid, series in other._series.items():
            share = series.byte_count // max(len(series.instances), 1)
            for instance in series.instances:
                sop_class = other._class_of.get(instance)
                self.expect(instance, uid, byte_count=share, sop_class=sop_class)
        for instance, place in other.places.items():
            self.places.setdefault(instance, place)
        self.patient_id = self.patient_id or other.patient_id
        self.further_classes |= other.further_classes
