"""Numbers, times and strangers' texts as people read them."""

from __future__ import annotations

import pytest

from asyncdicom.cli.report_format import (
    as_bytes,
    as_duration,
    as_figure,
    as_milliseconds,
    as_per_s,
    as_ratio,
    as_span,
    counted,
    figure_label,
    printable,
    shortened,
)
from asyncdicom.jobs.report_compare import Figure


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.00 kB"),
        (1500, "1.50 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (52_450_000_000, "52.5 GB"),
        (1.5e15, "1.50 PB"),
        (2.5e19, "25,000 PB"),
    ],
)
def test_bytes_have_three_digits_and_a_decimal_unit(value: float, text: str) -> None:
    assert as_bytes(value) == text


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (0, "0.00 ms"),
        (0.0215, "21.5 ms"),
        (1, "1.00 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_have_two_units_at_most(value_s: float, text: str) -> None:
    assert as_duration(value_s) == text


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(None, "-"), (0.0000123, "0.01"), (0.00999, "9.99"), (0.09994, "99.9"), (12.3456, "12,346")],
)
def test_milliseconds_have_three_digits(value_s: float | None, text: str) -> None:
    assert as_milliseconds(value_s) == text


def test_rates_and_ratios_say_where_there_is_none() -> None:
    assert (as_per_s(None), as_per_s(1234.5)) == ("-", "1,234")
    assert (as_ratio(None), as_ratio(0.724)) == ("-", "0.72x")


def test_a_span_names_its_day_once() -> None:
    begun_s = 1_741_080_600
    assert as_span(begun_s, begun_s + 12.9) == "2025-03-04 09:30:00 to 09:30:12 UTC"
    over_night = "2025-03-04 09:30:00 to 2025-03-05 09:30:00 UTC"
    assert as_span(begun_s, begun_s + 86_400) == over_night


def test_one_thing_is_not_a_plural() -> None:
    assert (counted(1, "record"), counted(1200, "record")) == ("1 record", "1,200 records")


def test_long_texts_are_cut_to_their_room() -> None:
    assert (shortened("abcdef", 6), shortened("abcdefg", 6)) == ("abcdef", "abc...")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain ü 漢", "plain ü 漢"),
        ("\x1b[2J\r\n\x00", "\\x1b[2J\\x0d\\x0a\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\N{REPLACEMENT CHARACTER}gnp.exe"),
        ("\udcff", "\N{REPLACEMENT CHARACTER}"),
    ],
    ids=["harmless", "control", "C1", "right to left", "surrogate"],
)
def test_no_text_moves_the_cursor_or_turns_around(given: str, shown: str) -> None:
    assert printable(given) == shown


@pytest.mark.parametrize("figure", Figure)
def test_every_figure_has_a_label_and_is_written_with_its_unit(figure: Figure) -> None:
    has_own_unit = figure in {Figure.BYTES, Figure.BYTES_PER_S}
    assert figure_label(figure)
    assert as_figure(figure, None) == "-"
    assert as_figure(figure, 1.0).endswith(("B", "B/s")) is has_own_unit
