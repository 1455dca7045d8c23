"""Resolve keys to studies, series or instances, level by level (PS3.4 §C.4.1.2.1).

Archives need not understand a query that skips levels. So studies are searched for by
what describes studies and patients; within each, series by what describes series; and
within each of those, instances by the rest.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from asyncdicom.errors import NotFound
from asyncdicom.jobs.dimse_lookup import NO_MATCH, uid_in
from asyncdicom.model import Resource, Target
from asyncdicom.protocol.dimse.sop_classes import QueryLevel
from asyncdicom.protocol.identifiers import Key, texts_in
from asyncdicom.sources.dimse import Tags

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from asyncdicom.protocol.identifiers import Tree
    from asyncdicom.sources.dimse import DimseSource

__all__ = ["find_targets", "level_of"]

# PS3.4 Table C.6-3: what describes a series.
_SERIES_TAGS = frozenset(
    (0x00080060, 0x0020000E, 0x00200011, 0x0008103E, 0x00080021, 0x00080031, 0x00180015)
) | {0x00181030, 0x00200060, 0x00400244, 0x00400245, 0x00400275, 0x00201209, 0x00080068}
# PS3.4 Table C.6-4: what describes an instance.
_IMAGE_TAGS = frozenset(
    (0x00080018, 0x00080016, 0x00200013, 0x00080023, 0x00080033, 0x00280008, 0x00280010)
) | {0x00280011, 0x00280100, 0x00080022, 0x00080032, 0x00080008}
_STUDY_GROUPS = frozenset((0x0008, 0x0010, 0x0020, 0x0032, 0x0040))
_ORDER = (QueryLevel.PATIENT, QueryLevel.STUDY, QueryLevel.SERIES, QueryLevel.IMAGE)


def level_of(tree: Mapping[int, Key | Tree]) -> QueryLevel:
    """Return the level of the deepest attribute: `Modality=CT` means the CT series."""
    levels = {_own_level(tag) for tag in tree}
    return max(levels, key=_ORDER.index, default=QueryLevel.STUDY)


def _own_level(tag: int, unknown: QueryLevel = QueryLevel.STUDY) -> QueryLevel:
    """Return the level of an attribute; what no table knows is asked where the user looks."""
    if tag in _IMAGE_TAGS:
        return QueryLevel.IMAGE
    if tag in _SERIES_TAGS:
        return QueryLevel.SERIES
    return QueryLevel.STUDY if tag >> 16 in _STUDY_GROUPS else unknown


async def find_targets(
    source: DimseSource, tree: Mapping[int, Key | Tree], level: QueryLevel
) -> list[Target]:
    """Return the studies, series or instances that match; patients stand for their studies.

    Raises:
        NotFound: If nothing matches.
        ContentError: If an answer lacks the unique key of its level.
        FetchError: If the archive cannot be searched.

    """
    search = _Levels(source, tree, level)
    targets = [target async for target in search.targets()]
    if not targets:
        raise NotFound("nothing matches", status_code=NO_MATCH)
    return list(dict.fromkeys(targets))


class _Levels:
    def __init__(
        self, source: DimseSource, tree: Mapping[int, Key | Tree], level: QueryLevel
    ) -> None:
        self._source = source
        self._tree = tree
        self._level = level

    async def targets(self) -> AsyncGenerator[Target]:
        async for patient in self._patients():
            studies = self._find(QueryLevel.STUDY, patient, Tags.STUDY_INSTANCE_UID)
            async for answer in studies:
                study = Target(Resource.STUDY, uid_in(answer, Tags.STUDY_INSTANCE_UID, "study"))
                if self._level in (QueryLevel.PATIENT, QueryLevel.STUDY):
                    yield study
                    continue
                async for target in self._series(study, patient):
                    yield target

    async def _patients(self) -> AsyncGenerator[dict[int, Key]]:
        """Yield what names each patient, where the model begins with patients."""
        if not self._source.needs_patient:
            yield {}
            return
        async for answer in self._find(QueryLevel.PATIENT, {}, Tags.PATIENT_ID):
            yield {Tags.PATIENT_ID: Key("LO", answer.get(Tags.PATIENT_ID, ""))}

    async def _series(self, study: Target, patient: dict[int, Key]) -> AsyncGenerator[Target]:
        above = {**patient, Tags.STUDY_INSTANCE_UID: Key("UI", study.study_instance_uid)}
        answers = self._find(QueryLevel.SERIES, above, Tags.SERIES_INSTANCE_UID)
        async for answer in answers:
            uid = uid_in(answer, Tags.SERIES_INSTANCE_UID, "series")
            series = Target(Resource.SERIES, study.study_instance_uid, uid)
            if self._level is QueryLevel.SERIES:
                yield series
                continue
            within = {**above, Tags.SERIES_INSTANCE_UID: Key("UI", uid)}
            async for target in self._instances(series, within):
                yield target

    async def _instances(self, series: Target, above: dict[int, Key]) -> AsyncGenerator[Target]:
        answers = self._find(QueryLevel.IMAGE, above, Tags.SOP_INSTANCE_UID)
        async for answer in answers:
            uid = uid_in(answer, Tags.SOP_INSTANCE_UID, "instance")
            yield Target(
                Resource.INSTANCE, series.study_instance_uid, series.series_instance_uid, uid
            )

    async def _find(
        self, level: QueryLevel, above: Mapping[int, Key], unique: int
    ) -> AsyncGenerator[dict[int, str]]:
        """Search one level, by its own keys and the unique ones above it.

        All answers are read before the first is used: an association has one
        operation at a time, and the next level wants it.
        """
        keys: dict[int, Key | Tree] = {unique: Key("LO" if level is QueryLevel.PATIENT else "UI")}
        keys |= {tag: key for tag, key in self._tree.items() if self._belongs(tag, level)}
        keys |= above
        async with aclosing(self._source.find(level, keys)) as answers:
            found = [
                texts_in(answer.identifier, answer.transfer_syntax, (unique,))
                async for answer in answers
            ]
        for answer in found:
            yield answer

    def _belongs(self, tag: int, level: QueryLevel) -> bool:
        """Tell at which level a key is matched: patient attributes at both upper ones."""
        if level is QueryLevel.PATIENT:
            return tag >> 16 == 0x0010
        lowest = QueryLevel.STUDY if self._level is QueryLevel.PATIENT else self._level
        return _own_level(tag, lowest) is level
