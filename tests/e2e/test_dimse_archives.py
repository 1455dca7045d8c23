"""The commands against real DIMSE archives, as processes; and beside odil, where odil works."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, JPEGLSLossless, RLELossless

from tests.e2e.support import (
    PROGRAM,
    Completed,
    clean_environ,
    cli,
    files_below,
    whole_uid,
)
from tests.support import dicom
from tests.support.dcmtk import QrscpOptions, running_dcmqrscp, running_storescp
from tests.support.orthanc import OrthancOptions, running_orthanc
from tests.support.peers import find_program, require_peer
from tests.support.processes import accepts_connections, free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STUDY, SLICES, NAMES = (dicom.uid("study", number) for number in (1, 2, 3))
KINDS = {
    "CT": dicom.ct(number=101),
    "MR": dicom.mr(number=102),
    "multi-frame": dicom.multi_frame(number=103),
    "RLE": dicom.encapsulated(RLELossless, number=104),
    "JPEG-LS": dicom.encapsulated(JPEGLSLossless, number=105),
    "JPEG 2000": dicom.encapsulated(number=106, fragments_per_frame=4),
    "SR": dicom.structured_report(number=107),
    "private SOP class": dicom.private_object(number=108),
}
SLICE_FILES = [dicom.small_instance(200 + n, series=20 + n % 3, study=2) for n in range(30)]
MOVE_AET, STORE_AET = "ASYNCDICOM", "MOVER"


def named(number: int, **values: str) -> bytes:
    """Return an instance of the study with names that make folders."""
    dataset = dicom.identified(
        sop_class_uid=CTImageStorage, number=number, series=30 + number % 2, study=3
    )
    for keyword, value in {"StudyTime": "101010", **values}.items():
        setattr(dataset, keyword, value)
    dicom.add_pixels(dataset, rows=8, columns=8)
    return dicom.part10(dataset)


NAMED_FILES = [
    named(301, SeriesDescription="T1_MPRAGE", SeriesNumber="2"),
    named(302, SeriesDescription="lower case", SeriesNumber="0"),
    named(303, SeriesDescription="T1_MPRAGE", SeriesNumber="2"),
]


@dataclass(frozen=True)
class Archive:
    """A running archive."""

    aet: str
    port: int
    move_port: int
    store_folder: Path

    @property
    def url(self) -> str:
        return f"dicom://{self.aet}@127.0.0.1:{self.port}"


def data_sets(contents: list[bytes]) -> dict[str, bytes]:
    """Return what has to arrive, by SOP Instance UID."""
    return {uid_of(one): one[dicom.data_set_offset(one) :] for one in contents}


def uid_of(content: bytes) -> str:
    return str(dcmread(BytesIO(content), stop_before_pixels=True).SOPInstanceUID)


def data_sets_below(folder: Path) -> dict[str, bytes]:
    """Return the data sets of all files, which have to be whole, by SOP Instance UID."""
    found = {}
    for name, content in files_below(folder).items():
        uid = whole_uid(content)
        assert name == f"{uid}.dcm", f"{name} is no instance"
        found[uid] = content[dicom.data_set_offset(content) :]
    return found


ALL_FILES = [*KINDS.values(), *SLICE_FILES, *NAMED_FILES]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    require_peer("orthanc")
    require_peer("dcmtk")
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    stored = tmp_path_factory.mktemp("stored")
    with running_storescp(stored, aet=STORE_AET) as receiver:
        modalities = ((MOVE_AET, port), (STORE_AET, receiver.port))
        options = OrthancOptions(dicom_aet="ORTHANC", modalities=modalities)
        with running_orthanc(folder, options) as server:
            server.upload(ALL_FILES)
            yield Archive("ORTHANC", server.dicom_port, port, receiver.folder)


@pytest.fixture(scope="module")
def dcmqrscp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    require_peer("dcmtk")
    folder, port = tmp_path_factory.mktemp("dcmqrscp"), free_port()
    stored = tmp_path_factory.mktemp("stored")
    files = []
    for number, content in enumerate(ALL_FILES):
        path = folder / f"{number}.dcm"
        path.write_bytes(content)
        files.append(path)
    with running_storescp(stored, aet=STORE_AET) as receiver:
        options = QrscpOptions(modalities=((MOVE_AET, port), (STORE_AET, receiver.port)))
        with running_dcmqrscp(folder, options) as server:
            server.register(files)
            yield Archive(server.aet, server.port, port, receiver.folder)


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def archive(request: pytest.FixtureRequest) -> Archive:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Archive)
    return found


def get(archive: Archive, folder: Path, *words: str, query: str = "") -> Completed:
    return cli("get", archive.url + query, "-o", str(folder), *words)


# Same bytes


@pytest.mark.parametrize("engine", ["native", "pynetdicom"])
@pytest.mark.parametrize("way", ["get", "move"])
def test_every_kind_of_instance_arrives_as_it_was_stored(
    archive: Archive, tmp_path: Path, way: str, engine: str
) -> None:
    words = ["--study", STUDY, "--dimse-engine", engine, "--move-port", str(archive.move_port)]
    wanted = dict(KINDS)
    done = get(archive, tmp_path, *words, query=f"?retrieve={way}")
    if archive.aet != "ORTHANC" and way == "get":
        # dcmqrscp does not tell SOP classes, and nobody guesses a private one.
        missing = uid_of(wanted.pop("private SOP class"))
        assert (done.code, done.err.count(f"{missing}: C-GET")) == (1, 1)
    else:
        assert done.code == 0, done.err
    assert data_sets_below(tmp_path) == data_sets(list(wanted.values()))


def test_files_that_arrive_are_files_for_others(archive: Archive, tmp_path: Path) -> None:
    assert get(archive, tmp_path, "--study", SLICES).code == 0
    program = find_program("dcmftest")
    assert program is not None
    for path in tmp_path.iterdir():
        assert (
            subprocess.run([program, str(path)], check=False, capture_output=True).returncode == 0
        )
        assert dcmread(path).file_meta.SourceApplicationEntityTitle == archive.aet


@pytest.mark.parametrize(
    ("words", "count"),
    [
        pytest.param(["--study", SLICES], 30, id="a study"),
        pytest.param(["--study", SLICES, "-c", "1"], 30, id="a study while it is listed"),
        pytest.param(["--study", SLICES, "--series", dicom.uid("series", 21)], 10, id="a series"),
        pytest.param(["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={SLICES}"], 30, id="as odil"),
        pytest.param([f"StudyInstanceUID={SLICES}", "QueryRetrieveLevel=SERIES"], 30, id="series"),
        pytest.param([f"SeriesInstanceUID={dicom.uid('series', 20)}"], 10, id="by one series"),
        pytest.param(["0008,0018=" + dicom.uid("instance", 203)], 1, id="by a tag, an image"),
        pytest.param(["00080018=" + dicom.uid("instance", 203)], 1, id="by eight digits"),
        pytest.param(["Modality=CT", "StudyInstanceUID=" + SLICES], 30, id="by modality"),
        pytest.param(["--level", "image", "--study", SLICES, "-c", "1"], 30, id="one association"),
        pytest.param(
            ["--model", "patient", "QueryRetrieveLevel=PATIENT", "PatientID=P-0042"],
            len(ALL_FILES),
            id="a patient of the patient root",
        ),
        pytest.param(
            ["PatientID=P-00*", "StudyDate=20260101-20260131"], len(ALL_FILES), id="range"
        ),
    ],
)
def test_keys_and_levels_say_what_to_get(
    archive: Archive, tmp_path: Path, words: list[str], count: int
) -> None:
    done = get(archive, tmp_path, *words)
    # The one instance of a private SOP class, see above.
    unknown = int(count == len(ALL_FILES) and archive.aet != "ORTHANC")
    assert done.code == unknown, done.err
    assert len(data_sets_below(tmp_path)) == count - unknown


@pytest.mark.parametrize("query", ["", "?retrieve=move"])
def test_what_the_archive_counts_is_told_before_our_own_sentence(
    archive: Archive, tmp_path: Path, query: str
) -> None:
    port = ["--move-port", str(archive.move_port)]
    done = get(archive, tmp_path, "--study", SLICES, "-c", "1", *port, query=query)
    *_, claims, sentence = done.err.splitlines()
    assert claims == "the archive says: completed: 30, remaining: 0, failed: 0, warning: 0"
    assert sentence.startswith("30 stored · 0 missing")


def test_the_second_run_fetches_nothing(archive: Archive, tmp_path: Path) -> None:
    get(archive, tmp_path, "--study", SLICES)
    again = get(archive, tmp_path, "--study", SLICES)
    assert again.last_line.startswith("0 stored · 0 missing · 0 corrupt · 30 skipped (verified)")


@pytest.mark.parametrize("query", ["", "?retrieve=move"])
def test_what_is_asked_for_in_another_transfer_syntax_and_is_not_there_is_named(
    orthanc: Archive, tmp_path: Path, query: str
) -> None:
    syntax = ["--transfer-syntax", str(RLELossless), "--move-port", str(orthanc.move_port)]
    done = get(orthanc, tmp_path, "--study", SLICES, *syntax, "-r", "0", query=query)
    assert done.code == 1
    assert done.err.count("failed instance") >= 20
    assert files_below(tmp_path) == {}


# How it ends


@pytest.mark.parametrize(
    ("words", "query", "code", "message"),
    [
        pytest.param(["--study", "1.2.3"], "", 4, "lists no instance", id="no such study"),
        pytest.param(["PatientID=nobody"], "", 4, "nothing matches", id="no such patient"),
        pytest.param(["PatinetID=1"], "", 2, "perhaps PatientID", id="a mistyped key"),
        pytest.param(["--study", "x"], "", 2, "not a UID", id="no UID"),
        pytest.param(["--study", "1.2"], "?retrieve=x", 2, "retrieve=x", id="another way"),
        pytest.param(
            ["--study", "1.2", "--calling-aet", "X" * 17], "", 2, "AE title", id="a long AE title"
        ),
        pytest.param(["--study", "1.2", "-D"], "", 2, "-I", id="a DICOMDIR without its names"),
    ],
)
def test_the_end_of_a_get_says_what_was_wrong(
    archive: Archive, tmp_path: Path, *, words: list[str], query: str, code: int, message: str
) -> None:
    done = get(archive, tmp_path, *words, query=query)
    assert (done.code, message in done.err) == (code, True), done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["get", "find", "echo", "move"])
@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param("WRONG@127.0.0.1:{port}", "called AE title not recognized", id="wrong AE"),
        pytest.param("ORTHANC@127.0.0.1:9", "no connection", id="nobody listens"),
        pytest.param("ORTHANC@127.0.0.1:{web}", "", id="no DICOM there"),
    ],
)
def test_who_cannot_be_asked_is_code_5(
    orthanc: Archive, static: int, tmp_path: Path, *, command: str, address: str, message: str
) -> None:
    words = {
        "get": ["--study", "1.2", "-o", str(tmp_path)],
        "move": ["--study", "1.2", "--to", "X"],
    }.get(command, [])
    source = f"dicom://{address.format(port=orthanc.port, web=static)}"
    retry = [] if command == "echo" else ["-r", "0"]
    done = cli(command, source, *words, *retry, "--timeout", "2")
    assert done.code == 5, done.err
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of somebody who speaks HTTP."""
    folder, port = tmp_path_factory.mktemp("static"), free_port()
    log = folder / "log"
    with log.open("wb") as sink:
        words = [PROGRAM, "mock", "--port", str(port), "--studies", "1", "--instances", "1"]
        server = subprocess.Popen(words, stdout=sink, stderr=sink, env=clean_environ())
    try:
        wait_until(partial(accepts_connections, port), server, deadline_s=40, log=log)
        yield port
    finally:
        stop(server)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_get_in_order(
    orthanc: Archive, tmp_path: Path, sent: signal.Signals
) -> None:
    words = [PROGRAM, "get", orthanc.url, "--study", SLICES, "-o", str(tmp_path), "-v"]
    words += ["--granularity", "instance", "-c", "1", "--rate", "5"]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=clean_environ())
    assert running.stderr is not None
    for line in running.stderr:
        if "stored instance" in line:
            break
    running.send_signal(sent)
    _, rest = running.communicate(timeout=40)
    assert running.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[sent]
    assert "stored ·" in rest.splitlines()[-1]
    wanted = data_sets(SLICE_FILES)
    for uid, data_set in data_sets_below(tmp_path).items():
        assert wanted[uid] == data_set


