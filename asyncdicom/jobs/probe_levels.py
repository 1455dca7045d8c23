"""Which levels a DIMSE peer answers at, which keys it returns, and which it heeds (PS3.4 §C.4.1).

await probe_levels(association, report)

Rule: the archive is asked for the studies of the last days first, and a query is cancelled
with its first answer: one that matches everything costs some archives minutes.
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import NotNegotiated, OperationFailed, ProtocolError
from asyncdicom.jobs.probe import UNKNOWN
from asyncdicom.protocol.dimse.sop_classes import PATIENT_ROOT, STUDY_ROOT, QueryLevel
from asyncdicom.protocol.identifiers import Key, encode_identifier, texts_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.jobs.probe import ProbeReport
    from asyncdicom.ports.dimse import Association
    from asyncdicom.protocol.dimse.sop_classes import QueryModel

__all__ = ["probe_levels"]

PERIODS_DAYS: Final = (7, 365)
"""How far back studies are looked for before all of them are asked for."""

NOBODY: Final = "ASYNCDICOM-PROBE"

_LEVEL: Final = 0x00080052
_STUDY_DATE: Final = 0x00080020
_PATIENT_ID: Final = 0x00100020
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E
_INSTANCE: Final = 0x00080018

_UNIQUE: Final = {
    QueryLevel.PATIENT: (_PATIENT_ID, "LO"),
    QueryLevel.STUDY: (_STUDY, "UI"),
    QueryLevel.SERIES: (_SERIES, "UI"),
    QueryLevel.IMAGE: (_INSTANCE, "UI"),
}

_WANTED: Final = {
    QueryLevel.STUDY: {
        0x00080061: ("CS", "ModalitiesInStudy"),
        0x00080062: ("UI", "SOPClassesInStudy"),
        0x00201206: ("IS", "NumberOfStudyRelatedSeries"),
        0x00201208: ("IS", "NumberOfStudyRelatedInstances"),
    },
    QueryLevel.SERIES: {0x00201209: ("IS", "NumberOfSeriesRelatedInstances")},
    QueryLevel.IMAGE: {0x00080016: ("UI", "SOPClassUID")},
}
"""Optional keys that a client likes to have (PS3.4 §C.3.4)."""


async def probe_levels(association: Association, report: ProbeReport) -> None:
    """Search at each level of the accepted models.

    Raises:
        FetchError: If the association breaks.

    """
    offered = {one.abstract_syntax for one in association.accepted}
    for model in (STUDY_ROOT, PATIENT_ROOT):
        if model.find in offered:
            await _Searcher(association, report, model).search()


class _Searcher:
    def __init__(self, association: Association, report: ProbeReport, model: QueryModel) -> None:
        self._association = association
        self._report = report
        self._model = model
        self._topic = f"{model.name} model"

    async def search(self) -> None:
        """Go down from the top, along the first answer of each level."""
        patient = ""
        if QueryLevel.PATIENT in self._model.levels:
            found = await self._note(QueryLevel.PATIENT, {})
            patient = found.get(_PATIENT_ID, "")
        above = {_PATIENT_ID: Key("LO", patient)} if patient else {}
        study = (await self._note_study(above)).get(_STUDY, "")
        if not study:
            return
        above[_STUDY] = Key("UI", study)
        series = (await self._note(QueryLevel.SERIES, above)).get(_SERIES, "")
        if series:
            await self._note(QueryLevel.IMAGE, above | {_SERIES: Key("UI", series)})
        if self._model is STUDY_ROOT:
            await self._note_limits(series)

    async def _note_study(self, above: Mapping[int, Key]) -> dict[int, str]:
        today = datetime.now(UTC).date()
        for days in PERIODS_DAYS if not above else ():
            since = f"{today - timedelta(days=days):%Y%m%d}-"
            found, _, _ = await self._first(QueryLevel.STUDY, {_STUDY_DATE: Key("DA", since)})
            if found:
                return await self._note(QueryLevel.STUDY, {_STUDY: Key("UI", found[_STUDY])})
        return await self._note(QueryLevel.STUDY, above)

    async def _note(self, level: QueryLevel, above: Mapping[int, Key]) -> dict[int, str]:
        """Ask for the first answer of a level, and note whether it came and what with."""
        found, asked, problem = await self._first(level, above)
        name = f"{level} level"
        if problem:
            self._report.add(self._topic, name, value=False, odd=f"{asked}: {problem}")
        elif found is None:
            self._report.add(self._topic, name, UNKNOWN, f"{asked}: nothing matches")
        else:
            self._report.add(self._topic, name, value=True)
            self._note_keys(level, found)
        return found or {}

    def _note_keys(self, level: QueryLevel, found: Mapping[int, str]) -> None:
        if _UNIQUE[level][0] not in found:
            odd = f"an answer at {level} without its unique key"
            self._report.add(self._topic, f"{level} key", value=False, odd=odd)
        if self._model is not STUDY_ROOT:
            return
        for tag, (_, name) in _WANTED.get(level, {}).items():
            # (PS3.4 §C.3.4) they are optional, so it is no fault to leave them out.
            self._report.add(self._topic, f"returns {name}", tag in found)

    async def _note_limits(self, series: str) -> None:
        """Ask for nobody, and across the levels."""
        nobody, asked, problem = await self._first(
            QueryLevel.STUDY, {_PATIENT_ID: Key("LO", NOBODY)}
        )
        if problem or nobody is not None:
            told = problem or "an answer that does not match"
            self._report.add(self._topic, "heeds keys", value=False, odd=f"{asked}: {told}")
        else:
            self._report.add(self._topic, "heeds keys", value=True)
        if not series:
            return
        # PS3.4 §C.4.1.3.2: relational queries have to be negotiated, and many allow them anyway.
        found, asked, problem = await self._first(QueryLevel.SERIES, {_SERIES: Key("UI", series)})
        told = problem or ("" if found else "nothing matches")
        self._report.add(
            self._topic,
            "searches across levels",
            found is not None,
            f"{asked}, without the study{': ' if told else ''}{told}",
        )

    async def _first(
        self, level: QueryLevel, keys: Mapping[int, Key]
    ) -> tuple[dict[int, str] | None, str, str]:
        """Return the first answer or None, what was asked, and why there is no answer."""
        tag, vr = _UNIQUE[level]
        wanted = {one: Key(kind) for one, (kind, _) in _WANTED.get(level, {}).items()}
        tree = {tag: Key(vr), **wanted, **keys, _LEVEL: Key("CS", level)}
        asked = f"C-FIND at {level}"
        try:
            context = self._association.context_for(self._model.find)
            identifier = encode_identifier(tree, context.transfer_syntax)
            answers = self._association.find(context, identifier)
            async with aclosing(answers):
                async for answer in answers:
                    return texts_in(answer.identifier, answer.transfer_syntax, tree), asked, ""
        except (OperationFailed, NotNegotiated, ProtocolError) as error:
            return None, asked, str(error)
        return None, asked, ""
