"""DCMTK's archive and its receiver, in their own folders and on free ports of 127.0.0.1.

    with running_dcmqrscp(folder, QrscpOptions(modalities=(("MOVER", 4711),))) as archive:
        archive.register(paths)
        ...

They end with the block.

dcmqrscp accepts by itself only what DCMTK knows, uncompressed; it is given an association
profile with the transfer syntaxes and the SOP classes that the tests store, private ones too.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from tests.support.dicom import BASIC_TEXT_SR, PRIVATE_SOP_CLASS
from tests.support.peers import find_program
from tests.support.processes import accepts_connections, free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

__all__ = [
    "Qrscp",
    "QrscpOptions",
    "Storescp",
    "running_dcmqrscp",
    "running_storescp",
    "running_wlmscpfs",
]

START_DEADLINE_S = 40.0

_ROOT = "1.2.840.10008.5.1.4.1.2"
VERIFICATION = "1.2.840.10008.1.1"
QUERIES = tuple(f"{_ROOT}.{model}.{service}" for model in (1, 2, 3) for service in (1, 2, 3))
STORED = (
    *(CTImageStorage, MRImageStorage, EnhancedCTImageStorage, SecondaryCaptureImageStorage),
    *(BASIC_TEXT_SR, PRIVATE_SOP_CLASS),
)
SYNTAXES = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    *(RLELossless, JPEGLSLossless, JPEG2000Lossless),
)


@dataclass(frozen=True, slots=True)
class QrscpOptions:
    """What differs between the archives that tests ask for."""

    aet: str = "ARCHIVE"
    modalities: tuple[tuple[str, int], ...] = ()
    """AE titles and ports of 127.0.0.1 that it may send to, for C-MOVE."""


@dataclass(frozen=True, slots=True)
class Qrscp:
    """A running archive."""

    port: int
    aet: str
    database: Path

    def register(self, paths: Sequence[Path]) -> None:
        """Add files to its index, where they lie: it will send their bytes as they are."""
        program = find_program("dcmqridx")
        assert program is not None, "dcmqridx is not installed"
        command = [program, str(self.database), *map(str, paths)]
        subprocess.run(command, check=True, capture_output=True, timeout=50)


@dataclass(frozen=True, slots=True)
class Storescp:
    """A running receiver."""

    port: int
    aet: str
    folder: Path
    """Files, as they came (`--bit-preserving`)."""


@contextmanager
def running_dcmqrscp(folder: Path, options: QrscpOptions | None = None) -> Iterator[Qrscp]:
    """Start an archive with an empty database below `folder`; stop it with the block."""
    chosen = options or QrscpOptions()
    port = free_port()
    database = folder / "database"
    database.mkdir()
    configuration, profile = folder / "dcmqrscp.cfg", folder / "profile.cfg"
    configuration.write_text(_configuration(port, database, chosen))
    profile.write_text(_profile())
    arguments = ["--config", str(configuration), "+B", "-xf", str(profile), "In", "Out"]
    with _running("dcmqrscp", [*arguments, str(port)], folder, port):
        yield Qrscp(port, chosen.aet, database)


@contextmanager
def running_storescp(folder: Path, *arguments: str, aet: str = "MOVER") -> Iterator[Storescp]:
    """Start a receiver that takes anything; stop it with the block."""
    port = free_port()
    received = folder / "received"
    received.mkdir()
    words = ["+xa", "-pm", "+B", "-aet", aet, "-od", str(received), *arguments, str(port)]
    with _running("storescp", words, folder, port):
        yield Storescp(port, aet, received)


@contextmanager
def running_wlmscpfs(folder: Path, steps: Sequence[Dataset], aet: str = "RIS") -> Iterator[int]:
    """Start a worklist server with some scheduled procedure steps; yields its port.

    Its AE title is the name of a folder; each file in that is one entry, and a lock file
    beside them says that they may be read.
    """
    place = folder / aet
    place.mkdir()
    (place / "lockfile").touch()
    for number, step in enumerate(steps):
        step.save_as(place / f"{number}.wl", enforce_file_format=True)
    port = free_port()
    with _running("wlmscpfs", ["-dfp", str(folder), str(port)], folder, port):
        yield port


@contextmanager
def _running(name: str, arguments: list[str], folder: Path, port: int) -> Iterator[None]:
    program = find_program(name)
    assert program is not None, f"{name} is not installed"
    log = folder / f"{name}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen([program, *arguments], stdout=sink, stderr=sink)
    try:
        wait_until(lambda: accepts_connections(port), process, deadline_s=START_DEADLINE_S, log=log)
        yield
    finally:
        stop(process)


def _configuration(port: int, database: Path, options: QrscpOptions) -> str:
    hosts = "".join(
        f"host{number} = ({aet}, 127.0.0.1, {its_port})\n"
        for number, (aet, its_port) in enumerate(options.modalities)
    )
    return (
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}HostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{options.aet} {database} RW (50, 1024mb) ANY\nAETable END\n"
    )


def _profile() -> str:
    """Write the profile: queries as an SCP, whatever is stored in both roles."""
    lines = ["[[TransferSyntaxes]]", "[Plain]", *_numbered("TransferSyntax", SYNTAXES[:2])]
    for number, syntax in enumerate(SYNTAXES):
        lines += [f"[Only{number}]", f"TransferSyntax1 = {syntax}"]
    lines += ["[Any]", *_numbered("TransferSyntax", SYNTAXES)]
    services = [f"{uid}\\Plain" for uid in (VERIFICATION, *QUERIES)]
    taken = [*services, *(f"{uid}\\Any" for uid in STORED)]
    offered = [f"{uid}\\Only{n}" for uid in STORED for n in range(len(SYNTAXES))]
    lines += ["[[PresentationContexts]]", "[In]", *_numbered("PresentationContext", taken)]
    lines += ["[Out]", *_numbered("PresentationContext", offered)]
    roles = [f"{uid}\\BOTH" for uid in STORED]
    lines += ["[[SCPSCURoleSelection]]", "[Both]", *_numbered("Role", roles)]
    lines += ["[[Profiles]]", "[In]", "PresentationContexts = In", "SCPSCURoleSelection = Both"]
    lines += ["[Out]", "PresentationContexts = Out"]
    return "\n".join(lines) + "\n"


def _numbered(key: str, values: Sequence[str]) -> list[str]:
    return [f"{key}{number} = {value}" for number, value in enumerate(values, 1)]
