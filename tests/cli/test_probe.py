"""`asyncdicom probe` from the words of a command line to output, profile and exit code."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click
import pytest

from asyncdicom import config, wiring
from asyncdicom.cli import app
from asyncdicom.errors import ConnectionLost, Unreachable
from asyncdicom.protocol.urls import parse_root
from asyncdicom.sources.dicomweb import DicomWebSource
from tests.support.scripted import ScriptedAnswer, ScriptedTransport, dicom_json, paging_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.http import HttpRequest

ROOT = "http://archive.test/dicom-web"
STUDIES = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}} for number in range(25)]


def capping(request: HttpRequest) -> ScriptedAnswer:
    offset, limit = paging_of(request)
    return dicom_json(STUDIES[offset:][: min(limit, 12)])


class Probe:
    """Runs the command against a scripted service."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.answer: Callable[[HttpRequest], ScriptedAnswer | FetchError] = capping
        self.stdout = self.stderr = self.last_line = ""
        self._capture = capture

    def __call__(self, *words: str, source: str = ROOT) -> int:
        with pytest.raises(SystemExit) as exited:
            app.main(["probe", source, *words])
        self.stdout, self.stderr = self._capture.readouterr()
        self.last_line = self.stderr.splitlines()[-1] if self.stderr else ""
        assert isinstance(exited.value.code, int)
        return exited.value.code

    @asynccontextmanager
    async def open_source(
        self, text: str, _options: Mapping[str, Any]
    ) -> AsyncIterator[DicomWebSource]:
        yield DicomWebSource(parse_root(text), ScriptedTransport(self.answer))


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Probe:
    runner = Probe(capsys)
    monkeypatch.setattr(wiring, "open_source", runner.open_source)
    return runner


def test_findings_are_lines_below_their_topics_and_odd_ones_are_marked(probe: Probe) -> None:
    assert probe() == 0
    lines = probe.stdout.splitlines()
    topics = [line for line in lines if not line.startswith(" ")]
    assert topics[:3] == ["connection", "search", "paging"]
    assert len(topics) == len(set(topics))
    (cap,) = (line for line in lines if line.split()[:2] == ["!", "cap"])
    assert cap.split()[2] == "12"
    assert "GET /studies?limit=200: 12 studies, without a word" in cap


def test_the_last_line_counts(probe: Probe) -> None:
    probe("--json")
    report = json.loads(probe.stdout)
    findings = report["findings"]
    odd = sum(one["is_odd"] for one in findings)
    counted = f"{len(findings)} findings · {odd} odd · {report['exchanges']} requests in "
    assert probe.last_line.startswith(counted)
    assert report["source"] == ROOT


def known_options() -> dict[str, dict[str, str]]:
    context = click.Context(app.application)
    commands = {name: app.application.get_command(context, name) for name in app.COMMANDS}
    return {name: app.option_names(one) for name, one in commands.items() if one is not None}


def test_a_profile_is_a_configuration_file(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    assert probe("--save", str(path)) == 0
    content = config.load(path, commands=known_options())
    assert content == {"find": {"page-size": 12}}
    assert path.read_text().startswith("# asyncdicom ")


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param({"http2": True, "concurrency": 2}, id="dicomweb"),
        pytest.param({"model": "patient-study", "max-associations": 1}, id="dimse"),
    ],
)
def test_what_else_a_profile_may_hold_is_known(profile: dict[str, Any], tmp_path: Path) -> None:
    from asyncdicom.jobs.probe import as_toml  # noqa: PLC0415 -- beside its only use

    path = tmp_path / "profile.toml"
    path.write_text(as_toml(profile))
    assert config.load(path, commands=known_options()) == profile


def test_a_profile_never_replaces_a_file(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    path.write_text("mine")
    assert probe("--save", str(path)) == 2
    assert path.read_text() == "mine"
    assert probe.stdout == ""


def test_a_profile_is_there_before_anybody_reads(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads one line and closes the pipe wants the file all the same."""
    path = tmp_path / "profile.toml"
    was_there: list[bool] = []
    monkeypatch.setattr(click, "echo", lambda *_, **__: was_there.append(path.exists()))
    assert probe("--save", str(path)) == 0
    assert was_there
    assert all(was_there)


def test_a_profile_that_cannot_be_written_is_told(probe: Probe, tmp_path: Path) -> None:
    assert probe("--save", str(tmp_path / "nowhere" / "profile.toml")) == 2
    assert "nowhere" in probe.last_line


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(Unreachable("no route"), 5, id="nobody is there"),
        pytest.param(ScriptedAnswer(403), 5, id="it is forbidden"),
        pytest.param(ScriptedAnswer(404), 5, id="nothing lives there"),
    ],
)
def test_what_cannot_be_probed_is_an_error(
    probe: Probe, answer: ScriptedAnswer | FetchError, code: int
) -> None:
    probe.answer = lambda _: answer
    assert (probe(), probe.stdout) == (code, "")


def test_a_service_that_goes_away_leaves_its_findings_and_exit_code_1(probe: Probe) -> None:
    probe.answer = lambda request: (
        ConnectionLost("reset") if "offset" in request.url else capping(request)
    )
    assert probe() == 1
    assert "http-version" in probe.stdout
    assert "not complete: GET /studies?" in probe.last_line


def test_another_kind_of_source_is_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Probe(capsys)(source="s3://bucket") == 2
    assert Probe(capsys)(source="dicom://no-aet") == 2


def test_nobody_at_a_dimse_address_is_exit_code_5(capsys: pytest.CaptureFixture[str]) -> None:
    runner = Probe(capsys)
    assert runner(source="dicom://PEER@127.0.0.1:1") == 5
    assert "127.0.0.1:1" in runner.stderr


def test_who_does_not_speak_dicom_is_no_archive(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=answer_as_a_web_server, args=(server,))
        answering.start()
        with pytest.raises(SystemExit) as exited:
            app.main(["probe", f"dicom://A@127.0.0.1:{server.getsockname()[1]}"])
        answering.join()
    assert exited.value.code == 5
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("asyncdicom: nobody there speaks DICOM: ")
    assert told[1] == "asyncdicom: check the address, and that the server is up"


def answer_as_a_web_server(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
