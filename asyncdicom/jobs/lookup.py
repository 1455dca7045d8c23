"""Find out what a study must hold, before any of it is fetched.

Three witnesses, cheapest first: the search for its instances (an index answers
it), its metadata (the server reads every file), and the number the server
keeps (0020,1208). Where two of them disagree the longer list is taken, and
what is only counted is reported as unlisted.
"""

from __future__ import annotations

from contextlib import aclosing
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from asyncdicom.errors import ContentError, FetchError, NotFound, TransportError, Unauthorized
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.jobs.payload import expect_content
from asyncdicom.model import Resource, Target
from asyncdicom.protocol.dicom_json import (
    NEED_DATA,
    InstanceMetadata,
    JsonArraySplitter,
    instance_metadata,
)
from asyncdicom.sources.search import counted_instances, search_instances

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncdicom.model import Uid
    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["Lookup", "Witness"]


class Witness(StrEnum):
    """Who says what a study holds."""

    AUTO = "auto"
    SEARCH = "search"
    METADATA = "metadata"


class Lookup:
    """Looks up what targets hold."""

    def __init__(self, source: DicomWebSource, *, witness: Witness = Witness.AUTO) -> None:
        self._source = source
        self._witness = witness

    async def expectation_of(self, target: Target) -> Expectation:
        """Return what a study, series or instance must hold.

        Raises:
            NotFound: If the server does not have it, or lists nothing.
            FetchError: If nobody can say what it holds.

        """
        if target.sop_instance_uid is not None and target.series_instance_uid is not None:
            known = Expectation(target.study_instance_uid)
            known.expect(target.sop_instance_uid, target.series_instance_uid)
            return known
        found = await self._ask(target)
        if not len(found):
            raise NotFound("the server lists no instance of it", status_code=404)
        return found

    async def _ask(self, target: Target) -> Expectation:
        if self._witness is Witness.METADATA:
            return await self._from_metadata(target)
        try:
            found = await self._from_search(target)
        except (TransportError, Unauthorized):
            raise
        except FetchError:
            if self._witness is Witness.SEARCH:
                raise
            return await self._from_metadata(target)
        # An index that lists nothing may have lost a study that the archive still holds.
        if self._witness is Witness.AUTO and (found.unlisted or not len(found)):
            found.absorb(await self._from_metadata(target))
        return found

    async def _from_search(self, target: Target) -> Expectation:
        found = Expectation(target.study_instance_uid)
        # What cannot be used is left at once: its error may be kept for long, and with it the
        # generator, in which the answer of the server is open.
        async with aclosing(search_instances(self._source, target)) as elements:
            async for element in elements:
                _expect(found, _instance_in(element, target.study_instance_uid))
        found.counted = await counted_instances(self._source, target)
        return found

    async def _from_metadata(self, target: Target) -> Expectation:
        found = Expectation(target.study_instance_uid)
        async with aclosing(self._metadata(target)) as instances:
            async for instance in instances:
                _expect(found, instance)
        return found

    async def _metadata(self, target: Target) -> AsyncGenerator[InstanceMetadata]:
        """Yield the instances of a metadata answer, in memory bounded by one of them."""
        splitter = JsonArraySplitter()
        study = target.study_instance_uid
        wanted = Target(Resource.METADATA, study, target.series_instance_uid)
        async with self._source.transact(wanted) as transaction:
            transaction.judge()
            expect_content(Resource.METADATA, transaction.content_type)
            while data := await transaction.read():
                splitter.receive_data(data)
                while (element := splitter.next_event()) is not NEED_DATA:
                    yield _instance_in(element, study)
            splitter.receive_eof()
            while (element := splitter.next_event()) is not NEED_DATA:
                yield _instance_in(element, study)


def _instance_in(element: dict[str, Any], study: Uid) -> InstanceMetadata:
    return instance_metadata(element, study_instance_uid=study, with_bulkdata=False)


def _expect(found: Expectation, instance: InstanceMetadata) -> None:
    if instance.study_instance_uid != found.study_instance_uid:
        raise ContentError("the list names an instance of another study")
    found.expect(
        instance.sop_instance_uid,
        instance.series_instance_uid,
        byte_count=instance.estimated_bytes or 0,
    )
