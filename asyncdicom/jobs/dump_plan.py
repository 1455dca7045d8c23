"""What to dump next: read from answers on disk, one element at a time.

Two answers can name the instances: the metadata of the study (the default), or
the searches for its series and their instances (PS3.18 §10.6). The counts in a
search answer are believed only as a check: a list that is shorter is reported.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError, ContentError, Incomplete
from asyncdicom.jobs.dump_paths import path_of
from asyncdicom.jobs.json_files import elements_of
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.protocol.dicom_json import (
    NUMBER_OF_SERIES_RELATED_INSTANCES,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    InstanceMetadata,
    instance_metadata,
    integer,
    uid,
)
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from asyncdicom.storage.folder import OutputFolder

    NoteUnusable = Callable[[Target, AsyncDicomError], None]

__all__ = ["DumpOptions", "DumpPlan", "DumpTask"]


@dataclass(frozen=True, slots=True)
class DumpOptions:
    """What is dumped, and how."""

    kinds: frozenset[Resource] = field(default=frozenset({Resource.METADATA, Resource.FRAME}))
    strip_multipart: bool = False
    """Write the content of parts beside the payload, as `FILE.bin`."""
    pretty: bool = False
    """Write indented JSON beside metadata, as `FILE.pretty.json`."""
    overwrite: bool = False
    """Fetch again what is there and verified."""
    plans_from_search: bool = False
    """Let searches name the instances, instead of the metadata of the study."""


@dataclass(frozen=True, slots=True)
class DumpTask:
    """One target to dump."""

    target: Target
    frame_bytes: int | None = None
    """Size an uncompressed frame must have, where the metadata tells."""
    expected_instances: int | None = None
    """Instances that a search must list, where the server counts them."""

    def __str__(self) -> str:
        return str(self.target)


class DumpPlan:
    """Tells what follows from a target that is on disk.

    Args:
        folder: Where the answers are read back from.
        kinds: What is to be dumped.
        from_search: Whether searches name the instances, instead of the metadata.
        note_unusable: Called for each instance or list that cannot be used.

    """

    def __init__(
        self,
        folder: OutputFolder,
        kinds: frozenset[Resource],
        *,
        from_search: bool,
        note_unusable: NoteUnusable,
    ) -> None:
        self._folder = folder
        self._kinds = kinds
        self._from_search = from_search
        self._note_unusable = note_unusable

    def first(self, study: Uid) -> Iterator[DumpTask]:
        """Yield the tasks that everything else about a study follows from."""
        yield DumpTask(Target(Resource.METADATA, study))
        if Resource.SEARCH in self._kinds:
            yield DumpTask(Target(Resource.SEARCH, study))

    def again(self, targets: Iterable[Target]) -> Iterator[DumpTask]:
        """Yield a task for each target that failed before.

        It demands what the answers on disk say, as it did before: what was refused for its
        size or its count would pass otherwise.
        """
        by_study: dict[Uid, list[Target]] = {}
        for target in targets:
            by_study.setdefault(target.study_instance_uid, []).append(target)
        for study, wanted in by_study.items():
            images = {t.sop_instance_uid for t in wanted if t.resource is Resource.FRAME}
            sizes = dict(self._frame_sizes(study, images)) if images else {}
            is_list = any(t.resource is Resource.SEARCH for t in wanted)
            counts = dict(self._series_counts(study)) if is_list else {}
            for target in wanted:
                if target.resource is Resource.FRAME:
                    yield DumpTask(target, sizes.get(target.sop_instance_uid))
                elif target.resource is Resource.SEARCH:
                    count = counts.get(target.series_instance_uid)
                    yield DumpTask(target, expected_instances=count)
                else:
                    yield DumpTask(target)

    def _frame_sizes(
        self, study: Uid, images: set[Uid | None]
    ) -> Iterator[tuple[Uid | None, int | None]]:
        for element in self._elements_on_disk(Target(Resource.METADATA, study)):
            with suppress(AsyncDicomError):
                if uid(element, SOP_INSTANCE_UID) in images:
                    found = instance_metadata(
                        element, study_instance_uid=study, with_bulkdata=False
                    )
                    yield found.sop_instance_uid, found.frame_bytes

    def _series_counts(self, study: Uid) -> Iterator[tuple[Uid | None, int | None]]:
        for element in self._elements_on_disk(Target(Resource.SEARCH, study)):
            with suppress(AsyncDicomError):
                count = integer(element, NUMBER_OF_SERIES_RELATED_INSTANCES)
                yield uid(element, SERIES_INSTANCE_UID), count

    def _elements_on_disk(self, target: Target) -> Iterator[dict[str, Any]]:
        """Yield what an answer of an earlier run holds, as far as it is there and readable."""
        with suppress(AsyncDicomError, OSError):
            yield from elements_of(self._folder, path_of(target))

    def follow_ups(self, task: DumpTask) -> Iterable[DumpTask]:
        """Return what follows from a task, lazily."""
        target = task.target
        is_study = target.series_instance_uid is None
        match target.resource:
            case Resource.METADATA if is_study and not self._from_search:
                return self._below_study(target)
            case Resource.SEARCH if is_study and self._from_search:
                return self._below_series_list(target)
            case Resource.SEARCH if self._from_search or task.expected_instances is not None:
                return self._below_instance_list(task)
            case _:
                return ()

    def _below_study(self, study: Target) -> Iterator[DumpTask]:
        seen: set[Uid] = set()
        for instance in self._instances_in(study):
            series = instance.series_instance_uid
            if series not in seen:
                # An instance is asked for under its own series only, and each series once.
                seen.add(series)
                yield from self._of_series(study.study_instance_uid, series)
            yield from self._of_instance(study.study_instance_uid, instance)

    def _below_series_list(self, study: Target) -> Iterator[DumpTask]:
        for element in elements_of(self._folder, path_of(study)):
            try:
                series = uid(element, SERIES_INSTANCE_UID)
                count = integer(element, NUMBER_OF_SERIES_RELATED_INSTANCES)
            except AsyncDicomError as error:
                self._note_unusable(study, error)
                continue
            if series is None:
                self._note_unusable(study, ContentError("the list has a series without UID"))
            else:
                yield from self._of_series(study.study_instance_uid, series, count)

    def _below_instance_list(self, task: DumpTask) -> Iterator[DumpTask]:
        listed = 0
        for instance in self._instances_in(task.target):
            listed += 1
            if self._from_search:
                yield from self._of_instance(task.target.study_instance_uid, instance)
        expected = task.expected_instances
        if expected is not None and listed < expected:
            told = f"the server counts {expected} instances but lists {listed}"
            error = Incomplete(told, expected=expected, received=listed)
            self._note_unusable(task.target, error)

    def _instances_in(self, target: Target) -> Iterator[InstanceMetadata]:
        for element in elements_of(self._folder, path_of(target)):
            instance = self._usable(target, element)
            if instance is not None:
                yield instance

    def _usable(self, target: Target, element: dict[str, Any]) -> InstanceMetadata | None:
        # A search below a series need not repeat its UIDs (PS3.18 Table 10.6.3-5).
        if target.series_instance_uid is not None:
            element.setdefault(
                SERIES_INSTANCE_UID, {"vr": "UI", "Value": [target.series_instance_uid]}
            )
        try:
            return instance_metadata(
                element,
                study_instance_uid=target.study_instance_uid,
                with_bulkdata=Resource.BULKDATA in self._kinds,
            )
        except AsyncDicomError as error:
            # What failed is the list: an instance without UID cannot be asked for again.
            self._note_unusable(target, error)
            return None

    def _of_series(self, study: Uid, series: Uid, count: int | None = None) -> Iterator[DumpTask]:
        if Resource.METADATA in self._kinds:
            yield DumpTask(Target(Resource.METADATA, study, series))
        if Resource.SEARCH in self._kinds:
            yield DumpTask(Target(Resource.SEARCH, study, series), expected_instances=count)

    def _of_instance(self, study: Uid, instance: InstanceMetadata) -> Iterator[DumpTask]:
        kinds = self._kinds
        uids = (study, instance.series_instance_uid, instance.sop_instance_uid)
        if Resource.METADATA in kinds:
            yield DumpTask(Target(Resource.METADATA, *uids))
        if Resource.INSTANCE in kinds:
            yield DumpTask(Target(Resource.INSTANCE, *uids))
        if instance.has_pixel_data:
            yield from self._of_image(uids, instance)
        if Resource.BULKDATA in kinds:
            for attribute, uri in instance.bulkdata_uris:
                target = Target(Resource.BULKDATA, *uids, bulkdata_uri=uri, attribute=attribute)
                yield DumpTask(target)

    def _of_image(
        self, uids: tuple[Uid, Uid, Uid], instance: InstanceMetadata
    ) -> Iterator[DumpTask]:
        if Resource.FRAME in self._kinds:
            for number in range(1, instance.number_of_frames + 1):
                yield DumpTask(Target(Resource.FRAME, *uids, number), instance.frame_bytes)
        # Of images only: a series of reports has nothing to render.
        for resource in (Resource.RENDERED, Resource.THUMBNAIL):
            if resource in self._kinds:
                yield DumpTask(Target(resource, *uids))
