"""A Cloud-Optimized DICOM store: which series a study has, their metadata, their archives.

    for series in await source.series_of(study):
        async for found in source.entries(study, series.series_instance_uid):
            ...
    async with source.archive(study, series, span) as answer:
        ...

Rule: a series is known by its folder or by its archive; where one of them is missing, that
is told, and nobody takes it for a series that is not there.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from asyncdicom.errors import ConfigError, ContentError, NotFound, ProtocolError
from asyncdicom.protocol.cod.metadata import MetadataReader
from asyncdicom.protocol.cod.places import (
    member_of,
    metadata_key,
    series_of_folder,
    series_of_tar,
    series_prefix,
    tar_key,
)
from asyncdicom.protocol.payload_events import NEED_DATA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncdicom.model import Target, Uid
    from asyncdicom.ports.objects import ByteSpan, ObjectAnswer, ObjectStore
    from asyncdicom.protocol.cod.metadata import SeriesEntry
    from asyncdicom.protocol.cod.places import CodRoot

__all__ = ["CodSource", "SeriesPlace"]


@dataclass(frozen=True, slots=True)
class SeriesPlace:
    """What a listing shows of one series."""

    series_instance_uid: Uid
    has_folder: bool = False
    archive_bytes: int | None = None
    """Size of its archive, or None if there is none."""


class CodSource:
    """One store.

    Attributes:
        root: Where it is.

    """

    def __init__(self, root: CodRoot, store: ObjectStore) -> None:
        self.root = root
        self._store = store

    def over(self, change: Callable[[ObjectStore], ObjectStore]) -> CodSource:
        """Return the same store, whose objects are reached through another one."""
        return CodSource(self.root, change(self._store))

    @property
    def url(self) -> str:
        """What names the store; never holds its token."""
        return self.root.url

    def refuse_search(self) -> NoReturn:
        """Say that a store knows nothing but UIDs.

        Raises:
            ConfigError: Always.

        """
        raise ConfigError(
            "a Cloud-Optimized DICOM store answers no queries", hint="name studies with --study"
        )

    def url_of(self, target: Target) -> str:
        """Return what names a study, an archive, or an instance in it."""
        study, series = target.study_instance_uid, target.series_instance_uid
        if series is None:
            return f"{self.root.objects_url}/{series_prefix(self.root, study)}"
        archive = f"{self.root.objects_url}/{tar_key(self.root, study, series)}"
        instance = target.sop_instance_uid
        return archive if instance is None else f"{archive}://{member_of(instance)}"

    async def series_of(self, study: Uid) -> list[SeriesPlace]:
        """Return the series of a study, in the order of the store.

        Raises:
            NotFound: If there are none, or no such bucket.
            FetchError: If the list did not come whole.

        """
        prefix = series_prefix(self.root, study)
        found: dict[Uid, SeriesPlace] = {}
        continuation = None
        tokens: set[str] = set()
        while True:
            page = await self._store.page(
                self.root.bucket, prefix, delimiter="/", continuation=continuation
            )
            for entry in page.entries:
                if (uid := series_of_tar(prefix, entry.key)) is not None:
                    known = found.get(uid, SeriesPlace(uid))
                    found[uid] = SeriesPlace(uid, known.has_folder, entry.byte_count)
            for folder in page.prefixes:
                if (uid := series_of_folder(prefix, folder)) is not None:
                    known = found.get(uid, SeriesPlace(uid))
                    found[uid] = SeriesPlace(
                        uid, has_folder=True, archive_bytes=known.archive_bytes
                    )
            if page.continuation is None:
                break
            if page.continuation in tokens:
                raise ProtocolError("the store lists the same pages over and over")
            continuation = page.continuation
            tokens.add(continuation)
        if not found:
            # The list came, and is empty.
            raise NotFound(f"the store has no series of study {study}", status_code=204)
        return list(found.values())

    async def entries(
        self, study: Uid, series: Uid, *, keeps_entries: bool = False
    ) -> AsyncIterator[SeriesEntry]:
        """Yield what the metadata of a series says of its instances.

        Args:
            study: Its Study Instance UID, as the store names it.
            series: Its Series Instance UID.
            keeps_entries: As `MetadataReader` has it.

        Raises:
            NotFound: If the series has no metadata.
            ProtocolError: If it is damaged.
            ContentError: If it is that of another series.
            TransportError: If it did not come whole.

        """
        reader = MetadataReader(study, series, keeps_entries=keeps_entries)
        key = metadata_key(self.root, study, series)
        async with self._store.fetch(self.root.bucket, key) as answer:
            while data := await answer.read():
                reader.receive_data(data)
                while (found := reader.next_event()) is not NEED_DATA:
                    yield found
        reader.receive_eof()

    @asynccontextmanager
    async def archive(
        self, study: Uid, series: Uid, span: ByteSpan | None = None
    ) -> AsyncIterator[ObjectAnswer]:
        """Ask for the archive of a series, or for a span of it.

        Raises (on entering):
            ContentError: If the series, which has metadata, has none; caused by `NotFound`.
            FetchError: If no answer came, or its status says no.

        """
        key = tar_key(self.root, study, series)
        async with AsyncExitStack() as stack:
            asked = self._store.fetch(self.root.bucket, key, span=span)
            try:
                answer = await stack.enter_async_context(asked)
            except NotFound as error:
                raise ContentError("the store has the metadata, and no archive") from error
            yield answer
