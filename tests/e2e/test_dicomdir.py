"""`get -I -D` from a real archive, beside `odil get -I -D`: files, DICOMDIR, exit codes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pydicom
import pytest

from tests.e2e.support import cli
from tests.support import dicom
from tests.support.media import listable, report_document, tree_of
from tests.support.orthanc import OrthancOptions, running_orthanc
from tests.support.peers import require_peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.support import Completed
    from tests.support.orthanc import Orthanc

pytestmark = [pytest.mark.peer("orthanc"), pytest.mark.timeout(240)]

IMAGES, MIXED, BARE = (dicom.uid("study", number) for number in (1, 2, 3))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    require_peer("orthanc")
    options = OrthancOptions(dicom_aet="ORTHANC", plugins=())
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), options) as orthanc:
        images = [listable(n, series=1 + n % 2) for n in range(1, 6)]
        report = report_document(
            12, StudyInstanceUID=MIXED, SeriesInstanceUID=dicom.uid("series", 9)
        )
        mixed = [listable(11, study=2, series=8), report]
        bare = [listable(21, study=3, series=7, StudyID="")]
        orthanc.upload(dicom.part10(one) for one in (*images, *mixed, *bare))
        yield orthanc


def get(archive: Orthanc, study: str, folder: Path, *words: str) -> Completed:
    source = f"dicom://ORTHANC@127.0.0.1:{archive.dicom_port}"
    return cli("get", source, "--study", study, "-o", str(folder), "-l", "tree", *words)


def instances_of(folder: Path) -> Any:
    """Return the tree of a DICOMDIR with instances in the place of files, which are numbered."""

    def named(tree: Any) -> Any:
        return sorted(
            (type_, identity if below else sop_instance_uid(folder / identity), named(below))
            for type_, identity, below in tree
        )

    return named(tree_of(folder / "DICOMDIR"))


def sop_instance_uid(path: Path) -> str:
    return str(pydicom.dcmread(path).SOPInstanceUID)


def types_in(folder: Path) -> list[str]:
    records = pydicom.dcmread(folder / "DICOMDIR").DirectoryRecordSequence
    return sorted(record.DirectoryRecordType for record in records)


@pytest.mark.peer("odil")
def test_the_records_are_those_of_odil(archive: Orthanc, tmp_path: Path) -> None:
    require_peer("odil")
    done = get(archive, IMAGES, tmp_path / "ours", "-I", "-D")
    assert done.code == 0
    assert "5 stored · 0 missing" in done.err
    assert "Traceback" not in done.err
    words = ["127.0.0.1", str(archive.dicom_port), "ME", "ORTHANC", "study"]
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={IMAGES}"]
    subprocess.run(
        ["odil", "get", "-d", tmp_path / "odil", "-I", "-D", "-l", "tree", *words, *keys],
        check=True, capture_output=True,
    )  # fmt: skip
    assert instances_of(tmp_path / "ours") == instances_of(tmp_path / "odil")


def test_a_second_study_joins_the_first(archive: Orthanc, tmp_path: Path) -> None:
    assert get(archive, IMAGES, tmp_path, "-I", "-D").code == 0
    done = get(archive, MIXED, tmp_path, "-I", "-D")
    assert done.code == 0
    assert "7 instances listed (2 now, 5 before)" in done.err
    assert (
        types_in(tmp_path)
        == ["IMAGE"] * 6 + ["PATIENT"] + ["SERIES"] * 4 + ["SR DOCUMENT"] + ["STUDY"] * 2
    )


def test_a_study_without_an_id_is_named_and_may_be_listed(archive: Orthanc, tmp_path: Path) -> None:
    done = get(archive, BARE, tmp_path, "-I", "-D")
    assert done.code == 1
    assert "lacks StudyID, which its STUDY record needs" in done.err
    assert not (tmp_path / "DICOMDIR").exists()
    assert get(archive, BARE, tmp_path, "-I", "-D", "-S", "StudyID:2").code == 0
    assert types_in(tmp_path) == ["IMAGE", "PATIENT", "SERIES", "STUDY"]


def test_keys_of_ones_own_are_copied(archive: Orthanc, tmp_path: Path) -> None:
    words = ["-p", "PatientSex:2", "-S", "StudyID:1", "-s", "SeriesDescription", "-i", "Rows"]
    assert get(archive, IMAGES, tmp_path, "-I", "-D", *words).code == 0
    records = pydicom.dcmread(tmp_path / "DICOMDIR").DirectoryRecordSequence
    by_type = {record.DirectoryRecordType: record for record in records}
    assert by_type["PATIENT"].PatientSex == ""
    assert by_type["SERIES"].SeriesDescription == "axial 1.0"
    assert by_type["IMAGE"].Rows == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["-D"], "a DICOMDIR needs ISO 9660 names; add -I", id="other names"),
        pytest.param(["-I", "-D", "--zip"], "not with --zip", id="archives"),
        pytest.param(["-I", "-s", "Modality"], "--series-key goes with -D", id="a key alone"),
        pytest.param(["-I", "-D", "-p", "Nonsense"], "no such attribute: 'Nonsense'", id="no key"),
    ],
)
def test_what_disagrees_is_refused_before_anything_is_asked(
    tmp_path: Path, words: list[str], message: str
) -> None:
    # Nobody listens there: a connection would end with another code.
    source = "dicom://NOBODY@127.0.0.1:1"
    done = cli("get", source, "--study", "1.2.3", "-o", str(tmp_path / "out"), *words)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()
