"""Find out by C-FIND what a study must hold, and of which SOP classes it is (PS3.4 §C.6).

One query for the study (how many instances, which SOP classes), one for its series,
one for the instances of each series. The last ones are the list; what the archive
counts beyond it is reported as unlisted.

Rule: SOP classes have to be known before a C-GET, for its association proposes a
context for each of them. Where instances do not say theirs, the study does; where
it does not either, the common ones are proposed.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from asyncdicom.errors import ContentError, InvalidUid, NotFound
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.model import is_uid, parse_uid
from asyncdicom.protocol.dimse.sop_classes import QueryLevel
from asyncdicom.protocol.identifier_shapes import TextReader
from asyncdicom.protocol.identifiers import Key
from asyncdicom.sources.dimse import Tags, unique_keys

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncdicom.model import Target, Uid
    from asyncdicom.protocol.identifiers import Tree
    from asyncdicom.sources.dimse import DimseSource

__all__ = ["NO_MATCH", "DimseLookup", "uid_in"]

NO_MATCH = 204
"""Of `NotFound`, which counts as HTTP does: there is nothing, and nobody is to blame."""


class DimseLookup:
    """Looks up what targets hold."""

    def __init__(self, source: DimseSource) -> None:
        self._source = source

    async def expectation_of(self, target: Target) -> Expectation:
        """Return what a study, series or instance must hold.

        Raises:
            NotFound: If the archive lists nothing.
            ContentError: If it lists instances without their UIDs.
            FetchError: If it cannot be searched.

        """
        found = await self.outline_of(target)
        await self.list_instances(found, target)
        return found

    async def outline_of(self, target: Target) -> Expectation:
        """Return how many instances a study must hold and of which SOP classes, but not which.

        Raises:
            FetchError: If it cannot be searched.

        """
        found = Expectation(target.study_instance_uid, is_listed=False)
        await self._ask_study(found)
        return found

    async def list_instances(self, outline: Expectation, target: Target) -> None:
        """Add the instances.

        Raises:
            NotFound, ContentError, FetchError: As `expectation_of`.

        """
        if not await self._list(outline, target):
            raise NotFound("the archive lists no instance of it", status_code=NO_MATCH)
        outline.is_listed = True

    async def _list(self, found: Expectation, target: Target) -> int:
        if target.series_instance_uid is not None:
            found.counted = None
            return await self._ask_instances(found, target, target.series_instance_uid)
        counts = await self._ask_series(found, target)
        for series in counts:
            await self._ask_instances(found, target, series)
        if found.counted is None and counts and None not in counts.values():
            found.counted = sum(count or 0 for count in counts.values())
        return len(found)

    async def _ask_study(self, found: Expectation) -> None:
        """Ask for the counts and SOP classes of the study; an archive need not know them."""
        tags = (
            Tags.NUMBER_OF_STUDY_RELATED_INSTANCES,
            Tags.SOP_CLASSES_IN_STUDY,
            Tags.PATIENT_ID,
        )
        keys: dict[int, Key | Tree] = {
            Tags.STUDY_INSTANCE_UID: Key("UI", found.study_instance_uid),
            tags[0]: Key("IS"),
            tags[1]: Key("UI"),
        }
        if self._source.needs_patient:
            keys[tags[2]] = Key("LO")
        async with aclosing(self._ask(QueryLevel.STUDY, keys, tags)) as answers:
            async for answer in answers:
                found.counted = _number(answer.get(tags[0]))
                classes = answer.get(tags[1], "").split("\\")
                found.further_classes |= {uid for uid in classes if is_uid(uid)}
                if self._source.needs_patient:
                    found.patient_id = answer.get(tags[2])

    async def _ask_series(self, found: Expectation, target: Target) -> dict[Uid, int | None]:
        """Return the series of the study, and how many instances the archive counts in each."""
        tags = (Tags.SERIES_INSTANCE_UID, Tags.NUMBER_OF_SERIES_RELATED_INSTANCES)
        keys: dict[int, Key | Tree] = {
            **unique_keys(target, found.patient_id),
            tags[0]: Key("UI"),
            tags[1]: Key("IS"),
        }
        counts: dict[Uid, int | None] = {}
        async with aclosing(self._ask(QueryLevel.SERIES, keys, tags)) as answers:
            async for answer in answers:
                counts[uid_in(answer, tags[0], "series")] = _number(answer.get(tags[1]))
        return counts

    async def _ask_instances(self, found: Expectation, target: Target, series: Uid) -> int:
        tags = (Tags.SOP_INSTANCE_UID, Tags.SOP_CLASS_UID)
        keys: dict[int, Key | Tree] = {
            tags[0]: Key("UI"),
            **unique_keys(target, found.patient_id),
            Tags.SERIES_INSTANCE_UID: Key("UI", series),
        }
        # Where the study is of one class, its instances need not say theirs: archives look
        # that up per instance, and it took Orthanc two thirds of the time of the query.
        only = next(iter(found.further_classes)) if len(found.further_classes) == 1 else ""
        if not only:
            keys[tags[1]] = Key("UI")
        count = 0
        async with aclosing(self._ask(QueryLevel.IMAGE, keys, tags)) as answers:
            async for answer in answers:
                sop_class = answer.get(tags[1], only)
                found.expect(
                    uid_in(answer, tags[0], "instance"),
                    series,
                    sop_class=sop_class if is_uid(sop_class) else None,
                )
                count += 1
        return count

    async def _ask(
        self, level: QueryLevel, keys: dict[int, Key | Tree], tags: tuple[int, ...]
    ) -> AsyncGenerator[dict[int, str]]:
        read = TextReader(tags).read
        async with aclosing(self._source.find(level, keys)) as answers:
            async for answer in answers:
                yield read(answer.identifier, answer.transfer_syntax)


def uid_in(answer: dict[int, str], tag: int, what: str) -> Uid:
    """Return a unique key of an answer.

    Raises:
        ContentError: If it is absent or no UID.

    """
    try:
        return parse_uid(answer.get(tag, ""))
    except InvalidUid as error:
        raise ContentError(f"an answer of the query names no {what}: {error.message}") from error


def _number(text: str | None) -> int | None:
    digits = (text or "").strip()
    return int(digits) if digits.isdecimal() and len(digits) < 10 else None
