"""Tar archives in any pieces: what Python's and GNU's tar write, cuts, hostile members."""

from __future__ import annotations

import io
import random
import tarfile
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.cod.tar import (
    MemberBegan,
    MemberData,
    MemberEnded,
    MemberSkipped,
    TarLimits,
    TarParser,
)
from asyncdicom.protocol.payload_events import NEED_DATA
from tests.support.chunking import bytewise, random_cuts, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTENTS = {
    "instances/1.2.1.dcm": b"a" * 700,
    "instances/1.2.2.dcm": b"",
    "instances/1.2.3.dcm": b"c" * 512,
}


def archive(
    contents: dict[str, bytes],
    *,
    form: int = tarfile.PAX_FORMAT,
    kinds: dict[str, bytes] | None = None,
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.type = (kinds or {}).get(name, tarfile.REGTYPE)
            info.size = len(content) if info.isreg() else 0
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"mtime": "1767225600.25"}
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Read:
    """What came of an archive."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {}
        self.offsets: dict[str, int] = {}
        self.ended: list[str] = []
        self.skipped: dict[str, str] = {}

    def feed(self, parser: TarParser, chunks: Iterable[bytes]) -> Read:
        name = ""
        for chunk in chunks:
            parser.receive_data(chunk)
            while (event := parser.next_event()) is not NEED_DATA:
                match event:
                    case MemberBegan(name, _, offset):
                        self.members[name] = b""
                        self.offsets[name] = offset
                    case MemberData(data):
                        assert len(data)
                        self.members[name] += data
                    case MemberEnded():
                        self.ended.append(name)
                    case MemberSkipped(skipped, why):
                        self.skipped[skipped] = why
        return self


def read(chunks: Iterable[bytes], limits: TarLimits | None = None) -> Read:
    parser = TarParser(limits)
    found = Read().feed(parser, chunks)
    parser.receive_eof()
    return found


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(tarfile.PAX_FORMAT, id="pax"),
        pytest.param(tarfile.GNU_FORMAT, id="gnu"),
        pytest.param(tarfile.USTAR_FORMAT, id="ustar"),
    ],
)
def test_members_come_whole_and_in_order(form: int) -> None:
    content = archive(CONTENTS, form=form)
    places = random.Random(form)
    for chunks in (
        whole(content),
        bytewise(content),
        *(random_cuts(content, places, at_most=9) for _ in range(50)),
    ):
        found = read(chunks)
        assert found.members == CONTENTS
        assert found.ended == list(CONTENTS)
    for name, offset in found.offsets.items():
        assert content[offset : offset + len(CONTENTS[name])] == CONTENTS[name]


def test_a_cut_anywhere_before_the_end_blocks_is_a_truncation() -> None:
    content = archive({"instances/1.2.1.dcm": b"a" * 700})
    end = len(content.rstrip(b"\0"))
    end += -end % 512 + 1024
    for place in range(end):
        parser = TarParser()
        found = Read().feed(parser, [content[:place]])
        with pytest.raises(Truncated):
            parser.receive_eof()
        assert bool(found.ended) == (place >= end - 1024)
    read([content[:end]])


def test_content_is_handed_on_without_a_copy() -> None:
    content = archive(CONTENTS)
    parser = TarParser()
    parser.receive_data(content)
    pieces = []
    while (event := parser.next_event()) is not NEED_DATA:
        if isinstance(event, MemberData):
            pieces.append(event.data.obj)
    assert pieces
    assert all(piece is content for piece in pieces)


def test_bytes_that_were_not_asked_for_yet_are_kept() -> None:
    content = archive(CONTENTS)
    parser = TarParser()
    for chunk in bytewise(content):
        parser.receive_data(chunk)
    found = Read().feed(parser, [b""])
    assert found.members == CONTENTS


def test_an_empty_archive_has_no_members() -> None:
    assert read([archive({})]).members == {}


def test_no_bytes_are_no_archive() -> None:
    with pytest.raises(Truncated):
        read([])


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_come_from_extended_headers(form: int) -> None:
    name = "instances/" + "x" * 300 + ".dcm"
    assert read([archive({name: b"1"}, form=form)]).members == {name: b"1"}


def test_names_of_links_may_be_long_too() -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = tarfile.SYMTYPE, "y" * 300
    content = info.tobuf(tarfile.GNU_FORMAT) + archive(CONTENTS)
    assert read([content]).skipped == {"link": "a link"}


def test_a_size_may_stand_in_an_extended_header() -> None:
    info = tarfile.TarInfo("a")
    info.pax_headers = {"size": "3"}
    info.size = 0
    content = info.tobuf(tarfile.PAX_FORMAT) + b"abc".ljust(512, b"\0") + bytes(1024)
    assert read([content]).members == {"a": b"abc"}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        pytest.param(tarfile.SYMTYPE, "a link", id="symbolic link"),
        pytest.param(tarfile.LNKTYPE, "a link", id="hard link"),
        pytest.param(tarfile.CHRTYPE, "a device", id="device"),
        pytest.param(tarfile.FIFOTYPE, "a pipe", id="pipe"),
        pytest.param(tarfile.DIRTYPE, "a folder", id="folder"),
        pytest.param(b"V", "of the unknown kind 'V'", id="unknown"),
    ],
)
def test_what_is_no_regular_file_is_skipped_by_name(kind: bytes, why: str) -> None:
    found = read([archive({"x": b"", **CONTENTS}, kinds={"x": kind})])
    assert list(found.skipped.values()) == [why]
    assert next(iter(found.skipped)).strip("/") == "x"
    assert found.members == CONTENTS


@pytest.mark.parametrize("name", ["../../evil.dcm", "/etc/evil", "a/../../b", "c:\\x", "a\x1b[2Jb"])
def test_names_that_lead_elsewhere_are_skipped_and_can_be_printed(name: str) -> None:
    found = read([archive({name: b"evil" * 300, **CONTENTS})])
    (skipped,) = found.skipped
    assert skipped.isprintable()
    assert found.members == CONTENTS


def test_a_sparse_file_of_pax_is_skipped() -> None:
    info = tarfile.TarInfo("s")
    info.size = 3
    info.pax_headers = {"GNU.sparse.major": "1"}
    content = info.tobuf(tarfile.PAX_FORMAT) + b"abc".ljust(512, b"\0") + archive(CONTENTS)
    found = read([content])
    assert found.skipped == {"s": "a sparse file"}
    assert found.members == CONTENTS


def extended(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, len(records)
    return info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)


def header(kind: bytes, byte_count: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, byte_count
    return info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"<html>".ljust(1024), "checksum", id="no archive"),
        pytest.param(header(tarfile.SYMTYPE, 5), "a link .* claims to have content", id="link"),
        pytest.param(header(tarfile.GNUTYPE_SPARSE, 5), "old sparse", id="old sparse file"),
        pytest.param(extended(b"10 path=b\n") + bytes(512), "is missing", id="no member"),
        pytest.param(extended(b"10 size=b\n"), "size of an extended", id="size is none"),
        pytest.param(extended(b"12 size=-22\n"), "size of an extended", id="negative size"),
        pytest.param(
            extended(b"10 size=5\n", tarfile.XGLTYPE), "all tar members at once", id="for all"
        ),
        pytest.param(extended(b"99 path=b\n"), "damaged", id="damaged records"),
    ],
)
def test_what_no_reader_should_guess_is_refused_for_good(content: bytes, message: str) -> None:
    for chunks in (whole(content), bytewise(content)):
        parser = TarParser()
        with pytest.raises(ProtocolError, match=message):
            Read().feed(parser, chunks)
        with pytest.raises(ProtocolError, match=message):
            parser.next_event()
        with pytest.raises(ProtocolError, match=message):
            parser.receive_eof()


def test_what_is_said_of_all_members_does_no_harm_otherwise() -> None:
    content = extended(b"13 comment=a\n", tarfile.XGLTYPE) + archive(CONTENTS)
    assert read([content]).members == CONTENTS


def test_an_extended_header_may_be_empty() -> None:
    assert read([extended(b"") + archive(CONTENTS)]).members == CONTENTS


def test_lone_blocks_of_zeros_are_stepped_over() -> None:
    assert read([bytes(512) + archive(CONTENTS)]).members == CONTENTS
    empty = tarfile.TarInfo("empty").tobuf(tarfile.USTAR_FORMAT)
    found = read([bytes(512) + empty + bytes(512) + archive(CONTENTS)])
    assert found.members == {"empty": b"", **CONTENTS}


def test_what_follows_the_end_is_padding() -> None:
    assert read([archive(CONTENTS) + b"x" * 2000]).members == CONTENTS


@pytest.mark.parametrize(
    ("content", "limits"),
    [
        pytest.param(
            extended(b"x" * 600), TarLimits(max_extended_bytes=512), id="an extended header"
        ),
        pytest.param(header(tarfile.REGTYPE, 600), TarLimits(max_member_bytes=512), id="a member"),
    ],
)
def test_each_limit_is_kept(content: bytes, limits: TarLimits) -> None:
    with pytest.raises(LimitExceeded):
        read([content], limits)


def test_time_grows_with_the_bytes_alone() -> None:
    durations = []
    for count in (500, 5_000):
        content = archive({f"instances/1.{number}.dcm": b"x" * 10 for number in range(count)})
        chunks = [content[a:b] for a, b in pairwise([*range(0, len(content), 4096), len(content)])]
        begun_s = time.perf_counter()
        assert len(read(chunks).ended) == count
        durations.append(time.perf_counter() - begun_s)
    assert durations[1] < 40 * durations[0]
