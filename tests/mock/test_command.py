"""`asyncdicom mock`, as a person and a script see it."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pydicom.data
import pytest
from click.testing import CliRunner

from asyncdicom.cli.mock import command
from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MAIN = "from asyncdicom.cli.app import main; main()"


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command on a free port; give its process and URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "mock", "--port", "0", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def ask(url: str, context: ssl.SSLContext | None = None) -> bytes:
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    with urllib.request.build_opener(*handlers).open(url) as answer:
        data: bytes = answer.read()
        return data


def test_it_serves_until_it_is_interrupted() -> None:
    with running("--studies", "3", "--rows", "16", "-v") as (process, url):
        assert len(orjson.loads(ask(f"{url}/studies"))) == 3
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert errors == "GET /dicom-web/studies HTTP/1.1 200\n"


def test_tls_can_be_trusted_by_the_file_that_it_writes(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    options = ("--tls", "--ca-out", str(authority), "--instances", "2", "--rows", "16")
    with running(*options) as (process, url):
        assert process.stdout is not None
        assert f"--cacert {authority}" in process.stdout.readline()
        trust = ssl.create_default_context(cafile=str(authority))
        assert len(orjson.loads(ask(f"{url}/instances", trust))) == 20


def test_a_folder_and_a_fault() -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
    with running(str(folder), "--fault", "503:search:times=1") as (_, url):
        with pytest.raises(urllib.error.HTTPError, match="503"):
            ask(f"{url}/studies")
        assert len(orjson.loads(ask(f"{url}/studies"))) > 1


def test_faults_are_listed() -> None:
    result = CliRunner().invoke(command, ["--list-faults"])
    assert "truncate" in result.output
    assert "every=N" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--fault", "explode"], "unknown fault: 'explode'"),
        (["--rows", "1"], "rows is 1"),
        (["no-such-folder"], "not a folder"),
    ],
)
def test_what_cannot_be_served_is_said(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(command, ["--port", "0", *arguments])
    assert isinstance(result.exception, ConfigError)
    assert reason in str(result.exception)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        pytest.param(["--ca-out", "ca.pem"], 2, "--ca-out needs --tls", id="no certificate"),
        pytest.param(
            ["--tls", "--ca-out", "no/ca.pem"],
            2,
            "asyncdicom: No such file or directory: no/ca.pem",
            id="no folder for it",
        ),
        pytest.param(
            ["--dimse-port", "0", "--store-dir", "file"],
            2,
            "asyncdicom: File exists: file",
            id="a file as folder",
        ),
    ],
)
def test_what_cannot_be_written_is_told_in_a_line(
    words: list[str], code: int, told: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "mock", "--port", "0", "--studies", "1", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
