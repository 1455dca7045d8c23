"""The JSON interface of Google Cloud Storage: lists and what is said of one object.

    parser = GcsListingParser()
    while data := await response.read():
        parser.receive_data(data)
    page = parser.receive_eof()

Google promises an MD5 (but for objects that were composed of others) and a CRC-32C in lists
already, and counts versions with the *generation*, which stands for the ETag here: it is the
same in lists, heads and conditions, which the ETag of this interface is not.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import orjson

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.object_stores.values import ListingPage, ObjectDigest, ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.model import Buffer

__all__ = ["GcsListingParser", "gcs_entry", "parse_resource"]

MAX_LISTING_BYTES: Final = 16 * 1024 * 1024
"""A page has 1,000 objects of at most 4 kB each, with what we ask to be told of them."""
MAX_ENTRIES: Final = 10_000
"""Ten times what is asked for."""

_DIGESTS: Final = (("crc32c", "crc32c", 4), ("md5Hash", "md5", 16))


class GcsListingParser:
    """Reads one page of a list; unusable behind an error."""

    def __init__(self) -> None:
        self._data = bytearray()

    def receive_data(self, data: Buffer) -> None:
        """Keep a piece of the answer.

        Raises:
            LimitExceeded: If it is larger than any listing.

        """
        self._data += data
        if len(self._data) > MAX_LISTING_BYTES:
            raise LimitExceeded(f"a listing of more than {MAX_LISTING_BYTES} bytes")

    def receive_eof(self) -> ListingPage:
        """Return the page.

        Raises:
            Truncated: If the answer ended before the list did.
            ProtocolError: If it is no listing.

        """
        listing = parse_resource(self._data, what="listing")
        items, prefixes = listing.get("items", []), listing.get("prefixes", [])
        token = listing.get("nextPageToken")
        # Google always says what it is; an emulator may not, where it has something to list.
        kind = listing.get("kind", "storage#objects" if items or prefixes else None)
        is_listing = (
            isinstance(items, list)
            and isinstance(prefixes, list)
            and all(isinstance(prefix, str) for prefix in prefixes)
            and isinstance(token, str | None)
            and kind == "storage#objects"
        )
        if not is_listing:
            raise ProtocolError("the answer is JSON, but no listing")
        if len(items) + len(prefixes) > MAX_ENTRIES:
            raise LimitExceeded(f"a page of more than {MAX_ENTRIES} entries")
        return ListingPage(tuple(map(gcs_entry, items)), tuple(prefixes), token or None)


def parse_resource(data: Buffer, *, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        data: The whole answer.
        what: Its name in messages.

    Raises:
        Truncated: If it does not end as an object does.
        ProtocolError: If it is none.

    """
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if not bytes(data[-64:]).rstrip().endswith(b"}"):
            raise Truncated(f"the {what} was cut", offset=len(data)) from error
        raise ProtocolError(f"the {what} is no JSON", offset=error.pos) from error
    if not isinstance(found, dict):
        raise ProtocolError(f"the answer is JSON, but no {what}")
    return found


def gcs_entry(item: object) -> ObjectEntry:
    """Return what a JSON object says of an object of the store.

    Raises:
        ProtocolError: If it has no name or no size.

    """
    if not isinstance(item, dict):
        raise ProtocolError("an object of the listing is none")
    name = item.get("name")
    # 64-bit numbers are texts in JSON of Google's; some emulators write numbers.
    size = str(item.get("size"))
    is_number = size.isascii() and size.isdecimal() and len(size) <= 18
    if not (isinstance(name, str) and name and is_number):
        raise ProtocolError("an object of the listing has no name or no size")
    generation, updated = item.get("generation"), item.get("updated")
    return ObjectEntry(
        name,
        int(size),
        str(generation) if isinstance(generation, str | int) and generation else None,
        updated if isinstance(updated, str) else None,
        tuple(_digests(item)),
    )


def _digests(item: Mapping[str, Any]) -> list[ObjectDigest]:
    found = []
    for field, algorithm, length in _DIGESTS:
        encoded = item.get(field)
        if not isinstance(encoded, str):
            continue
        try:
            value = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(value) == length:
            found.append(ObjectDigest(algorithm, value))
    return found
