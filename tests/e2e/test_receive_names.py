"""What real clients send gets the names that real dcmrecv gives, scheme by scheme."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, MRImageStorage

from tests.e2e.receive_support import files_in, running_dcmrecv, running_receive, send, sent
from tests.support.dicom import (
    PRIVATE_SOP_CLASS,
    add_pixels,
    data_set_offset,
    identified,
    part10,
    private_object,
    structured_report,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.peer("dcmtk")

PROFILE = f"""[[TransferSyntaxes]]
[Any]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[All]
PresentationContext1 = VerificationSOPClass\\Any
PresentationContext2 = CTImageStorage\\Any
PresentationContext3 = MRImageStorage\\Any
PresentationContext4 = BasicTextSRStorage\\Any
PresentationContext5 = {PRIVATE_SOP_CLASS}\\Any
[[Profiles]]
[Every Thing]
PresentationContexts = All
"""


def image(number: int, sop_class_uid: str, series_date: str | None) -> bytes:
    dataset = identified(sop_class_uid=sop_class_uid, number=number)
    del dataset.SeriesDate
    if series_date is not None:
        # As DA no writer lets such values pass; in this transfer syntax nobody sees the VR.
        dataset.add_new(0x00080021, "LO", series_date)
    add_pixels(dataset, rows=4, columns=4)
    return part10(dataset, ImplicitVRLittleEndian)


DATES = ("20200304", "2020.03.04", "20201399", "20200230", "", None, "2020-03-04", "20200304\\2021")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images with every kind of date, a report, and an object of a private class."""
    folder = tmp_path_factory.mktemp("sent")
    contents = [image(number, CTImageStorage, date) for number, date in enumerate(DATES, 1)]
    contents += [image(20, MRImageStorage, "20191231")]
    contents += [structured_report(number=21), private_object(number=22)]
    paths = [folder / f"{number:02}.dcm" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    file = tmp_path_factory.mktemp("profile") / "storescp.cfg"
    file.write_text(PROFILE)
    return ("-xf", str(file), "everything")


def shape_of(path: str) -> str:
    """Let what is new each time stand for itself: UIDs, random digits, times, today."""
    path = re.sub(r"\.X\.[0-9.]*[0-9]", ".X.NEWUID", path)
    path = re.sub(r"_[0-9a-f]{16}", "_HEX", path)
    path = re.sub(r"\b\d{14}\.\d{6}\.", "TIME.", path)
    return re.sub(r"^undef/\d{8}/", "undef/TODAY/", path)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("", id="defaults"),
        pytest.param("+fd -fe .dcm", id="by UID, extension"),
        pytest.param("-fe dcm", id="extension verbatim"),
        pytest.param("-fe /../é~x", id="hostile extension"),
        pytest.param("--unique-filenames -fe .dcm", id="new UIDs"),
        pytest.param("+fsu", id="short"),
        pytest.param("--system-time-names -fe .d", id="times"),
        pytest.param("+ssd", id="dates"),
        pytest.param("--series-date-subdir +fu", id="dates, new UIDs"),
        pytest.param("+ssd --short-unique-names -fe .dcm", id="dates, short"),
        pytest.param("+ssd +fst", id="dates, times"),
        pytest.param("+fu +ssd -s +fst +fd", id="the last word wins"),
        pytest.param("+B +fsu", id="bit-preserving"),
    ],
)
def test_names_are_those_of_dcmrecv(
    words: str, files: list[Path], profile: tuple[str, ...], tmp_path: Path
) -> None:
    given = [*profile, *words.split()]
    with running_dcmrecv(tmp_path, *given) as port:
        send(port, files, program="dcmsend")
    with running_receive(tmp_path, *given, "--durability", "none") as receiver:
        send(receiver.port, files, program="dcmsend")
    assert receiver.code == 0, receiver.log()
    theirs, ours = files_in(tmp_path / "theirs"), files_in(receiver.folder)
    assert len(ours) == len(files)
    assert sorted(map(shape_of, ours)) == sorted(map(shape_of, theirs))
    # The other two were written by pydicom in another transfer syntax.
    assert data_sets(ours.values()) >= data_sets(path.read_bytes() for path in files[:-2])


