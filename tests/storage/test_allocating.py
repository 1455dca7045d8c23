from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import DiskFull
from asyncdicom.storage.allocating import LEAST_BYTES, MOST_BYTES, PAGE_BYTES, Forecast, allocate
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from tests.storage.faults import Fails

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 512


def allocated_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("durability", [Durability.NONE, Durability.FULL])
@pytest.mark.parametrize("expected_bytes", [4096, len(CONTENT), 1024 * 1024])
def test_a_file_takes_what_it_needs_whatever_was_expected(
    tmp_path: Path, durability: Durability, expected_bytes: int
) -> None:
    with OutputFolder.open(tmp_path, durability=durability) as folder:
        writer = folder.create("file")
        assert allocate(writer, folder.system, expected_bytes)
        writer.write(CONTENT)
        writer.commit()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert allocated_bytes(tmp_path / "file") < len(CONTENT) + 64 * 1024


@pytest.mark.parametrize(
    ("code", "is_to_go_on"),
    [(errno.EOPNOTSUPP, False), (errno.ENOSYS, False), (errno.ENOSPC, True), (errno.EIO, True)],
)
def test_a_file_is_written_without_room_as_with_it(
    tmp_path: Path, code: int, *, is_to_go_on: bool
) -> None:
    system = Fails({"allocate": code})
    with OutputFolder.open(tmp_path, durability=Durability.NONE, system=system) as folder:
        writer = folder.create("file")
        assert allocate(writer, system, 4096) is is_to_go_on
        writer.write(CONTENT)
        writer.commit()
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_room_that_is_not_given_back_is_a_failure(tmp_path: Path) -> None:
    system = Fails({"truncate": errno.ENOSPC})
    with OutputFolder.open(tmp_path, durability=Durability.NONE, system=system) as folder:
        writer = folder.create("file")
        allocate(writer, system, 4096)
        writer.write(b"short")
        with pytest.raises(DiskFull):
            writer.commit()
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("sizes", "expected_bytes"),
    [
        pytest.param([], 0, id="nothing came"),
        pytest.param([524288], 0, id="one says nothing"),
        pytest.param([524944, 524950], 524288, id="UIDs differ"),
        pytest.param([524944, 524950, 600000], 0, id="another series"),
        pytest.param([524944, 600000, 600002], 598016, id="of which there are more"),
        pytest.param([LEAST_BYTES - 1] * 2, 0, id="small"),
        pytest.param([LEAST_BYTES] * 2, LEAST_BYTES, id="not small"),
        pytest.param([10 * MOST_BYTES] * 2, MOST_BYTES, id="large"),
    ],
)
def test_the_next_is_expected_to_be_as_the_last_two(sizes: list[int], expected_bytes: int) -> None:
    forecast = Forecast()
    for size in sizes:
        forecast.note(size)
    assert forecast.byte_count == expected_bytes
    assert forecast.byte_count % PAGE_BYTES == 0