# Find, echo and move


def test_find_lists_each_level(archive: Archive) -> None:
    for level, count in (("study", 3), ("series", None), ("image", 30)):
        keys = [] if level == "study" else [f"StudyInstanceUID={SLICES}"]
        if level == "image":
            keys.append("SeriesInstanceUID")
        done = cli("find", archive.url, *keys, "--level", level, "--format", "json")
        assert done.code == 0, done.err
        found = json.loads(done.out)
        if count is not None and not (level == "image" and archive.aet != "ORTHANC"):
            assert len(found) == count
        assert done.last_line.endswith("· complete")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        pytest.param(["PatientName=Doe^J*"], 3, id="a wildcard"),
        pytest.param(["StudyDate=-20260102"], 3, id="a range"),
        pytest.param(["StudyDate=20270101-"], 0, id="a range without anything"),
        pytest.param(["PatientName=", "PatientID="], 3, id="empty keys"),
        pytest.param([f"StudyInstanceUID={STUDY},{SLICES}"], 2, id="a list of UIDs"),
        pytest.param(["SeriesNumber=2", "--level", "series", f"StudyInstanceUID={NAMES}"], 1),
    ],
)
def test_find_understands_keys(archive: Archive, words: list[str], count: int) -> None:
    done = cli("find", archive.url, *words, "--format", "json")
    assert done.code == (0 if count else 4), done.err
    assert len(json.loads(done.out)) == count


