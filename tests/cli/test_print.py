"""`asyncdicom print`: odil's form line by line, DICOM JSON, and what is said of bad files."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import orjson
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from asyncdicom.cli import print_json
from asyncdicom.cli.app import main
from asyncdicom.cli.print_text import ShownParts, write_text
from asyncdicom.errors import FetchError
from asyncdicom.storage.data_dictionary import vr_of
from asyncdicom.storage.dicom_source import open_dicom_file
from tests.support import dicom
from tests.support.peers import require_peer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the configuration file of whoever runs the tests out of them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))


class Print:
    """Runs the command and keeps what it wrote."""

    def __init__(self, capture: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capture
        self.stderr = ""

    def __call__(self, *words: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["print", *map(str, words)])
        captured = self._capture.readouterr()
        self.stderr = captured.err.decode()
        assert ended.value.code == code, self.stderr
        return captured.out.decode()


@pytest.fixture
def shown(capsysbinary: pytest.CaptureFixture[bytes]) -> Print:
    return Print(capsysbinary)


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    def save(content: bytes, name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save


def odd_instance(transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """Return what is rare: empty values, many values, private elements, signed pixel values."""
    dataset = dicom.identified(sop_class_uid=SecondaryCaptureImageStorage)
    dataset.PatientComments = "  leading and trailing  "
    dataset.OtherPatientNames = ["A^B", "C^D=山^太"]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyID = ""
    dataset.FrameIncrementPointer = [0x00181063, 0x00181065]
    dataset.PixelSpacing = ["0.661468", "1e-3"]
    dataset.PixelRepresentation = 1
    dataset.add_new(0x00280106, "SS", -5)
    dataset.add_new(0x00189073, "FD", [1.0, 2.5])
    dataset.ProcedureCodeSequence = [dicom.code("a", "b", "ä"), dicom.code("d", "e", "f")]
    dataset.ReferencedStudySequence = []
    dataset.EncapsulatedDocument = b""
    dataset.add_new(0x60003000, "OW", b"\1\2")
    block = dataset.private_block(0x0011, "ACME", create=True)
    block.add_new(1, "LO", "private")
    return dicom.part10(dataset, transfer_syntax_uid)


class TestText:
    def test_names_are_padded_and_sequences_indented(self, shown: Print, saved: Any) -> None:
        lines = shown(saved(dicom.structured_report())).splitlines()
        assert (
            lines[0]
            == "SOP Class UID                0008,0016 UI ['1.2.840.10008.5.1.4.1.1.88.11']"
        )
        assert lines[-5:] == [
            "  Concept Name Code Sequence 0040,a043 SQ (sequence, 1 item)",
            "    Code Value               0008,0100 SH ['121071']",
            "    Coding Scheme Designator 0008,0102 SH ['DCM']",
            "    Code Meaning             0008,0104 LO ['Finding']",
            "  Text Value                 0040,a160 UT ['Nothing of note']",
        ]

    def test_an_empty_line_stands_between_items(self, shown: Print, saved: Any) -> None:
        lines = shown(saved(odd_instance())).splitlines()
        begin = next(i for i, line in enumerate(lines) if "0008,1032" in line)
        assert lines[begin].endswith("SQ (sequence, 2 items)")
        assert [bool(line) for line in lines[begin + 1 : begin + 8]] == [True] * 3 + [False] + [
            True
        ] * 3

    def test_binary_values_are_told_by_their_size(self, shown: Print, saved: Any) -> None:
        assert "7fe0,0010 OW (binary, 1 item, 512 bytes)" in shown(saved(dicom.ct()))
        compressed = dicom.encapsulated(frames=2, has_offset_table=False)
        assert "7fe0,0010 OB (binary, 3 items, 0+64+64 bytes)" in shown(saved(compressed))
        assert "0042,0011 OB (binary, 0 items, 0 bytes)" in shown(saved(odd_instance()))

    @pytest.mark.parametrize(
        "syntax",
        [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian],
        ids=["explicit", "implicit", "big endian"],
    )
    def test_values_are_shown(self, shown: Print, saved: Any, syntax: str) -> None:
        text = shown(saved(odd_instance(syntax)))
        for line in (
            "0010,1001 PN ['A^B', 'C^D=山^太']",
            "0010,4000 LT ['  leading and trailing']",
            "0020,0010 SH []",
            "0028,0009 AT ['00181063', '00181065']",
            "0028,0030 DS [0.661468, 0.001]",
            "0028,0106 SS [-5]",
            "0018,9073 FD [1.0, 2.5]",
            "0011,0010 LO ['ACME']",
            "0008,0104 LO ['ä']",
            "Overlay Data",
        ):
            assert line in text

    def test_an_item_may_have_its_own_character_set(self, shown: Print, saved: Any) -> None:
        dataset = dicom.identified(sop_class_uid=SecondaryCaptureImageStorage)
        dataset.SpecificCharacterSet = "ISO_IR 100"
        inner, plain = dicom.code("a", "b", "Größe"), dicom.code("c", "d", "Länge")
        inner.SpecificCharacterSet = "ISO_IR 192"
        dataset.ProcedureCodeSequence = [inner, plain]
        dataset.SeriesDescription = "Fuß"
        text = shown(saved(dicom.part10(dataset)))
        assert all(f"LO ['{word}']" in text for word in ("Größe", "Länge", "Fuß"))

    def test_control_characters_cannot_reach_a_terminal(self, shown: Print, saved: Any) -> None:
        content = dicom.ct().replace(b"Head and neck", b"Head\x1b[2Jneck!")
        assert "\x1b" not in shown(saved(content))

    def test_the_header_comes_first_without_its_length(self, shown: Print, saved: Any) -> None:
        header, _, rest = shown("-H", "-u", saved(dicom.ct())).partition("\n\n")
        assert "0002,0000" not in header
        assert header.splitlines()[3].endswith("0002,0010 UI ['Explicit VR Little Endian']")
        assert "0008,0016 UI ['CT Image Storage']" in rest
        assert "0002,0010" not in shown(saved(dicom.ct()))

    def test_a_very_long_value_is_told_by_its_size(self, shown: Print, saved: Any) -> None:
        dataset = dicom.identified(sop_class_uid=SecondaryCaptureImageStorage)
        dataset.TextValue = "x" * (1024 * 1024 + 2)
        assert "UT (not shown, 1048578 bytes)" in shown(saved(dicom.part10(dataset)))

    def test_pixel_data_is_not_read(self, shown: Print, tmp_path: Path) -> None:
        head = dicom.ct(rows=16, columns=16)[: -(512 + 12)]
        size = 3 << 30
        path = tmp_path / "sparse"
        with path.open("wb") as file:
            file.write(head + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size))
            file.truncate(len(head) + 12 + size)
        assert f"(binary, 1 item, {size} bytes)" in shown(path)
        place = orjson.loads(shown("--format", "json", path))["7FE00010"]["BulkDataURI"]
        assert place == f"file://{path}?offset={len(head) + 12}&length={size}"

    def test_several_files_are_headed_by_their_names(self, shown: Print, saved: Any) -> None:
        one, two = saved(dicom.ct(), "a"), saved(dicom.multi_frame(), "b\x1b")
        text = shown(one, two)
        assert text.startswith(f"==> {one} <==\nSOP Class UID")
        assert f"\n\n==> {one.parent}/b" in text
        assert "\x1b" not in text


class TestJson:
    @pytest.mark.parametrize("name", dicom.samples())
    def test_it_is_what_pydicom_makes(self, shown: Print, saved: Any, name: str) -> None:
        content = dicom.samples()[name]
        found = orjson.loads(shown("--format", "json", saved(content)))
        with io.BytesIO(content) as stream:
            dataset = pydicom.dcmread(stream)
        expected = dataset.to_json_dict(suppress_invalid_tags=False)
        pixels, expected_pixels = found.pop("7FE00010", {}), expected.pop("7FE00010", {})
        character_set = found.pop("00080005", None)
        assert character_set in (None, {"vr": "CS", "Value": ["ISO_IR 192"]})
        assert (character_set is None) == (expected.pop("00080005", None) is None)
        assert found == expected
        assert bool(pixels) == bool(expected_pixels)

    @pytest.mark.parametrize(
        "syntax",
        [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian],
        ids=["explicit", "implicit", "big endian"],
    )
    def test_rare_values(self, shown: Print, saved: Any, syntax: str) -> None:
        found = orjson.loads(shown("--format", "json", saved(odd_instance(syntax))))
        assert found["00101001"]["Value"][1] == {"Alphabetic": "C^D", "Ideographic": "山^太"}
        assert found["00200010"] == {"vr": "SH"}
        assert found["00081110"] == {"vr": "SQ"}
        assert found["00420011"] == {"vr": "OB"}
        assert found["00280106"] == {"vr": "SS", "Value": [-5]}
        assert found["00280009"] == {"vr": "AT", "Value": ["00181063", "00181065"]}
        assert found["00081032"]["Value"][0]["00080104"] == {"vr": "LO", "Value": ["ä"]}
        little_endian = "AgE=" if syntax == ExplicitVRBigEndian else "AQI="
        assert found["60003000"] == {"vr": "OW", "InlineBinary": little_endian}

    def test_numbers_that_json_lacks_are_text(self, shown: Print, saved: Any) -> None:
        dataset = dicom.identified(sop_class_uid=SecondaryCaptureImageStorage)
        dataset.add_new(0x00189073, "FD", [float("nan"), float("-inf"), 1.5])
        dataset.add_new(0x00081040, "LO", ["a", "", "b"])
        found = orjson.loads(shown("--format", "json", saved(dicom.part10(dataset))))
        assert found["00189073"]["Value"] == ["nan", "-inf", 1.5]
        assert found["00081040"]["Value"] == ["a", None, "b"]

    def test_the_header_is_added_where_asked_for(self, shown: Print, saved: Any) -> None:
        found = orjson.loads(shown("--format", "json", "-H", saved(dicom.ct())))
        assert found["00020010"] == {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}
        assert found["00020001"] == {"vr": "OB", "InlineBinary": "AAE="}

    def test_what_is_pointed_at_is_there(self, shown: Print, saved: Any) -> None:
        path = saved(dicom.ct(rows=64, columns=64), "a b#.dcm")
        place = orjson.loads(shown("--format", "json", path))["7FE00010"]["BulkDataURI"]
        match = re.fullmatch(r"file://(.+)\?offset=(\d+)&length=(\d+)", place)
        assert match is not None
        assert match[1].endswith("/a%20b%23.dcm")
        offset, length = int(match[2]), int(match[3])
        assert path.read_bytes()[offset : offset + length] == (bytes(range(256)) * 32)

    def test_where_nothing_can_be_pointed_at_it_is_inline(self, shown: Print, saved: Any) -> None:
        large = dicom.ct(rows=64, columns=64, transfer_syntax_uid="1.2.840.10008.1.2.1.99")
        found = orjson.loads(shown("--format", "json", saved(large)))
        assert len(found["7FE00010"]["InlineBinary"]) == (8192 + 2) // 3 * 4

    def test_what_is_too_large_to_be_inline_is_told(
        self, shown: Print, saved: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(print_json, "UNPLACED_BYTES", 500)
        shown("--format", "json", saved(dicom.samples()["deflated"]), code=1)
        assert "a value has more than 500 bytes, and nothing can point at it" in shown.stderr

    def test_each_file_is_one_line(self, shown: Print, saved: Any) -> None:
        text = shown("--format", "json", saved(dicom.ct(), "a"), saved(dicom.ct(), "b"))
        assert len([orjson.loads(line) for line in text.splitlines()]) == 2


class TestBadFiles:
    @pytest.mark.parametrize("form", ["text", "json"])
    def test_the_others_are_shown(
        self, shown: Print, saved: Any, tmp_path: Path, form: str
    ) -> None:
        good, text = saved(dicom.ct(), "good"), saved(b"no DICOM at all", "text")
        output = shown("--format", form, tmp_path / "none", text, tmp_path, good, code=1)
        assert "P-0042" in output
        assert shown.stderr.splitlines() == [
            f"asyncdicom: {tmp_path}/none: no such file or directory",
            f'asyncdicom: {text}: no "DICM" behind the preamble: not a DICOM file at byte 128',
            f"asyncdicom: {tmp_path}: is a directory",
        ]

    def test_a_damaged_file_is_shown_up_to_its_damage(self, shown: Print, saved: Any) -> None:
        output = shown(saved(dicom.ct()[:-1]), code=1)
        assert output.splitlines()[-1].endswith("0028,0103 US [0]")
        assert "ends inside of a value" in shown.stderr

    def test_a_file_cut_inside_of_an_item_is_shown(self, shown: Print, saved: Any) -> None:
        content = dicom.structured_report()
        output = shown(saved(content[: content.index(b"121071") + 4]), code=1)
        last = output.splitlines()[-1]
        assert last == "  Concept Name Code Sequence 0040,a043 SQ (sequence, 1 item)"

    def test_a_device_is_no_file(self, shown: Print) -> None:
        assert shown("/dev/zero", code=1) == ""
        assert shown.stderr == "asyncdicom: /dev/zero: not a file\n"

    def test_a_file_is_asked_for(self, shown: Print) -> None:
        shown(code=2)


def changed(content: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    """Put bytes over others, at shares of the content behind the prefix."""
    damaged = bytearray(content)
    for place, piece in changes:
        at = 128 + int(place * (len(content) - 128))
        damaged[at : at + len(piece)] = piece
    return bytes(damaged)


PIECES = st.binary(min_size=1, max_size=4) | st.sampled_from(
    [b"\xff" * 4, b"\xfe\xff\0\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"SQ\0\0", b"UN\0\0"]
)


@given(
    st.sampled_from(sorted(dicom.samples())),
    st.lists(st.tuples(st.floats(0, 1), PIECES), min_size=1, max_size=6),
)
def test_any_damage_ends_in_output_and_a_sentence(
    name: str, changes: list[tuple[float, bytes]]
) -> None:
    content = changed(dicom.samples()[name], changes)
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        stream.flush()
        for show in (
            lambda file: write_text(file, io.BytesIO(), ShownParts(has_header=True)),
            lambda file: orjson.dumps(print_json.json_of(file, path=None, has_header=True)),
        ):
            with suppress(FetchError), open_dicom_file(stream.fileno(), vr_of=vr_of) as file:
                show(file)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "asyncdicom", "print"]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    for name in ("-", "/dev/stdin"):
        done = subprocess.run(
            [*program, name], input=dicom.ct(), capture_output=True, check=True, env=environment
        )
        assert b"['P-0042']" in done.stdout
    path = tmp_path / "file"
    path.write_bytes(dicom.ct())
    with path.open("rb") as stream:
        done = subprocess.run(
            [*program, "-", "--format", "json"], stdin=stream, capture_output=True, check=True,
            env=environment,
        )  # fmt: skip
    assert "InlineBinary" in orjson.loads(done.stdout)["7FE00010"]


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    dataset = dicom.identified(sop_class_uid=SecondaryCaptureImageStorage)
    dataset.ProcedureCodeSequence = [dicom.code("a", "b", "c") for _ in range(5000)]
    path = tmp_path / "file"
    path.write_bytes(dicom.part10(dataset))
    words = [sys.executable, "-m", "asyncdicom", "print", str(path)]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout, process.stderr:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


ODIL_DIFFERS = [
    ("(sequence, 0 item)", "(sequence, 0 items)"),
    ("(binary, 0 item,  byte)", "(binary, 0 items, 0 bytes)"),
]
"""Its grammar of nothing."""


def as_odil_should(line: str) -> str:
    for odil, ours in ODIL_DIFFERS:
        line = line.replace(odil, ours)
    return line


ODIL_ADDS = re.compile(r" \(Retired\)|: Default Transfer Syntax for DICOM")
"""To the names of UIDs."""


@pytest.mark.peer("odil")
@pytest.mark.parametrize("words", [[], ["-H"], ["-H", "-u"]], ids=["plain", "header", "names"])
@pytest.mark.parametrize(
    "name",
    ["scanner", *(name for name in dicom.samples() if name != "deflated")],
)
def test_odil_prints_the_same(shown: Print, saved: Any, name: str, words: list[str]) -> None:
    require_peer("odil")
    content = dicom.ct(rows=256, columns=256) if name == "scanner" else dicom.samples()[name]
    path = saved(content)
    odil = subprocess.run(
        ["odil", "print", *words, path], capture_output=True, text=True, check=True
    )
    ours = shown(*words, path).splitlines()
    for mine, theirs in zip_longest(ours, odil.stdout.splitlines()):
        assert mine == ODIL_ADDS.sub("", as_odil_should(theirs or ""))


@pytest.mark.peer("odil")
def test_where_odil_prints_something_else(shown: Print, saved: Any) -> None:
    require_peer("odil")
    path = saved(odd_instance(ImplicitVRLittleEndian))
    odil = subprocess.run(["odil", "print", path], capture_output=True, text=True, check=True)
    ours = shown(path).splitlines()
    theirs = [as_odil_should(line) for line in odil.stdout.splitlines()]
    differing = [mine for mine, line in zip(ours, theirs, strict=True) if mine != line]
    tags = [re.search(r"[0-9a-f]{4},[0-9a-f]{4} (?=[A-Z])", line) for line in differing]
    # A private creator, and a repeating group; the value of the private element is unknown to both.
    assert [match and match[0].strip() for match in tags] == ["0011,0010", "6000,3000"]
