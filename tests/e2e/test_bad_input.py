"""What a person does wrong, or meets: one line that names it, what to do next, no traceback."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support import PROGRAM, Completed, Runs, clean_environ, cli
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

UID = "1.2.826.0.1.3680043.8.498.99"
NOBODY = "http://127.0.0.1:1/dicom-web"
"""Port 1: nobody listens there."""


def assert_plain(done: Completed, *told: str) -> None:
    """Refuse tracebacks and novels; demand that each text is told."""
    assert "Traceback" not in done.err
    assert done.out == ""
    assert len(done.err.splitlines()) <= 4, done.err
    for text in told:
        assert text in done.err


# Arguments that cannot be meant


@dataclass(frozen=True, slots=True)
class Bad:
    """Arguments, and what is said of them."""

    words: tuple[str, ...]
    told: tuple[str, ...]
    """What stderr has to name: the thing, and the next step."""
    stdin: str = ""


def bad(*words: str, told: tuple[str, ...], name: str, stdin: str = "") -> Any:
    return pytest.param(Bad(words, told, stdin), id=name)


GET = ("get", NOBODY, "-s", UID, "-o", "{out}", "-r", "0")
DUMP = ("dump", "-w", NOBODY, "-s", UID, "-o", "{out}", "-r", "0")
EXPECTED_URL = "expected http://host[:port]/dicom-web"


def get_from(url: str) -> tuple[str, ...]:
    return ("get", url, "-s", UID, "-o", "{out}")


BAD = [
    bad("bogus", told=("'bogus'", "--help"), name="an unknown command"),
    bad(*GET, "--bogus", told=("'--bogus'", "get --help"), name="an unknown option of get"),
    bad(*DUMP, "--bogus", told=("'--bogus'", "dump --help"), name="an unknown option of dump"),
    bad("get", NOBODY, "-o", "{out}", told=("--study UID",), name="nothing to get"),
    bad("dump", "-w", NOBODY, "-o", "{out}", told=("-s UID",), name="nothing to dump"),
    bad("dump", "-s", UID, "-o", "{out}", told=("--wado-rs-root-url",), name="no root to dump"),
    bad("get", NOBODY, "-s", "1.2.x", told=("'1.2.x'", "digits and dots"), name="letters in a UID"),
    bad("get", NOBODY, "-s", "1..2", told=("'1..2'", "digits and dots"), name="an empty component"),
    bad("get", NOBODY, "-s", "1." * 33 + "1", told=("at most 64",), name="a UID that is too long"),
    bad("get", NOBODY, "-s", "../../etc", told=("not a UID",), name="a path for a UID"),
    bad(
        "dump", "-w", NOBODY, "-s", "1.2.x", "-o", "{out}", told=("'1.2.x'",), name="dump a non-UID"
    ),
    bad("get", NOBODY, "-s", "-", told=("stdin", "one per line"), name="no UID on stdin"),
    bad("get", NOBODY, "-s", "-", stdin="x\n", told=("'x'",), name="a non-UID on stdin"),
    bad(*GET, "--series", "1.2x", told=("'1.2x'",), name="letters in the UID of a series"),
    bad("get", NOBODY, "--series", UID, told=("--study",), name="a series of no study"),
    bad(*GET, "--instance", UID, told=("--series",), name="an instance of no series"),
    bad("get", NOBODY, "Foo=1", told=("'Foo'", "keywords"), name="an unknown keyword"),
    bad(*get_from("http:///dicom-web"), told=("no host", EXPECTED_URL), name="a URL without host"),
    bad(*get_from(""), told=(EXPECTED_URL,), name="an empty URL"),
    bad(*get_from("pacs.example"), told=("no scheme", EXPECTED_URL), name="a URL without scheme"),
    bad(*get_from("ftp://pacs/x"), told=("ftp", EXPECTED_URL), name="an unknown scheme"),
    bad(*get_from("http://pacs:99999/"), told=("ort", EXPECTED_URL), name="an impossible port"),
    bad(*GET, "--cacert", "{missing}", told=("{missing}",), name="a CA file that is not there"),
    bad(*GET, "--cacert", "{text}", told=("{text}", "PEM"), name="a CA file without certificate"),
    bad(*GET, "--cert", "{missing}", told=("{missing}",), name="a certificate that is not there"),
    bad(*GET, "--proxy", "ftp://x", told=("proxy", "socks5://"), name="an unknown kind of proxy"),
    bad(*GET, "--user", "nobody", told=("NAME:PASSWORD",), name="a user without password"),
    bad(*GET, "--header", "x", told=("NAME: VALUE",), name="a header without a value"),
    bad(*GET, "-c", "0", told=("--concurrency", "1<=x<=1024"), name="no requests at once"),
    bad(*GET, "-r", "-1", told=("--retry", "0<=x<=100"), name="a negative number of retries"),
    bad(*GET, "--timeout", "0", told=("--timeout", "0.1"), name="no patience at all"),
    bad(*GET, "--bandwidth", "10Q", told=("'10Q'", "500k"), name="an unknown unit"),
    bad(*GET, "--layout", "{{Foo}}/x", told=("'Foo'", "PatientID"), name="an unknown variable"),
    bad(*GET, "--layout", "{{PatientID", told=("malformed", "{{PatientID}}"), name="an open brace"),
    bad(*GET, "-I", "-l", "%PatientID", told=("--iso-9660",), name="ISO names and a template"),
    bad(*DUMP, "--only", "pixels", told=("'pixels'", "frames, instances"), name="an unknown kind"),
    bad(*GET[:4], "-o", "{text}", told=("is a file: {text}", "folder"), name="a file as output"),
    bad(*DUMP[:5], "-o", "{text}", told=("is a file: {text}",), name="a file as output of dump"),
    bad(*GET[:4], "-o", "{text}/sub", told=("is a file", "folder"), name="a file above the output"),
    bad(*GET, "--report", "{missing}/r", told=("{missing}/r",), name="a report nowhere"),
    bad("get", NOBODY, "--retry-failed", "{missing}", told=("{missing}",), name="no report"),
    bad(
        "get", NOBODY, "--retry-failed", "{torn}", told=("line 1 of {torn}",), name="a torn report"
    ),
    bad(
        "get", NOBODY, "--retry-failed", "{other}", told=("{other}", "--report"), name="no targets"
    ),
    bad(*GET, "--config", "{missing}", told=("{missing}",), name="a configuration nowhere"),
    bad(*GET, "--config", "{text}", told=("{text}",), name="a configuration that is no TOML"),
]


@dataclass(frozen=True, slots=True)
class Mistake:
    """How a command took its arguments."""

    done: Completed
    told: tuple[str, ...]


@pytest.fixture(scope="module")
def mistakes(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Runs[Bad, Mistake]]:
    base = tmp_path_factory.mktemp("mistakes")
    paths = {name: str(base / name) for name in ("missing", "text", "torn", "other", "out")}
    (base / "text").write_text("just text\n")
    (base / "torn").write_text('{"outcome": "fai\n{"outcome": "stored"}\n')
    (base / "other").write_text('{"outcome": "failed", "what": "else"}\n')

    def perform(case: Bad) -> Mistake:
        words = [word.format(**paths) for word in case.words]
        done = cli(*words, stdin=case.stdin, cwd=str(base))
        return Mistake(done, tuple(text.format(**paths) for text in case.told))

    with Runs.of_module(request, Bad, perform) as runs:
        yield runs


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_named_with_the_next_step(mistakes: Runs[Bad, Mistake], case: Bad) -> None:
    mistake = mistakes[case]
    assert_plain(mistake.done, *mistake.told)
    assert mistake.done.code == 2


@pytest.mark.parametrize(
    "case", [pytest.param(Bad(GET, ("",)), id="get"), pytest.param(Bad(DUMP, ("",)), id="dump")]
)
def test_a_closed_port_is_told_from_everything_else(
    mistakes: Runs[Bad, Mistake], case: Bad
) -> None:
    done = mistakes[case].done
    assert_plain(done, "connection refused", NOBODY.removesuffix("/dicom-web"), "server is up")
    assert done.last_line.startswith("0 stored · 1 missing")
    assert done.code == 5


# Servers that are not what they should be


@dataclass(frozen=True, slots=True)
class Stub:
    """A server that says the same to everybody."""

    status: int
    content_type: str
    body: str


@dataclass(frozen=True, slots=True)
class Met:
    """What each command made of it."""

    get: Completed
    dump: Completed
    by_key: Completed
    """`get` with KEY=VALUE."""


@contextmanager
def serving(stub: Stub) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = stub.body.encode()
            self.send_response(stub.status)
            self.send_header("Content-Type", stub.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


STUBS = {
    "a page": Stub(200, "text/html", "<html>welcome</html>"),
    "a page that is not found": Stub(404, "text/html", "<html>not found</html>"),
    "a study that is not found": Stub(404, "application/dicom+json", "[]"),
    "nothing": Stub(200, "application/dicom+json", "[]"),
    "an error object": Stub(200, "application/json", '{"error": "no"}'),
    "401": Stub(401, "text/plain", "who are you"),
    "403": Stub(403, "text/plain", "not you"),
    "500": Stub(500, "text/plain", "oops"),
}


@pytest.fixture(scope="module")
def met(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Runs[Stub, Met]]:
    base = tmp_path_factory.mktemp("met")

    def perform(stub: Stub) -> Met:
        with serving(stub) as url:
            out = ("-o", str(base / f"{abs(hash(stub))}"), "-r", "0")
            return Met(
                cli("get", url, "-s", UID, *out),
                cli("dump", "-w", url, "-s", UID, *out),
                cli("get", url, "PatientID=4711", *out),
            )

    with Runs.of_module(request, Stub, perform) as runs:
        yield runs


def stub(name: str, *expected: Any) -> Any:
    return pytest.param(STUBS[name], *expected, id=name)


ROOT = "root of a DICOMweb service"


@pytest.mark.parametrize(
    ("case", "code", "told"),
    [
        stub("a page", 5, ("'text/html'", ROOT)),
        stub("a page that is not found", 4, ("404", ROOT)),
        stub("a study that is not found", 4, ("404", "UID")),
        stub("nothing", 4, (UID, "no instance")),
        stub("401", 5, ("wants credentials (401)", "--user", "--bearer")),
        stub("403", 5, ("forbids it", "403", "other ones")),
        stub("500", 1, ("failed (500)",)),
    ],
)
def test_what_the_server_says_is_told_with_the_next_step(
    met: Runs[Stub, Met], case: Stub, code: int, told: tuple[str, ...]
) -> None:
    for done in (met[case].get, met[case].dump):
        assert_plain(done, *told)
        assert done.last_line.startswith("0 stored · 1 missing · 0 corrupt")
        assert done.code == code


@pytest.mark.parametrize(
    ("case", "code", "told"),
    [
        stub("a page", 5, ("text/html", ROOT)),
        stub("a page that is not found", 5, ("404 text/html", ROOT)),
        stub("nothing", 4, ("nothing matches",)),
        stub("an error object", 5, ("'error'",)),
        stub("401", 5, ("wants credentials (401)", "--user")),
        stub("403", 5, ("forbids it", "other ones")),
        stub("500", 1, ("failed (500)",)),
    ],
)
def test_a_search_that_cannot_be_had_is_told_with_the_next_step(
    met: Runs[Stub, Met], case: Stub, code: int, told: tuple[str, ...]
) -> None:
    done = met[case].by_key
    assert_plain(done, *told)
    assert done.code == code


@pytest.mark.parametrize("case", [stub("an error object")])
def test_an_error_object_is_no_study(met: Runs[Stub, Met], case: Stub) -> None:
    for done in (met[case].get, met[case].dump):
        assert_plain(done, "00080018 is missing")
        assert done.code == 1


# This machine


WITHOUT_OVERRIDE = """
import ctypes, os, sys
# Root may write everywhere by CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2): drop both
# from the bounding set (PR_CAPBSET_DROP is 24), so that the program does not get them.
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        pytest.param(GET[:4], "", id="get into a folder of others"),
        pytest.param(GET[:4], "/new", id="get into a folder that cannot be made"),
        pytest.param(DUMP[:5], "", id="dump into a folder of others"),
    ],
)
def test_a_folder_without_permission_is_named(
    tmp_path: Path, command: tuple[str, ...], folder: str
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    words = [*command, "-o", f"{locked}{folder}"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OVERRIDE, PROGRAM, *words],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=clean_environ(),
    )
    locked.chmod(0o700)
    told = ("no permission", str(locked), "owner and mode")
    assert_plain(Completed(done.returncode, done.stdout, done.stderr, 0.0), *told)
    assert done.returncode == 2


def test_a_host_without_a_port_that_listens_is_given_up_in_time(tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{free_port()}/dicom-web"
    done = cli("get", url, "-s", UID, "-o", str(tmp_path), "-r", "2")
    assert_plain(done, "3 tries")
    assert done.code == 5
    assert done.seconds < 20
