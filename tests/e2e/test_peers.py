"""The peers hold what the other tests here believe they hold; otherwise nothing else counts."""

from __future__ import annotations

import hashlib
import json
import subprocess
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support import peers
from tests.support.cod_store import running_cod_store
from tests.support.gcs import running_gcs
from tests.support.idc_layout import IdcLayout, collection, prior_versions
from tests.support.peers import PEERS, Peer, program_version, require_peer
from tests.support.rclone import RcloneOptions, running_rclone
from tests.support.s5cmd import s5cmd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Archive, StaticOrigin
    from tests.support.orthanc import Orthanc

STUDY_PART_COUNT = {"ct": 20, "small": 200, "mixed": 4}


def fetch(url: str, accept: str = "*/*") -> tuple[int, str, bytes]:
    """Return status, media type and payload of a plain HTTP/1.1 answer."""
    split = urlsplit(url)
    connection = HTTPConnection(split.netloc, timeout=40)
    try:
        connection.request("GET", f"{split.path}?{split.query}", headers={"Accept": accept})
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read()
    finally:
        connection.close()


def curl(*arguments: object) -> bytes:
    command = ["curl", "--silent", "--show-error", "--fail", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS if not peer.is_optional], ids=lambda peer: peer.name
)
def test_every_peer_says_its_version(peer: Any) -> None:
    require_peer(peer.name)

    assert program_version(peer) not in ("missing", "unknown")


