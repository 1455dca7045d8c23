"""`verify DIR`: every file of a folder, what a catalog says of it, what an archive says of it.

    files of the catalog: there, and the bytes that were stored
    all other files:      whole DICOM files, walked to their last byte
    studies:              each instance that the archive lists is one of those files

Rule: the three are settled one by one, in memory that does not depend on the size of the
files; of each instance only its UID is kept, and that only if an archive is asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import (
    AsyncDicomError,
    Doubtful,
    Incomplete,
    RunAborted,
    TransportError,
    Unauthorized,
)
from asyncdicom.events import Planned, Remarked
from asyncdicom.jobs.verify_files import FileVerdict, Known, check_file
from asyncdicom.model import Failed, ObjectTarget, Resource, Skipped, Target, Uid, is_uid
from asyncdicom.storage.inventory import files_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.errors import StorageError
    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.stores import Finder
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import AnyTarget
    from asyncdicom.storage.catalog import Catalog, CatalogEntry
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["VerifyJob", "VerifyOptions", "VerifyTask", "target_of_file", "target_of_noted"]

MAX_DEPTH = 64
"""Folders below the root: as deep as files are stored."""


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What a folder is compared with."""

    catalog: Catalog | None = None
    finder: Finder | None = None
    """Says what the studies in the folder have to hold."""
    computes_sha256: bool = False
    """Whether somebody will see the digests."""


@dataclass(frozen=True, slots=True)
class VerifyTask:
    """Look at a file, or ask what a study has to hold."""

    path: str = ""
    noted: CatalogEntry | None = None
    study: Uid | None = None

    @property
    def target(self) -> AnyTarget:
        """What outcomes call it."""
        if self.study is not None:
            return Target(Resource.STUDY, self.study)
        return target_of_file(self.path) if self.noted is None else target_of_noted(self.noted)

    def __str__(self) -> str:
        return str(self.target)


