"""`asyncdicom mock --dimse-port`, as a person and a script see it."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from asyncdicom.cli.mock import command, destination_of
from asyncdicom.errors import ConfigError
from asyncdicom.protocol.urls import parse_dimse_root
from tests.mock.test_command import running
from tests.support.peers import require_peer

if TYPE_CHECKING:
    from collections.abc import Sequence


def printed(process: subprocess.Popen[str]) -> list[str]:
    """Return what is printed up to the line that asks for patience."""
    assert process.stdout is not None
    lines = []
    while (line := process.stdout.readline().rstrip()) != "Ctrl-C ends it.":
        assert line, "the command ended"
        lines.append(line)
    return lines


def echo(url: str, called_ae: str) -> int:
    require_peer("dcmtk")
    root = parse_dimse_root(url)
    words = ["echoscu", "-aec", called_ae, root.host, str(root.port)]
    return subprocess.run(words, capture_output=True, timeout=10, check=False).returncode


SMALL = ("--studies", "1", "--instances", "2", "--rows", "16")


def test_both_faces_are_served_until_it_is_interrupted() -> None:
    with running("--dimse-port", "0", "--aet", "PACS", "-v", *SMALL) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        lines = printed(process)
        dicom = next(line for line in lines if line.startswith("dicom:"))
        assert parse_dimse_root(dicom).called_ae == "PACS"
        assert f"  asyncdicom find {dicom}" in lines
        assert any(line.startswith(f"  asyncdicom get {dicom} --study ") for line in lines)
        assert echo(dicom, "PACS") == 0
        assert echo(dicom, "OTHER") != 0
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert errors.splitlines() == [
        "association /association/ECHOSCU/PACS",
        "echo /echo",
        "release /release",
        "association /association/ECHOSCU/OTHER",
    ]


def test_faults_go_to_the_face_that_has_them() -> None:
    faults = ["--fault", "0110:echo:times=1", "--fault", "503:search"]
    with running("--dimse-port", "0", "--any-aet", *faults, *SMALL) as (process, _):
        dicom = next(line for line in printed(process) if line.startswith("dicom:"))
        assert [echo(dicom, "WHATEVER") for _ in range(2)] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["--fault", "abort:get"], "a fault of DIMSE", id="a fault without a port"),
        pytest.param(
            ["--dimse-port", "0", "--fault", "abort:study"], "unknown kind", id="a kind of DICOMweb"
        ),
        pytest.param(
            ["--dimse-port", "0", "--destination", "STORE"], "not a destination", id="no address"
        ),
        pytest.param(["--dimse-port", "0", "--aet", "x" * 17], "not valid", id="a long AE title"),
    ],
)
def test_what_cannot_be_served_is_said(arguments: Sequence[str], reason: str) -> None:
    result = CliRunner().invoke(command, ["--port", "0", *arguments])
    assert isinstance(result.exception, ConfigError)
    assert reason in str(result.exception)


def test_a_port_that_is_taken_is_said() -> None:
    with running("--dimse-port", "0", *SMALL) as (process, _):
        dicom = next(line for line in printed(process) if line.startswith("dicom:"))
        port = str(parse_dimse_root(dicom).port)
        result = CliRunner().invoke(command, ["--port", "0", "--dimse-port", port, *SMALL])
    assert isinstance(result.exception, ConfigError)
    assert f"cannot listen on 127.0.0.1 port {port}" in str(result.exception)


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("STORE=127.0.0.1:104", ("STORE", ("127.0.0.1", 104))),
        ("A B=host.example:11112", ("A B", ("host.example", 11112))),
        ("V6=[::1]:104", ("V6", ("::1", 104))),
    ],
)
def test_destinations(text: str, destination: tuple[str, tuple[str, int]]) -> None:
    assert destination_of(text) == destination


@pytest.mark.parametrize(
    "text", ["", "STORE", "=h:1", "A=h", "A=:1", "A=h:0", "A=h:65536", "A=h:x"]
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(ConfigError, match="not a destination"):
        destination_of(text)
