"""What a get asks for at once, and what it asks for when that did not bring everything.

for target in planner.first(study, target): ...
for target in planner.narrower(study, target, missing): ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    FetchError,
    NameTaken,
    TransportError,
    Unauthorized,
    UnsafeName,
)
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.granularity import (
    Granularity,
    granularity_of_series,
    may_be_repeated_whole,
    study_fits_one_answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncdicom.jobs.expectation import Expectation

__all__ = ["Missing", "Planner", "WebPlanner", "by_series", "is_about_the_answer", "one_by_one"]

Missing: TypeAlias = tuple[Uid, Uid]
"""Series and SOP Instance UID of an instance that is not settled."""


class Planner(Protocol):
    """Decides how instances are asked for."""

    def may_help(self, error: AsyncDicomError) -> bool:
        """Tell whether asking for less at once may succeed where this failed for good."""

    def first(self, study: Expectation, target: Target) -> Iterable[Target]:
        """Return what to ask for, as coarsely as is sensible."""

    def asks_on_trust(self, outline: Expectation) -> bool:
        """Tell whether a study is asked for whole, whatever its list will be.

        Args:
            outline: What is known of it without its list.

        """

    def narrower(
        self, study: Expectation, target: Target, missing: Sequence[Missing]
    ) -> Iterable[Target]:
        """Return what to ask for instead of a target that left something missing."""


def is_about_the_answer(error: AsyncDicomError) -> bool:
    """Tell whether it was what came, not the way there or who we are, that failed."""
    if isinstance(error, NameTaken | UnsafeName):
        return True  # one instance cannot have its name; the others have other ones
    return isinstance(error, FetchError) and not isinstance(error, TransportError | Unauthorized)


def one_by_one(study: Expectation, missing: Iterable[Missing]) -> Iterator[Target]:
    """Yield each instance alone, unless it was settled meanwhile."""
    for series, instance in missing:
        if instance not in study.settled:
            yield Target(Resource.INSTANCE, study.study_instance_uid, series, instance)


def by_series(missing: Iterable[Missing]) -> dict[Uid, list[Missing]]:
    """Return what is missing of each series, in order."""
    found: dict[Uid, list[Missing]] = {}
    for pair in missing:
        found.setdefault(pair[0], []).append(pair)
    return found


@dataclass(frozen=True, slots=True)
class WebPlanner:
    """Plans WADO-RS requests by the sizes that metadata and searches tell."""

    granularity: Granularity = Granularity.AUTO
    concurrency: int = 8

    def may_help(self, error: AsyncDicomError) -> bool:
        """Tell whether it was about the answer; one that breaks in its body may break each time."""
        is_broken = isinstance(error, ConnectionLost) and error.in_body
        return is_broken or is_about_the_answer(error)

    def first(self, study: Expectation, target: Target) -> Iterable[Target]:
        """Return the study, its series, or its instances."""
        missing = study.missing(target)
        wanted = self.granularity
        if not missing:
            return ()
        if target.resource is Resource.INSTANCE or wanted is Granularity.INSTANCE:
            return one_by_one(study, missing)
        if target.resource is Resource.SERIES:
            return self._series(study, missing)
        is_whole = wanted is Granularity.STUDY or (
            wanted is Granularity.AUTO
            and len(missing) == len(study)
            and study_fits_one_answer(study.series())
        )
        if is_whole:
            return (Target(Resource.STUDY, study.study_instance_uid),)
        return self._series(study, missing)

    def asks_on_trust(self, outline: Expectation) -> bool:  # noqa: ARG002 -- Planner
        """Return that it does not: how a study is asked for depends on its sizes."""
        return False

    def narrower(
        self,
        study: Expectation,
        target: Target,  # noqa: ARG002 -- Planner
        missing: Sequence[Missing],
    ) -> Iterable[Target]:
        """Return what is missing one by one: a second large answer may break as the first did."""
        return one_by_one(study, missing)

    def _series(self, study: Expectation, missing: list[Missing]) -> Iterator[Target]:
        wanted = by_series(missing)
        sizes = {one.series_instance_uid: one for one in study.series()}
        for series, pairs in wanted.items():
            size = sizes[series]
            how = self.granularity
            if how is Granularity.AUTO:
                how = granularity_of_series(
                    size, series_count=len(wanted), concurrency=self.concurrency
                )
            # What is partly there is completed, not fetched again.
            there = size.instances - len(pairs)
            if how is Granularity.INSTANCE or not may_be_repeated_whole(size, there=there):
                yield from one_by_one(study, pairs)
            else:
                yield Target(Resource.SERIES, study.study_instance_uid, series)
