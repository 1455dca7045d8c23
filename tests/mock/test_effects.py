"""Each effect changes an answer as the list of faults says, without a socket."""

from __future__ import annotations

import math
import zlib
from email.utils import parsedate_to_datetime
from io import BytesIO
from itertools import islice

import orjson
import pydicom
import pytest

from asyncdicom.mock import SyntheticArchive, SyntheticOptions, parse_fault
from asyncdicom.mock.dicomweb import DicomWeb
from asyncdicom.mock.messages import Ending, Request, Response
from tests.mock.reading import split_parts

ARCHIVE = SyntheticArchive(SyntheticOptions(studies=5, instances=3, rows=16))
SERIES = ARCHIVE.studies[0].all_series[0]
FILES = [b"".join(instance.file()) for instance in SERIES.instances]
STUDY = f"/dicom-web/studies/{ARCHIVE.studies[0].study_instance_uid}"
INSTANCE = (
    f"{STUDY}/series/{SERIES.series_instance_uid}/instances/{SERIES.instances[0].sop_instance_uid}"
)
WHOLE = b"".join(DicomWeb(ARCHIVE).respond(Request("GET", STUDY)).body.buffers())


def disturb(fault: str, request: Request | None = None) -> Response:
    """Answer as a server does that meets the fault."""
    read = parse_fault(fault)
    request = request or Request("GET", STUDY)
    response = DicomWeb(ARCHIVE).respond(read.effect.rewrite(request, read.settings))
    return read.effect.apply(request, response, read.settings)


def body_of(response: Response) -> bytes:
    data = b"".join(response.body.buffers())
    assert len(data) == response.body.byte_count()
    return data


def parts_of(response: Response) -> list[bytes]:
    parts = split_parts(response.header("content-type") or "", body_of(response))
    return [content for _, content in parts]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param("missing-part", [0, 1], id="the last is missing"),
        pytest.param("missing-part:part=1", [1, 2], id="the first is missing"),
        pytest.param("missing-part:part=9", [0, 1], id="there is no ninth"),
        pytest.param("duplicate-part", [0, 0, 1, 2], id="the first is there twice"),
        pytest.param("duplicate-part:part=3", [0, 1, 2, 2], id="the third is there twice"),
        pytest.param("no-parts", [], id="none is left"),
        pytest.param("206", [0, 1], id="partial content"),
    ],
)
def test_parts_that_are_left(fault: str, expected: list[int]) -> None:
    assert parts_of(disturb(fault)) == [FILES[at] for at in expected]


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        pytest.param("truncate", len(WHOLE) - len("\r\n----\r\n") - 32, id="closing boundary"),
        pytest.param("truncate:at=0", 0, id="everything"),
        pytest.param("truncate:at=1000", 1000, id="in the first part"),
        pytest.param("truncate:at=999999999", len(WHOLE), id="nothing"),
    ],
)
def test_truncation_sends_a_true_start_and_says_it_is_all(fault: str, sent: int) -> None:
    assert body_of(disturb(fault)) == WHOLE[:sent]


def test_truncation_after_whole_parts_lacks_the_closing_boundary() -> None:
    data = body_of(disturb("truncate:parts=2"))
    assert WHOLE.startswith(data)
    assert data.endswith(FILES[1])


