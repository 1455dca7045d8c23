"""Whether a file holds the same data set: bytes and transfer syntax, whoever wrote it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from asyncdicom.ports.dimse import StoreRequest
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.receiver import same_data_set
from asyncdicom.receiver.same_data_set import holds_same_data_set
from asyncdicom.storage.system import SYSTEM
from tests.receiver.support import CT, data_set_of
from tests.support.dicom import ct, uid

if TYPE_CHECKING:
    from pathlib import Path

FILE = ct(number=1, rows=64, columns=64)
DATA_SET = data_set_of(FILE)


def received(
    data_set: bytes, *, sender: str = "CT01", syntax: str = "1.2.840.10008.1.2.1"
) -> bytes:
    return file_meta(StoreRequest(CT, uid("instance", 1), syntax, 1, sender)) + data_set


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(FILE, True, id="the same file"),
        pytest.param(received(DATA_SET), True, id="another writer"),
        pytest.param(received(DATA_SET, sender="SOMEBODY_ELSE"), True, id="another sender"),
        pytest.param(received(DATA_SET, syntax="1.2.840.10008.1.2"), False, id="another encoding"),
        pytest.param(received(DATA_SET[:-1] + b"\x99"), False, id="another byte at the end"),
        pytest.param(received(b"\x99" + DATA_SET[1:]), False, id="another byte at the beginning"),
        pytest.param(received(DATA_SET[:-2]), False, id="shorter"),
        pytest.param(received(DATA_SET + b"\0\0"), False, id="longer"),
        pytest.param(DATA_SET, False, id="without file meta"),
        pytest.param(b"", False, id="empty"),
        pytest.param(FILE[:140], False, id="cut within the file meta"),
        pytest.param(bytes(128) + b"DICM" + FILE[132:144] + DATA_SET, False, id="no syntax"),
    ],
)
def test_only_the_very_bytes_are_the_same(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    other: bytes,
    expected: bool,  # noqa: FBT001 -- parametrised
) -> None:
    monkeypatch.setattr(same_data_set, "CHUNK_BYTES", 1000)
    paths = [tmp_path / "one", tmp_path / "other"]
    for path, content in zip(paths, (FILE, other), strict=True):
        path.write_bytes(content)
    one, two = (os.open(path, os.O_RDONLY) for path in paths)
    try:
        assert holds_same_data_set(SYSTEM, one, two) is expected
        assert holds_same_data_set(SYSTEM, two, one) is expected
    finally:
        os.close(one)
        os.close(two)
