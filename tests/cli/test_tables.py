"""Answers on paper: what each format makes of the DICOM JSON Model."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from typing import Any

import pytest

from asyncdicom.cli import tables
from asyncdicom.cli.tables import Column, Format, values_of, writer_for

NAME = Column("PatientName", ("00100010",))
PATIENT_ID = Column("PatientID", ("00100020",))
SPACING = Column("PixelSpacing", ("00280030",))
STEP = Column("RequestAttributesSequence.ScheduledProcedureStepID", ("00400275", "00400009"))

YAMADA = {
    "00100010": {
        "vr": "PN",
        "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}],
    },
    "00100020": {"vr": "LO", "Value": ["P1"]},
}


def written(
    kind: Format,
    *answers: dict[str, Any],
    columns: tuple[Column, ...] = (NAME, PATIENT_ID),
    width: int | None = None,
) -> str:
    stream = io.BytesIO()
    with closing(writer_for(kind, stream, columns=columns, width=width)) as writer:
        for answer in answers:
            writer.write(answer)
        writer.end()
    return stream.getvalue().decode()


def text_of(**elements: Any) -> str:
    """Return the line of one answer with one element, given as `vr` and more."""
    return written(Format.TEXT, {"00091001": elements}).splitlines()[1]


class TestText:
    def test_the_form_is_that_of_odil(self) -> None:
        answer = {
            "00400275": {
                "vr": "SQ",
                "Value": [
                    {
                        "00400009": {"vr": "SH", "Value": ["S1"]},
                        "00080060": {"vr": "CS", "Value": ["CT"]},
                    },
                    {"00400009": {"vr": "SH", "Value": ["S2"]}},
                ],
            },
            "00280010": {"vr": "US", "Value": [3]},
            "00280030": {"vr": "DS", "Value": [0.5, 0.25]},
            "00080020": {"vr": "DA"},
            "00100020": {"vr": "LO", "Value": ["X'1"]},
            "00091001": {"vr": "LO", "Value": ["priv"]},
        }
        assert written(Format.TEXT, answer) == (
            "1 answer\n"
            "Study Date                    0008,0020 DA []\n"
            "0009,1001                     0009,1001 LO ['priv']\n"
            'Patient ID                    0010,0020 LO ["X\'1"]\n'
            "Rows                          0028,0010 US [3]\n"
            "Pixel Spacing                 0028,0030 DS [0.5, 0.25]\n"
            "Request Attributes Sequence   0040,0275 SQ (sequence, 2 items)\n"
            "  Modality                    0008,0060 CS ['CT']\n"
            "  Scheduled Procedure Step ID 0040,0009 SH ['S1']\n"
            "\n"
            "  Scheduled Procedure Step ID 0040,0009 SH ['S2']\n"
            "\n"
        )

    @pytest.mark.parametrize(
        ("count", "line"), [(0, "0 answer"), (1, "1 answer"), (2, "2 answers")]
    )
    def test_the_count_comes_first(self, count: int, line: str) -> None:
        assert written(Format.TEXT, *[YAMADA] * count).splitlines()[0] == line

    def test_an_empty_line_follows_each_answer(self) -> None:
        one = "Patient ID 0010,0020 LO ['P1']\n\n"
        answer = {"00100020": YAMADA["00100020"]}
        assert written(Format.TEXT, answer, answer) == f"2 answers\n{one}{one}"

    def test_all_groups_of_a_person_name_are_kept(self) -> None:
        assert "PN ['Yamada^Tarou=山田^太郎']" in written(Format.TEXT, YAMADA)

    @pytest.mark.parametrize(
        ("element", "line"),
        [
            pytest.param(
                {"vr": "PN", "Value": [{"Ideographic": "山田"}]},
                "PN ['=山田']",
                id="a name without its first group",
            ),
            pytest.param({"vr": "LO", "Value": [None, "b"]}, "LO ['', 'b']", id="an empty value"),
            pytest.param({"vr": "LO", "Value": "b"}, "LO []", id="a value that is no list"),
            pytest.param(
                {"vr": "OB", "InlineBinary": "YWJjZA=="},
                "OB (binary, 1 item, 4 bytes)",
                id="inline binary",
            ),
            pytest.param(
                {"vr": "OW", "BulkDataURI": "../b\x1b/1"},
                r"OW (bulk data, '../b\x1b/1')",
                id="bulk data, control characters escaped",
            ),
            pytest.param(
                {"vr": "LO", "Value": ["\x1b[31mred"]},
                r"LO ['\x1b[31mred']",
                id="control characters are escaped",
            ),
            pytest.param({"vr": "\x1b[", "Value": []}, "UN []", id="a VR that is none"),
            pytest.param({}, "UN []", id="no VR"),
            pytest.param({"vr": "SQ"}, "SQ (sequence, 0 items)", id="an empty sequence"),
            pytest.param({"vr": "SQ", "Value": [1]}, "SQ (sequence, 1 item)", id="a broken item"),
        ],
    )
    def test_values_are_shown(self, element: dict[str, Any], line: str) -> None:
        assert text_of(**element) == f"0009,1001 0009,1001 {line}"

    def test_a_key_that_is_no_tag_is_shown_harmless(self) -> None:
        lines = written(Format.TEXT, {"\x1bodd": {"vr": "LO"}, "zzzzzzzz": 1}).splitlines()
        assert lines[1:3] == [r"'\x1bodd' '\x1bodd' LO []", "zzzz,zzzz zzzz,zzzz UN []"]

    def test_deep_sequences_are_counted_not_shown(self) -> None:
        answer: dict[str, Any] = {"00100020": {"vr": "LO", "Value": ["deep"]}}
        for _ in range(300):
            answer = {"00400275": {"vr": "SQ", "Value": [answer]}}
        shown = written(Format.TEXT, answer)
        assert shown.count("(sequence, 1 item)") == tables.MAX_DEPTH + 1
        assert "deep" not in shown

    def test_many_answers_wait_on_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tables, "SPOOL_BYTES", 10)
        assert written(Format.TEXT, *[YAMADA] * 3).count("P1") == 3


class TestJson:
    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_the_array_holds_the_answers_as_received(self, count: int) -> None:
        assert json.loads(written(Format.JSON, *[YAMADA] * count)) == [YAMADA] * count

    def test_each_answer_has_its_line(self) -> None:
        assert written(Format.JSON, {"a": 1}, {}) == '[\n{"a":1},\n{}\n]\n'

    def test_nothing_is_an_empty_array(self) -> None:
        assert written(Format.JSON) == "[]\n"


class TestCsv:
    def test_keywords_are_the_header(self) -> None:
        assert written(Format.CSV, YAMADA) == ("PatientName,PatientID\nYamada^Tarou=山田^太郎,P1\n")

    @pytest.mark.parametrize(
        "value",
        ['a,b"c', "two\nlines", "=1+1", "+1", "-1", "@x", " blank ", "Grüße"],
    )
    def test_values_come_back_as_they_are(self, value: str) -> None:
        shown = written(Format.CSV, {"00100020": {"Value": [value]}}, columns=(PATIENT_ID,))
        assert list(csv.reader(io.StringIO(shown, newline=""))) == [["PatientID"], [value]]

    def test_values_of_one_element_are_joined_by_a_backslash(self) -> None:
        answer = {"00280030": {"vr": "DS", "Value": [0.5, None, 0.25]}}
        assert written(Format.CSV, answer, columns=(SPACING,)).splitlines()[1] == r"0.5\\0.25"

    def test_what_is_absent_is_empty(self) -> None:
        assert written(Format.CSV, {}).splitlines()[1] == ","


class TestTable:
    def test_columns_are_aligned(self) -> None:
        other = {"00100020": {"Value": ["P1000"]}, "00100010": {"Value": [{"Alphabetic": "A"}]}}
        assert written(Format.TABLE, YAMADA, other) == (
            "PatientName   PatientID\nYamada^Tarou  P1\nA             P1000\n"
        )

    def test_nothing_has_no_header(self) -> None:
        assert written(Format.TABLE) == ""

    def test_wide_characters_take_two_cells(self) -> None:
        name = {"00100010": {"Value": [{"Ideographic": "山田"}]}, "00100020": {"Value": ["x"]}}
        assert written(Format.TABLE, name).splitlines()[1] == "山田         x"

    def test_combining_characters_take_none(self) -> None:
        name = {"00100010": {"Value": ["e\u0301"]}, "00100020": {"Value": ["x"]}}
        assert written(Format.TABLE, name).splitlines()[1] == "e\u0301            x"

    def test_the_widest_column_gives_first(self) -> None:
        shown = written(Format.TABLE, YAMADA, width=20).splitlines()
        assert shown == ["PatientN…  PatientID", "Yamada^T…  P1"]

    def test_no_line_is_wider_than_the_terminal(self) -> None:
        name = {"00100010": {"Value": ["山田山田山田山田"]}, "00100020": {"Value": ["x" * 50]}}
        shown = written(Format.TABLE, name, width=30)
        assert all(tables._cells(line) <= 30 for line in shown.splitlines())
        assert "山" in shown

    def test_columns_keep_a_minimum_whatever_the_terminal(self) -> None:
        shown = written(Format.TABLE, YAMADA, width=1).splitlines()
        assert shown == ["Patient…  Patient…", "Yamada^…  P1"]

    def test_control_characters_reach_no_terminal(self) -> None:
        answer = {"00100020": {"Value": ["\x1b[31mred\r\n"]}}
        assert written(Format.TABLE, answer, columns=(PATIENT_ID,)).splitlines()[1] == "?[31mred??"

    def test_a_text_of_combining_characters_is_not_cut(self) -> None:
        assert tables._cut("a\u0301\u0302bc", 2) == "a\u0301\u0302…"

    def test_a_wide_character_is_not_cut_in_half(self) -> None:
        assert tables._cut("ab山田", 4) == "ab… "

    @pytest.mark.parametrize("width", [None, 25], ids=["as wide as it is", "fitted"])
    def test_rows_after_the_sample_keep_the_columns(
        self, monkeypatch: pytest.MonkeyPatch, width: int | None
    ) -> None:
        monkeypatch.setattr(tables, "SAMPLE_ROWS", 1)
        long = {"00100010": {"Value": ["B" * 20]}, "00100020": {"Value": ["P2"]}}
        last = written(Format.TABLE, YAMADA, long, width=width).splitlines()[-1]
        assert last == (("B" * 20) if width is None else "B" * 11 + "…") + "  P2"


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        pytest.param(
            {"00400275": {"Value": [{"00400009": {"Value": ["1"]}}, {"00400009": {"Value": [2]}}]}},
            ["1", 2],
            id="of all items",
        ),
        pytest.param({"00400275": {"Value": [None, {}]}}, [], id="of empty items"),
        pytest.param({"00400275": ["odd"]}, [], id="of what is no element"),
        pytest.param({}, [], id="of nothing"),
    ],
)
def test_values_inside_of_sequences_are_found(answer: dict[str, Any], values: list[Any]) -> None:
    assert values_of(answer, STEP.tags) == values
