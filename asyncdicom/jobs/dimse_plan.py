"""What a DIMSE get asks for at once: study, series or instance (PS3.4 §C.6).

1. A study of one series, or for one association, is asked for whole.
2. Otherwise series are asked for, several at once on associations of their own.
3. What needs more contexts than an association has is asked for in smaller parts:
   archives end a C-GET at the first object that was not negotiated.
4. What is mostly there is completed instance by instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError, ConnectionLost
from asyncdicom.jobs.dimse_get import contexts_for
from asyncdicom.jobs.get_plan import by_series, is_about_the_answer, one_by_one
from asyncdicom.model import Resource, Target
from asyncdicom.policy.granularity import Granularity, may_be_repeated_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.get_plan import Missing

__all__ = ["DimsePlanner"]


@dataclass(frozen=True, slots=True)
class DimsePlanner:
    """Plans C-GET and C-MOVE operations."""

    transfer_syntaxes: tuple[str, ...] | None
    """What instances may be sent in; None if no contexts limit what fits (C-MOVE)."""
    granularity: Granularity = Granularity.AUTO
    concurrency: int = 4
    """Operations at once."""

    def may_help(self, error: AsyncDicomError) -> bool:
        """Tell whether it was about the answer; an archive may break at one object, each time."""
        return is_about_the_answer(error) or isinstance(error, ConnectionLost)

    def first(self, study: Expectation, target: Target) -> Iterable[Target]:
        """Return the study, its series, or its instances."""
        missing = study.missing(target)
        wanted = self.granularity
        if not missing:
            return ()
        if target.resource is Resource.INSTANCE or wanted is Granularity.INSTANCE:
            return one_by_one(study, missing)
        is_whole = (
            target.resource is Resource.STUDY
            and len(missing) == len(study)
            and wanted is not Granularity.SERIES
            and (wanted is Granularity.STUDY or self.concurrency == 1)
        )
        if is_whole and self._fits(study):
            return (Target(Resource.STUDY, study.study_instance_uid),)
        return self._series(study, missing)

    def asks_on_trust(self, outline: Expectation) -> bool:
        """Tell whether a study is asked for whole, whatever its list will be.

        Args:
            outline: What is known of it without its list.

        """
        one_operation = self.granularity is Granularity.STUDY or (
            self.granularity is Granularity.AUTO and self.concurrency == 1
        )
        has_contexts = self.transfer_syntaxes is not None and bool(outline.further_classes)
        return one_operation and has_contexts and bool(outline.counted) and self._fits(outline)

    def narrower(
        self, study: Expectation, target: Target, missing: Sequence[Missing]
    ) -> Iterable[Target]:
        """Return the series of a study, or the instances of a series."""
        if target.resource is Resource.STUDY:
            return self._series(study, missing)
        return one_by_one(study, missing)

    def _series(self, study: Expectation, missing: Sequence[Missing]) -> Iterator[Target]:
        sizes = {one.series_instance_uid: one for one in study.series()}
        for series, pairs in by_series(missing).items():
            size = sizes[series]
            is_whole = may_be_repeated_whole(size, there=size.instances - len(pairs))
            if is_whole and len(pairs) > 1 and self._fits(study, pairs):
                yield Target(Resource.SERIES, study.study_instance_uid, series)
            else:
                yield from one_by_one(study, pairs)

    def _fits(self, study: Expectation, some: Sequence[Missing] | None = None) -> bool:
        """Tell whether one association has contexts for all of it."""
        knows_classes = study.class_counts or study.further_classes
        if self.transfer_syntaxes is None or not knows_classes:
            return True
        return len(contexts_for(study, self.transfer_syntaxes, some)) <= 1
