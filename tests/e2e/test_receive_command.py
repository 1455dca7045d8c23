"""`asyncdicom receive` as a process: exit codes, signals, and options by what they do."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
import trustme
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # -- made when asked

from tests.e2e.receive_support import files_in, running_receive, send, sent
from tests.e2e.support import PROGRAM, clean_environ, cli
from tests.receiver.support import sending
from tests.support.dicom import ct, private_object, small_instances, structured_report
from tests.support.peers import find_program
from tests.support.processes import accepts_connections, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.receive_support import Receiving
    from tests.receiver.support import Sender

pytestmark = pytest.mark.peer("dcmtk")

NOT_SYNCED = ("--durability", "none")


@pytest.fixture
def anyio_backend() -> str:
    """Run once: the receiver chooses the loop of its own process."""
    return "asyncio"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write one object of each kind."""
    folder = tmp_path_factory.mktemp("sent")
    contents = {
        "ct": ct(number=1),
        "report": structured_report(number=2),
        "private": private_object(number=3),
    }
    paths = {name: folder / f"{name}.dcm" for name in contents}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    return paths


# How it ends before it begins.


def test_without_arguments_it_explains_itself() -> None:
    done = cli("receive")
    assert done.code == 0
    assert done.out.startswith("Usage: asyncdicom receive")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param(["x"], 1, "PORT", id="no port"),
        pytest.param(["0", "--nope"], 1, "--nope", id="unknown option"),
        pytest.param(["0", "-aet", ""], 1, "AE title", id="no AE title"),
        pytest.param(["0", "-ll", "info", "-v"], 1, "not allowed with", id="two levels"),
        pytest.param(["0", "-lc", "x", "-q"], 1, "not allowed with", id="configured and quiet"),
        pytest.param(["0", "-lc", "x", "-ll", "info"], 1, "not allowed with", id="two logs"),
        pytest.param(["0", "-lc", "nope"], 1, "nope", id="no logging configuration"),
        pytest.param(["0", "+v"], 1, "--verbose-pc", id="contexts in silence"),
        pytest.param(["0", "--on-object", "{nope}"], 1, "hook", id="no hook"),
        pytest.param(["0", "-od", "nope"], 45, "no such folder: 'nope'", id="no output folder"),
        pytest.param(["0", "-od", "file"], 45, "file", id="output folder is a file"),
        pytest.param(["0", "-od", "/proc"], 45, "/proc", id="folder that takes no files"),
        pytest.param(["0", "--host", "192.0.2.1"], 64, "192.0.2.1", id="address of others"),
        pytest.param(["0", "--metrics", "x"], 1, "--metrics", id="no address for counters"),
        pytest.param(
            ["0", "--metrics", "192.0.2.1:9"],
            64,
            "192.0.2.1",
            id="counters on an address of others",
        ),
        pytest.param(["0", "-xf", "nope", "x"], 66, "nope", id="no profile file"),
        pytest.param(["0", "-xf", "file", "x"], 66, "file", id="no profile in it"),
        pytest.param(["0", "+tls", "nope", "cert.pem"], 71, "nope", id="no key"),
        pytest.param(["0", "+tls", "key.pem", "file"], 71, "file", id="no certificate"),
        pytest.param(["0", "+tls", "other.pem", "cert.pem"], 71, "", id="key of another"),
        pytest.param(["0", "+tls", "key.pem", "cert.pem"], 71, "--add-cert-file", id="no trust"),
        pytest.param(
            ["0", "+tls", "key.pem", "cert.pem", "-ic", "+cs", "NOPE"], 71, "NOPE", id="no suite"
        ),
        *[
            pytest.param(
                ["0", "+tls", "key.pem", "cert.pem", "-ic", profile], 71, reason, id=profile
            )
            for profile, reason in [
                ("+px", "TLS 1.0"),
                ("+pb", "3DES"),
                ("+pa", "TLS 1.0"),
                ("+pn", "encrypt"),
            ]
        ],
    ],
)
def test_what_cannot_begin_ends_with_the_code_of_dcmrecv(
    words: list[str], code: int, message: str, certificates: Path
) -> None:
    done = cli("receive", "--host", "127.0.0.1", *words, cwd=certificates)
    assert done.code == code, done.err
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `key.pem`, `cert.pem`, `ca.pem`, `other.pem` (a key) and `file`."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    ours, theirs = authority.issue_cert("localhost"), authority.issue_cert("other")
    ours.private_key_pem.write_to_path(str(folder / "key.pem"))
    ours.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    theirs.private_key_pem.write_to_path(str(folder / "other.pem"))
    theirs.cert_chain_pems[0].write_to_path(str(folder / "other-cert.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "file").write_text("nothing\n")
    return folder


def test_a_port_that_is_taken_is_64(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        done = cli("receive", port, "--host", "127.0.0.1", "-od", str(tmp_path))
    assert done.code == 64
    assert port in done.err


# How it ends in order, and otherwise.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals, tmp_path: Path) -> None:
    with running_receive(tmp_path, "-v") as receiver:
        assert receiver.end(number) == 0
    assert receiver.names() == ["listening", "ended"]
    first, *_, last = receiver.log().splitlines()
    assert first == f"listening on 127.0.0.1 port {receiver.port}"
    assert last.startswith("0 stored · 0 refused · 0 associations · 0.0 MB in ")


def test_a_signal_while_it_begins_ends_it(tmp_path: Path) -> None:
    with running_receive(tmp_path) as receiver:
        # The event is written before anything is waited for.
        assert receiver.end() == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
async def test_an_object_that_goes_on_is_dropped_in_the_end(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with running_receive(tmp_path, "--drain-timeout", "0.3", "--metrics", "0") as receiver:
        async with sending(receiver.port) as sender:
            await begin_object(receiver, sender)
            assert receiver.end(number) == code
    ended = receiver.events()[-1]
    assert (ended["event"], ended["aborted"], ended["stored"]) == ("ended", 1, 0)
    assert files_in(receiver.folder) == {}


@pytest.mark.anyio
async def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    with running_receive(tmp_path, "--drain-timeout", "60", "--metrics", "0") as receiver:
        async with sending(receiver.port) as sender:
            await begin_object(receiver, sender)
            receiver.process.send_signal(signal.SIGTERM)
            # Signals that come together are one: it takes another after half a second.
            with pytest.raises(subprocess.TimeoutExpired):
                receiver.process.wait(0.8)
            assert receiver.end() == 143


async def begin_object(receiver: Receiving, sender: Sender) -> bytes:
    """Send an object but for its end, wait until the receiver counts it, and return the end."""
    *head, last = sender.pdus(ct(number=1, rows=512, columns=512))
    await sender.peer.send(*head)
    wait_until(
        lambda: "asyncdicom_receiver_in_flight 1" in counters_of(receiver),
        receiver.process,
        deadline_s=40,
        log=receiver.err,
    )
    return last


def counters_of(receiver: Receiving) -> list[str]:
    """Return what `--metrics` serves."""
    (url,) = re.findall(r"^counters on (http://127\S+/metrics)$", receiver.log(), re.MULTILINE)
    with urllib.request.urlopen(url, timeout=40) as response:
        text: str = response.read().decode()
    return text.splitlines()


def test_an_association_without_an_object_is_no_loss(tmp_path: Path) -> None:
    with running_receive(tmp_path, "--drain-timeout", "0.3") as receiver, held(receiver):
        assert receiver.end() == 0
    assert receiver.events()[-1]["aborted"] == 1


def test_an_association_without_an_object_is_not_waited_for(tmp_path: Path) -> None:
    with running_receive(tmp_path, "--drain-timeout", "60") as receiver, held(receiver):
        assert receiver.end() == 0
        assert sent(receiver.port, [], program="echoscu").returncode != 0
    assert receiver.events()[-1]["seconds"] < 10


@pytest.mark.anyio
async def test_an_object_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    with running_receive(tmp_path, "--drain-timeout", "60", "--metrics", "0") as receiver:
        async with sending(receiver.port) as sender:
            last = await begin_object(receiver, sender)
            receiver.process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                receiver.process.wait(1.5)
            await sender.peer.send(last)
            assert await sender.answer() == 0
            await sender.release()
        assert receiver.process.wait(10) == 0
    ended = receiver.events()[-1]
    assert (ended["stored"], ended["aborted"]) == (1, 0)
    assert len(files_in(receiver.folder)) == 1


@contextmanager
def held(receiver: Receiving) -> Iterator[None]:
    """Hold an association: released in the end, if it is still there."""
    ae = AE(ae_title="HOLDER")
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", receiver.port)
    assert association.is_established
    try:
        yield
    finally:
        association.release()


# What options do.


def test_the_port_and_names_of_all_are_told(files: dict[str, Path], tmp_path: Path) -> None:
    with running_receive(tmp_path, "-v", *NOT_SYNCED) as receiver:
        send(receiver.port, [files["ct"], files["report"]], "-aet", "CT1", "-aec", "ANY")
    names = receiver.names()
    assert names[:2] == ["listening", "associationBegan"]
    assert names[2:4] == ["stored", "stored"]
    assert sorted(names[4:]) == ["associationEnded", "ended", "studyComplete"]
    stored = receiver.events()[2]
    assert stored["callingAE"] == "CT1"
    assert stored["path"] == "CT.2.999.3.10000001"
    assert "I: stored CT.2.999.3.10000001 (" in receiver.log()


def test_quiet_says_only_the_last_line(files: dict[str, Path], tmp_path: Path) -> None:
    with running_receive(tmp_path, "-q", *NOT_SYNCED) as receiver:
        sent(receiver.port, [files["private"]], "-R")
        send(receiver.port, [files["ct"]])
    (line,) = receiver.log().splitlines()
    assert line.startswith("1 stored · ")
    assert set(receiver.names()) <= {"listening", "rejected", "ended"}


def test_no_log_names_a_patient(files: dict[str, Path], tmp_path: Path) -> None:
    with running_receive(tmp_path, "-d", "--layout", "tree", *NOT_SYNCED) as receiver:
        send(receiver.port, [files["ct"]] * 2)
    (path,) = files_in(receiver.folder)
    assert path.startswith("Doe^Jane")
    assert "2.999.3.10000001" in receiver.log()
    assert not {"Doe", "Jane", "P-0042"} & set(receiver.log().replace("^", " ").split())
    assert "Doe" not in receiver.log()


def test_the_log_goes_where_its_configuration_says(files: dict[str, Path], tmp_path: Path) -> None:
    log, configuration = tmp_path / "log", tmp_path / "logging.toml"
    configuration.write_text(
        "[handlers.file]\nclass = 'logging.FileHandler'\n"
        f"filename = '{log}'\n[root]\nlevel = 'INFO'\nhandlers = ['file']\n"
    )
    with running_receive(tmp_path, "-lc", str(configuration), *NOT_SYNCED) as receiver:
        send(receiver.port, [files["ct"]])
    lines = log.read_text().splitlines()
    assert lines[0] == f"listening on 127.0.0.1 port {receiver.port}"
    assert any(line.startswith("stored CT.2.999.3.10000001 ") for line in lines)
    assert len(receiver.log().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "called", "calling", "is_let_in"),
    [
        pytest.param("", "ANY", "ANY", True, id="anybody"),
        pytest.param("-uca", "ANY", "ANY", True, id="any called AE"),
        pytest.param("-aet ME", "ME", "ANY", True, id="called by name"),
        pytest.param("-aet ME", "YOU", "ANY", False, id="called by another name"),
        pytest.param("-aet ME -uca", "YOU", "ANY", True, id="the last word wins"),
        pytest.param("--allow-calling-aet A --allow-calling-aet B", "X", "B", True, id="known"),
        pytest.param("--allow-calling-aet A", "X", "B", False, id="unknown"),
        pytest.param("--allow-from 127.0.0.0/8", "X", "X", True, id="from here"),
        pytest.param("--allow-from 10.0.0.0/8", "X", "X", False, id="from there"),
    ],
)
def test_who_may_associate(
    words: str, called: str, calling: str, is_let_in: object, tmp_path: Path
) -> None:
    with running_receive(tmp_path, *words.split()) as receiver:
        done = sent(receiver.port, [], "-aec", called, "-aet", calling, program="echoscu")
    assert (done.returncode == 0) is is_let_in
    assert ("rejected" in receiver.names()) is not is_let_in


def test_unknown_classes_are_taken_on_demand(files: dict[str, Path], tmp_path: Path) -> None:
    with running_receive(tmp_path, *NOT_SYNCED) as receiver:
        assert sent(receiver.port, [files["private"]], program="dcmsend").returncode != 0
    assert files_in(receiver.folder) == {}
    with running_receive(tmp_path, "--promiscuous", *NOT_SYNCED) as receiver:
        send(receiver.port, [files["private"]], program="dcmsend")
    assert list(files_in(receiver.folder)) == ["UNKNOWN.2.999.3.10000003"]


def test_what_is_ignored_is_answered_and_dropped(files: dict[str, Path], tmp_path: Path) -> None:
    with running_receive(tmp_path, "--ignore") as receiver:
        send(receiver.port, [files["ct"]])
    assert files_in(receiver.folder) == {}


@pytest.mark.parametrize("option", ["-ta", "-td"])
def test_who_says_nothing_is_not_waited_for(option: str, tmp_path: Path) -> None:
    with running_receive(tmp_path, option, "1") as receiver:
        began_s = time.monotonic()
        if option == "-ta":
            with closing(socket.create_connection(("127.0.0.1", receiver.port))) as silent:
                assert silent.recv(1) == b""
        else:
            with held(receiver):
                receiver.wait_for("associationEnded")
        assert 0.9 < time.monotonic() - began_s < 25


def test_the_longest_pdu_is_announced(tmp_path: Path) -> None:
    with running_receive(tmp_path, "-pdu", "8192") as receiver:
        done = sent(receiver.port, [], "-d", program="echoscu")
    assert re.search(r"Their Max PDU Receive Size: +8192", done.stdout)


def test_one_association_at_a_time_if_so_wanted(tmp_path: Path) -> None:
    with running_receive(tmp_path, "--max-associations", "1") as receiver:
        with held(receiver):
            done = sent(receiver.port, [], program="echoscu")
        receiver.wait_for("associationEnded")
        again = sent(receiver.port, [], program="echoscu")
    assert "Local Limit Exceeded" in done.stdout
    assert again.returncode == 0


def test_words_may_stand_in_a_file(files: dict[str, Path], tmp_path: Path) -> None:
    words = tmp_path / "usual.txt"
    words.write_text("-fe '.x y'\n+ssd --durability none\n")
    with running_receive(tmp_path, f"@{words}", "-s") as receiver:
        send(receiver.port, [files["ct"]])
    assert list(files_in(receiver.folder)) == ["CT.2.999.3.10000001.x y"]


def test_counters_are_served(files: dict[str, Path], tmp_path: Path) -> None:
    with running_receive(tmp_path, "--metrics", "0", *NOT_SYNCED) as receiver:
        send(receiver.port, [files["ct"]])
        receiver.wait_for("associationEnded")
        assert "asyncdicom_receiver_instances_stored_total 1" in counters_of(receiver)


PROFILES_OF_DCMTK = "/etc/dcmtk/storescp.cfg"


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        pytest.param("--config-file FILE default", r"CT\.2\.999\.3\.10000001", id="typical"),
        pytest.param(
            "-v -xf FILE default --series-date-subdir --short-unique-names "
            "--filename-extension .dcm",
            r"data/2026/01/03/CT_[0-9a-f]{16}\.dcm",
            id="names",
        ),
        pytest.param("-v -xf FILE default --bit-preserving", r"CT\..*", id="bit-preserving"),
    ],
)
def test_the_examples_of_its_manual_page_work(
    words: str, pattern: str, files: dict[str, Path], tmp_path: Path
) -> None:
    given = words.replace("FILE", PROFILES_OF_DCMTK).split()
    with running_receive(tmp_path, *given, *NOT_SYNCED) as receiver:
        send(receiver.port, [files["ct"]])
        sent(receiver.port, [files["private"]], "-R")
    (path,) = files_in(receiver.folder)
    assert re.fullmatch(pattern, path)


def test_commands_are_run_for_what_happened(files: dict[str, Path], tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = tmp_path / "tell"
    script.write_text(f'#!/bin/sh\necho "$@" >> "{told}"\n')
    script.chmod(0o755)
    hooks = {
        "--on-object": "object {sop_instance_uid}",
        "--on-association": "association {calling_ae} {stored}",
        "--on-study": "study {study_instance_uid} {instances}",
    }
    words = [word for name, text in hooks.items() for word in (name, f"{script} {text}")]
    with running_receive(tmp_path, *words, *NOT_SYNCED, "--study-idle", "0.1") as receiver:
        send(receiver.port, [files["ct"]], "-aet", "CT1")
        receiver.wait_for("studyComplete")
    assert sorted(told.read_text().splitlines()) == [
        "association CT1 1",
        "object 2.999.3.10000001",
        "study 2.999.1.10000001 1",
    ]


@pytest.mark.parametrize("engine", ["native", "pynetdicom"])
def test_either_engine_receives(engine: str, files: dict[str, Path], tmp_path: Path) -> None:
    words = ["--dimse-engine", engine, *NOT_SYNCED]
    with running_receive(tmp_path, *words) as receiver:
        send(receiver.port, [files["ct"], files["report"]])
        assert receiver.end() == 0
    assert len(files_in(receiver.folder)) == 2


def test_tls_with_a_client_of_dcmtk(
    files: dict[str, Path], certificates: Path, tmp_path: Path
) -> None:
    key, certificate, ca = (str(certificates / f"{one}.pem") for one in ("key", "cert", "ca"))
    other = [str(certificates / "other.pem"), str(certificates / "other-cert.pem")]
    words = ["+tls", key, certificate, "+cf", ca, *NOT_SYNCED]
    with running_receive(tmp_path, *words) as receiver:
        send(receiver.port, [files["ct"]], "+tls", *other, "+cf", ca)
        plain = sent(receiver.port, [files["report"]])
        assert receiver.end() == 0
    assert plain.returncode != 0
    assert list(files_in(receiver.folder)) == ["CT.2.999.3.10000001"]


def test_what_is_weak_or_without_effect_is_told(certificates: Path, tmp_path: Path) -> None:
    key, certificate = str(certificates / "key.pem"), str(certificates / "cert.pem")
    words = ["+tls", key, certificate, "-ic", "+py", "+cs", "TLS_RSA_WITH_AES_128_CBC_SHA"]
    with running_receive(tmp_path, *words, "+rs", "seed", "+ws") as receiver:
        assert receiver.end() == 0
    warnings = [line for line in receiver.log().splitlines() if line.startswith("W: ")]
    assert len(warnings) == 2
    assert "TLS_RSA_WITH_AES_128_CBC_SHA" in warnings[0]
    assert "--seed" in warnings[1]


def test_a_password_may_come_from_stdin(certificates: Path, tmp_path: Path) -> None:
    openssl = find_program("openssl")
    assert openssl is not None, "openssl is not installed"
    locked = tmp_path / "locked.pem"
    subprocess.run(
        [openssl, "pkey", "-aes256", "-passout", "pass:sesame", "-in", "key.pem", "-out", locked],
        cwd=certificates,
        check=True,
        capture_output=True,
    )
    command = [PROGRAM, "receive", "0", "--host", "127.0.0.1", "-od", str(tmp_path), "--json"]
    command += ["+tls", str(locked), str(certificates / "cert.pem"), "-ic"]
    for typed, code in (("sesame\n", None), ("wrong\n", 71)):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=clean_environ(),
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(typed)
        process.stdin.close()
        line = process.stdout.readline()
        assert bool(line) is (code is None)
        process.terminate()
        assert process.wait(10) == (code or 0)
        process.stdout.close()


@pytest.mark.parametrize("words", ["", "-v", "-v --json"])
def test_it_runs_where_nobody_listens(words: str, tmp_path: Path) -> None:
    port = free_port()
    command = f"exec {PROGRAM} receive {port} --host 127.0.0.1 -od {tmp_path} {words}"
    closed = "2>&- </dev/null" if "--json" in words else ">&- 2>&- </dev/null"
    process = subprocess.Popen(
        ["sh", "-c", f"{command} {closed}"], stdout=subprocess.DEVNULL, env=clean_environ()
    )
    try:
        wait_until(
            lambda: accepts_connections(port), process, deadline_s=40, log=tmp_path / "no log"
        )
        assert sent(port, [], program="echoscu").returncode == 0
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


@contextmanager
def piped(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a receiver whose events come through a pipe; yield its port, too."""
    command = [PROGRAM, "receive", "0", "--host", "127.0.0.1", "--json", "-od", str(folder)]
    process = subprocess.Popen(
        [*command, *words, *NOT_SYNCED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=clean_environ(),
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["port"]
    finally:
        process.kill()
        process.communicate()


def test_the_reader_of_events_may_leave(files: dict[str, Path], tmp_path: Path) -> None:
    with piped(tmp_path) as (process, port):
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        send(port, [files["ct"]])
        process.terminate()
        assert process.wait(10) == 0
        assert process.stderr.read().splitlines()[-1].startswith(b"1 stored")
        process.stdout = None


def test_a_reader_of_events_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    folder, incoming = tmp_path / "sent", tmp_path / "in"
    folder.mkdir()
    incoming.mkdir()
    for number, content in enumerate(small_instances(300)):
        (folder / f"{number}.dcm").write_bytes(content)
    with piped(incoming) as (process, port):
        # A pipe takes 64 KiB, which is some 100 events.
        send(port, sorted(folder.iterdir()), program="dcmsend")
        assert len(files_in(incoming)) == 300
        process.terminate()
        out, err = process.communicate(timeout=40)
    names = [json.loads(line)["event"] for line in out.splitlines()]
    assert names.count("stored") == 300
    assert names[-1] == "ended"
    assert err.splitlines()[-1].startswith(b"300 stored")