def test_find_stops_at_its_limit(archive: Archive) -> None:
    done = cli("find", archive.url, "--limit", "1", "--format", "csv")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 2
    assert done.last_line == "1 study · limit reached"


def test_a_query_that_an_archive_refuses_is_a_failure(archive: Archive) -> None:
    done = cli("find", archive.url, "--level", "patient")
    assert done.code == 2, done.err
    assert "--model" in done.err


def test_echo_tells_how_long_it_took(archive: Archive) -> None:
    done = cli("echo", archive.url, "--repeat", "3", "--json")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["echo"] for line in lines] == [1, 2, 3]
    assert all(line["answeredInMS"] > 0 and line["error"] is None for line in lines)
    assert done.last_line.startswith("3 of 3 answered · min ")


def test_a_move_reaches_its_destination(archive: Archive) -> None:
    before = len(list(archive.store_folder.iterdir()))
    series = ["--series", dicom.uid("series", 22)]
    done = cli("move", archive.url, "--to", STORE_AET, "--study", SLICES, *series, "--json")
    assert done.code == 0, done.err
    (line,) = map(json.loads, done.out.splitlines())
    assert (line["completed"], line["failed"], line["reason"]) == (10, 0, None)
    assert len(list(archive.store_folder.iterdir())) == before + 10


