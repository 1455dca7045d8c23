"""What a get from a Cloud-Optimized DICOM store asks for: archives, the rest of one, spans.

1. An archive of which most is missing is streamed, from the first instance that is missing.
2. A few instances are asked for by their spans.
3. What one stream did not bring is streamed again only as long as that brings something.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError, ConnectionLost, NotFound
from asyncdicom.jobs.get_plan import by_series, is_about_the_answer, one_by_one
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.granularity import Granularity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.get_plan import Missing
    from asyncdicom.protocol.cod.metadata import CodInstance

__all__ = ["CodPlanner", "first_missing"]

REQUEST_BYTES = 256 * 1024
"""What could be streamed in the time of one more request: 25 ms at 10 MB/s."""


@dataclass(slots=True)
class CodPlanner:
    """Plans requests by the places of instances in their archives."""

    granularity: Granularity = Granularity.AUTO
    _left: dict[Uid, int] = field(default_factory=dict)
    """Instances of each series that were missing when it was planned last."""

    def may_help(self, error: AsyncDicomError) -> bool:
        """Tell whether single instances may come although the archive does not."""
        if isinstance(error, NotFound) or isinstance(error.__cause__, NotFound):
            return False  # there is no archive
        return is_about_the_answer(error) or isinstance(error, ConnectionLost)

    def first(self, study: Expectation, target: Target) -> Iterable[Target]:
        """Return archives, or instances."""
        missing = study.missing(target)
        if target.resource is Resource.INSTANCE:
            return one_by_one(study, missing)
        return list(self._planned(study, missing))

    def asks_on_trust(self, outline: Expectation) -> bool:  # noqa: ARG002 -- Planner
        """Return that it does not: where instances are, the list says."""
        return False

    def narrower(
        self,
        study: Expectation,
        target: Target,  # noqa: ARG002 -- Planner
        missing: Sequence[Missing],
    ) -> Iterable[Target]:
        """Return the rest of the archive if the last stream of it brought something."""
        return list(self._planned(study, missing))

    def _planned(self, study: Expectation, missing: Sequence[Missing]) -> Iterator[Target]:
        for series, pairs in by_series(missing).items():
            is_worth_it = len(pairs) < self._left.get(series, len(pairs) + 1)
            self._left[series] = len(pairs)
            if is_worth_it and self._is_streamed(study, pairs):
                yield Target(Resource.SERIES, study.study_instance_uid, series)
            else:
                yield from one_by_one(study, pairs)

    def _is_streamed(self, study: Expectation, pairs: Sequence[Missing]) -> bool:
        if self.granularity is not Granularity.AUTO:
            return self.granularity is not Granularity.INSTANCE
        if len(pairs) == 1 and len(study.instances_of(pairs[0][0])) > 1:
            return False
        places = [study.places[uid] for _, uid in pairs]
        stream_bytes = max(map(_end, places)) - min(place.first_byte for place in places)
        single_bytes = sum(place.byte_count + REQUEST_BYTES for place in places)
        return stream_bytes <= single_bytes


def first_missing(study: Expectation, target: Target) -> CodInstance | None:
    """Return the instance that a stream of a series has to begin with; None for its beginning."""
    assert target.series_instance_uid is not None, "archives are those of series"
    missing = [study.places[uid] for _, uid in study.missing(target)]
    first = min(missing, key=lambda place: place.first_byte)
    settled = study.settled.intersection(study.instances_of(target.series_instance_uid))
    is_beginning = all(study.places[uid].first_byte > first.first_byte for uid in settled)
    return None if is_beginning else first


def _end(place: CodInstance) -> int:
    return place.first_byte + place.byte_count
