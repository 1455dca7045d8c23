"""`asyncdicom demo` shows each way to the same studies, and ends well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli import demo
from tests.e2e.support import cli, files_below

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_S = 45.0


def test_the_demo_gets_the_same_bytes_each_way(tmp_path: Path) -> None:
    done = cli("demo", "-o", str(tmp_path))
    assert done.code == 0, done.out + done.err
    assert f"{demo.INSTANCES} files hold the same data set over DICOMweb, DIMSE and S3" in done.out
    assert done.seconds < LONGEST_S
    web, *others = (
        files_below(tmp_path / name) for name in (demo.FILES, demo.DIMSE_FILES, demo.OBJECT_FILES)
    )
    for other in others:
        assert len(other) == demo.INSTANCES
        assert set(other) <= set(web)


@pytest.mark.parametrize(
    ("dimse", "objects", "way"), [(b"two", b"one", "DIMSE"), (b"one", b"two", "S3")]
)
def test_a_difference_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dimse: bytes, objects: bytes, way: str
) -> None:
    names = (demo.FILES, demo.DIMSE_FILES, demo.OBJECT_FILES)
    for name, data in zip(names, (b"one", dimse, objects), strict=True):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(demo.INSTANCES):
            head = bytes(128) + b"DICM" + b"\x08\x00\x16\x00UI\x00\x00"
            (folder / f"{number}.dcm").write_bytes(head + data)
    assert demo._compare(tmp_path) == 1
    told = capsys.readouterr().out
    count = demo.INSTANCES
    assert told == f"{count} of {count} files came over {way}, {count} of them different\n"


def test_a_folder_that_cannot_be_made_is_told_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = cli("demo", "-o", str(file))
    assert done.code == 2
    told = f"asyncdicom: File exists: {file}; name another folder with --output"
    assert done.err.splitlines() == [told]
