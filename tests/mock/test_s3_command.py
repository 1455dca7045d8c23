"""`asyncdicom mock --s3-port`, as a person and a script see it."""

from __future__ import annotations

import signal
import ssl
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from asyncdicom.cli.mock import command
from asyncdicom.errors import ConfigError
from tests.mock.test_command import ask, running
from tests.mock.test_dimse_command import SMALL, printed

if TYPE_CHECKING:
    from pathlib import Path


def test_the_bucket_is_served_until_it_is_interrupted() -> None:
    with running("--s3-port", "0", "--s3-max-keys", "1", "-v", *SMALL) as (process, url):
        lines = printed(process)
        endpoint = next(line for line in lines if line.startswith("http://"))
        assert endpoint != url
        access = f"--endpoint-url {endpoint} --no-sign-request"
        assert f"  asyncdicom get s3://dicom/ {access} -o out" in lines
        page = ask(f"{endpoint}/dicom?list-type=2")
        assert page.count(b"<Contents>") == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert errors == "GET /dicom HTTP/1.1 200\n"


def test_both_faces_are_trusted_by_one_file(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    options = ("--tls", "--ca-out", str(authority), "--s3-port", "0", *SMALL)
    with running(*options) as (process, url):
        endpoint = next(line for line in printed(process) if line.startswith("https://"))
        trust = ssl.create_default_context(cafile=str(authority))
        assert b"<Contents>" in ask(f"{endpoint}/dicom?list-type=2", trust)
        assert ask(f"{url}/studies", trust)


def test_a_fault_of_s3_needs_a_port_of_s3() -> None:
    result = CliRunner().invoke(command, ["--port", "0", "--fault", "503:object"])
    assert isinstance(result.exception, ConfigError)
    assert "a fault of S3: '503:object'" in str(result.exception)
    assert result.exception.hint == "give --s3-port as well"


@pytest.mark.parametrize("fault", ["cut:object:at=x", "changed:listing"])
def test_a_fault_that_cannot_be_read_is_refused(fault: str) -> None:
    arguments = ["--port", "0", "--s3-port", "0", "--fault", fault]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, ConfigError)
    assert fault in str(result.exception)
