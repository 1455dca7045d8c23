"""The files of one dumped target: they appear together, the record last.

A payload without its record is what a killed run may leave; `verify_dumped`
does not accept it, so the next run fetches the target again.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Self

import orjson

from asyncdicom.errors import AsyncDicomError, ContentError
from asyncdicom.jobs.dump_paths import PRETTY_SUFFIX, RECORD_SUFFIX, STRIPPED_SUFFIX
from asyncdicom.jobs.payload import PayloadCheck
from asyncdicom.jobs.records import part_to_json
from asyncdicom.model import Resource, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

    from asyncdicom.jobs.dump_plan import DumpOptions, DumpTask
    from asyncdicom.jobs.payload import PartRecord
    from asyncdicom.storage.atomic import FileWriter
    from asyncdicom.storage.committing import GroupCommitter
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["DumpFiles", "verify_dumped"]

READ_BYTES = 1024 * 1024
"""Read at once when a file is verified."""

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""A record of a payload with 100,000 parts; larger ones are not ours."""

_JSON = (Resource.METADATA, Resource.SEARCH)


class DumpFiles:
    """Payload, what is derived from it, and record; nothing appears before `commit`."""

    def __init__(
        self, folder: OutputFolder, path: str, resource: Resource, options: DumpOptions
    ) -> None:
        self._folder = folder
        self._path = path
        self._writers: list[FileWriter] = []
        self.payload: FileWriter = self._begin(path)
        self.stripped: FileWriter | None = None
        self.on_element: Callable[[dict[str, Any]], None] | None = None
        if options.strip_multipart and resource not in _JSON:
            self.stripped = self._begin(path + STRIPPED_SUFFIX)
        if options.pretty and resource in _JSON:
            self._pretty = self._begin(path + PRETTY_SUFFIX)
            self.on_element = self._write_pretty

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.discard()

    def _begin(self, path: str) -> FileWriter:
        writer = self._folder.create(path)
        self._writers.append(writer)
        return writer

    def _write_pretty(self, element: dict[str, Any]) -> None:
        opening = b",\n" if self._pretty.byte_count else b"[\n"
        try:
            text = orjson.dumps(element, option=orjson.OPT_INDENT_2)
        except orjson.JSONEncodeError as error:
            # More is read in depth than can be written again.
            raise ContentError("the metadata are nested too deeply to be indented") from error
        self._pretty.write(opening + text)

    def drop_stripped(self) -> None:
        """Do without the stripped copy: there was no wrapper to take off."""
        if self.stripped is not None:
            self.stripped.discard()
            self._writers.remove(self.stripped)
            self.stripped = None

    async def commit(self, committer: GroupCommitter, record: bytes, *, replace: bool) -> None:
        """Let the files appear, the record last.

        Args:
            committer: Makes them as durable as the folder promises.
            record: Content of the record.
            replace: Replace what an earlier run left.

        Raises:
            StorageError: If one of them cannot.

        """
        if self.on_element is not None:
            self._pretty.write(b"\n]\n" if self._pretty.byte_count else b"[]\n")
        record_writer = self.payload.beside(RECORD_SUFFIX)
        self._writers.append(record_writer)
        record_writer.write(record)
        # What is derived from the payload comes first, the record last.
        payload, *derived, record_writer = self._writers
        for writer in (*derived, payload, record_writer):
            if committer.is_immediate:
                writer.commit(replace=replace)
            else:
                await committer.commit(writer, replace=replace)


def verify_dumped(
    folder: OutputFolder, task: DumpTask, path: str, options: DumpOptions
) -> Skipped | None:
    """Return a target that is on disk, read again and equal to its record; else None.

    The payload is parsed and judged as if it came from the network, and every
    part is compared with the digest in the record. Copies that are asked for have to
    be there, too. Called in a worker thread.
    """
    record = _read_record(folder, path + RECORD_SUFFIX)
    if record is None or record.get("error") is not None:
        return None
    try:
        content_type = _content_type_of(record)
        listed: list[None] = []
        check = PayloadCheck(
            task.target,
            content_type,
            frame_bytes=task.frame_bytes,
            on_element=lambda _: listed.append(None),
        )
        byte_count = _feed(folder, path, check)
        parts = check.receive_eof()
        if task.expected_instances is not None and len(listed) < task.expected_instances:
            return None  # a list that was too short may be whole by now
        if not _has_copies(folder, task, path, options, parts if check.is_multipart else []):
            return None
    except (AsyncDicomError, OSError, KeyError, TypeError, AttributeError):
        return None  # missing, damaged or not ours: it will be fetched
    if check.is_multipart:
        # What stands around the parts has no digest, but a length.
        is_same = _is_of_length(record, byte_count) and [
            part_to_json(part) for part in parts
        ] == record.get("multipart")
    else:
        is_same = parts[0].sha256 == record.get("sha256")
    return Skipped(task.target, path, byte_count, parts[0].sha256) if is_same else None


def _has_copies(
    folder: OutputFolder, task: DumpTask, path: str, options: DumpOptions, parts: list[PartRecord]
) -> bool:
    """Tell whether what is written beside a payload is there; an earlier run may not have."""
    if task.target.resource in _JSON:
        return not options.pretty or folder.facts(path + PRETTY_SUFFIX) is not None
    if not (options.strip_multipart and parts):
        return True
    with os.fdopen(folder.open_for_reading(path + STRIPPED_SUFFIX), "rb", buffering=0) as file:
        return all(_follows(file, part) for part in parts) and not file.read(1)


def _follows(file: FileIO, part: PartRecord) -> bool:
    """Tell whether the content of a part comes next in a file."""
    digest, left_bytes = hashlib.sha256(), part.length
    while left_bytes and (data := file.read(min(left_bytes, READ_BYTES))):
        digest.update(data)
        left_bytes -= len(data)
    return digest.hexdigest() == part.sha256


def _read_record(folder: OutputFolder, path: str) -> dict[str, Any] | None:
    try:
        fd = folder.open_for_reading(path)
    except (FileNotFoundError, AsyncDicomError):
        return None
    with os.fdopen(fd, "rb") as file:
        content = file.read(MAX_RECORD_BYTES)
    try:
        record = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


def _content_type_of(record: dict[str, Any]) -> str | None:
    headers: dict[str, Any] = record["response"]["headers"]
    for name, value in headers.items():
        if name.lower() == "content-type":
            return str(value)
    return None


def _is_of_length(record: dict[str, Any], byte_count: int) -> bool:
    response = record["response"]
    is_coded = any(name.lower() == "content-encoding" for name in response["headers"])
    return is_coded or byte_count == response.get("bytesDownloaded", byte_count)


def _feed(folder: OutputFolder, path: str, check: PayloadCheck) -> int:
    byte_count = 0
    with os.fdopen(folder.open_for_reading(path), "rb", buffering=0) as file:
        while data := file.read(READ_BYTES):
            byte_count += len(data)
            check.receive_data(data)
    return byte_count
