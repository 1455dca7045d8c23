"""What to dump next: read from the metadata on disk, one element at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError
from asyncdicom.jobs.dump_paths import path_of
from asyncdicom.jobs.json_files import elements_of
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.protocol.dicom_json import InstanceMetadata, instance_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.storage.folder import OutputFolder

__all__ = ["DumpTask", "follow_ups"]


@dataclass(frozen=True, slots=True)
class DumpTask:
    """One target to dump."""

    target: Target
    frame_bytes: int | None = None
    """Size an uncompressed frame must have, where the metadata tells."""

    def __str__(self) -> str:
        return str(self.target)


def follow_ups(
    target: Target,
    kinds: frozenset[Resource],
    folder: OutputFolder,
    note_unusable: Callable[[Target, AsyncDicomError], None],
) -> Iterable[DumpTask]:
    """Return what follows from a target that is on disk, lazily.

    Args:
        target: What was stored.
        kinds: What is to be dumped.
        folder: Where the metadata is read back from.
        note_unusable: Called for each instance that cannot be asked for.

    """
    is_study = target.resource is Resource.METADATA and target.series_instance_uid is None
    if is_study:
        return _below_study(target, kinds, folder, note_unusable)
    return ()


def _below_study(
    study: Target,
    kinds: frozenset[Resource],
    folder: OutputFolder,
    note_unusable: Callable[[Target, AsyncDicomError], None],
) -> Iterator[DumpTask]:
    uid = study.study_instance_uid
    seen: set[Uid] = set()
    for element in elements_of(folder, path_of(study)):
        try:
            instance = instance_metadata(element, study_instance_uid=uid)
        except AsyncDicomError as error:
            note_unusable(Target(Resource.INSTANCE, uid), error)
            continue
        series = instance.series_instance_uid
        if series not in seen:
            # An instance is asked for under its own series only, and each series once.
            seen.add(series)
            yield from _of_series(kinds, uid, series)
        yield from _of_instance(kinds, uid, instance)


def _of_series(kinds: frozenset[Resource], study: Uid, series: Uid) -> Iterator[DumpTask]:
    if Resource.METADATA in kinds:
        yield DumpTask(Target(Resource.METADATA, study, series))
    if Resource.SEARCH in kinds:
        yield DumpTask(Target(Resource.SEARCH, study, series))


def _of_instance(
    kinds: frozenset[Resource], study: Uid, instance: InstanceMetadata
) -> Iterator[DumpTask]:
    uids = (study, instance.series_instance_uid, instance.sop_instance_uid)
    if Resource.METADATA in kinds:
        yield DumpTask(Target(Resource.METADATA, *uids))
    if Resource.INSTANCE in kinds:
        yield DumpTask(Target(Resource.INSTANCE, *uids))
    if instance.has_pixel_data:
        if Resource.FRAME in kinds:
            for number in range(1, instance.number_of_frames + 1):
                yield DumpTask(Target(Resource.FRAME, *uids, number), instance.frame_bytes)
        # Of images only: a series of reports has nothing to render.
        for resource in (Resource.RENDERED, Resource.THUMBNAIL):
            if resource in kinds:
                yield DumpTask(Target(resource, *uids))
    if Resource.BULKDATA in kinds:
        for attribute, uri in instance.bulkdata_uris:
            target = Target(Resource.BULKDATA, *uids, bulkdata_uri=uri, attribute=attribute)
            yield DumpTask(target)
