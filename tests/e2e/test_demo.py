"""`asyncdicom demo` shows each way to the same studies, and ends well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.cli import demo
from tests.e2e.support import cli, files_below

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LONGEST_S = 18.0


def test_the_demo_gets_the_same_bytes_both_ways(tmp_path: Path) -> None:
    done = cli("demo", "-o", str(tmp_path))
    assert done.code == 0, done.out + done.err
    assert f"{demo.INSTANCES} files hold the same data set over DICOMweb and DIMSE" in done.out
    assert done.seconds < LONGEST_S
    web, dimse = (files_below(tmp_path / name) for name in (demo.FILES, demo.DIMSE_FILES))
    assert len(dimse) == demo.INSTANCES
    assert set(dimse) <= set(web)


def test_a_difference_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in ((demo.FILES, b"one"), (demo.DIMSE_FILES, b"two")):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(demo.INSTANCES):
            head = bytes(128) + b"DICM" + b"\x08\x00\x16\x00UI\x00\x00"
            (folder / f"{number}.dcm").write_bytes(head + data)
    assert demo._compare(tmp_path / demo.FILES, tmp_path / demo.DIMSE_FILES) == 1
    told = capsys.readouterr().out
    assert (
        told
        == f"{demo.INSTANCES} of {demo.INSTANCES} files came, {demo.INSTANCES} of them different\n"
    )
