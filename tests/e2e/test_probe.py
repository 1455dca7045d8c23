"""`asyncdicom probe` as a process, against real servers and against ones that misbehave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.mock.server import MockServer
from asyncdicom.mock.synthetic import SyntheticArchive, SyntheticOptions
from tests.e2e.support import cli
from tests.support import dicom
from tests.support.datasets import SliceStudy
from tests.support.dcmtk import running_dcmqrscp, running_storescp
from tests.support.nginx import Nginx, running_nginx
from tests.support.orthanc import Orthanc, OrthancOptions, running_orthanc
from tests.support.peers import require_peer
from tests.support.static_tree import StaticTree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.support import Completed


def findings(done: Completed) -> dict[str, dict[str, Any]]:
    return {f"{one['topic']}: {one['name']}": one for one in json.loads(done.out)["findings"]}


def odd(done: Completed) -> set[str]:
    return {name for name, one in findings(done).items() if one["is_odd"]}


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    require_peer("orthanc-dicomweb")
    options = OrthancOptions(dicom_aet="ORTHANC")
    with running_orthanc(tmp_path_factory.mktemp("orthanc_probe"), options) as server:
        server.upload(dicom.ct(number=100 * n, study=n) for n in range(1, 12))
        yield server


@pytest.mark.peer("orthanc-dicomweb")
def test_orthanc_pages_honestly_and_does_not_decode(orthanc: Orthanc) -> None:
    done = cli("probe", orthanc.dicomweb_url, "--json")
    seen = findings(done)
    assert done.code == 0
    assert seen["paging: offset"]["value"] == seen["paging: limit"]["value"] == "honoured"
    assert seen["paging: longest-page"]["value"] == 11
    assert seen["counts: NumberOfStudyRelatedInstances"]["value"] == 1
    assert seen["search: gzip"]["value"] is True
    assert "search: decodes-keys" in odd(done)


@pytest.mark.peer("orthanc-dicomweb")
@pytest.mark.parametrize("engine", ["native", "pynetdicom"])
def test_orthanc_is_probed_over_dimse_by_both_engines(orthanc: Orthanc, engine: str) -> None:
    source = f"dicom://ORTHANC@127.0.0.1:{orthanc.dicom_port}"
    done = cli("probe", source, "--json", "--dimse-engine", engine)
    seen = findings(done)
    assert (done.code, odd(done)) == (0, set())
    assert seen["association: implementation-version"]["value"].startswith("OFFIS_DCMTK")
    assert seen["association: max-pdu-bytes"]["value"] == 16384
    assert seen["association: operations-at-once"]["value"] == 1
    assert "Explicit VR Little Endian" in seen["models: study get"]["value"]
    assert seen["study model: IMAGE level"]["value"] is True
    assert seen["storage: receiver-role"]["value"] is True
    assert "RLE Lossless" in seen["storage: transfer syntaxes of CT Image Storage"]["value"]


@pytest.mark.peer("dcmtk")
def test_the_few_classes_that_dcmqrscp_takes_are_told(tmp_path: Path) -> None:
    with running_dcmqrscp(tmp_path) as archive:
        done = cli("probe", f"dicom://{archive.aet}@127.0.0.1:{archive.port}", "--json")
    seen = findings(done)
    assert (done.code, odd(done)) == (0, set())
    # The same five that getscu is granted; its configuration names no others.
    assert seen["storage: classes"]["value"] == 5
    assert "Ultrasound Image Storage" in seen["storage: refused-classes"]["value"]
    assert seen["study model: STUDY level"]["value"] == "unknown"


@pytest.mark.peer("dcmtk")
def test_a_receiver_is_no_archive(tmp_path: Path) -> None:
    with running_storescp(tmp_path) as receiver:
        done = cli("probe", f"dicom://{receiver.aet}@127.0.0.1:{receiver.port}", "--json")
    seen = findings(done)
    assert odd(done) == {"models: any"}
    assert seen["storage: asked-as"]["value"] == "sender"
    assert json.loads(done.out)["profile"] == {}


@pytest.mark.peer("orthanc-dicomweb")
def test_a_wrong_called_ae_title_is_a_refusal(orthanc: Orthanc) -> None:
    done = cli("probe", f"dicom://WRONG@127.0.0.1:{orthanc.dicom_port}")
    assert (done.code, done.out) == (5, "")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """Serve files: every search for studies is answered with the same three."""
    require_peer("nginx")
    folder = tmp_path_factory.mktemp("nginx_probe")
    tree = StaticTree(folder / "root")
    studies = [SliceStudy(number=n, instance_count=1, rows=8, columns=8) for n in (1, 2, 3)]
    for study in studies:
        tree.add(study)
    answers = [{"0020000D": {"vr": "UI", "Value": [study.study_instance_uid]}} for study in studies]
    tree.write("studies", [json.dumps(answers).encode()])
    with running_nginx(folder, tree.root) as nginx:
        yield nginx


@pytest.mark.peer("nginx")
def test_files_behind_nginx_are_no_archive(files: Nginx) -> None:
    done = cli("probe", files.https_url, "--cacert", str(files.ca_file), "--json")
    seen = findings(done)
    assert done.code == 0
    assert seen["connection: http-version"]["value"] == "2"
    assert seen["connection: server"]["value"].startswith("nginx")
    assert seen["paging: limit"]["value"] == "ignored"
    assert seen["paging: offset"]["value"] == "ignored"
    assert seen["search: no-match"]["value"] == "ignores keys"
    assert seen["metadata: refuses-what-it-has-not"]["value"] == "ignores Accept"
    assert json.loads(done.out)["profile"]["http2"] is True


@pytest.mark.peer("nginx")
def test_http_1_is_seen(files: Nginx) -> None:
    done = cli("probe", files.http_url, "--json")
    assert findings(done)["connection: http-version"]["value"] == "1.1"


@pytest.mark.peer("nginx")
def test_a_certificate_that_is_not_trusted_is_a_refusal(files: Nginx) -> None:
    done = cli("probe", files.https_url)
    assert (done.code, done.out) == (5, "")


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [
        pytest.param("", "paging: offset", "honoured", id="none"),
        pytest.param("ignore-offset:search", "paging: offset", "ignored", id="offset ignored"),
        pytest.param("cap:search:n=10", "paging: cap", 10, id="capped"),
        pytest.param("warning:search:n=10", "paging: cap", 10, id="capped with a warning"),
        pytest.param("short-pages:search", "paging: limit", "short pages", id="short pages"),
        pytest.param("repeat-pages:search", "paging: offset", "ignored", id="pages repeated"),
    ],
)
def test_paging_faults_of_the_mock_are_found(fault: str, name: str, value: object) -> None:
    archive = SyntheticArchive(SyntheticOptions(studies=25, instances=2, rows=8))
    with start_blocking_portal() as portal:
        server = MockServer(archive, faults=[fault] if fault else [])
        with portal.wrap_async_context_manager(server):
            done = cli("probe", server.url, "--json")
    seen = findings(done)
    assert done.code == 0
    assert seen[name]["value"] == value
    assert seen[name]["is_odd"] is bool(fault)
