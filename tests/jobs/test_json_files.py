"""A JSON array is read back from disk element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from asyncdicom.errors import ProtocolError
from asyncdicom.jobs import json_files
from asyncdicom.jobs.json_files import elements_of
from asyncdicom.storage.folder import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ELEMENTS = [{"00080018": {"vr": "UI", "Value": [str(number)]}} for number in range(20)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OutputFolder]:
    with OutputFolder.open(tmp_path) as folder:
        yield folder


@pytest.mark.parametrize("read_bytes", [1, 7, 1 << 20])
def test_every_element_comes_back(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch, read_bytes: int
) -> None:
    monkeypatch.setattr(json_files, "READ_BYTES", read_bytes)
    folder.write_whole("a/metadata", orjson.dumps(ELEMENTS))
    assert list(elements_of(folder, "a/metadata")) == ELEMENTS


def test_an_array_that_was_cut_is_an_error(folder: OutputFolder) -> None:
    folder.write_whole("metadata", orjson.dumps(ELEMENTS)[:-60])
    with pytest.raises(ProtocolError):
        list(elements_of(folder, "metadata"))


def test_a_file_that_is_not_there_is_said_so(folder: OutputFolder) -> None:
    with pytest.raises(FileNotFoundError):
        list(elements_of(folder, "metadata"))