def data_sets(contents: Iterable[bytes]) -> set[bytes]:
    return {content[data_set_offset(content) :] for content in contents}


def test_objects_without_a_date_go_to_today(files: list[Path], tmp_path: Path) -> None:
    before = datetime.now()  # noqa: DTZ005 -- names show local time
    with running_receive(tmp_path, "+ssd", "--durability", "none") as receiver:
        send(receiver.port, files[5:6])
    days = {f"{before + timedelta(days=n):%Y%m%d}" for n in (0, 1)}
    ((path, _),) = files_in(receiver.folder).items()
    assert path.split("/")[1] in days


def test_bit_preserving_and_dates_go_together(files: list[Path], tmp_path: Path) -> None:
    with running_receive(tmp_path, "+B", "+ssd", "--durability", "none") as receiver:
        send(receiver.port, files[:1], "-xi")
    ((path, content),) = files_in(receiver.folder).items()
    assert path == "data/2020/03/04/CT.2.999.3.10000001"
    assert data_sets([content]) == data_sets([files[0].read_bytes()])


@pytest.mark.parametrize(
    ("scheme", "count"),
    [("+fd", 1), ("+fu", 3), ("+fsu", 3), ("+fst", 3)],
    ids=["+fd", "+fu", "+fsu", "+fst"],
)
def test_what_comes_again_replaces_or_stands_beside(
    scheme: str, count: int, files: list[Path], tmp_path: Path
) -> None:
    with running_receive(tmp_path, scheme, "--durability", "none") as receiver:
        send(receiver.port, files[:1] * 3)
    assert len(files_in(receiver.folder)) == count
    assert receiver.names().count("stored") == 3
    assert receiver.names().count("duplicate") == 3 - count


@pytest.mark.parametrize(
    ("words", "path"),
    [
        pytest.param("--layout flat", "2.999.3.10000001.dcm", id="flat"),
        pytest.param("--layout flat --extension ima", "2.999.3.10000001.ima", id="extension"),
        pytest.param(
            "-l tree", "Doe^Jane^^Dr/S1_Head and neck/1_axial 1.0/2.999.3.10000001.dcm", id="tree"
        ),
        pytest.param("-l tree -I", "DOE_JANE/S1_HEAD_/1_AXIAL_/IM000001", id="tree, ISO 9660"),
        pytest.param("-I", "IM000001", id="ISO 9660"),
        pytest.param("-l {PatientID}/%Modality", "P-0042/OT/2.999.3.10000001.dcm", id="template"),
        pytest.param("--extension dcm", "CT.2.999.3.10000001.dcm", id="DCMTK's with a dot"),
        pytest.param("--extension .dcm -fe x", "CT.2.999.3.10000001x", id="the last extension"),
    ],
)
def test_names_may_be_those_of_get(
    words: str, path: str, files: list[Path], tmp_path: Path
) -> None:
    with running_receive(tmp_path, *words.split(), "--durability", "none") as receiver:
        send(receiver.port, files[:1])
    assert list(files_in(receiver.folder)) == [path]


def test_a_link_in_the_folder_leads_nowhere(files: list[Path], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "data").symlink_to(outside)
    with running_receive(tmp_path, "+ssd", "--durability", "none") as receiver:
        sent(receiver.port, files[:1])
        send(receiver.port, files[4:5])
    (refused,) = (event for event in receiver.events() if event["event"] == "refused")
    assert (refused["status"], refused["reason"]) == ("A700", "unsafe-name")
    assert list(outside.iterdir()) == []
    assert [path.split("/")[0] for path in files_in(receiver.folder)] == ["undef"]
