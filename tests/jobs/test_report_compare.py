"""Two runs side by side: ratios where they say something, else none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.jobs.report import collect
from asyncdicom.jobs.report_compare import Figure, Row, compare
from tests.support.dump_records import INSTANCE, STUDY, frame_record, write_record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("left", "right", "ratio"),
    [(2.0, 3.0, 1.5), (2.0, 0.0, 0.0), (0.0, 3.0, None), (None, 3.0, None), (2.0, None, None)],
)
def test_a_ratio_is_right_by_left(
    left: float | None, right: float | None, ratio: float | None
) -> None:
    assert Row(Figure.BYTES, left, right).ratio == ratio


def test_kinds_that_only_one_side_has_are_in_the_total_alone(tmp_path: Path) -> None:
    write_record(tmp_path / "a", f"{INSTANCE}/frames/1")
    write_record(tmp_path / "a", f"{INSTANCE}/rendered")
    write_record(tmp_path / "b", f"{INSTANCE}/frames/1")
    write_record(tmp_path / "b", f"{STUDY}/thumbnail")
    found = compare(collect(tmp_path / "a"), collect(tmp_path / "b"))
    assert [one.name for one in found] == ["total", "frame"]
    assert found[0].rows[0] == Row(Figure.REQUESTS, 2, 2)


def test_every_figure_is_there_even_where_a_run_has_none(tmp_path: Path) -> None:
    failed = frame_record(error={"reason": "throttled"})
    write_record(tmp_path / "a", f"{INSTANCE}/frames/1", failed)
    write_record(tmp_path / "b", f"{INSTANCE}/frames/1", frame_record(10, 30))
    _, frame = compare(collect(tmp_path / "a"), collect(tmp_path / "b"))
    rows = {row.figure: row for row in frame.rows}
    assert list(rows) == list(Figure)
    assert (rows[Figure.FAILED].left, rows[Figure.FAILED].right) == (1, 0)
    assert (rows[Figure.LAST_BYTE_P99].left, rows[Figure.LAST_BYTE_P99].right) == (None, 0.03)