class VerifyJob:
    """Performs verify tasks; driven by a scheduler.

    Attributes:
        unlisted: Files that were not in the catalog, if there is one.
        doubtful: Files whose structure is whole, but something is missing from them.
        unproven: Files that are no DICOM files, and that nobody knows anything of.

    """

    def __init__(self, folder: OutputFolder, tally: Tally, options: VerifyOptions) -> None:
        self._folder = folder
        self._tally = tally
        self._options = options
        self._studies: dict[Uid, Expectation | None] = {}
        self._whole: set[Uid] = set()
        self._discovers = True
        self._is_cut = False
        self.unlisted = 0
        self.doubtful = 0
        self.unproven = 0
        self._answers = 0
        self._refusals = 0

    @property
    def was_refused(self) -> bool:
        """Whether there is an archive that answered nothing: it is unreachable, or refuses us."""
        return self._refusals > 0 and self._answers == 0

    def tasks(self, studies: Iterable[Uid] = ()) -> Iterator[VerifyTask]:
        """Yield what is to be looked at: studies, what the catalog names, all other files.

        Args:
            studies: What is looked up at the archive; without any, the studies that files are of.
                A store that hashes its names knows no study by the name that its files have.

        """
        for study in studies:
            self._discovers = False
            self._studies[study] = None
            yield VerifyTask(study=study)
        noted_paths: set[int] = set()
        catalog = self._options.catalog
        if catalog is not None:
            for entry in catalog.entries():
                noted_paths.add(hash(entry.path))
                yield VerifyTask(entry.path, entry)
        for path in files_below(self._folder, depth=MAX_DEPTH, refused=self._name_folder):
            if hash(path) not in noted_paths:
                yield VerifyTask(path)

    def _name_folder(self, path: str, error: StorageError) -> None:
        """Name a folder that cannot be looked through: nobody knows what it holds."""
        self._tally.record(Failed(target_of_file(path), error))

    async def perform(self, task: VerifyTask, attempt: int) -> Iterable[VerifyTask]:  # noqa: ARG002 -- Performer
        """Look at one file, or look up one study."""
        if task.study is not None:
            await self._look_up(task.study)
            return ()
        noted = task.noted
        known = None if noted is None else Known(noted.byte_count, noted.sha256)
        verdict = await asyncio.to_thread(
            check_file,
            self._folder,
            task.path,
            known,
            computes_sha256=self._options.computes_sha256,
        )
        self._tally.count_bytes(verdict.byte_count)
        return self._settle(task, verdict)

    def give_up(
        self, task: VerifyTask, error: AsyncDicomError, attempts: int
    ) -> Iterable[VerifyTask]:
        """Name what could not be looked at."""
        self._is_cut = self._is_cut or isinstance(error, RunAborted)
        self._refusals += task.study is not None and isinstance(
            error, TransportError | Unauthorized
        )
        self._tally.record(Failed(task.target, error, attempts))
        return ()

    async def finish(self) -> None:
        """Name the instances that the archive lists and the folder does not hold whole."""
        if self._is_cut:
            return
        for study, expected in self._studies.items():
            if expected is None:
                continue
            for series, instance in expected.missing(Target(Resource.STUDY, study)):
                if expected.own_uid_of(instance) not in self._whole:
                    target = Target(Resource.INSTANCE, study, series, instance)
                    error = Incomplete("not whole in the folder", expected=1, received=0)
                    self._tally.record(Failed(target, error))

    async def _look_up(self, study: Uid) -> None:
        assert self._options.finder is not None, "studies are looked up where there is an archive"
        found = await self._options.finder.expectation_of(Target(Resource.STUDY, study))
        self._answers += 1
        self._studies[study] = found
        self._tally.tell(Planned(study, len(found), 0))
        if found.unlisted:
            error = Incomplete(
                f"the server counts {found.counted} instances but lists {len(found)}",
                expected=found.counted,
                received=len(found),
            )
            self._tally.record(Failed(Target(Resource.STUDY, study), error))

    def _settle(self, task: VerifyTask, verdict: FileVerdict) -> Iterable[VerifyTask]:
        if verdict.error is not None:
            self.doubtful += isinstance(verdict.error, Doubtful)
            self._tally.record(Failed(task.target, verdict.error))
            return ()
        if task.noted is None and self._options.catalog is not None:
            self.unlisted += 1
            self._tally.tell(Remarked(task.path, "not in the catalog"))
        if verdict.remark:
            self.unproven += 1
            self._tally.tell(Remarked(task.path, verdict.remark))
            return ()
        target = _instance_of(verdict) or task.target
        self._tally.record(Skipped(target, task.path, verdict.byte_count, verdict.sha256))
        return self._studies_of(task, verdict) if self._options.finder is not None else ()

    def _studies_of(self, task: VerifyTask, verdict: FileVerdict) -> Iterable[VerifyTask]:
        """Take note of an instance, and return its study if it was not met before."""
        study, instance = _uids_of(task, verdict)
        if instance is not None:
            self._whole.add(instance)
        if study is None or study in self._studies or not self._discovers:
            return ()
        self._studies[study] = None
        return (VerifyTask(study=study),)


def target_of_file(path: str) -> ObjectTarget:
    """Return a file of the folder as a target: `file:///series/1.dcm`, below the folder."""
    return ObjectTarget("file", "", path)


def target_of_noted(noted: CatalogEntry) -> ObjectTarget:
    """Return the object that a file was fetched from: whoever gets it again mends the file."""
    return ObjectTarget(
        noted.scheme,
        noted.bucket,
        noted.key,
        Resource.OBJECT,
        _uid(noted.study_instance_uid),
        _uid(noted.series_instance_uid),
        _uid(noted.sop_instance_uid),
    )


def _uids_of(task: VerifyTask, verdict: FileVerdict) -> tuple[Uid | None, Uid | None]:
    """Return study and instance of a file, as it says itself, or as the catalog noted."""
    facts, noted = verdict.facts, task.noted
    if facts is not None:
        return facts.study_instance_uid, facts.sop_instance_uid
    if noted is not None:
        return _uid(noted.study_instance_uid), _uid(noted.sop_instance_uid)
    return None, None


def _instance_of(verdict: FileVerdict) -> Target | None:
    facts = verdict.facts
    if facts is None or facts.study_instance_uid is None:
        return None
    return Target(
        Resource.INSTANCE,
        facts.study_instance_uid,
        facts.series_instance_uid,
        facts.sop_instance_uid,
    )


def _uid(text: str | None) -> Uid | None:
    return Uid(text) if text is not None and is_uid(text) else None