def test_truncation_of_a_single_part_halves_it() -> None:
    request = Request("GET", INSTANCE, (), (("Accept", "application/dicom"),))
    assert body_of(disturb("truncate", request)) == FILES[0][: len(FILES[0]) // 2]


@pytest.mark.parametrize(
    ("fault", "part", "lost"),
    [
        pytest.param("short-part", 2, 1000 - 0, id="by default"),
        pytest.param("short-part:part=1,by=7", 0, 7, id="by seven"),
        pytest.param("short-part:by=99999999", 2, len(FILES[2]), id="all of it"),
    ],
)
def test_a_short_part_lacks_its_end_in_a_whole_payload(fault: str, part: int, lost: int) -> None:
    lost = min(lost, len(FILES[part]) // 2) if fault == "short-part" else lost
    expected = list(FILES)
    expected[part] = FILES[part][: len(FILES[part]) - lost]
    assert parts_of(disturb(fault)) == expected


def test_a_wrong_uid_is_another_valid_uid_in_a_file_that_is_otherwise_the_same() -> None:
    first, *others = parts_of(disturb("wrong-uid"))
    assert others == FILES[1:]
    read, truth = pydicom.dcmread(BytesIO(first)), pydicom.dcmread(BytesIO(FILES[0]))
    assert read.SOPInstanceUID == read.file_meta.MediaStorageSOPInstanceUID
    assert read.SOPInstanceUID != truth.SOPInstanceUID
    read.SOPInstanceUID = truth.SOPInstanceUID
    assert read == truth


def test_a_wrong_uid_can_be_given_to_another_part() -> None:
    assert parts_of(disturb("wrong-uid:part=3"))[:2] == FILES[:2]
    assert parts_of(disturb("wrong-uid:part=3"))[2] != FILES[2]


def test_a_wrong_uid_in_metadata() -> None:
    request = Request("GET", f"{STUDY}/metadata")
    right = orjson.loads(body_of(DicomWeb(ARCHIVE).respond(request)))
    wrong = orjson.loads(body_of(disturb("wrong-uid", request)))
    assert wrong[1:] == right[1:]
    changed = {tag for tag in right[0] if wrong[0][tag] != right[0][tag]}
    assert changed == {"00080018"}


def test_corruption_breaks_the_length_of_the_pixel_data() -> None:
    first, *others = parts_of(disturb("corrupt"))
    assert others == FILES[1:]
    (at,) = (at for at in range(len(first)) if first[at] != FILES[0][at])
    assert first[at] ^ FILES[0][at] == 0x80
    assert FILES[0][at - 11 : at - 3] == b"\xe0\x7f\x10\x00OW\0\0"


@pytest.mark.parametrize(("at", "byte"), [(200, 200), (-1, len(FILES[0]) - 1)])
def test_corruption_flips_the_byte_asked_for(at: int, byte: int) -> None:
    (first, *_) = parts_of(disturb(f"corrupt:at={at}"))
    assert [n for n in range(len(first)) if first[n] != FILES[0][n]] == [byte]


def test_a_byte_that_does_not_exist_is_not_flipped() -> None:
    assert parts_of(disturb("corrupt:at=999999999")) == FILES


@pytest.mark.parametrize(
    ("fault", "parameter"),
    [("wrong-boundary", '; boundary="not-the-one"'), ("no-boundary", "")],
)
def test_boundary_parameters_lie(fault: str, parameter: str) -> None:
    response = disturb(fault)
    assert (
        response.header("content-type") == f'multipart/related; type="application/dicom"{parameter}'
    )
    assert body_of(response) == WHOLE


def test_statuses_say_when_to_come_back() -> None:
    response = disturb("503:retry-after=2")
    assert (response.status, response.header("retry-after")) == (503, "2")
    assert disturb("429").header("retry-after") is None
    date = disturb("503:retry-after-date=3600").header("retry-after") or ""
    assert parsedate_to_datetime(date).tzinfo is not None


@pytest.mark.parametrize("status", [401, 403, 404, 406, 410, 429, 500, 503])
def test_refusals_carry_no_data(status: int) -> None:
    response = disturb(str(status))
    assert response.status == status
    assert not body_of(response).startswith(b"--")
    assert (response.header("www-authenticate") is not None) is (status == 401)


def test_no_content_is_empty() -> None:
    response = disturb("204")
    assert (response.status, body_of(response)) == (204, b"")


def test_a_login_page_looks_like_success() -> None:
    response = disturb("html-200")
    assert (response.status, response.header("content-type")) == (200, "text/html")
    assert body_of(response).startswith(b"<!doctype html>")


def test_an_empty_answer_looks_like_success() -> None:
    response = disturb("empty")
    assert response.status == 200
    assert body_of(response) == b""
    assert "multipart/related" in (response.header("content-type") or "")


def test_redirects_point_to_themselves_or_elsewhere() -> None:
    loop = disturb("redirect")
    assert (loop.status, loop.header("location")) == (302, f"http://localhost{STUDY}")
    away = disturb("redirect:to=http://elsewhere/,status=308")
    assert (away.status, away.header("location")) == (308, "http://elsewhere/")


def test_a_media_type_can_lie() -> None:
    response = disturb("content-type:to=application/json")
    assert response.header("content-type") == "application/json"
    assert body_of(response) == WHOLE


def test_a_gzip_bomb_expands_to_the_size_asked_for() -> None:
    response = disturb("gzip-bomb:size=4194304")
    data = body_of(response)
    assert response.header("content-encoding") == "gzip"
    assert len(zlib.decompress(data, 31)) == 4194304
    assert len(data) < 4194304 / 500


def test_an_endless_part_header_has_no_blank_line() -> None:
    start = b"".join(bytes(b) for b in islice(disturb("endless-part-header").body.buffers(), 20))
    assert start.startswith(WHOLE[:36])
    assert len(start) > 100_000
    assert b"\r\n\r\n" not in start


def test_a_preamble_and_an_epilogue_surround_a_whole_payload() -> None:
    data = body_of(disturb("preamble"))
    assert data == b"\r\nignore me\r\n" + WHOLE + b"and me\r\n"


def test_bare_lf_ends_every_line_but_those_of_the_content() -> None:
    data = body_of(disturb("bare-lf"))
    pieces = [data]
    for file in FILES:
        pieces = [rest for piece in pieces for rest in piece.split(file, 1)]
    assert len(pieces) == 4
    assert not any(b"\r" in piece for piece in pieces)


@pytest.mark.parametrize(
    ("fault", "ending", "sent"),
    [
        pytest.param("cut", Ending.CUT, len(WHOLE) // 2, id="cut in the middle"),
        pytest.param("cut:at=7", Ending.CUT, 7, id="cut where asked for"),
        pytest.param("cut:at=head", Ending.CUT, -1, id="cut before the head"),
        pytest.param("reset", Ending.RESET, len(WHOLE) // 2, id="reset"),
        pytest.param("stall:at=0", Ending.STALL, 0, id="stall after the head"),
        pytest.param("goaway", Ending.GOAWAY, -1, id="goaway before the head"),
        pytest.param("goaway:at=5", Ending.GOAWAY, 5, id="goaway in the body"),
    ],
)
def test_early_ends_are_described_for_the_wire(fault: str, ending: Ending, sent: int) -> None:
    wire = disturb(fault).wire
    assert (wire.ending, wire.stop_after_bytes) == (ending, sent)


def test_other_properties_of_the_wire() -> None:
    assert disturb("delay:s=inf").wire.delay_s == math.inf
    assert disturb("delay:s=0.5").wire.delay_s == 0.5
    assert disturb("drip:rate=9").wire.rate_bytes_per_s == 9
    assert disturb("length:by=-3").wire.length_error_bytes == -3
    assert disturb("endless-header").wire.endless_header
    assert disturb("cut:code=8").wire.error_code == 8
    assert disturb("goaway").wire.error_code == 0


def page(fault: str, limit: int, offset: int) -> list[int]:
    """Ask for a page of studies; return their indices."""
    query = (("limit", str(limit)), ("offset", str(offset)))
    response = disturb(fault, Request("GET", "/dicom-web/studies", query))
    if response.status == 204:
        return []
    uids = [study.study_instance_uid for study in ARCHIVE.studies]
    return [uids.index(found["0020000D"]["Value"][0]) for found in orjson.loads(body_of(response))]


@pytest.mark.parametrize(
    ("fault", "pages"),
    [
        pytest.param("ignore-offset", [[0, 1], [0, 1], [0, 1], [0, 1]], id="ignored offset"),
        pytest.param("repeat-pages", [[0, 1], [0, 1], [2, 3], [2, 3]], id="pages twice"),
        pytest.param("cap:n=1", [[0], [2], [4], []], id="silent cap"),
        pytest.param("short-pages", [[0], [2], [4], []], id="short pages"),
    ],
)
def test_paging_bugs(fault: str, pages: list[list[int]]) -> None:
    assert [page(fault, 2, offset) for offset in (0, 2, 4, 6)] == pages


def test_a_cap_holds_without_a_limit_and_is_silent_unless_told() -> None:
    request = Request("GET", "/dicom-web/studies")
    silent, warned = disturb("cap:n=3", request), disturb("warning:n=3", request)
    assert body_of(silent) == body_of(warned)
    assert len(orjson.loads(body_of(silent))) == 3
    assert silent.header("warning") is None
    assert (warned.header("warning") or "").startswith("299 ")


@pytest.mark.parametrize("fault", ["missing-part", "wrong-boundary", "preamble", "bare-lf"])
def test_faults_of_multipart_leave_pictures_as_they_are(fault: str) -> None:
    request = Request("GET", f"{INSTANCE}/rendered")
    assert body_of(disturb(fault, request)) == body_of(DicomWeb(ARCHIVE).respond(request))
