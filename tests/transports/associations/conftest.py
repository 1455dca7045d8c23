"""Real DIMSE peers with known content, and the engines that have to get along with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trustme
from pydicom.uid import JPEGLSLossless, RLELossless

from asyncdicom.protocol.dimse.sop_classes import PATIENT_ROOT, PATIENT_STUDY_ONLY, STUDY_ROOT
from tests.support import dicom
from tests.support.dcmtk import QrscpOptions, running_dcmqrscp
from tests.support.orthanc import OrthancOptions, running_orthanc
from tests.support.peers import require_peer
from tests.support.processes import free_port
from tests.support.pynetdicom_peer import PynetdicomOptions, running_pynetdicom_peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from asyncdicom.protocol.dimse.sop_classes import QueryModel

ENGINES = ("native", "pynetdicom")
ARCHIVES = ("orthanc", "dcmqrscp", "pynetdicom-scp")

KINDS_STUDY, SLICES_STUDY = dicom.uid("study", 1), dicom.uid("study", 2)
SLICES = 24

# DCMTK writes sequences of undefined length with their length when it sends them;
# what it does not touch is what can be compared.
KINDS: dict[str, bytes] = {
    "CT": dicom.ct(number=101),
    "MR": dicom.mr(number=102),
    "multi-frame": dicom.multi_frame(number=103),
    "RLE": dicom.encapsulated(RLELossless, number=104),
    "JPEG-LS": dicom.encapsulated(JPEGLSLossless, number=105),
    "JPEG 2000": dicom.encapsulated(number=106, fragments_per_frame=4),
    "SR": dicom.structured_report(number=107),
    "private SOP class": dicom.private_object(number=108),
}


@dataclass(frozen=True)
class Held:
    """An instance that each archive holds."""

    content: bytes
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str

    @property
    def data_set(self) -> bytes:
        """What has to arrive."""
        return self.content[dicom.data_set_offset(self.content) :]


@dataclass(frozen=True)
class Archive:
    """A running archive, and what is known of it."""

    name: str
    port: int
    aet: str
    models: tuple[QueryModel, ...] = (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY)
    names_as_originator: str = "CONTRACT"
    """Move Originator AE Title in its C-STOREs: who asked for the C-MOVE (PS3.7 §9.3.1.1)."""


@dataclass(frozen=True)
class Authority:
    """Who vouches for whom, and the files that say so."""

    ca: trustme.CA
    folder: Path

    @property
    def ca_file(self) -> Path:
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(path))
        return path

    def identity(self, name: str) -> Path:
        """Write certificate and key for a name into one file."""
        path = self.folder / f"{name}.pem"
        self.ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(path))
        return path


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Run a test with each engine."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def held() -> Mapping[str, Held]:
    """Return one instance of each kind, by its name in words."""
    return {name: held_of(content) for name, content in KINDS.items()}


def held_of(content: bytes) -> Held:
    from io import BytesIO  # noqa: PLC0415 -- nobody else here needs it

    from pydicom import dcmread  # noqa: PLC0415 -- see above

    dataset = dcmread(BytesIO(content), stop_before_pixels=True)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    return Held(content, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), syntax)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what the archives hold: a study of one of each kind, and one of 24 slices."""
    folder = tmp_path_factory.mktemp("held")
    slices = [
        dicom.small_instance(number, series=10 + number % 2, study=2) for number in range(SLICES)
    ]
    for number, content in enumerate([*KINDS.values(), *slices]):
        (folder / f"{number:03d}.dcm").write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def mover_port() -> int:
    """Where every archive believes the AE title `MOVER` to listen."""
    return free_port()


@pytest.fixture(scope="session")
def orthanc_archive(
    tmp_path_factory: pytest.TempPathFactory, files: Path, mover_port: int
) -> Iterator[Archive]:
    require_peer("orthanc")
    options = OrthancOptions(
        dicom_aet="ARCHIVE", modalities=(("MOVER", mover_port), ("GONE", 1)), plugins=()
    )
    with running_orthanc(tmp_path_factory.mktemp("orthanc-dimse"), options) as server:
        server.upload(path.read_bytes() for path in sorted(files.iterdir()))
        yield Archive("orthanc", server.dicom_port, "ARCHIVE", (PATIENT_ROOT, STUDY_ROOT))


@pytest.fixture(scope="session")
def dcmqrscp_archive(
    tmp_path_factory: pytest.TempPathFactory, files: Path, mover_port: int
) -> Iterator[Archive]:
    require_peer("dcmtk")
    options = QrscpOptions(modalities=(("MOVER", mover_port), ("GONE", 1)))
    with running_dcmqrscp(tmp_path_factory.mktemp("dcmqrscp"), options) as server:
        server.register(sorted(files.iterdir()))
        yield Archive("dcmqrscp", server.port, server.aet)


@pytest.fixture(scope="session")
def pynetdicom_archive(files: Path, mover_port: int) -> Iterator[Archive]:
    with running_pynetdicom_peer(files, PynetdicomOptions(mover_port=mover_port)) as server:
        yield Archive("pynetdicom-scp", server.port, server.aet, names_as_originator=server.aet)


@pytest.fixture(params=ARCHIVES)
def archive(request: pytest.FixtureRequest) -> Archive:
    """Run a test against each archive."""
    fixture = f"{request.param.removesuffix('-scp')}_archive"
    found: Archive = request.getfixturevalue(fixture)
    return found


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(trustme.CA(), tmp_path_factory.mktemp("authority"))
