"""ListObjectsV2: what a request for a page asks for, and the page as XML.

    page = page_of(objects, read_asked(query, max_keys=1000))
    xml = page_xml("dicom", page, objects)

The order of the elements and their spelling are those of Amazon's API reference.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

from asyncdicom.mock.routes import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from asyncdicom.mock.s3_objects import ArchiveObjects, StoredObject

__all__ = ["MODIFIED_AT", "Asked", "Page", "page_of", "page_xml", "read_asked"]

MODIFIED_AT = "2026-01-02T03:04:05.000Z"
"""Of every object: the archive has always been there."""

MAX_KEYS = 1000
"""Of a page, whatever is asked for."""

MAX_DIGITS = 10
"""Of a number, as Amazon takes no more than 2,147,483,647; Python reads no more than 4,300."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page shall hold."""

    prefix: str = ""
    delimiter: str = ""
    token: str | None = None
    """As it was asked for."""
    after: str = ""
    """Last key or common prefix of the page before."""
    max_keys: int = MAX_KEYS
    is_url_encoded: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page."""

    asked: Asked
    objects: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    next_token: str | None


def read_asked(query: Mapping[str, str], max_keys: int = MAX_KEYS) -> Asked:
    """Read the query of a request for a page.

    Raises:
        Refused: If the token is none of ours, or a number is none.

    """
    token = query.get("continuation-token")
    wanted = query.get("max-keys", str(MAX_KEYS))
    if not (wanted.isascii() and wanted.isdecimal() and len(wanted) <= MAX_DIGITS):
        raise Refused(400, "max-keys is no number")
    return Asked(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        token=token,
        after=query.get("start-after", "") if token is None else _read_token(token),
        max_keys=min(int(wanted), max_keys, MAX_KEYS),
        is_url_encoded=query.get("encoding-type") == "url",
    )


def _read_token(token: str) -> str:
    try:
        return urlsafe_b64decode(token.encode("ascii")).decode()
    except (Error, UnicodeError):
        raise Refused(400, "the continuation token is incorrect") from None


def page_of(objects: ArchiveObjects, asked: Asked) -> Page:
    """Fill a page; a common prefix counts as a key."""
    found: list[StoredObject] = []
    prefixes: list[str] = []
    last, is_truncated = "", False
    for name, one in _entries(objects, asked):
        if len(found) + len(prefixes) >= asked.max_keys:
            is_truncated = True
            break
        last = name
        if one is None:
            prefixes.append(name)
        else:
            found.append(one)
    token = urlsafe_b64encode(last.encode()).decode("ascii") if is_truncated and last else None
    return Page(asked, tuple(found), tuple(prefixes), token)


def _entries(objects: ArchiveObjects, asked: Asked) -> Iterator[tuple[str, StoredObject | None]]:
    """Produce keys with their objects, and each common prefix once, without an object."""
    before = asked.after if asked.delimiter and asked.after.endswith(asked.delimiter) else ""
    for one in objects.below(asked.prefix, asked.after):
        rest = one.key[len(asked.prefix) :]
        head, found, _ = rest.partition(asked.delimiter) if asked.delimiter else (rest, "", "")
        if not found:
            yield one.key, one
        elif (prefix := f"{asked.prefix}{head}{found}") != before:
            before = prefix
            yield prefix, None


def page_xml(bucket: str, page: Page, objects: ArchiveObjects) -> bytes:
    """Write a page."""
    asked = page.asked
    name = _url_encoded if asked.is_url_encoded else escape
    pieces = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
        f"<Name>{bucket}</Name><Prefix>{name(asked.prefix)}</Prefix>",
        f"<Delimiter>{name(asked.delimiter)}</Delimiter>" if asked.delimiter else "",
        f"<MaxKeys>{asked.max_keys}</MaxKeys>",
        "<EncodingType>url</EncodingType>" if asked.is_url_encoded else "",
        f"<KeyCount>{len(page.objects) + len(page.prefixes)}</KeyCount>",
        f"<IsTruncated>{str(page.next_token is not None).lower()}</IsTruncated>",
    ]
    if asked.token is not None:
        pieces.append(f"<ContinuationToken>{escape(asked.token)}</ContinuationToken>")
    if page.next_token is not None:
        pieces.append(f"<NextContinuationToken>{page.next_token}</NextContinuationToken>")
    pieces += [contents_xml(name(o.key), o.byte_count(), objects.md5(o)) for o in page.objects]
    pieces += _prefixes_xml(map(name, page.prefixes))
    return "".join([*pieces, "</ListBucketResult>"]).encode()


def contents_xml(key: str, byte_count: int, md5: str) -> str:
    """Write the entry of an object, whose key is encoded already."""
    return (
        f"<Contents><Key>{key}</Key><LastModified>{MODIFIED_AT}</LastModified>"
        f"<ETag>&quot;{md5}&quot;</ETag><Size>{byte_count}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _prefixes_xml(prefixes: Iterable[str]) -> Iterator[str]:
    for prefix in prefixes:
        yield f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"


def _url_encoded(text: str) -> str:
    return quote(text, safe="/")
