"""A real Orthanc with its DICOMweb plugin, in its own folder and on free ports.

    with running_orthanc(folder) as orthanc:
        orthanc.upload(paths)
        subprocess.run(["asyncdicom", "find", orthanc.dicomweb_url])

Debian's package brings a service; this is always another process, with another
configuration, storage and port, listening on loopback only. It ends with the block.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from tests.support.peers import find_program
from tests.support.processes import free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["DicomTls", "Orthanc", "OrthancOptions", "running_orthanc"]

DICOMWEB_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
START_DEADLINE_S = 50.0
UPLOAD_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class DicomTls:
    """PEM files of a DICOM server over TLS."""

    cert_file: Path
    key_file: Path
    ca_file: Path
    """Who vouches for clients."""


@dataclass(frozen=True, slots=True)
class OrthancOptions:
    """What differs between the archives that tests ask for."""

    credentials: tuple[str, str] | None = None
    """User name and password of HTTP Basic; without them everyone may do everything."""
    metadata_mode: str = "Full"
    """`Full`, or `MainDicomTags`: what metadata of a study or series holds."""
    has_http_compression: bool = True
    """Honour `Accept-Encoding`, as Orthanc does by default."""
    dicom_aet: str | None = None
    """AE title of its DICOM server; None opens no DICOM port. Whoever calls may do everything."""
    modalities: tuple[tuple[str, int], ...] = ()
    """AE titles and ports of 127.0.0.1 that it may send to, for C-MOVE."""
    dicom_tls: DicomTls | None = None
    """Then its DICOM server speaks TLS only, and clients prove themselves."""
    plugins: tuple[str, ...] = (DICOMWEB_PLUGIN,)


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running archive."""

    port: int
    process_id: int
    credentials: tuple[str, str] | None
    dicom_port: int = 0
    """Of its DICOM server; 0 without one."""
    dicom_aet: str = ""

    @property
    def url(self) -> str:
        """Root of its own REST interface, without a final slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dicomweb_url(self) -> str:
        """Root of DICOMweb."""
        return f"{self.url}/dicom-web"

    def get_json(self, path: str) -> Any:
        """Ask its own REST interface."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            return json.loads(self._exchange(connection, "GET", path))

    def upload(self, contents: Iterable[bytes]) -> int:
        """Store Part 10 files over a few connections that stay open; return their count.

        One file per connection is held in memory, so the contents may be a generator.

        Raises:
            AssertionError: If one is refused.

        """
        waiting = iter(contents)
        turn = threading.Lock()
        with ThreadPoolExecutor(UPLOAD_CONNECTIONS) as pool:
            jobs = [
                pool.submit(self._upload_some, waiting, turn) for _ in range(UPLOAD_CONNECTIONS)
            ]
        return sum(job.result() for job in jobs)

    def _upload_some(self, waiting: Iterator[bytes], turn: threading.Lock) -> int:
        """Take contents one by one until none is left."""
        count = 0
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            while True:
                with turn:
                    content = next(waiting, None)
                if content is None:
                    return count
                self._exchange(connection, "POST", "/instances", content)
                count += 1

    def _exchange(
        self, connection: HTTPConnection, method: str, path: str, body: bytes | None = None
    ) -> bytes:
        connection.request(method, path, body, self._headers())
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, f"{method} {path}: {response.status} {content[:200]!r}"
        return content

    def _headers(self) -> dict[str, str]:
        if self.credentials is None:
            return {}
        token = base64.b64encode(":".join(self.credentials).encode()).decode()
        return {"Authorization": f"Basic {token}"}

    def is_answering(self) -> bool:
        """Tell whether the DICOMweb plugin answers (it is loaded last)."""
        try:
            self.get_json("/dicom-web/studies?limit=1")
        except OSError:
            return False
        return True

    def is_up(self) -> bool:
        """Tell whether its own REST interface answers (after the DICOM server)."""
        try:
            self.get_json("/system")
        except OSError:
            return False
        return True


@contextmanager
def running_orthanc(folder: Path, options: OrthancOptions | None = None) -> Iterator[Orthanc]:
    """Start an archive with an empty storage below `folder`; stop it with the block.

    Args:
        folder: An existing folder; the log is `orthanc.log` there.
        options: What differs from the defaults.

    Raises:
        AssertionError: If it does not answer in time; the message ends with its log.

    """
    chosen = options or OrthancOptions()
    port, dicom_port = free_port(), free_port() if chosen.dicom_aet else 0
    configuration = folder / "orthanc.json"
    settings = _configuration(folder, port, chosen) | _dicom_configuration(dicom_port, chosen)
    configuration.write_text(json.dumps(settings, indent=1))
    program = find_program("Orthanc")
    assert program is not None, "Orthanc is not installed"
    log = folder / "orthanc.log"
    with log.open("wb") as sink:
        process = subprocess.Popen([program, str(configuration)], stdout=sink, stderr=sink)
    try:
        orthanc = Orthanc(port, process.pid, chosen.credentials, dicom_port, chosen.dicom_aet or "")
        is_ready = orthanc.is_answering if chosen.plugins else orthanc.is_up
        wait_until(is_ready, process, deadline_s=START_DEADLINE_S, log=log)
        yield orthanc
    finally:
        stop(process)


def _configuration(folder: Path, port: int, options: OrthancOptions) -> dict[str, Any]:
    """Return Orthanc's configuration: HTTP on loopback, no DICOM port, a throw-away storage."""
    storage = str(folder / "storage")
    return {
        "Name": "asyncdicom tests",
        "StorageDirectory": storage,
        "IndexDirectory": storage,
        # Fixtures are thrown away: waiting for the disk would only slow the uploads.
        "SyncStorageArea": False,
        "Plugins": list(options.plugins),
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "HttpThreadsCount": 50,
        "HttpCompressionEnabled": options.has_http_compression,
        "HttpVerbose": False,
        "KeepAlive": True,
        "TcpNoDelay": True,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": options.credentials is not None,
        "RegisteredUsers": dict([options.credentials]) if options.credentials else {},
        "OverwriteInstances": True,
        "StableAge": 1,
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "EnableWado": False,
            "Ssl": False,
            "StudiesMetadata": options.metadata_mode,
            "SeriesMetadata": options.metadata_mode,
        },
    }


def _dicom_configuration(port: int, options: OrthancOptions) -> dict[str, Any]:
    """Return what concerns DIMSE: whoever calls it by its name may do anything."""
    if options.dicom_aet is None:
        return {}
    return _tls_configuration(options.dicom_tls) | {
        "DicomServerEnabled": True,
        "DicomAet": options.dicom_aet,
        "DicomCheckCalledAet": True,
        "DicomPort": port,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "DicomModalities": {aet: [aet, "127.0.0.1", port] for aet, port in options.modalities},
    }


def _tls_configuration(tls: DicomTls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(tls.cert_file),
        "DicomTlsPrivateKey": str(tls.key_file),
        "DicomTlsTrustedCertificates": str(tls.ca_file),
        "DicomTlsRemoteCertificateRequired": True,
    }
