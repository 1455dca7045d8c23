"""How much there is of studies in a Cloud-Optimized DICOM store, and how much of it is here.

    survey = CodSurvey(source, store)
    await Scheduler(survey, settings).run(survey.tasks(studies))
    survey.statistics()

Rule: an instance is saved when its file was read to its end and has the checksum of the
metadata; a list of what somebody saved once (`log.json`) proves nothing, and is not read.

Rule: each series counts once, however often it is named; sizes are those of instances, not
of archives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncdicom.jobs.cod_get import CodFinder
from asyncdicom.model import Failed, Resource, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.stores import Store
    from asyncdicom.model import Uid
    from asyncdicom.sources.cod import CodSource

__all__ = ["CodSurvey", "DownloadStats", "SeriesStats", "StudyStats"]


@dataclass(frozen=True, slots=True)
class SeriesStats:
    """One series: what there is, and what of it is saved."""

    study_instance_uid: str
    series_instance_uid: str
    instance_count: int
    byte_count: int
    """Of all instances."""
    saved_instance_count: int
    saved_byte_count: int

    @property
    def is_saved(self) -> bool:
        """Whether all of it is."""
        return self.saved_instance_count == self.instance_count


class _Sums:
    """What series sum up to."""

    series: tuple[SeriesStats, ...]

    @property
    def series_count(self) -> int:
        """Series that there are."""
        return len(self.series)

    @property
    def saved_series_count(self) -> int:
        """Series of which every instance is saved."""
        return sum(one.is_saved for one in self.series)

    @property
    def instance_count(self) -> int:
        """Instances that there are."""
        return sum(one.instance_count for one in self.series)

    @property
    def saved_instance_count(self) -> int:
        """Instances that are saved."""
        return sum(one.saved_instance_count for one in self.series)

    @property
    def byte_count(self) -> int:
        """Size of all instances, saved ones included."""
        return sum(one.byte_count for one in self.series)

    @property
    def saved_byte_count(self) -> int:
        """Size of the instances that are saved."""
        return sum(one.saved_byte_count for one in self.series)

    def _sums_to_json(self) -> dict[str, Any]:
        return {
            "series": self.series_count,
            "savedSeries": self.saved_series_count,
            "instances": self.instance_count,
            "savedInstances": self.saved_instance_count,
            "bytes": self.byte_count,
            "savedBytes": self.saved_byte_count,
        }


@dataclass(frozen=True)
class StudyStats(_Sums):
    """One study."""

    study_instance_uid: str
    series: tuple[SeriesStats, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"study": self.study_instance_uid, **self._sums_to_json()}


@dataclass(frozen=True)
class DownloadStats(_Sums):
    """All studies asked for."""

    series: tuple[SeriesStats, ...]
    failed: tuple[Failed, ...] = ()
    """Studies and series of which nobody could say what they hold."""

    @property
    def studies(self) -> tuple[StudyStats, ...]:
        """The same by study, in the order asked for."""
        uids = dict.fromkeys(one.study_instance_uid for one in self.series)
        return tuple(
            StudyStats(uid, tuple(one for one in self.series if one.study_instance_uid == uid))
            for uid in uids
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        failed = [
            {
                "study": one.target.study_instance_uid,
                "series": one.target.series_instance_uid,
                "reason": one.error.reason,
                "message": str(one.error),
            }
            for one in self.failed
        ]
        studies = [study.to_json() for study in self.studies]
        return {**self._sums_to_json(), "studies": studies, "failed": failed}


class CodSurvey:
    """Looks up studies, series by series; driven by a scheduler."""

    def __init__(self, source: CodSource, store: Store[Any] | None = None) -> None:
        """Prepare.

        Args:
            source: Where they are.
            store: Where they may have been saved; None if nothing was.

        """
        self._finder = CodFinder(source)
        self._store = store
        self._order: dict[Uid, list[Target]] = {}
        self._series: dict[Target, SeriesStats] = {}
        self._failed: list[Failed] = []

    def tasks(self, studies: Iterable[Uid]) -> Iterator[Target]:
        """Yield the first task of each study."""
        for uid in dict.fromkeys(studies):
            self._order[uid] = []
            yield Target(Resource.STUDY, uid)

    async def perform(self, task: Target, attempt: int) -> Iterable[Target]:  # noqa: ARG002 -- Performer
        """Look up a study or a series."""
        if task.resource is Resource.STUDY:
            series = await self._finder.series_of(task.study_instance_uid)
            found = [Target(Resource.SERIES, task.study_instance_uid, uid) for uid in series]
            self._order[task.study_instance_uid] = found
            return found
        read = await self._finder.series_at(task)
        self._series[task] = await self._stats_of(task, read.expected)
        self._failed += [Failed(task, refused.error) for refused in read.refused]
        return ()

    def give_up(self, task: Target, error: AsyncDicomError, attempts: int) -> Iterable[Target]:
        """Note what could not be looked up."""
        self._failed.append(Failed(task, error, attempts))
        return ()

    def statistics(self) -> DownloadStats:
        """Return what was found so far."""
        found = [target for series in self._order.values() for target in series]
        series = [self._series[target] for target in found if target in self._series]
        return DownloadStats(tuple(series), tuple(self._failed))

    async def _stats_of(self, target: Target, expected: Expectation) -> SeriesStats:
        saved = [] if self._store is None else await self._store.already_there(expected, target)
        assert target.series_instance_uid is not None, "a series has a UID"
        return SeriesStats(
            target.study_instance_uid,
            target.series_instance_uid,
            len(expected),
            expected.byte_count,
            len(saved),
            sum(one.byte_count for one in saved),
        )
