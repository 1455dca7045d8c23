"""The answer of ListObjectsV2, read while it arrives.

    parser = S3ListingParser()
    while data := await response.read():
        parser.receive_data(data)
    page = parser.receive_eof()

Strategy: expat sees each piece once, and only the texts that count are kept. Elements are
known by their local names, as some servers send no namespace and others a prefix.

Rules:
* A list is whole or an error: what is cut at any byte is `Truncated`.
* "There is more" without saying how to get it is an error, never the end of the list.
* No document type, no entity, no processing instruction: a listing has none, attacks do.
* Keys come percent-encoded (`encoding-type=url`), as XML cannot hold all of them; they
  are decoded only where the answer says that they were encoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus
from xml.parsers import expat

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.object_stores.values import ListingPage, ObjectEntry

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = ["S3ListingParser"]

MAX_LISTING_BYTES: Final = 16 * 1024 * 1024
"""A page has 1,000 keys of at most 3 kB each, encoded; the rest is room for oddities."""
MAX_TEXT_CHARACTERS: Final = 16 * 1024
"""Of one element: five times the longest key, and far above any token."""
MAX_DEPTH: Final = 16
"""Of elements in each other; a listing has 4."""
MAX_ENTRIES: Final = 10_000
"""Ten times what is asked for."""

_OF_CHILDREN: Final = {
    "Contents": frozenset({"Key", "Size", "ETag", "LastModified"}),
    "CommonPrefixes": frozenset({"Prefix"}),
}
_OF_THE_LIST = frozenset({"IsTruncated", "NextContinuationToken", "EncodingType"})
_ROOT = "ListBucketResult"


class S3ListingParser:
    """Reads one page of a list; unusable behind an error."""

    def __init__(self) -> None:
        self._depth = 0
        # Of the element that is open at depth 1: its name, and what is kept of its children.
        self._above = ""
        self._kept: frozenset[str] = frozenset()
        self._text: str | None = None
        self._values: dict[str, str] = {}
        self._object: dict[str, str] = {}
        self._objects: list[dict[str, str]] = []
        self._prefixes: list[str] = []
        self._received_bytes = 0
        self._is_whole = False
        # In UTF-8 whatever it declares: other codings are ways to hide something, and some of them
        # raise errors that are not expat's.
        self._expat = expat.ParserCreate("utf-8")
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._append
        self._expat.StartDoctypeDeclHandler = self._refuse
        self._expat.EntityDeclHandler = self._refuse
        self._expat.ProcessingInstructionHandler = self._refuse

    def receive_data(self, data: Buffer) -> None:
        """Read a piece of the answer.

        Raises:
            ProtocolError: If it is no XML, or no listing.
            LimitExceeded: If it is larger or deeper than any listing.

        """
        self._received_bytes += len(data)
        if self._received_bytes > MAX_LISTING_BYTES:
            raise LimitExceeded(f"a listing of more than {MAX_LISTING_BYTES} bytes")
        try:
            # expat takes bytes and what has their interface, but its stub only says bytes.
            self._expat.Parse(bytes(data), False)
        except expat.ExpatError as error:
            raise self._broken(error) from error

    def receive_eof(self) -> ListingPage:
        """Return the page.

        Raises:
            Truncated: If the answer ended before the list did.
            ProtocolError: If it is no listing, or does not say what it has to.

        """
        try:
            self._expat.Parse(b"", True)
        except expat.ExpatError as error:
            if self._is_whole:
                raise self._broken(error) from error
            raise Truncated("the listing was cut", offset=self._received_bytes) from error
        return self._page()

    def _broken(self, error: expat.ExpatError) -> ProtocolError:
        told = expat.ErrorString(error.code)
        return ProtocolError(f"the listing is no XML: {told}", offset=self._expat.ErrorByteIndex)

    def _refuse(self, *_: object) -> None:
        raise ProtocolError("the listing declares what no listing has (document type or entity)")

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        depth = self._depth
        self._depth = depth + 1
        local = name.rpartition(":")[2]
        is_kept = False
        if depth == 2:
            is_kept = local in self._kept
        elif depth == 1:
            self._above = local
            self._kept = _OF_CHILDREN.get(local, frozenset())
            is_kept = local in _OF_THE_LIST
            if self._kept:
                self._object = {}
        elif depth == 0:
            if local != _ROOT:
                raise ProtocolError("the answer is XML, but no listing")
        elif depth >= MAX_DEPTH:
            raise LimitExceeded(f"a listing with more than {MAX_DEPTH} elements in each other")
        self._text = "" if is_kept else None

    def _append(self, text: str) -> None:
        if self._text is None:
            return
        self._text += text
        if len(self._text) > MAX_TEXT_CHARACTERS:
            raise LimitExceeded(f"an element of more than {MAX_TEXT_CHARACTERS} characters")

    def _end(self, name: str) -> None:
        depth = self._depth = self._depth - 1
        text, self._text = self._text, None
        if depth == 2:
            if text is not None:
                self._keep(name.rpartition(":")[2], text)
        elif depth == 1:
            if self._above == "Contents":
                self._count()
                self._objects.append(self._object)
            elif text is not None:
                self._values[self._above] = text
        self._is_whole = depth == 0

    def _keep(self, local: str, text: str) -> None:
        if self._above == "Contents":
            self._object[local] = text
        else:
            self._count()
            self._prefixes.append(text)

    def _count(self) -> None:
        if len(self._objects) + len(self._prefixes) >= MAX_ENTRIES:
            raise LimitExceeded(f"a page of more than {MAX_ENTRIES} entries")

    def _page(self) -> ListingPage:
        is_encoded = self._values.get("EncodingType", "").strip().lower() == "url"
        token = self._values.get("NextContinuationToken") or None
        match self._values.get("IsTruncated", "").strip().lower():
            case "true" if token is None:
                raise ProtocolError("the list goes on, but the answer does not say where")
            case "true":
                continuation = token
            case "false":
                continuation = None
            case _:
                raise ProtocolError("the listing does not say whether it is whole")
        return ListingPage(
            tuple([_entry(values, is_encoded=is_encoded) for values in self._objects]),
            tuple([_name(text, is_encoded=is_encoded) for text in self._prefixes]),
            continuation,
        )


def _entry(values: dict[str, str], *, is_encoded: bool) -> ObjectEntry:
    key = _name(values.get("Key", ""), is_encoded=is_encoded)
    size = values.get("Size", "").strip()
    if not key or not (size.isascii() and size.isdecimal() and len(size) <= 18):
        raise ProtocolError("an object of the listing has no name or no size")
    return ObjectEntry(
        key,
        int(size),
        values.get("ETag", "").strip().strip('"') or None,
        values.get("LastModified") or None,
    )


def _name(text: str, *, is_encoded: bool) -> str:
    # S3 writes a blank as `+`, like forms, and others as `%20`; a plus is `%2B` with both.
    if not is_encoded or ("%" not in text and "+" not in text):
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise ProtocolError("the name of an object is not UTF-8") from error
