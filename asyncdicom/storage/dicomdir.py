"""Build or update the DICOMDIR of a folder (PS3.10 §8.6, PS3.3 Annex F).

    report = build_dicomdir(folder, paths, DicomdirKeys())      # in a thread
    report.instance_count, report.problems, report.removed

An existing DICOMDIR is updated: the entries whose files are still there stay, with what they
say; those of the paths given are made anew. It is replaced by one rename when the new one is
whole, and only if it is still the one that was read: what another run lists meanwhile stays.

Rule: a file that cannot be listed is a problem with a name, and the others are listed all the
same. Nothing is invented: an instance without a value that its record needs is not listed.

Rule: neither the paths nor the entries of an existing DICOMDIR lead out of the folder: a File ID
has one to eight components of one to eight characters A-Z, 0-9 and `_` (PS3.10 §8.2, §8.5), and
no symbolic link is followed.

Cost: one open and one read of 16 KiB per file; about 1 KB of memory per entry.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import (
    AsyncDicomError,
    ConfigError,
    ContentError,
    FetchError,
    NameTaken,
    StorageError,
)
from asyncdicom.storage.data_dictionary import vr_of
from asyncdicom.storage.dicom_source import NotDicom, open_dicom_file
from asyncdicom.storage.dicomdir_file import (
    IDENTITIES,
    FileSet,
    Record,
    encoded_directory,
    read_directory,
    text_in,
)
from asyncdicom.storage.dicomdir_instance import (
    LacksKeys,
    group_record,
    leaf_record,
    read_instance,
)
from asyncdicom.storage.dicomdir_records import DicomdirKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.storage.dicomdir_instance import Instance
    from asyncdicom.storage.folder import FileFacts, OutputFolder

__all__ = [
    "DICOMDIR",
    "DicomdirProblem",
    "DicomdirReport",
    "ProblemKind",
    "build_dicomdir",
    "file_id_problem",
]

DICOMDIR: Final = "DICOMDIR"
"""PS3.10 §8.6: the File ID of the directory, in the root of the file-set."""

MAX_TRIES: Final = 8
"""Where other runs update the same DICOMDIR: each begins anew with what the others listed."""

WINDOW_BYTES: Final = 16 * 1024
"""What a record needs stands in the first kilobytes."""

MAX_COMPONENTS: Final = 8
"""PS3.10 §8.2: of a File ID."""

_COMPONENT: Final = re.compile(r"[A-Z0-9_]{1,8}")


class ProblemKind(StrEnum):
    """Why a file is not listed."""

    FOREIGN = "foreign"
    """It is no DICOM instance at all."""
    NAME = "name"
    """Its path is no File ID."""
    KEYS = "keys"
    """The instance lacks a value that its record needs."""
    OTHER = "other"
    """It is gone, damaged, a link, or listed under another name."""


@dataclass(frozen=True, slots=True)
class DicomdirProblem:
    """A file that is not listed."""

    path: str
    reason: str
    kind: ProblemKind = ProblemKind.OTHER
    lacking: tuple[tuple[str, str], ...] = ()
    """Record type and keyword of each key without a value."""


@dataclass(slots=True)
class DicomdirReport:
    """What a DICOMDIR holds now, and what it does not."""

    counts: dict[str, int] = field(default_factory=dict)
    """Records by type."""
    added: int = 0
    """Files listed anew or again."""
    kept: int = 0
    """Entries of the former DICOMDIR that stayed as they were."""
    problems: list[DicomdirProblem] = field(default_factory=list)
    removed: list[DicomdirProblem] = field(default_factory=list)
    """Entries of the former DICOMDIR that lead to no file."""
    is_written: bool = False
    """False where there is nothing to list: what was there stays."""

    @property
    def instance_count(self) -> int:
        """Files listed."""
        return self.added + self.kept


def build_dicomdir(
    folder: OutputFolder,
    paths: Iterable[str],
    keys: DicomdirKeys | None = None,
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> DicomdirReport:
    """List files in the DICOMDIR of a folder; blocks, so it is called in a thread.

    Args:
        folder: Root of the file-set.
        paths: Relative to the folder, components separated by `/`.
        keys: The user's own.
        is_cancelled: Asked between files; then nothing is written.

    Raises:
        ConfigError: If the DICOMDIR that is there cannot be read, so cannot be updated.
        NameTaken: If other runs have updated it each time meanwhile.
        StorageError: If the new one cannot be written.

    """
    paths = list(paths)
    for _ in range(MAX_TRIES):
        standing = folder.facts(DICOMDIR)
        file_set, report = _former(folder), DicomdirReport()
        builder = _Builder(folder, file_set.root, keys or DicomdirKeys(), report)
        builder.keep_former()
        for path in paths:
            if is_cancelled():
                return report
            builder.add(path)
        builder.finish()
        report.is_written = report.instance_count > 0 and _write(folder, file_set, standing)
        if report.is_written or not report.instance_count:
            return report
    raise NameTaken("other runs keep updating this file", path=DICOMDIR)


def _write(folder: OutputFolder, file_set: FileSet, standing: FileFacts | None) -> bool:
    """Write the DICOMDIR, unless another run has written it since it was read."""
    with folder.create(DICOMDIR) as writer:
        for piece in encoded_directory(file_set):
            writer.write(piece)
        if folder.facts(DICOMDIR) != standing:
            return False
        try:
            writer.commit(replace=standing is not None)
        except NameTaken:
            return False
    return True


def file_id_problem(path: str) -> str:
    """Say why a path is no File ID (PS3.10 §8.2, §8.5), or return an empty string."""
    components = path.split("/")
    if len(components) > MAX_COMPONENTS:
        return f"is more than {MAX_COMPONENTS} levels deep"
    wrong = next((one for one in components if not _COMPONENT.fullmatch(one)), None)
    if wrong is None:
        return ""
    return f"{wrong!r} is no name for DICOM media (1 to 8 characters A-Z, 0-9 and _)"


def _former(folder: OutputFolder) -> FileSet:
    """Read the DICOMDIR that is there, or begin a new one."""
    try:
        fd = folder.open_for_reading(DICOMDIR)
    except FileNotFoundError:
        return FileSet.new()
    try:
        return read_directory(fd)
    except FetchError as error:
        raise ConfigError(
            f"the existing DICOMDIR cannot be updated: {error}",
            hint="move it away to have a new one built",
        ) from error
    finally:
        os.close(fd)


class _Builder:
    """Puts records into the tree."""

    def __init__(
        self, folder: OutputFolder, root: Record, keys: DicomdirKeys, report: DicomdirReport
    ) -> None:
        self._folder = folder
        self._root = root
        self._keys = keys
        self._report = report
        self._by_path: dict[str, tuple[Record, Record]] = {}
        self._path_by_uid: dict[str, str] = {}
        self._waiting: list[str] = []

    def keep_former(self) -> None:
        """Drop the entries of the former DICOMDIR that lead to no file of the folder."""
        for parent, record in list(_below(self._root)):
            if not record.file_id:
                continue
            reason = self._why_gone(record.file_id)
            if reason:
                del parent.children[record.key]
                self._report.removed.append(DicomdirProblem(record.file_id, reason))
            else:
                self._enter(parent, record)

    def add(self, path: str) -> None:
        """List a file, or note why not."""
        try:
            self._add(path)
        except (LacksKeys, _SameInstance):
            # Another instance of the same study may have what this one lacks, and the file
            # that was this instance may be another one by now.
            self._waiting.append(path)
        except (AsyncDicomError, FileNotFoundError) as error:
            self._note(path, error)

    def finish(self) -> None:
        """Try again what waits, then drop empty groups and count."""
        for path in self._waiting:
            try:
                self._add(path)
            except (AsyncDicomError, FileNotFoundError) as error:
                self._note(path, error)
        _prune(self._root)
        for _, record in _below(self._root):
            counts, type_ = self._report.counts, record.type
            counts[type_] = counts.get(type_, 0) + 1
            if record.file_id:
                self._report.kept += record.is_former
                self._report.added += not record.is_former

    def _note(self, path: str, error: AsyncDicomError | FileNotFoundError) -> None:
        reason = error.message if isinstance(error, StorageError) else str(error)
        kind, lacking = ProblemKind.OTHER, list[tuple[str, str]]()
        match error:
            case FileNotFoundError():
                reason = "no such file"
            case LacksKeys():
                kind = ProblemKind.KEYS
                lacking = [(error.record_type, keyword) for keyword in error.keywords]
            case _NotAnInstance() | NotDicom():
                kind = ProblemKind.FOREIGN
            case _NoFileId():
                kind = ProblemKind.NAME
        self._report.problems.append(DicomdirProblem(path, reason, kind, tuple(lacking)))
        self._forget(path)

    def _why_gone(self, file_id: str) -> str:
        problem = file_id_problem(file_id)
        if problem:
            return problem
        try:
            return "no such file" if self._folder.facts(file_id) is None else ""
        except StorageError as error:
            return error.message

    def _forget(self, path: str) -> None:
        """Drop what the former DICOMDIR says of a file that is another one now."""
        if path in self._by_path:
            parent, record = self._by_path.pop(path)
            parent.children.pop(record.key, None)
            self._path_by_uid.pop(record.sop_instance_uid, None)

    def _enter(self, parent: Record, record: Record) -> None:
        self._forget(record.file_id)
        parent.children[record.key] = record
        self._by_path[record.file_id] = parent, record
        self._path_by_uid[record.sop_instance_uid] = record.file_id

    def _add(self, path: str) -> None:
        instance = self._read(path)
        problem = file_id_problem(path)
        if problem:
            raise _NoFileId(problem)
        other = self._path_by_uid.get(instance.sop_instance_uid)
        if other not in (None, path):
            raise _SameInstance(f"is the same instance as {other}")
        record = leaf_record(instance, path, self._keys)
        entity = self._root
        for record_type in instance.groups:
            entity = self._group(entity, record_type, instance)
        self._enter(entity, record)

    def _group(self, entity: Record, record_type: str, instance: Instance) -> Record:
        """Return the record of a patient, study or series; a former one is renewed once."""
        key = record_type, text_in(instance.elements, IDENTITIES[record_type])
        known = entity.children.get(key)
        if known is not None and not known.is_former:
            return known
        try:
            record = group_record(instance, record_type, self._keys)
        except LacksKeys:
            if known is None:
                raise
            return known
        if known is not None:
            record.children = known.children
        entity.children[key] = record
        return record

    def _read(self, path: str) -> Instance:
        fd = self._folder.open_for_reading(path)
        try:
            with open_dicom_file(fd, vr_of=vr_of, window_bytes=WINDOW_BYTES) as file:
                instance = read_instance(file, self._keys)
        finally:
            os.close(fd)
        if instance is None:
            raise _NotAnInstance("is a DICOMDIR itself")
        return instance


class _NotAnInstance(ContentError):
    """A file that no DICOMDIR lists."""


class _SameInstance(ContentError):
    """An instance that is listed under another name."""


class _NoFileId(ContentError):
    """A file whose path cannot stand in a DICOMDIR."""


def _below(entity: Record) -> Iterator[tuple[Record, Record]]:
    """Yield each record below one, with the one that it is directly below."""
    for record in list(entity.children.values()):
        yield entity, record
        yield from _below(record)


def _prune(entity: Record) -> None:
    """Drop groups without a file."""
    for key, record in list(entity.children.items()):
        _prune(record)
        if not record.file_id and not record.children:
            del entity.children[key]