@pytest.mark.parametrize(
    ("ci", "verdict"),
    [
        pytest.param("", pytest.skip.Exception, id="skipped on a workstation"),
        pytest.param("true", pytest.fail.Exception, id="failed in CI"),
    ],
)
def test_a_test_without_its_peer_is(
    monkeypatch: pytest.MonkeyPatch, ci: str, verdict: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(peers, "PEERS", (Peer("ghost", "/nowhere/ghost", "ghost-server"),))

    with pytest.raises(verdict, match="install the package ghost-server"):
        require_peer("ghost")


@pytest.mark.peer("orthanc-dicomweb")
@pytest.mark.parametrize("name", ["ct", "small", "mixed"])
def test_orthanc_gives_back_the_bytes_it_was_given(orthanc: Archive, name: str) -> None:
    study = orthanc.studies[name]
    uid, truth = next(iter(study.instances.items()))
    url = (
        f"{orthanc.url}/studies/{study.study_instance_uid}"
        f"/series/{truth.series_instance_uid}/instances/{uid}"
    )

    status, media_type, payload = fetch(
        url, 'multipart/related; type="application/dicom"; transfer-syntax=*'
    )

    content = payload.split(b"\r\n\r\n", 1)[1][: truth.byte_count]
    assert (status, media_type.split(";")[0]) == (200, "multipart/related")
    assert hashlib.sha256(content).hexdigest() == truth.sha256


@pytest.mark.peer("orthanc-dicomweb")
def test_orthanc_holds_every_instance_of_the_truth(orthanc: Archive) -> None:
    stored = orthanc.server.get_json("/statistics")["CountInstances"]

    assert stored == sum(len(study.instances) for study in orthanc.studies.values())


@pytest.mark.peer("orthanc-dicomweb")
def test_the_paging_archive_holds_2000_studies(orthanc_with_2000_studies: Orthanc) -> None:
    assert orthanc_with_2000_studies.get_json("/statistics")["CountStudies"] == 2000


@pytest.mark.peer("orthanc-dicomweb")
def test_the_archive_with_password_refuses_strangers(orthanc_with_password: Archive) -> None:
    status, _, _ = fetch(f"{orthanc_with_password.url}/studies")

    assert status == 401
    assert len(orthanc_with_password.server.get_json("/dicom-web/studies")) == 1


@pytest.mark.peer("nginx")
@pytest.mark.peer("curl")
@pytest.mark.parametrize(
    ("root", "arguments", "version"),
    [
        pytest.param("https_url", ["--http2"], "2", id="HTTP/2 by ALPN"),
        pytest.param("https_url", ["--http1.1"], "1.1", id="HTTP/1.1 over TLS"),
        pytest.param("http_url", [], "1.1", id="plain HTTP/1.1"),
        pytest.param("h2c_url", ["--http2-prior-knowledge"], "2", id="plain HTTP/2"),
    ],
)
def test_nginx_speaks_each_version_of_http(
    static_origin: StaticOrigin, root: str, arguments: list[str], version: str
) -> None:
    nginx = static_origin.nginx
    url = f"{getattr(nginx, root)}/{static_origin.studies['ct'].paths[0]}"

    answer = curl(*arguments, "--cacert", nginx.ca_file, "-w", "\n%{http_version}", url)

    assert answer.rpartition(b"\n")[2].decode() == version


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("name", ["ct", "small", "mixed"])
def test_nginx_answers_each_path_of_a_dump(static_origin: StaticOrigin, name: str) -> None:
    study = static_origin.studies[name]

    answers = {path: fetch(f"{static_origin.nginx.http_url}/{path}") for path in study.paths}

    assert {status for status, _, _ in answers.values()} == {200}
    assert {
        path: media_type.split("; boundary")[0] for path, (_, media_type, _) in answers.items()
    } == {
        path: "application/dicom+json"
        if path.endswith("metadata")
        else 'multipart/related; type="application/octet-stream"'
        for path in study.paths
    }


@pytest.mark.peer("nginx")
@pytest.mark.parametrize("name", ["ct", "small", "mixed"])
def test_a_study_of_nginx_is_one_whole_multipart(static_origin: StaticOrigin, name: str) -> None:
    study = static_origin.studies[name]
    path = f"{static_origin.nginx.http_url}/studies/{study.study_instance_uid}"

    _, media_type, payload = fetch(path)
    metadata = json.loads(fetch(f"{path}/metadata")[2])

    delimiter = f"--{media_type.rpartition('boundary=')[2]}".encode()
    preamble, *parts, epilogue = payload.split(delimiter)
    contents = [part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in parts]
    assert (preamble, epilogue) == (b"", b"--\r\n")
    assert [hashlib.sha256(content).hexdigest() for content in contents] == [
        truth.sha256 for truth in study.instances.values()
    ]
    assert len(metadata) == STUDY_PART_COUNT[name]


@pytest.mark.peer("nginx")
@pytest.mark.parametrize(("offset", "count"), [(0, 200), (200, 0)], ids=["first", "second"])
def test_a_search_of_nginx_has_one_page(
    static_origin: StaticOrigin, offset: int, count: int
) -> None:
    study = static_origin.studies["small"]
    url = f"{static_origin.nginx.http_url}/studies/{study.study_instance_uid}/instances"

    status, _, payload = fetch(f"{url}?limit=500&offset={offset}")

    assert (status, len(json.loads(payload or "[]"))) == (200 if count else 204, count)


@pytest.mark.peer("nginx")
def test_what_nginx_does_not_hold_is_not_found(static_origin: StaticOrigin) -> None:
    status, _, _ = fetch(f"{static_origin.nginx.http_url}/studies/2.999.404/metadata")

    assert status == 404


@pytest.mark.peer("rclone")
@pytest.mark.peer("s5cmd")
def test_a_series_that_rclone_serves_is_what_s5cmd_fetches(tmp_path: Path) -> None:
    layout = IdcLayout(tmp_path / "buckets")
    objects = layout.add(collection("prostate_3t")[:1], scale=0.1)

    with running_rclone(tmp_path, layout.root) as server:
        url = f"s3://idc-open-data/{objects[0].series.crdc_series_uuid}/*"
        done = s5cmd(server.url, "cp", url, f"{tmp_path / 'got'}/")

    assert (done.returncode, done.stderr) == (0, "")
    got = {path.name: path.read_bytes() for path in (tmp_path / "got").iterdir()}
    assert got == {layout.path(one).name: layout.path(one).read_bytes() for one in objects}


@pytest.mark.peer("rclone")
@pytest.mark.peer("s5cmd")
def test_rclone_with_a_key_refuses_strangers(tmp_path: Path) -> None:
    layout = IdcLayout(tmp_path / "buckets")
    layout.add(prior_versions()[:1], scale=0.1)

    options = RcloneOptions(auth_key=("reader", "open sesame"))
    with running_rclone(tmp_path, layout.root, options) as server:
        done = s5cmd(server.url, "--retry-count", "0", "ls", "s3://idc-open-data/")

    assert done.returncode == 1


def test_the_files_of_a_whole_collection_have_the_size_of_the_index(tmp_path: Path) -> None:
    layout = IdcLayout(tmp_path / "buckets")
    series = collection("qin_pet_phantom")[:2]

    objects = layout.add(series)

    assert len(objects) == sum(one.instance_count for one in series)
    written = sum(layout.path(one).stat().st_size for one in objects)
    assert written == sum(one.byte_count for one in series)


@pytest.mark.peer("fake-gcs-server")
def test_the_emulator_of_google_gives_back_what_was_uploaded(tmp_path: Path) -> None:
    with running_gcs(tmp_path, {"bucket": {"a/1": b"one", "a/2": b"two"}}) as gcs:
        assert gcs.keys("bucket", "a/") == ["a/1", "a/2"]
        assert gcs.download("bucket", "a/2") == b"two"


@pytest.mark.peer("fake-gcs-server")
@pytest.mark.peer("cloud-optimized-dicom")
def test_tars_of_the_package_hold_what_it_was_given(tmp_path: Path) -> None:
    with running_cod_store(tmp_path) as store:
        written = {name: store.instances(name) for name in store.series}

    for name, series in store.series.items():
        assert set(written[name]) == set(series.instance_uids)
        # What it re-encodes are other bytes, as they should be.
        assert (list(written[name].values()) == series.files()) != series.is_compressed
