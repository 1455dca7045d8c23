"""Servers that are slow, busy, suspicious or hostile, against the real command on real sockets.

What holds is read from the log of the server, with its times, never from the command alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import h2.connection
import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.jobs.get import GetJob, GetOptions
from asyncdicom.jobs.intake import WebRetriever
from asyncdicom.jobs.lookup import Lookup
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.mock import MockServer, SyntheticArchive, SyntheticOptions
from asyncdicom.mock.dicomweb import WebOptions
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.output_wiring import open_store
from asyncdicom.policy.granularity import Granularity
from asyncdicom.policy.retry import RetryPolicy
from asyncdicom.wiring import open_source
from tests.e2e.support import (
    PROGRAM,
    RUN_DEADLINE_S,
    TruthStudy,
    assert_only_true_files,
    assert_speaks_plainly,
    clean_environ,
    cli,
    portal_mock,
)
from tests.e2e.watching import ATTACK_BYTES, ON_THE_WAY, ON_THE_WAY_S, Seen, peak_bytes, watched
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from anyio.from_thread import BlockingPortal

    from asyncdicom.events import RunEnded
    from asyncdicom.mock.server import Recorded
    from tests.e2e.support import Mock

STUDY = TruthStudy(series=1, instances=300, rows=4)
FEW = TruthStudy(series=1, instances=12, rows=16)
AT_ONCE = 8
"""Workers, unless told."""


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


def get_words(mock: Mock, out: Path, study: TruthStudy = STUDY) -> list[str]:
    one_by_one = ["--granularity", "instance", "--durability", "none"]
    return ["get", mock.url, "--study", study.uid, "-o", str(out), *one_by_one]


# Pauses that a server asks for


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("503:instance:nth=30,retry-after=1", id="503 with seconds"),
        pytest.param("429:instance:nth=30,retry-after=1", id="429 with seconds"),
        pytest.param("503:instance:nth=30,retry-after-date=2", id="503 with a date"),
        pytest.param("503:search:nth=1,retry-after=1", id="503 while looking up"),
    ],
)
def test_no_worker_asks_before_the_pause_is_over(
    portal: BlockingPortal, tmp_path: Path, fault: str
) -> None:
    with portal_mock(portal, STUDY, fault) as mock:
        seen = watched(mock)
        done = cli(*get_words(mock, tmp_path))
    assert done.code == 0, done.err
    refused = next(n for n, one in enumerate(seen) if one.request.status in (429, 503))
    heard_s = seen[refused].at_s
    after = [one.at_s - heard_s for one in seen[refused + 1 :]]
    assert sum(ON_THE_WAY_S < at < 1.0 for at in after) <= ON_THE_WAY * AT_ONCE
    assert max(after) >= 1.0
    assert_only_true_files(tmp_path, STUDY)


def test_a_worker_in_the_middle_of_a_search_waits_too(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    archive = SyntheticArchive(SyntheticOptions(studies=6, instances=2, rows=4))
    # The other searches are answered when the pause has begun, and have a next page to ask for.
    faults = ["503:search:nth=1,retry-after=1", "delay:search:s=0.4,times=5"]
    server = MockServer(archive, faults=faults)
    seen: list[Seen] = []
    server.on_request = lambda request: seen.append(Seen(time.monotonic(), request))
    with portal.wrap_async_context_manager(server):
        words = ["get", server.url, "-o", str(tmp_path)]
        for study in archive.studies:
            words += ["--study", study.study_instance_uid]
        assert cli(*words).code == 0
    heard_s = next(one.at_s for one in seen if one.request.status == 503)
    next_pages = [n for n in seen if "offset" in dict(n.request.query)]
    assert next_pages
    assert [n for n in next_pages if n.at_s < heard_s + 1.0] == []
    assert len(list(tmp_path.iterdir())) == 12


def test_a_pause_of_a_year_is_kept_and_can_be_interrupted(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_mock(portal, STUDY, "503:instance:nth=3,retry-after=31536000") as mock:
        seen = watched(mock)
        with subprocess.Popen(
            [PROGRAM, *get_words(mock, tmp_path)], stderr=subprocess.PIPE, env=clean_environ()
        ) as process:
            wait_until(
                lambda: any(one.request.status == 503 for one in seen),
                process,
                deadline_s=RUN_DEADLINE_S,
                log=tmp_path / "no log",
            )
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGINT)
            assert process.wait(RUN_DEADLINE_S) == 130
    refused = next(n for n, one in enumerate(seen) if one.request.status == 503)
    assert len(seen) - refused <= 1 + ON_THE_WAY * AT_ONCE


@pytest.mark.parametrize("value", ["-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_pause_that_is_none_stops_nobody(
    portal: BlockingPortal, tmp_path: Path, value: str
) -> None:
    # Options of a fault are parted by commas, so the date loses its own.
    fault = f"503:instance:times=3,retry-after={value.replace(',', '')}"
    with portal_mock(portal, FEW, fault) as mock:
        done = cli(*get_words(mock, tmp_path, FEW))
    assert done.code == 0, done.err
    assert done.seconds < 20


# Connections that break again and again


@pytest.mark.anyio
@pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
)
@pytest.mark.parametrize(
    ("fault", "every"),
    [
        pytest.param("reset", 2, id="RST, every 2nd"),
        pytest.param("reset", 3, id="RST, every 3rd"),
        pytest.param("reset", 5, id="RST, every 5th"),
        pytest.param("reset", 10, id="RST, every 10th"),
        pytest.param("cut", 2, id="FIN, every 2nd"),
        pytest.param("truncate", 3, id="a clean early end, every 3rd"),
        pytest.param("h2 cut", 2, id="RST_STREAM, every 2nd"),
        pytest.param("h2 cut", 10, id="RST_STREAM, every 10th"),
    ],
)
async def test_every_kth_answer_may_break(tmp_path: Path, fault: str, every: int) -> None:
    name = fault.removeprefix("h2 ")
    async with MockServer(STUDY.archive, faults=[f"{name}:instance:every={every}"]) as server:
        # As the user's -r 30, with pauses that are scaled to the speed of the mock.
        patience = RetryPolicy(retries=30, first_pause_s=0.001, longest_pause_s=0.01)
        ended = await get_in_process(server.url, tmp_path, patience, h2c=name != fault)
        asked = server.count("*/instances/*.*")
    assert ended.is_complete
    assert assert_only_true_files(tmp_path, STUDY) == set(STUDY.instances)
    assert asked <= len(STUDY.instances) * (1 + 2 / every)


async def get_in_process(
    url: str, out: Path, patience: RetryPolicy, study: TruthStudy = STUDY, **options: Any
) -> RunEnded:
    """Get a study one by one."""
    async with (
        open_source(url, options) as source,
        open_store({"output": str(out), "durability": "none"}) as store,
    ):
        tally = Tally()
        options_ = GetOptions(granularity=Granularity.INSTANCE)
        job = GetJob(WebRetriever(source), Lookup(source), store, tally, options_)
        scheduler = Scheduler(job, SchedulerSettings(retry=patience))
        tasks = job.tasks([Target(Resource.STUDY, Uid(study.uid))])
        return await run_job(job, tasks, scheduler=scheduler, tally=tally)


# Streams that are left early


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "engine"),
    [
        pytest.param("404:instance", "pyreqwest", id="404"),
        pytest.param("406:instance", "pyreqwest", id="406"),
        pytest.param("206:instance", "pyreqwest", id="206"),
        pytest.param("wrong-uid:instance:part=1", "pyreqwest", id="another instance"),
        pytest.param("endless-part-header:instance", "pyreqwest", id="without end"),
        pytest.param("endless-part-header:instance", "httpx", id="without end, httpx"),
    ],
)
@pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
)
async def test_no_connection_sees_more_than_100_streams_cancelled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str, engine: str
) -> None:
    cancelled: Counter[h2.connection.H2Connection] = Counter()
    receive = h2.connection.H2Connection._receive_rst_stream_frame

    def counted(self: h2.connection.H2Connection, frame: Any) -> Any:
        # Our client, not the server, is to be counted; STREAM_CLOSED answers late frames.
        cancelled[self] += not self.config.client_side and frame.error_code == CANCEL
        return receive(self, frame)

    monkeypatch.setattr(h2.connection.H2Connection, "_receive_rst_stream_frame", counted)
    async with MockServer(STUDY.archive, faults=[fault]) as server:
        once = RetryPolicy(retries=0)
        ended = await get_in_process(server.url, tmp_path, once, h2c=True, http_engine=engine)
    assert ended.stored + ended.missing + ended.corrupt == len(STUDY.instances)
    assert max(cancelled.values(), default=0) <= 100


@pytest.mark.anyio
@pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
)
async def test_refused_streams_bring_no_storm(tmp_path: Path) -> None:
    # The default engine; httpx opens a connection after each, as its state is unknown then.
    refused = f"cut:instance:at=head,code={REFUSED_STREAM}"
    async with MockServer(STUDY.archive, faults=[refused]) as server:
        patience = RetryPolicy(retries=2, first_pause_s=0.001, longest_pause_s=0.001)
        ended = await get_in_process(server.url, tmp_path, patience, h2c=True)
        connections, asked = server.statistics().connections, server.count("*/instances/*.*")
    assert ended.missing == len(STUDY.instances)
    assert connections <= 2
    # The engine asks twice more by itself, as RFC 9113 §8.7 allows: nothing was processed.
    assert asked <= 3 * 3 * len(STUDY.instances)


REFUSED_STREAM = 0x7
CANCEL = 0x8
"""RFC 9113 §7."""


# Credentials


def test_a_token_that_expires_is_renewed_once(portal: BlockingPortal, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    script = tmp_path / "token.sh"
    script.write_text(
        f'echo >> {calls}\n[ "$(wc -l < {calls})" = 1 ] && echo first || echo second\n'
    )
    with portal_mock(portal, STUDY, web=WebOptions(require_token="first")) as mock:
        seen: list[Recorded] = []
        web = mock._server.web

        def expire(request: Recorded) -> None:
            seen.append(request)
            if len(seen) == 100:
                web.options = replace(web.options, require_token="second")

        mock._server.on_request = expire
        words = get_words(mock, tmp_path / "out")
        done = cli(*words, "--bearer-command", f"sh {script}", "-r", "0")
    assert done.code == 0, done.err
    assert calls.read_text().count("\n") == 2
    refused = [request for request in seen if request.status == 401]
    # Each worker may hear once that the old token has gone; nobody asks twice with it.
    assert 1 <= len(refused) <= 8
    instances = [request for request in seen if "/instances/" in request.path]
    assert len(instances) == len(STUDY.instances) + len(refused)


def test_a_token_that_stays_refused_is_no_storm(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_mock(portal, STUDY, web=WebOptions(require_token="right")) as mock:
        done = cli(*get_words(mock, tmp_path), "--bearer-command", "echo wrong")
        asked = mock.new_requests()
    assert done.code == 5
    assert len(asked) <= 2


@pytest.mark.parametrize(
    ("words", "sends"), [((), False), (("--netrc",), True)], ids=["not asked for", "asked for"]
)
def test_netrc_is_read_only_when_asked_for(
    portal: BlockingPortal,
    tmp_path: Path,
    words: tuple[str, ...],
    sends: bool,  # noqa: FBT001 -- a column
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login anna password hunter2\n")
    (tmp_path / ".netrc").chmod(0o600)
    with portal_mock(portal, FEW) as mock:
        seen = watched(mock)
        environment = clean_environ(HOME=str(tmp_path))
        done = cli(*get_words(mock, tmp_path / "out", FEW), *words, env=environment)
    assert done.code == 0
    assert {one.authorization is not None for one in seen} == {sends}


SECRETS = ("--bearer", "hunter2", "--header", "X-Api-Key: hunter2", "--header", "Cookie: a=hunter2")


def test_no_secret_follows_a_redirect_to_another_port(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_mock(portal, FEW) as other, portal_mock(portal, FEW) as home:
        home.set_faults(f"redirect:study:to={other.url}/studies/{FEW.uid}")
        at_home, elsewhere = watched(home), watched(other)
        done = cli("get", home.url, "--study", FEW.uid, "-o", str(tmp_path), *SECRETS)
    assert done.code == 0, done.err
    assert assert_only_true_files(tmp_path, FEW) == set(FEW.instances)
    assert {one.authorization for one in at_home} == {"Bearer hunter2"}
    assert len(elsewhere) == 1
    assert "hunter2" not in str(elsewhere)


def test_no_secret_follows_a_redirect_to_another_host(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_mock(portal, FEW) as mock:
        port = mock._server.port
        there = f"http://localhost:{port}/dicom-web/studies/{FEW.uid}"
        mock.set_faults(f"redirect:study:times=1,to={there}")
        seen = watched(mock)
        done = cli("get", mock.url, "--study", FEW.uid, "-o", str(tmp_path), *SECRETS)
    assert done.code == 0, done.err
    retrieved = [one for one in seen if one.request.path.endswith(FEW.uid)]
    assert [one.authorization for one in retrieved] == ["Bearer hunter2", None]
    assert "hunter2" not in str(retrieved[1])


def test_https_is_never_left_for_http(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_mock(portal, FEW) as plain, portal_mock(portal, FEW, tls=True) as home:
        home.set_faults(f"redirect:to={plain.url}/studies/{FEW.uid}")
        elsewhere = watched(plain)
        ca = ("--cacert", str(home.ca_file))
        done = cli("get", home.url, "--study", FEW.uid, "-o", str(tmp_path), *ca, *SECRETS)
    assert done.code != 0
    assert "from https to" in done.err
    assert elsewhere == []


# Memory and time


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")  # noqa: PTH110 -- a condition
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("gzip-bomb:metadata:size=1e9", id="a gzip bomb for metadata"),
        pytest.param("gzip-bomb:frame:size=1e9,nth=1", id="a gzip bomb for pixels"),
        pytest.param("endless-part-header:frame", id="a part header without end"),
        pytest.param("endless-header:frame", id="a head without end"),
    ],
)
def test_no_answer_takes_the_memory(portal: BlockingPortal, tmp_path: Path, fault: str) -> None:
    with portal_mock(portal, FEW) as mock:
        words = ["dump", "-w", mock.url, "-s", FEW.uid, "-r", "0", "-c", "1", "-o"]
        code, usual_bytes = peak_bytes([*words, str(tmp_path / "usual")])
        assert code == 0
        # A plain refusal loads what any failure needs; that is not the attack's doing.
        mock.set_faults(f"500:{fault.split(':')[1]}")
        code, refused_bytes = peak_bytes([*words, str(tmp_path / "refused")])
        assert code != 0
        usual_bytes = max(usual_bytes, refused_bytes)
        attacked = []
        for number in range(2):
            mock.set_faults(fault)
            attacked.append(peak_bytes([*words, str(tmp_path / f"attacked{number}")]))
    # What the machine adds differs from run to run; what the attack takes does not.
    assert all(code != 0 for code, _ in attacked)
    assert min(peak for _, peak in attacked) - usual_bytes < ATTACK_BYTES


@pytest.mark.parametrize("engine", ["pyreqwest", "httpx", "aiohttp"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("drip:study:rate=100", id="a trickle"),
        pytest.param("stall:study:at=head", id="silence before the head"),
        pytest.param("stall:study:at=9000", id="silence in a part"),
    ],
)
def test_patience_ends_with_the_timeout(
    portal: BlockingPortal, tmp_path: Path, fault: str, engine: str
) -> None:
    with portal_mock(portal, FEW, fault) as mock:
        words = ("--timeout", "0.5", "-r", "0", "--http-engine", engine)
        done = cli("get", mock.url, "--study", FEW.uid, "-o", str(tmp_path), *words)
    assert_speaks_plainly(done)
    # What came before the silence is kept, and the rest is asked for one by one.
    assert done.code == (0 if "9000" in fault else 5), done.err
    assert done.seconds < 20
    assert_only_true_files(tmp_path, FEW)
