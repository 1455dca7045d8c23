"""Real peers for the tests here: started once per session, on loopback, with known content."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.datasets import InstanceTruth, MixedStudy, SampleStudy, SliceStudy, truth_of
from tests.support.nginx import Nginx, running_nginx
from tests.support.orthanc import Orthanc, OrthancOptions, running_orthanc
from tests.support.peers import require_peer
from tests.support.static_tree import StaticTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGING_STUDY_COUNT = 2000
BASIC_CREDENTIALS = ("tester", "open sesame")


@dataclass(frozen=True, slots=True)
class Truth:
    """A study as it must come back, and the paths at which a static origin has it."""

    study_instance_uid: str
    instances: Mapping[str, InstanceTruth]
    """By SOP Instance UID."""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Archive:
    """A running Orthanc and what it holds."""

    server: Orthanc
    studies: dict[str, Truth] = field(default_factory=dict)
    """`ct` (300 x 512 KB), `small` (1,000 x 1 KB), `mixed` (see `MixedStudy`)."""

    @property
    def url(self) -> str:
        """Root of DICOMweb."""
        return self.server.dicomweb_url

    def add(self, name: str, study: SampleStudy) -> None:
        """Store a study, and remember what must come back."""
        self.server.upload(instance.content for instance in study.instances())
        self.studies[name] = Truth(study.study_instance_uid, truth_of(study))


@dataclass(frozen=True, slots=True)
class StaticOrigin:
    """A running nginx and what it holds."""

    nginx: Nginx
    studies: dict[str, Truth]
    """`ct` (20 x 512 KB), `small` (200 x 4 KB), `mixed` (see `MixedStudy`)."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `peer(name)` without that peer; in CI, fail it."""
    for marker in item.iter_markers("peer"):
        require_peer(marker.args[0])


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Orthanc with three studies; uploading takes about two seconds."""
    require_peer("orthanc-dicomweb")
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        archive = Archive(server)
        archive.add("ct", SliceStudy(number=1, instance_count=300))
        archive.add("small", SliceStudy(number=2, instance_count=1000, rows=16, columns=16))
        archive.add("mixed", MixedStudy(number=3))
        yield archive


@pytest.fixture(scope="session")
def orthanc_with_2000_studies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc with 2,000 studies of one instance, for paging; uploading takes about five seconds.

    Study n has the number 10,000 + n, so PatientID `P10000` to `P11999`.
    """
    require_peer("orthanc-dicomweb")
    studies = (
        SliceStudy(number=10_000 + n, instance_count=1, rows=8, columns=8)
        for n in range(PAGING_STUDY_COUNT)
    )
    with running_orthanc(tmp_path_factory.mktemp("orthanc_paging")) as server:
        server.upload(instance.content for study in studies for instance in study.instances())
        yield server


@pytest.fixture(scope="session")
def orthanc_with_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Orthanc with HTTP Basic (`BASIC_CREDENTIALS`) that holds the `mixed` study."""
    require_peer("orthanc-dicomweb")
    options = OrthancOptions(credentials=BASIC_CREDENTIALS)
    with running_orthanc(tmp_path_factory.mktemp("orthanc_password"), options) as server:
        archive = Archive(server)
        archive.add("mixed", MixedStudy(number=3))
        yield archive


@pytest.fixture(scope="session")
def static_origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticOrigin]:
    """An nginx that speaks HTTP/2 over TLS, HTTP/1.1 and h2c, with three studies."""
    require_peer("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    tree = StaticTree(folder / "root")
    studies: dict[str, SampleStudy] = {
        "ct": SliceStudy(number=1, instance_count=20, series_count=2),
        "small": SliceStudy(number=2, instance_count=200, rows=32, columns=64),
        "mixed": MixedStudy(number=3),
    }
    truths = {
        name: Truth(study.study_instance_uid, truth_of(study), tuple(tree.add(study)))
        for name, study in studies.items()
    }
    with running_nginx(folder, tree.root) as nginx:
        yield StaticOrigin(nginx, truths)
