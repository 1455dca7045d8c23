"""Fuzz what Cloud-Optimized DICOM stores hold: archives, metadata, headers of instances.

    python -m tests.fuzz.fuzz_cod --cases 1000000 --seed 7

Each case is made of its seed and number alone; `--only NUMBER` repeats one.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from asyncdicom.errors import AsyncDicomError, ContentError, ProtocolError, Truncated
from asyncdicom.model import Uid
from asyncdicom.protocol.cod.frames import (
    PixelPlace,
    fragment_spans,
    native_spans,
    pixel_place,
    table_spans,
)
from asyncdicom.protocol.cod.metadata import CodInstance, MetadataReader
from asyncdicom.protocol.cod.tar import (
    MemberBegan,
    MemberData,
    MemberEnded,
    MemberSkipped,
    TarParser,
)
from asyncdicom.protocol.payload_events import NEED_DATA
from tests.fuzz.fuzz_parsers import Counterexample
from tests.fuzz.running import run_cases
from tests.support.chunking import random_cuts, whole
from tests.support.dicom import samples

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

__all__ = ["KINDS", "check"]

STUDY, SERIES = Uid("1.2.3"), Uid("1.2.3.4")
NAMES = ("instances/1.2.dcm", "a", "é", "x" * 150, "d/" * 60 + "x", "../a", "/a", "a\\b", "a\nb")
KINDS_OF_MEMBERS = (tarfile.REGTYPE, tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE)
CRUMBS = (
    *(b"\0", b"\xff", b"7", b" ", b"\n", b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"-1"),
    *(b"null", b"1e999", b"NaN", b"\x1f\x8b", b"9" * 30, b"30 size=9\n", b"ustar", bytes(512)),
    *(b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"\xff\xff\xff\xff", b"DICM", b"\x02\x00\x10\x00"),
)
DICOM = [content for content in samples().values() if len(content) < 20_000]
_CHECKSUM = slice(148, 156)


def check(source: random.Random) -> str:
    """Draw a case and judge it; return what it came to, for the statistics.

    Raises:
        Counterexample: If a promise was broken.

    """
    return KINDS[source.choice(tuple(KINDS))](source)


def _expect(is_kept: bool, promise: str) -> None:  # noqa: FBT001 -- as assert has it
    if not is_kept:
        raise Counterexample(promise)


def _mutated(data: bytes, source: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(damaged) + 1)
        gone = source.choice((0, 1, source.randint(0, 600)))
        damaged[at : at + gone] = source.choice(CRUMBS)
    return bytes(damaged)


Members = dict[str, bytes]


def _untarred(pieces: Iterable[bytes]) -> tuple[list[tuple[str, bytes]], str]:
    """Return the members that ended, and how it ended."""
    parser, ended, name, content = TarParser(), [], "", b""
    try:
        for piece in pieces:
            parser.receive_data(piece)
            while (event := parser.next_event()) is not NEED_DATA:
                match event:
                    case MemberBegan(name):
                        content = b""
                    case MemberData(data):
                        content += data
                    case MemberEnded():
                        ended.append((name, content))
                    case MemberSkipped(skipped):
                        _expect(skipped.isprintable(), f"told {skipped!r}")
        parser.receive_eof()
    except ProtocolError as error:
        return ended, f"{type(error).__name__} at {error.offset}"
    return ended, "whole"


def _archive(source: random.Random) -> tuple[bytes, list[tuple[str, bytes]]]:
    form = source.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    buffer, made = io.BytesIO(), []
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for _ in range(source.randint(0, 3)):
            info = tarfile.TarInfo(source.choice(NAMES))
            info.type, info.linkname = source.choice(KINDS_OF_MEMBERS), "x"
            content = source.randbytes(source.choice((0, 1, 511, 512, 700)))
            info.size = len(content) if info.isreg() else 0
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"mtime": "1.5"}
            archive.addfile(info, io.BytesIO(content))
            is_safe = info.name[0] not in "./" and "\\" not in info.name and "\n" not in info.name
            if info.isreg() and is_safe:
                made.append((info.name, content))
    return buffer.getvalue(), made


def _tar(source: random.Random) -> str:
    data, made = _archive(source)
    ended, verdict = _untarred(random_cuts(data, source, at_most=5))
    _expect((ended, verdict) == (made, "whole"), f"read {data!r} as {ended} {verdict}")
    damaged = _mutated(data, source)
    if source.random() < 0.5:
        damaged = _summed(damaged)
    if source.random() < 0.3:
        damaged = damaged[: source.randint(0, len(damaged))]
    found = _untarred(whole(damaged))
    _expect(_untarred(random_cuts(damaged, source, at_most=5)) == found, f"cut {damaged!r}")
    return f"tar: {found[1].partition(' ')[0]}"


def _summed(data: bytes) -> bytes:
    """Make the checksum of the first header fit again, so that what is behind it is read."""
    block = bytearray(data[:512].ljust(512, b"\0"))
    block[_CHECKSUM] = b" " * 8
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


def _document(source: random.Random) -> bytes:
    def entry(uid: str) -> dict[str, Any]:
        place = f"studies/{STUDY}/series/{SERIES}.tar://instances/{uid}.dcm"
        return {
            "uri": f"gs://b/{place}",
            "headers": {"start_byte": source.choice((1536, -1, "7", None)), "end_byte": 9999},
            "size": source.choice((700, 0, None, 1 << 70)),
            "crc32c": source.choice(("AAAAAA==", "?", None, 7)),
            "version": source.choice(("1.0", "2.0", None, "3")),
            "metadata": {"00080018": {"vr": "UI", "Value": [uid]}},
        }

    uids = source.sample(["1.2.9", "1.2.10", "x", ""], source.randint(0, 3))
    document = {
        "study_uid": STUDY,
        "cod": {"instances": {uid: entry(uid) for uid in uids}, "more": [1, "}"]},
        "series_uid": SERIES,
    }
    text = json.dumps(document, indent=source.choice((None, 1))).encode()
    return gzip.compress(text) if source.random() < 0.3 else text


def _read(pieces: Iterable[bytes]) -> tuple[list[str], str]:
    reader, found = MetadataReader(STUDY, SERIES), []
    try:
        for piece in pieces:
            reader.receive_data(piece)
            while (one := reader.next_event()) is not NEED_DATA:
                found.append(str(one))
                if isinstance(one, CodInstance):
                    _expect(one.first_byte > 0 < one.byte_count, f"placed {one}")
        reader.receive_eof()
    except (ProtocolError, ContentError) as error:
        return found, type(error).__name__
    return found, "read"


def _metadata(source: random.Random) -> str:
    data = _document(source)
    _expect(_read(random_cuts(data, source, at_most=5))[1] == "read", f"refused {data!r}")
    damaged = _mutated(data, source)
    verdict = _read(whole(damaged))
    other = _read(random_cuts(damaged, source, at_most=5))
    # Where it is compressed, the pieces that it inflates to differ, and either error may be first.
    is_same = other == verdict if not damaged.startswith(b"\x1f\x8b") else True
    _expect(is_same, f"the cut changes {damaged!r}: {verdict} {other}")
    return f"metadata: {verdict[1]}"


def _frames(source: random.Random) -> str:
    content = source.choice(DICOM)
    damaged = _mutated(content, source) if source.random() < 0.8 else content
    try:
        place = pixel_place(damaged, len(damaged))
        head = pixel_place(damaged[: source.randint(0, len(damaged))], len(damaged))
        _expect(head in (place, NEED_DATA), f"a head tells otherwise of {damaged!r}")
        if not isinstance(place, PixelPlace):
            return f"frames: {'none' if place is None else 'more'}"
        if place.byte_count is not None:
            return f"frames: {'native' if native_spans(place) else 'none'}"
        table_spans({"offset_tables": {"CustomOffsetTable": [1]}}, place)
        spans = [span for frame in fragment_spans(damaged, place) for span in frame]
        _expect(
            all(span.first_byte + span.byte_count <= len(damaged) for span in spans),
            f"frames outside of {damaged!r}",
        )
    except AsyncDicomError as error:
        return f"frames: {'Truncated' if isinstance(error, Truncated) else 'refused'}"
    return "frames: encapsulated"


KINDS: dict[str, Callable[[random.Random], str]] = {
    "tar": _tar,
    "metadata": _metadata,
    "frames": _frames,
}


if __name__ == "__main__":
    raise SystemExit(run_cases(__doc__, check))
