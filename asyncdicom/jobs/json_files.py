"""Read a JSON array back from disk, one element at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from asyncdicom.protocol.dicom_json import NEED_DATA, JsonArraySplitter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.storage.folder import OutputFolder

__all__ = ["elements_of"]

READ_BYTES = 256 * 1024
"""A few instances' worth of metadata: small enough not to hold up the event loop."""


def elements_of(folder: OutputFolder, path: str) -> Iterator[dict[str, Any]]:
    """Yield the elements of a JSON array in a file of the folder.

    Memory is bounded by the largest element, whatever the size of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ProtocolError: If it is not a whole JSON array.

    """
    splitter = JsonArraySplitter()
    fd = folder.open_for_reading(path)
    try:
        while data := os.read(fd, READ_BYTES):
            splitter.receive_data(data)
            yield from _drain(splitter)
        splitter.receive_eof()
        yield from _drain(splitter)
    finally:
        os.close(fd)


def _drain(splitter: JsonArraySplitter) -> Iterator[dict[str, Any]]:
    while (element := splitter.next_event()) is not NEED_DATA:
        yield element
