"""A real nginx that answers like a DICOMweb origin, from a folder of ready-made answers.

    tree = StaticTree(folder / "tree")
    tree.add(study)
    with running_nginx(folder, tree.root) as nginx:
        subprocess.run(["curl", "--cacert", nginx.ca_file, f"{nginx.https_url}/studies/..."])

Strategy: the path of a request plus `.body` is the path of a file, because
`studies/1.2` must be an answer as well as a folder of others. What kind of
resource it is, and so its media type, is decided by the shape of the path
(PS3.18 §10.4.1.1). nginx sends files with what the kernel offers, so the origin
is never what a benchmark measures.
"""

from __future__ import annotations

import os
import pwd
import resource
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import trustme

from tests.support.peers import find_program
from tests.support.processes import free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Nginx", "running_nginx"]

START_DEADLINE_S = 40.0
BOUNDARY = "asyncdicom-tests-boundary"
"""Of every multipart answer: media types are chosen by location, not by file."""

# At most 2 workers, so that on a small machine the client under test keeps a core.
# `http2_chunk_size` and the buffers are large because small frames would cost the
# server more than the client. Files stay open: thousands of small ones are asked for
# again and again. A search has one page, and nothing beyond it (PS3.18 §8.3.4.4).
_CONFIGURATION = """
user {user};
worker_processes {workers};
worker_rlimit_nofile {open_files};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    gzip off;
    server_tokens off;
    keepalive_timeout 600s;
    keepalive_time 24h;
    keepalive_requests 1000000;
    http2_max_concurrent_streams 256;
    http2_chunk_size 16k;
    output_buffers 2 128k;
    open_file_cache max={cached_files} inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ }}
    server {{
        listen 127.0.0.1:{https_port} ssl http2 backlog=4096;
        listen 127.0.0.1:{http_port} backlog=4096;
        listen 127.0.0.1:{h2c_port} http2 backlog=4096;
        server_name localhost;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:1m;
        root {root};
        location / {{
            default_type application/dicom+json;
            try_files $uri.body =404;
        }}
        location ~ /(series|instances)$ {{
            default_type application/dicom+json;
            if ($arg_offset ~ "^[1-9]") {{ return 204; }}
            try_files $uri.body =404;
        }}
        location ~ /frames/[0-9,]+$ {{
            default_type 'multipart/related; type="application/octet-stream"; boundary={boundary}';
            try_files $uri.body =404;
        }}
        location ~ /(studies|series|instances)/[0-9.]+$ {{
            default_type 'multipart/related; type="application/dicom"; boundary={boundary}';
            try_files $uri.body =404;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running server."""

    process_id: int
    https_port: int
    """HTTP/2 or HTTP/1.1, as ALPN decides (RFC 9113 §3.2)."""
    http_port: int
    """HTTP/1.1."""
    h2c_port: int
    """HTTP/2 with prior knowledge (RFC 9113 §3.3)."""
    ca_file: Path
    """Certificate of the authority to trust, in PEM."""

    @property
    def https_url(self) -> str:
        """Root of DICOMweb over TLS."""
        return f"https://127.0.0.1:{self.https_port}/dicom-web"

    @property
    def http_url(self) -> str:
        """Root of DICOMweb in plain HTTP/1.1."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    @property
    def h2c_url(self) -> str:
        """Root of DICOMweb in plain HTTP/2."""
        return f"http://127.0.0.1:{self.h2c_port}/dicom-web"


@contextmanager
def running_nginx(folder: Path, root: Path, *, workers: int = 2) -> Iterator[Nginx]:
    """Serve a folder of ready-made answers; stop with the block.

    Args:
        folder: An existing folder for configuration, certificates and log.
        root: Holds `dicom-web/`; files may be added while the server runs, but not
            changed (their size is remembered).
        workers: Processes that serve, 1 or 2.

    Raises:
        AssertionError: If it does not answer in time; the message ends with its log.

    """
    https_port, http_port, h2c_port = free_port(), free_port(), free_port()
    ca_file = _issue_certificate(folder)
    open_files = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            user=pwd.getpwuid(os.geteuid()).pw_name,
            workers=workers,
            folder=folder,
            root=root,
            https_port=https_port,
            http_port=http_port,
            h2c_port=h2c_port,
            boundary=BOUNDARY,
            open_files=open_files,
            cached_files=open_files // 2,
        )
    )
    program = find_program("nginx")
    assert program is not None, "nginx is not installed"
    log = folder / "nginx.log"
    # -e: before it reads its configuration nginx would write to /var/log.
    process = subprocess.Popen([program, "-e", str(log), "-c", str(configuration)])
    try:
        wait_until(lambda: _is_answering(http_port), process, deadline_s=START_DEADLINE_S, log=log)
        yield Nginx(process.pid, https_port, http_port, h2c_port, ca_file)
    finally:
        stop(process)


def _issue_certificate(folder: Path) -> Path:
    """Write key and certificate of the server, and return the file of their authority."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return ca_file


def _is_answering(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=40)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status > 0
    except OSError:
        return False
    finally:
        connection.close()