def test_a_move_to_nobody_says_so(archive: Archive) -> None:
    done = cli("move", archive.url, "--to", "NOBODY", "--study", SLICES)
    assert done.code == 1, done.err
    assert "moved nothing (as the archive counts)" in done.last_line


# Beside odil


def odil(archive: Archive, folder: Path, *words: str) -> None:
    program = find_program("odil")
    assert program is not None
    host = ["127.0.0.1", str(archive.port), "ODIL", archive.aet, "study"]
    command = [program, "get", *host, "-d", str(folder), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr


def tree_of(folder: Path) -> dict[str, list[str]]:
    """Return which instances are in each folder."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "DICOMDIR":
            parent = str(path.parent.relative_to(folder))
            found.setdefault(parent, []).append(str(dcmread(path).SOPInstanceUID))
    return {parent: sorted(uids) for parent, uids in found.items()}


@pytest.mark.peer("odil")
@pytest.mark.parametrize(
    ("words", "study"),
    [
        pytest.param([], SLICES, id="flat, three series"),
        pytest.param([], NAMES, id="flat"),
        pytest.param(["-l", "tree"], NAMES, id="tree"),
        pytest.param(["-I"], SLICES, id="flat, ISO 9660"),
        pytest.param(["-l", "tree", "-I"], NAMES, id="tree, ISO 9660"),
        pytest.param(["-l", "tree", "-I", "-D"], NAMES, id="tree, ISO 9660, DICOMDIR"),
        pytest.param(
            ["-l", "tree", "-I", "-D", "-S", "StudyID:2", "-s", "SeriesDescription", "-i", "Rows"],
            NAMES,
            id="further keys in the DICOMDIR",
        ),
    ],
)
def test_the_same_command_makes_the_same_tree_as_odil(
    orthanc: Archive, tmp_path: Path, words: list[str], study: str
) -> None:
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}"]
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    odil(orthanc, theirs, *words, *keys)
    done = cli("get", orthanc.url, *keys, "-d", str(ours), *words, "--extension", "")
    assert done.code == 0, done.err
    assert tree_of(ours) == tree_of(theirs)
    names = {str(p.relative_to(theirs)) for p in theirs.rglob("*")}
    assert {str(p.relative_to(ours)) for p in ours.rglob("*")} == names
