"""A folder of ready-made DICOMweb answers, for a server that only sends files.

    tree = StaticTree(folder)
    tree.add(SliceStudy(number=1))
    with running_nginx(other_folder, tree.root) as nginx: ...

Each answer is `PATH.body`: a study is an answer and a folder at once. Media types
are the server's part (`nginx.py`); the boundary is the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from tests.support.nginx import BOUNDARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.datasets import SampleInstance, SampleStudy

__all__ = ["StaticTree", "json_array", "multipart"]

_CLOSE = f"\r\n--{BOUNDARY}--\r\n".encode()


@dataclass(frozen=True, slots=True)
class StaticTree:
    """The answers to every retrieval and search below a few studies."""

    root: Path
    """Holds `dicom-web/`."""

    def add(self, study: SampleStudy) -> list[str]:
        """Write all answers about a study.

        Returns:
            Paths below the root of DICOMweb that a dump asks for: metadata of study,
            series and instances, and each frame, in the order of the instances.

        """
        study_path = f"studies/{study.study_instance_uid}"
        paths = [f"{study_path}/metadata"]
        collection = _Collection(self, study_path)
        for instance in study.instances():
            if collection.add(instance):
                paths.append(f"{collection.series_path}/metadata")
            paths += self._add_instance(collection.series_path, instance)
        collection.close()
        return paths

    def add_whole(self, study: SampleStudy) -> None:
        """Write only the answers about the study as a whole, for studies of many gigabytes."""
        path = f"studies/{study.study_instance_uid}"
        self.write(path, multipart(study.instances()))
        for name in ("metadata", "instances"):
            self.write(f"{path}/{name}", json_array(study.instances()))
        self.write(f"{path}/series", json_array(islice(study.instances(), 1)))

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write one answer; `path` is below the root of DICOMweb."""
        file = self.root / "dicom-web" / f"{path}.body"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as sink:
            sink.writelines(chunks)

    def _add_instance(self, series_path: str, instance: SampleInstance) -> list[str]:
        path = f"{series_path}/instances/{instance.sop_instance_uid}"
        self.write(path, [_instance_part(instance), _CLOSE])
        self.write(f"{path}/metadata", [b"[", instance.metadata, b"]"])
        paths = [f"{path}/metadata"]
        for number, frame in enumerate(instance.frames, start=1):
            self.write(f"{path}/frames/{number}", [_frame_part(instance, frame), _CLOSE])
            paths.append(f"{path}/frames/{number}")
        return paths


@dataclass(slots=True)
class _Collection:
    """Answers that grow with each instance of a study, and of its series."""

    tree: StaticTree
    study_path: str
    series_path: str = ""

    def add(self, instance: SampleInstance) -> bool:
        """Append an instance; true when it begins a series."""
        series_path = f"{self.study_path}/series/{instance.series_instance_uid}"
        is_first_of_series = series_path != self.series_path
        is_first_of_study = not self.series_path
        if is_first_of_series:
            self._close_series()
            self.series_path = series_path
            self._append_metadata(f"{self.study_path}/series", instance, is_first_of_study)
        part = _instance_part(instance)
        for path, is_first in (
            (self.study_path, is_first_of_study),
            (series_path, is_first_of_series),
        ):
            self.tree.write(path, [part if is_first else b"\r\n" + part])
            self._append_metadata(f"{path}/metadata", instance, is_first)
            self._append_metadata(f"{path}/instances", instance, is_first)
        return is_first_of_series

    def close(self) -> None:
        """End the answers about the study."""
        self._close_series()
        self._close(self.study_path)
        self.tree.write(f"{self.study_path}/series", [b"]"])

    def _close_series(self) -> None:
        if self.series_path:
            self._close(self.series_path)

    def _close(self, path: str) -> None:
        self.tree.write(path, [_CLOSE])
        self.tree.write(f"{path}/metadata", [b"]"])
        self.tree.write(f"{path}/instances", [b"]"])

    def _append_metadata(self, path: str, instance: SampleInstance, is_first: bool) -> None:  # noqa: FBT001 -- private, named at the call
        self.tree.write(path, [b"[" if is_first else b",", instance.metadata])


def multipart(instances: Iterable[SampleInstance]) -> Iterator[bytes]:
    """Make the answer to a retrieval of several instances (RFC 2046 §5.1.1)."""
    line_break = b""
    for instance in instances:
        yield line_break + _instance_part(instance)
        line_break = b"\r\n"
    yield _CLOSE


def json_array(instances: Iterable[SampleInstance]) -> Iterator[bytes]:
    """Make the metadata of several instances (PS3.18 §F.2)."""
    separator = b"["
    for instance in instances:
        yield separator + instance.metadata
        separator = b","
    yield b"]"


def _instance_part(instance: SampleInstance) -> bytes:
    """Return delimiter, header and content of a part, without the line break before it."""
    return (
        f"--{BOUNDARY}\r\nContent-Type: application/dicom; "
        f"transfer-syntax={instance.transfer_syntax_uid}\r\n"
        f"Content-Length: {len(instance.content)}\r\n\r\n"
    ).encode() + instance.content


def _frame_part(instance: SampleInstance, frame: bytes) -> bytes:
    return (
        f"--{BOUNDARY}\r\nContent-Type: application/octet-stream; "
        f"transfer-syntax={instance.transfer_syntax_uid}\r\n"
        f"Content-Length: {len(frame)}\r\n\r\n"
    ).encode() + frame
