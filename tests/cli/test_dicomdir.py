"""`asyncdicom dicomdir`: from words to DICOMDIR, lines and exit code; and what `get -D` uses."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import click
import pydicom
import pytest

from asyncdicom.cli.app import main
from asyncdicom.cli.dicomdir import (
    check_dicomdir_options,
    dicomdir_keys,
    index_files,
    key_options,
    tell_dicomdir,
)
from asyncdicom.errors import ConfigError
from asyncdicom.storage.dicomdir_records import DicomdirKeys
from asyncdicom.storage.folder import OutputFolder
from tests.support import dicom
from tests.support.media import listable, report_document, sorted_tree, tree_of
from tests.support.peers import require_peer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the configuration file of whoever runs the tests out of them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder with three images of two series, as `get -I -l tree` names them."""
    for number, name in ((1, "1/IM000001"), (2, "1/IM000002"), (3, "2/IM000001")):
        save(tmp_path / "out/DOE" / name, listable(number, series=1 + number // 3))
    return tmp_path / "out"


def save(path: Path, dataset: pydicom.Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dicom.part10(dataset))
    return path


class Run:
    """Runs the command and keeps what it said."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.lines: list[str] = []

    def __call__(self, *words: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["dicomdir", *map(str, words)])
        captured = self._capture.readouterr()
        assert captured.out == ""
        self.lines = captured.err.splitlines()
        assert isinstance(ended.value.code, int)
        return ended.value.code


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def files_in(folder: Path) -> list[str]:
    found: list[str] = []

    def walk(tree: Any) -> None:
        for type_, identity, below in tree:
            if type_ not in ("PATIENT", "STUDY", "SERIES"):
                found.append(identity)
            walk(below)

    walk(tree_of(folder / "DICOMDIR"))
    return sorted(found)


ALL = ["DOE/1/IM000001", "DOE/1/IM000002", "DOE/2/IM000001"]


class TestWhatIsListed:
    def test_a_folder_alone_is_listed_whole(self, run: Run, out: Path) -> None:
        assert run(out) == 0
        assert run.lines == ["3 instances listed · 1 patient · 1 study · 2 series · 0 not listed"]
        assert files_in(out) == ALL

    def test_names_are_files_or_folders(self, run: Run, out: Path) -> None:
        assert run(out / "DOE/1/IM000002", out / "DOE/2", out) == 0
        assert files_in(out) == ALL[1:]

    def test_names_are_relative_to_where_one_stands(
        self, run: Run, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(out / "DOE")
        assert run("1", "..") == 0
        assert files_in(out) == ALL[:2]

    def test_a_second_run_updates(self, run: Run, out: Path) -> None:
        run(out / "DOE/1", out)
        (out / "DOE/1/IM000001").unlink()
        assert run(out / "DOE/2", out) == 0
        assert run.lines == [
            "no longer listed: DOE/1/IM000001: no such file",
            "2 instances listed (1 now, 1 before) · 1 patient · 1 study · 2 series · 0 not listed",
        ]
        assert files_in(out) == ALL[1:]

    def test_a_folder_reached_by_a_link_is_the_same_folder(
        self, run: Run, out: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "link").symlink_to(out)
        assert run(tmp_path / "link" / "DOE", out) == 0
        assert files_in(out) == ALL

    def test_what_is_no_dicom_file_is_passed_by(self, run: Run, out: Path) -> None:
        (out / "readme.txt").write_text("hello")
        run(out)
        assert run(out) == 0
        assert run.lines[-1].endswith("0 not listed")

    def test_the_users_keys_are_copied(self, run: Run, out: Path) -> None:
        code = run(
            "-p", "PatientSex:2", "-S", "StudyID:2", "-s", "SeriesDescription",
            "--image-key", "Rows", "-i", "Columns", out,
        )  # fmt: skip
        assert code == 0
        records = pydicom.dcmread(out / "DICOMDIR").DirectoryRecordSequence
        by_type = {record.DirectoryRecordType: record for record in records}
        assert by_type["PATIENT"].PatientSex == ""
        assert by_type["SERIES"].SeriesDescription == "axial 1.0"
        assert (by_type["IMAGE"].Rows, by_type["IMAGE"].Columns) == (4, 4)


class TestWhatIsNot:
    def test_a_named_file_that_is_no_dicom_file_is_told(self, run: Run, out: Path) -> None:
        (out / "TEXT").write_text("hello")
        assert run(out / "TEXT", out / "DOE", out) == 1
        assert run.lines[0].startswith('asyncdicom: TEXT: no "DICM" behind the preamble')
        assert files_in(out) == ALL

    def test_a_missing_file_is_told(self, run: Run, out: Path) -> None:
        assert run(out / "NONE", out / "DOE", out) == 1
        assert run.lines[0] == "asyncdicom: NONE: no such file"

    def test_names_for_other_media_are_told_with_the_way_out(self, run: Run, out: Path) -> None:
        save(out / "1.2.3.dcm", listable(9))
        assert run(out) == 1
        assert run.lines[0].startswith("asyncdicom: 1.2.3.dcm: '1.2.3.dcm' is no name for DICOM")
        assert run.lines[1] == "asyncdicom: `asyncdicom get -I` gives files names for DICOM media"
        assert run.lines[2].endswith("1 not listed")
        assert files_in(out) == ALL

    def test_a_missing_key_is_told_with_the_way_out(self, run: Run, out: Path) -> None:
        path = save(out / "BAD", listable(9, StudyID="", study=9, series=9))
        assert run(out) == 1
        assert run.lines[0] == "asyncdicom: BAD: lacks StudyID, which its STUDY record needs"
        assert run.lines[1] == (
            "asyncdicom: --study-key StudyID:2 would list them with empty values"
        )
        assert files_in(out) == ALL
        assert run("--study-key", "StudyID:2", path, out) == 0
        assert files_in(out) == ["BAD", *ALL]

    def test_each_way_out_is_told_once(self, run: Run, out: Path) -> None:
        for n in (8, 9):
            save(out / f"BAD{n}", listable(n, InstanceNumber=None))
        save(out / "WORSE", listable(7, StudyTime="", StudyID="", study=9, series=9))
        assert run(out) == 1
        options = "--image-key InstanceNumber:2 --study-key StudyTime:2 --study-key StudyID:2"
        assert f"asyncdicom: {options} would list them with empty values" in run.lines
        assert run(*options.split(), out) == 0
        assert len(files_in(out)) == 6

    def test_many_files_with_one_fault_do_not_hide_the_way_out(self, run: Run, out: Path) -> None:
        for n in range(30):
            save(out / f"BAD{n}", listable(100 + n, InstanceNumber=None))
        assert run(out) == 1
        named = [line for line in run.lines if "lacks InstanceNumber" in line]
        assert len(named) == 20
        assert run.lines[20] == "... and 10 more files that could not be listed (-v names them)"
        assert run.lines[21].startswith("asyncdicom: --image-key InstanceNumber:2 would")
        assert run.lines[22].endswith("30 not listed")
        assert run("-v", out) == 1
        assert sum("lacks InstanceNumber" in line for line in run.lines) == 30

    def test_an_empty_folder_is_told_and_nothing_written(self, run: Run, tmp_path: Path) -> None:
        assert run(tmp_path) == 4
        assert run.lines == [f"asyncdicom: nothing to list: no DICOM file in {tmp_path}"]
        assert list(tmp_path.iterdir()) == []

    def test_when_nothing_can_be_listed_nothing_is_written(self, run: Run, tmp_path: Path) -> None:
        save(tmp_path / "small", listable(1))
        assert run(tmp_path) == 1
        assert run.lines[-1].endswith("1 not listed · no DICOMDIR written")
        assert not (tmp_path / "DICOMDIR").exists()

    def test_a_hostile_name_cannot_reach_a_terminal(self, run: Run, out: Path) -> None:
        save(out / "a\x1b[2J", listable(9))
        assert run(out) == 1
        assert "\x1b" not in "".join(run.lines)


class TestRefusals:
    def test_files_elsewhere(self, run: Run, out: Path, tmp_path: Path) -> None:
        elsewhere = save(tmp_path / "ELSE", listable(9))
        assert run(elsewhere, out) == 2
        assert f"{elsewhere} is not in {out}" in run.lines[0]
        assert not (out / "DICOMDIR").exists()

    def test_a_folder_whose_name_begins_the_same(self, run: Run, out: Path, tmp_path: Path) -> None:
        assert run(save(tmp_path / "out2/A", listable(9)), out) == 2

    def test_a_link_that_leads_elsewhere(self, run: Run, out: Path, tmp_path: Path) -> None:
        (out / "LINK").symlink_to(save(tmp_path / "ELSE", listable(9)))
        assert run(out / "LINK", out) == 2
        assert run(out) == 1
        assert run.lines[0].startswith("asyncdicom: LINK: a symbolic link stands in the way")
        assert files_in(out) == ALL

    def test_a_folder_that_is_not_there(self, run: Run, tmp_path: Path) -> None:
        assert run(tmp_path / "none") == 2
        assert not (tmp_path / "none").exists()

    @pytest.mark.parametrize("key", ["Nonsense", "PatientSex:9"])
    def test_a_key_that_is_none(self, run: Run, out: Path, key: str) -> None:
        assert run("-p", key, out) == 2
        assert not (out / "DICOMDIR").exists()

    def test_a_dicomdir_that_cannot_be_read(self, run: Run, out: Path) -> None:
        (out / "DICOMDIR").write_bytes(b"broken")
        assert run(out) == 2
        assert "move it away" in run.lines[0]
        assert (out / "DICOMDIR").read_bytes() == b"broken"


@pytest.mark.peer("odil")
class TestOdil:
    def test_both_make_the_same_records(self, run: Run, out: Path) -> None:
        require_peer("odil")
        for n in range(4, 12):
            folder = f"DOE/S{n % 3}"
            save(
                out / folder / f"IM{n:06}",
                listable(n, study=n % 3 + 5, series=n % 2 + n % 3 * 2 + 5),
            )
        subprocess.run(["odil", "dicomdir", out, out], check=True)
        theirs = tree_of(out / "DICOMDIR")
        (out / "DICOMDIR").unlink()
        assert run(out) == 0
        assert sorted_tree(tree_of(out / "DICOMDIR")) == sorted_tree(theirs)

    def test_both_copy_the_same_keys(self, run: Run, out: Path) -> None:
        require_peer("odil")
        words: list[str | Path] = [
            "-S",
            "StudyDescription:1",
            "-s",
            "SeriesDescription",
            "-i",
            "Rows:2",
            out,
            out,
        ]
        subprocess.run(["odil", "dicomdir", *words], check=True)
        theirs = contents_of(out)
        (out / "DICOMDIR").unlink()
        assert run(*words) == 0
        assert contents_of(out) == theirs

    def test_one_of_odil_is_updated(self, run: Run, out: Path) -> None:
        require_peer("odil")
        subprocess.run(["odil", "dicomdir", out / "DOE/1", out], check=True)
        assert run(out / "DOE/2", out) == 0
        assert files_in(out) == ALL

    def test_where_odil_is_wrong_ours_is_right(self, run: Run, out: Path, tmp_path: Path) -> None:
        require_peer("odil")
        save(out / "SR", report_document(9, series=9))
        named = listable(10, study=7, series=7, PatientID="P-1", SpecificCharacterSet="ISO_IR 100")
        named.PatientName = "Größe"
        save(out / "NAMED", named)
        assert run(out) == 0
        records = pydicom.dcmread(out / "DICOMDIR").DirectoryRecordSequence
        assert "SR DOCUMENT" in [record.DirectoryRecordType for record in records]
        assert "Größe" in [str(record.get("PatientName")) for record in records]
        empty = tmp_path / "empty"
        empty.mkdir()
        odil = subprocess.run(["odil", "dicomdir", empty, empty], check=False)
        assert odil.returncode < 0
        assert run(empty) == 4


def contents_of(folder: Path) -> list[Any]:
    """Return the records without their links, in no order."""
    records = pydicom.dcmread(folder / "DICOMDIR").DirectoryRecordSequence
    return sorted(
        [
            (int(element.tag), str(element.value))
            for element in record
            if element.keyword[:6] != "Offset"
        ]
        for record in records
    )


OPTIONS: dict[str, Any] = {
    "dicomdir": True, "iso_9660": True, "as_zip": False,
    "patient_key": (), "study_key": (), "series_key": (), "image_key": (),
}  # fmt: skip


class TestWhatGetUses:
    def test_what_agrees_passes(self) -> None:
        check_dicomdir_options(dict(OPTIONS))
        check_dicomdir_options({**OPTIONS, "dicomdir": False, "iso_9660": False})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            pytest.param(
                {"iso_9660": False}, "a DICOMDIR needs ISO 9660 names; add -I", id="other names"
            ),
            pytest.param({"as_zip": True}, "not with --zip", id="archives"),
            pytest.param(
                {"dicomdir": False, "image_key": ("Rows",)}, "--image-key goes with -D", id="no -D"
            ),
        ],
    )
    def test_what_disagrees_is_refused(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(click.UsageError, match=message):
            check_dicomdir_options({**OPTIONS, **change})

    def test_a_bad_key_is_refused_at_once(self) -> None:
        with pytest.raises(ConfigError, match="no such attribute"):
            check_dicomdir_options({**OPTIONS, "study_key": ("Nonsense",)})

    def test_keys_are_read(self) -> None:
        keys = dicomdir_keys({**OPTIONS, "image_key": ("Rows:1",)})
        assert [(key.keyword, key.requirement) for key in keys.image] == [("Rows", 1)]

    def test_the_short_series_key_can_be_left_to_others(self) -> None:
        @click.command()
        @key_options(has_short_series_key=False)
        def command(**options: Any) -> None:
            """Do nothing."""

        spellings = [name for parameter in command.params for name in parameter.opts]
        assert "--series-key" in spellings
        assert "-s" not in spellings
        assert {"-p", "-S", "-i"} <= set(spellings)

    @pytest.mark.anyio
    async def test_files_are_indexed_beside_the_loop(
        self, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with OutputFolder.open(out) as folder:
            report = await index_files(folder, ALL, DicomdirKeys())
        assert tell_dicomdir(report, str(out), is_quiet=True) == 0
        assert capsys.readouterr().err == ""
        assert tell_dicomdir(report, str(out)) == 0
        assert capsys.readouterr().err.startswith("3 instances listed")
        assert files_in(out) == ALL
