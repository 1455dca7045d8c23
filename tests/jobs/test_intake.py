"""An answer becomes files part by part, and only whole ones are handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConnectionLost, Doubtful, FetchError, ProtocolError, UnexpectedContent
from asyncdicom.jobs.intake import Arrival, take_in
from tests.jobs.support import open_store
from tests.support.scripted import ScriptedAnswer
from tests.support.served import Served, whole_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncdicom.storage.atomic import FileWriter

    Script = Callable[[ScriptedAnswer], ScriptedAnswer]

pytestmark = pytest.mark.anyio

SIZES = [1, 97, 1 << 20]


class Taken:
    """What came of an answer."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival[FileWriter]] = []
        self.byte_count = 0

    def count(self, byte_count: int) -> None:
        self.byte_count += byte_count


async def taken(served: Served, folder: Path, script: Script) -> Taken:
    """Take in the answer for the study, changed by a script."""
    served.script(f"/studies/{served.study}", script)
    found = Taken()
    async with open_store(folder) as store, served.source.transact(served.target()) as transaction:
        try:
            async for arrival in take_in(transaction, store, on_bytes=found.count):
                found.arrivals.append(arrival)
        finally:
            for arrival in found.arrivals:
                arrival.writer.discard()
    return found


def in_pieces(
    size_bytes: int, *, at_most: int | None = None, error: FetchError | None = None
) -> Script:
    def script(answer: ScriptedAnswer) -> ScriptedAnswer:
        body = whole_body(answer.body)[:at_most]
        pieces: list[bytes | FetchError] = [
            body[at : at + size_bytes] for at in range(0, len(body), size_bytes)
        ]
        return ScriptedAnswer(200, answer.headers, [*pieces, *([error] if error else [])])

    return script


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_instances_arrive_however_the_network_cuts(tmp_path: Path, size_bytes: int) -> None:
    served = Served()
    found = await taken(served, tmp_path, in_pieces(size_bytes))
    assert [arrival.facts.sop_instance_uid for arrival in found.arrivals] == served.instances
    assert [arrival.facts.byte_count for arrival in found.arrivals] == [
        len(content) for content in served.files.values()
    ]
    assert found.byte_count > sum(map(len, served.files.values()))


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("error", [None, ConnectionLost("reset")], ids=["ended", "lost"])
async def test_what_is_cut_does_not_arrive(
    tmp_path: Path, size_bytes: int, error: FetchError | None
) -> None:
    served = Served()
    script = in_pieces(size_bytes, at_most=3000, error=error)
    with pytest.raises(type(error) if error else ProtocolError):
        await taken(served, tmp_path, script)
    assert list(tmp_path.rglob("*.dcm")) == []  # noqa: ASYNC240 -- a look at a small folder


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            ScriptedAnswer(200, (("content-type", "multipart/related; boundary=b"),), b"--b--\r\n"),
            id="no part",
        ),
        pytest.param(
            ScriptedAnswer(200, (("content-type", "application/dicom+json"),), b"[]"),
            id="metadata",
        ),
    ],
)
async def test_an_answer_without_instances_is_refused(
    tmp_path: Path, answer: ScriptedAnswer
) -> None:
    with pytest.raises((UnexpectedContent, ProtocolError)):
        await taken(Served(), tmp_path, lambda _: answer)


async def test_a_part_that_is_no_instance_is_refused_after_the_first_whole_one(
    tmp_path: Path,
) -> None:
    def script(answer: ScriptedAnswer) -> ScriptedAnswer:
        body = whole_body(answer.body)
        second = body.index(b"DICM", body.index(b"DICM") + 4)
        return ScriptedAnswer(200, answer.headers, body[:second] + b"XXXX" + body[second + 4 :])

    with pytest.raises(ProtocolError):
        await taken(Served(), tmp_path, script)


async def test_an_odd_instance_is_not_believed_where_nothing_shows_the_end(tmp_path: Path) -> None:
    served = Served(instances=1)
    content = served.files[served.instances[0]]
    odd = content[: content.rindex(b"\xe0\x7f\x10\x00")]
    fields = (("content-type", "application/dicom"),)
    with pytest.raises(Doubtful):
        await taken(served, tmp_path, lambda _: ScriptedAnswer(200, fields, odd))
    lengthy = (*fields, ("content-length", str(len(odd))))
    found = await taken(served, tmp_path, lambda _: ScriptedAnswer(200, lengthy, odd))
    assert found.arrivals[0].facts.doubts
