"""What archives seldom have switched on, against real ones that do: TLS, worklists, IPv6."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from tests.e2e.support import cli, files_below
from tests.support import dicom
from tests.support.certificates import Pki
from tests.support.dcmtk import running_wlmscpfs
from tests.support.orthanc import DicomTls, OrthancOptions, running_orthanc
from tests.support.peers import require_peer
from tests.support.pynetdicom_peer import PynetdicomOptions, running_pynetdicom_peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

STUDY = dicom.uid("study", 1)
FILES = [dicom.small_instance(300 + number, study=1) for number in range(6)]
ENGINES = ["native", "pynetdicom"]


# TLS


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def secured(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve over TLS only, to those who prove themselves."""
    require_peer("orthanc")
    tls = DicomTls(pki.server.cert, pki.server.key, pki.ca)
    options = OrthancOptions(dicom_aet="ORTHANC", dicom_tls=tls, plugins=())
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), options) as server:
        server.upload(FILES)
        yield f"dicoms://ORTHANC@127.0.0.1:{server.dicom_port}"


def ours(pki: Pki) -> list[str]:
    """Say who we are, and whom we trust."""
    identity = ("--cert", str(pki.elliptic_server.cert), "--key", str(pki.elliptic_server.key))
    return ["--cacert", str(pki.ca), *identity]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_archive_over_tls_is_asked_and_fetched_from(
    secured: str, pki: Pki, engine: str, tmp_path: Path
) -> None:
    words = [*ours(pki), "--dimse-engine", engine]
    assert cli("echo", secured, *words).code == 0
    found = cli("find", secured, f"StudyInstanceUID={STUDY}", "--format", "json", *words)
    assert (found.code, len(json.loads(found.out))) == (0, 1)
    got = cli("get", secured, "--study", STUDY, "-o", str(tmp_path / "out"), *words)
    assert got.code == 0, got.err
    assert got.last_line.startswith(f"{len(FILES)} stored · 0 missing · 0 corrupt")
    assert len(files_below(tmp_path / "out")) == len(FILES)


def test_who_shows_no_certificate_is_refused(secured: str, pki: Pki, tmp_path: Path) -> None:
    done = cli("get", secured, "--study", STUDY, "-o", str(tmp_path), "--cacert", str(pki.ca))
    assert done.code == 5
    assert files_below(tmp_path) == {}


def test_an_archive_that_nobody_vouches_for_is_not_spoken_to(secured: str, tmp_path: Path) -> None:
    done = cli("get", secured, "--study", STUDY, "-o", str(tmp_path))
    assert done.code == 5
    assert "--cacert" in done.err


# Worklist


def step(patient: str, modality: str, date: str) -> Dataset:
    """Return one scheduled procedure step (PS3.4 §K.6.1.2)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage  # a file has to say something
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dicom.uid("study", 7))
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.AccessionNumber = "4711"
    dataset.PatientName = patient
    dataset.PatientID = patient.partition("^")[0]
    dataset.StudyInstanceUID = dicom.uid("study", 8)
    dataset.RequestedProcedureDescription = "EXAM"
    dataset.RequestedProcedureID = "R1"
    item = Dataset()
    item.Modality = modality
    item.ScheduledStationAETitle = "CT1"
    item.ScheduledProcedureStepStartDate = date
    item.ScheduledProcedureStepStartTime = "101500"
    item.ScheduledPerformingPhysicianName = "DOE^JOHN"
    item.ScheduledProcedureStepDescription = "HEAD"
    item.ScheduledProcedureStepID = "S1"
    dataset.ScheduledProcedureStepSequence = [item]
    return dataset


STEPS = [
    step("BEETHOVEN^LUDWIG", "CT", "20260101"),
    step("MOZART^WOLFGANG", "MR", "20260101"),
    step("HÄNDEL^GEORG", "CT", "20260102"),
]

IN_STEP = "ScheduledProcedureStepSequence."


@pytest.fixture(scope="module")
def worklist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_peer("dcmtk")
    with running_wlmscpfs(tmp_path_factory.mktemp("worklists"), STEPS) as port:
        yield f"dicom://RIS@127.0.0.1:{port}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("keys", "patients"),
    [
        pytest.param((), ["BEETHOVEN^LUDWIG", "HÄNDEL^GEORG", "MOZART^WOLFGANG"], id="all"),
        pytest.param((f"{IN_STEP}Modality=MR",), ["MOZART^WOLFGANG"], id="within the sequence"),
        pytest.param(
            (f"{IN_STEP}Modality=CT", f"{IN_STEP}ScheduledProcedureStepStartDate=20260102"),
            ["HÄNDEL^GEORG"],
            id="two of one item",
        ),
        pytest.param(("PatientName=BEET*",), ["BEETHOVEN^LUDWIG"], id="of the patient"),
    ],
)
def test_a_worklist_is_searched(
    worklist: str, engine: str, keys: Sequence[str], patients: list[str]
) -> None:
    words = ["--model", "worklist", "--format", "json", "--dimse-engine", engine]
    returned = [] if any(key.startswith("PatientName") for key in keys) else ["PatientName"]
    done = cli("find", worklist, *keys, *returned, *words)
    assert done.code == 0, done.err
    answers = json.loads(done.out)
    assert sorted(one["00100010"]["Value"][0]["Alphabetic"] for one in answers) == patients


def test_a_worklist_without_a_match_is_told(worklist: str) -> None:
    done = cli("find", worklist, f"{IN_STEP}Modality=US", "--model", "worklist")
    assert done.code == 4


# IPv6


@pytest.fixture(scope="module")
def on_ipv6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("held")
    for number, content in enumerate(FILES):
        (folder / f"{number}.dcm").write_bytes(content)
    with running_pynetdicom_peer(folder, PynetdicomOptions(host="::1")) as peer:
        yield f"dicom://{peer.aet}@[::1]:{peer.port}"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_archive_on_ipv6_is_fetched_from(on_ipv6: str, engine: str, tmp_path: Path) -> None:
    words = ["--dimse-engine", engine]
    assert cli("echo", on_ipv6, *words).code == 0
    done = cli("get", on_ipv6, "--study", STUDY, "-o", str(tmp_path), *words)
    assert done.code == 0, done.err
    assert len(files_below(tmp_path)) == len(FILES)
