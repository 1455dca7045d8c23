"""`asyncdicom find` as a process, against a real archive and against one that misbehaves."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from asyncdicom.mock.server import MockServer
from asyncdicom.mock.synthetic import SyntheticArchive, SyntheticOptions

if TYPE_CHECKING:
    from tests.support.orthanc import Orthanc

PROGRAM = str(Path(sys.executable).with_name("asyncdicom"))
PAGING_STUDY_COUNT = 2000


def find(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "find", *words], capture_output=True, text=True, timeout=50, check=False
    )


def last_line(text: str) -> str:
    return text.splitlines()[-1]


@pytest.mark.peer("orthanc-dicomweb")
@pytest.mark.parametrize("page_limit", [1000, 300])
def test_orthanc_lists_each_of_2000_studies_once(
    orthanc_with_2000_studies: Orthanc, page_limit: int
) -> None:
    done = find(
        orthanc_with_2000_studies.dicomweb_url,
        *("--format", "json", "--page-size", str(page_limit)),
    )
    patients = [answer["00100020"]["Value"][0] for answer in json.loads(done.stdout)]
    assert sorted(patients) == [f"P{10_000 + n}" for n in range(PAGING_STUDY_COUNT)]
    assert last_line(done.stderr).endswith("complete")
    assert done.returncode == 0


@pytest.mark.peer("orthanc-dicomweb")
@pytest.mark.parametrize(
    ("words", "count"),
    [
        pytest.param(["PatientID=P10007"], 1, id="an exact value"),
        pytest.param(["PatientID=P1000?"], 10, id="a question mark"),
        pytest.param(["PatientID=P1001*"], 10, id="an asterisk"),
        pytest.param(["PatientName=Example^Patient", "PatientID=P10007"], 1, id="a name"),
        pytest.param(["00100020=P10007"], 1, id="a tag"),
        pytest.param(["PatientID=P1000*", "StudyDate=20250101-20250103"], 10, id="dates"),
        pytest.param(["PatientID=P1000*", "StudyDate=20250103-"], 0, id="later dates"),
        pytest.param(
            ["StudyInstanceUID=2.999.20251.10003,2.999.20251.10004"], 2, id="a list of UIDs"
        ),
        pytest.param(
            ["StudyInstanceUID=2.999.20251.10003", "--level", "series"], 1, id="series of a study"
        ),
        pytest.param(
            ["QueryRetrieveLevel=IMAGE", "StudyInstanceUID=2.999.20251.10003"], 1, id="instances"
        ),
        pytest.param(["PatientID=P1000*", "--limit", "3"], 3, id="a limit"),
        pytest.param(["PatientID=nobody"], 0, id="nobody"),
    ],
)
def test_keys_mean_to_orthanc_what_they_say(
    orthanc_with_2000_studies: Orthanc, words: list[str], count: int
) -> None:
    done = find(orthanc_with_2000_studies.dicomweb_url, *words, "--format", "json")
    assert (len(json.loads(done.stdout)), done.returncode) == (count, 0 if count else 4)


@pytest.mark.peer("orthanc-dicomweb")
def test_text_has_the_form_of_odil(orthanc_with_2000_studies: Orthanc) -> None:
    done = find(orthanc_with_2000_studies.dicomweb_url, "PatientID=P10007", "StudyDescription")
    lines = done.stdout.splitlines()
    assert lines[0] == "1 answer"
    assert "Patient ID                        0010,0020 LO ['P10007']" in lines
    assert "Study Description                 0008,1030 LO ['Example study']" in lines
    assert lines[-1] == ""


@pytest.mark.peer("orthanc-dicomweb")
def test_a_wrong_root_is_told_as_such(orthanc_with_2000_studies: Orthanc) -> None:
    done = find(orthanc_with_2000_studies.url + "/wrong")
    assert "not the root of a DICOMweb service" in done.stderr
    assert (done.returncode, done.stdout) == (5, "")


@pytest.mark.peer("orthanc-dicomweb")
def test_a_reader_may_leave_early(orthanc_with_2000_studies: Orthanc) -> None:
    command = f"{PROGRAM} find {orthanc_with_2000_studies.dicomweb_url} --format csv | head -n 2"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=50, check=False
    )
    assert len(done.stdout.splitlines()) == 2
    assert "Traceback" not in done.stderr


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("faults", "listed", "code", "end"),
    [
        pytest.param([], 25, 0, "complete", id="a server that conforms"),
        pytest.param(["cap:search:n=3"], 25, 0, "complete", id="capped without a word"),
        pytest.param(["short-pages:search"], 25, 0, "complete", id="pages half empty"),
        pytest.param(["ignore-offset:search"], 25, 1, "ignores the offset", id="offset ignored"),
        pytest.param(["repeat-pages:search"], 25, 1, "ignores the offset", id="pages repeated"),
        pytest.param(
            ["warning:search:n=9"], 25, 1, "says that there are more", id="warned to the end"
        ),
        pytest.param(["503:search:times=2"], 25, 0, "complete", id="busy at first"),
        pytest.param(["cut:search:nth=2"], 25, 0, "complete", id="the second page breaks"),
    ],
)
async def test_bad_servers_are_survived_and_told(
    faults: list[str], listed: int, code: int, end: str
) -> None:
    async with AsyncExitStack() as stack:
        archive = SyntheticArchive(SyntheticOptions(studies=25))
        server = await stack.enter_async_context(MockServer(archive, faults=faults))
        command = [PROGRAM, "find", server.url, "--page-size", "10", "--format", "json"]
        with anyio.fail_after(15):
            done = await anyio.run_process(command, check=False)
    answers = json.loads(done.stdout)
    uids = {answer["0020000D"]["Value"][0] for answer in answers}
    assert (len(answers), len(uids)) == (listed, listed)
    assert end in last_line(done.stderr.decode())
    assert done.returncode == code
