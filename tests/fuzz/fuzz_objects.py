"""Fuzz what object stores say: lists in XML and JSON, places of bytes, refusals, digests.

    python -m tests.fuzz.fuzz_objects --cases 1000000 --seed 7

Each case is made of its seed and number alone; `--only NUMBER` repeats one.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

from asyncdicom.errors import DigestMismatch, ProtocolError, Truncated
from asyncdicom.protocol.object_stores.digests import RunningDigests, digests_of_fields
from asyncdicom.protocol.object_stores.gcs_listing import GcsListingParser
from asyncdicom.protocol.object_stores.heads import byte_range_of, place_of
from asyncdicom.protocol.object_stores.refusals import read_refusal, refusal_of
from asyncdicom.protocol.object_stores.s3_listing import S3ListingParser
from asyncdicom.protocol.object_stores.values import ByteSpan, ListingPage, ObjectEntry
from tests.fuzz.fuzz_parsers import Counterexample
from tests.fuzz.running import run_cases
from tests.protocol.object_stores.listings import s3_listing
from tests.support.chunking import bytewise, random_cuts, whole

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

__all__ = ["KINDS", "check"]

NAMES = ("a", "é", "a b", "a+b", "%41", "&lt;", "<", "]]>", "a/../b", "\U0001f9e0", "k" * 40)
CRUMBS = (
    *(b"<", b">", b"/", b"&", b";", b'"', b"%", b"\xff", b"\0", b"\xef\xbb\xbf"),
    *(b"</Contents>", b"<Contents>", b"<Key>", b"</Key>", b"<Size>", b"-1", b"9" * 30),
    *(b"true", b"false", b"<IsTruncated>", b"<!DOCTYPE x>", b"<!--", b"-->", b"<?x?>", b"&#x0;"),
    *(b"<![CDATA[", b"]]>", b"</ListBucketResult>", b"url", b"<EncodingType>", b"<a>" * 20),
)
RANGES = (
    *("", "bytes 0-0/1", "bytes 2-4/9", "bytes 2-8/9", "bytes */9", "bytes 2-4/*", "bytes 4-2/9"),
    *("bytes 2-9/9", "items 2-4/9", "2-4/9", "bytes 02-004/9", "bytes 2-4/9, bytes 5-6/9"),
    *("bytes=2-4/9", "bytes 2 - 4/9", f"bytes 2-4/{'9' * 40}", "bytes -4/9", "bytes 2-/9"),
)


def check(source: random.Random) -> str:
    """Draw a case and judge it; return what it came to, for the statistics.

    Raises:
        Counterexample: If a promise was broken.

    """
    return KINDS[source.choice(tuple(KINDS))](source)


Parser = type[S3ListingParser] | type[GcsListingParser]
Verdict = ListingPage | type[ProtocolError]


def _verdict(make: Parser, pieces: Iterable[bytes]) -> Verdict:
    parser = make()
    try:
        for piece in pieces:
            parser.receive_data(piece)
        return parser.receive_eof()
    except ProtocolError as error:
        # Where a list is broken and cut, either may be seen first.
        return Truncated if isinstance(error, Truncated) else ProtocolError


def _common_verdict(make: Parser, data: bytes, source: random.Random) -> Verdict:
    verdict = _verdict(make, whole(data))
    feedings = [random_cuts(data, source, at_most=5)]
    if source.random() < 0.05:  # it costs as much as all else
        feedings.append(bytewise(data))
    for pieces in feedings:
        _expect(_verdict(make, pieces) == verdict, f"the cut changes the verdict on {data!r}")
    return verdict


def _xml(source: random.Random) -> str:
    keys = [source.choice(NAMES) for _ in range(source.randint(0, 3))]
    data = s3_listing(
        keys,
        prefixes=[f"{key}/" for key in keys[:1]],
        token=source.choice((None, "t+/")),
        is_encoded=source.random() < 0.5,
        namespace=source.choice(("", ' xmlns="u"')),
    )
    verdict = _verdict(S3ListingParser, random_cuts(data, source, at_most=5))
    _expect(isinstance(verdict, ListingPage), f"refused {data!r}")
    _expect(verdict == _xml_reference(data), f"read {data!r}")
    _expect([entry.key for entry in verdict.entries] == keys, f"names of {data!r}")  # type: ignore[union-attr]  # -- just compared
    end = source.randrange(len(data))
    _expect(_verdict(S3ListingParser, [data[:end]]) is Truncated, f"believed {data[:end]!r}")
    damaged = _mutated(data, source)
    found = _common_verdict(S3ListingParser, damaged, source)
    if isinstance(found, ListingPage):
        _expect(found == _xml_reference(damaged), f"read {damaged!r} as {found}")
        return "xml: a page"
    return f"xml: {found.__name__}"


def _xml_reference(data: bytes) -> ListingPage:
    """Read a listing that can be read, as a tree and without a line in common."""
    root = ET.fromstring(data, ET.XMLParser(encoding="utf-8"))

    def texts(element: ET.Element, name: str) -> list[str]:
        found = [one for one in element if one.tag.rpartition("}")[2].rpartition(":")[2] == name]
        return [(one.text or "") if not len(one) else "" for one in found]

    def last(element: ET.Element, name: str) -> str:
        return (texts(element, name) or [""])[-1]

    is_encoded = last(root, "EncodingType").strip().lower() == "url"

    def name(text: str) -> str:
        return unquote_to_bytes(text.replace("+", " ")).decode() if is_encoded else text

    def children(tag: str) -> list[ET.Element]:
        return [one for one in root if one.tag.rpartition("}")[2].rpartition(":")[2] == tag]

    entries = tuple(
        ObjectEntry(
            name(last(one, "Key")),
            int(last(one, "Size")),
            last(one, "ETag").strip().strip('"') or None,
            last(one, "LastModified") or None,
        )
        for one in children("Contents")
    )
    prefixes = [name(text) for one in children("CommonPrefixes") for text in texts(one, "Prefix")]
    more = last(root, "NextContinuationToken") or None
    is_truncated = last(root, "IsTruncated").strip().lower() == "true"
    return ListingPage(entries, tuple(prefixes), more if is_truncated else None)


def _json(source: random.Random) -> str:
    items: list[Any] = [
        {"name": source.choice(NAMES), "size": str(source.randint(0, 99)), "generation": "5"}
        for _ in range(source.randint(0, 3))
    ]
    listing: dict[str, Any] = {"kind": "storage#objects", "items": items, "prefixes": ["a/"]}
    if source.random() < 0.3:
        listing["nextPageToken"] = "t"
    data = json.dumps(listing, ensure_ascii=source.random() < 0.5).encode()
    page = _common_verdict(GcsListingParser, data, source)
    expected = [(item["name"], int(item["size"])) for item in items]
    _expect(isinstance(page, ListingPage), f"refused {data!r}")
    _expect([(e.key, e.byte_count) for e in page.entries] == expected, f"read {data!r}")  # type: ignore[union-attr]  # -- just compared
    end = source.randrange(len(data))
    cut = _verdict(GcsListingParser, [data[:end]])
    _expect(not isinstance(cut, ListingPage), f"believed {data[:end]!r}")
    damaged = _mutated(data, source)
    found = _common_verdict(GcsListingParser, damaged, source)
    if isinstance(found, ListingPage):
        told = json.loads(damaged)
        _expect(len(found.entries) == len(told.get("items", [])), f"read {damaged!r}")
        return "json: a page"
    return f"json: {found.__name__}"


def _place(source: random.Random) -> str:
    """Read the place of an answer; what is taken is what was asked for, or all of it."""
    first = source.randint(0, 4)
    last = source.choice((None, first, first + source.randint(0, 9)))
    span = source.choice((None, ByteSpan(first, last)))
    said = source.choice((*RANGES, f"bytes {first}-{source.randint(0, 9)}/{source.randint(0, 12)}"))
    length = source.choice(("", "0", "3", "9", "-1", "1e3", "9" * 40, "3, 3", "3, 4"))
    if span is not None and source.random() < 0.5:
        size = source.randint(first, first + 12)
        end = size - 1 if last is None else min(last, size - 1)
        said, length = f"bytes {first}-{end}/{size}", source.choice(("", str(end - first + 1)))
    fields = {"content-range": said, "content-length": length}
    fields = {name: value for name, value in fields.items() if value}
    try:
        begin, size = place_of(source.choice((200, 206)), fields, span)
    except ProtocolError:
        return "place: refused"
    if "content-range" not in fields:
        _expect(begin == 0 and size == int(length.partition(",")[0]), f"place of {fields}")
        return "place: all of it"
    _expect(span is not None and begin == span.first, f"place of {fields} for {span}")
    numbers = [int(digits) for digits in re.findall("[0-9]+", said)]
    end = size - 1 if last is None else min(last, size - 1)
    _expect(numbers == [begin, end, size], f"place of {fields} for {span}")
    _expect(span is None or byte_range_of(span).startswith(f"bytes={begin}-"), "what was asked")
    return "place: a span"


def _refusal(source: random.Random) -> str:
    """Read any error body; the words that become known are harmless ones."""
    body = source.choice(
        (
            b"<Error><Code>SlowDown</Code><Region>eu-west-1</Region></Error>",
            b'{"error": {"errors": [{"reason": "notFound"}]}}',
            source.randbytes(20),
        )
    )
    region = source.choice((None, "eu-west-1", "evil.test", "a\nb"))
    refusal = read_refusal(
        source.choice((301, 400, 403, 404, 503)), _mutated(body, source), region=region
    )
    _expect(re.fullmatch(r"[A-Za-z0-9._-]{0,64}", refusal.code) is not None, "code")
    _expect(re.fullmatch(r"[a-z0-9-]{1,32}", refusal.region or "x") is not None, "region")
    told = str(refusal_of(refusal, what="object", is_anonymous=source.random() < 0.5))
    _expect(told.isprintable(), f"told {told!r}")
    is_known = refusal.code in ("SlowDown", "notFound", "")
    return f"refusal: {refusal.code if is_known else 'another code'}"


def _digests(source: random.Random) -> str:
    """Compare bytes with an ETag, of one part or of parts; one wrong bit is found."""
    data = source.randbytes(source.randint(1, 60))
    part_bytes = source.randint(1, 61)
    parts = [data[i : i + part_bytes] for i in range(0, len(data), part_bytes)]
    if source.random() < 0.5:
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        digests = digests_of_fields({"etag": f'"{etag}"'}, is_whole=True)
        entry = ObjectEntry("k", len(data), etag, digests=digests)
    else:
        md5s = b"".join([hashlib.md5(part, usedforsecurity=False).digest() for part in parts])
        etag = f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(parts)}"
        entry = ObjectEntry("k", len(data), etag, part_bytes=part_bytes)
    _expect(_is_proven(entry, random_cuts(data, source, at_most=4)), f"{data!r} by {etag}")
    wrong = bytearray(data)
    wrong[source.randrange(len(data))] ^= 1 << source.randrange(8)
    _expect(not _is_proven(entry, [bytes(wrong)]), f"{bytes(wrong)!r} by {etag}")
    return "digests"


def _is_proven(entry: ObjectEntry, pieces: Iterable[bytes]) -> bool:
    running = RunningDigests(entry)
    for piece in pieces:
        running.update(piece)
    try:
        return running.verify()
    except DigestMismatch:
        return False


def _mutated(data: bytes, source: random.Random) -> bytes:
    """Damage bytes in one to three places; now and then not at all."""
    for _ in range(source.choice((0, 1, 1, 2, 3))):
        place, crumb = source.randint(0, len(data)), source.choice(CRUMBS)
        match source.randrange(3):
            case 0:
                data = data[:place] + crumb + data[place:]
            case 1:
                data = data[:place] + data[place + source.randint(1, 20) :]
            case _:
                data = data[:place] + crumb + data[place + len(crumb) :]
    return data


def _expect(is_kept: bool, promise: str) -> None:  # noqa: FBT001 -- reads as a sentence
    if not is_kept:
        raise Counterexample(promise)


KINDS: dict[str, Callable[[random.Random], str]] = {
    "xml": _xml,
    "json": _json,
    "place": _place,
    "refusal": _refusal,
    "digests": _digests,
}


if __name__ == "__main__":
    raise SystemExit(run_cases(__doc__, check))
