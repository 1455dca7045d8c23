"""DICOMDIR: conforming, complete, updated without loss, and never led astray."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import warnings
from contextlib import contextmanager
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from asyncdicom.errors import (
    AsyncDicomError,
    ConfigError,
    LimitExceeded,
    NameTaken,
    StorageError,
)
from asyncdicom.storage import dicomdir as module
from asyncdicom.storage import dicomdir_file
from asyncdicom.storage.data_dictionary import tag_and_vr_of
from asyncdicom.storage.dicomdir import (
    DicomdirReport,
    ProblemKind,
    build_dicomdir,
    file_id_problem,
)
from asyncdicom.storage.dicomdir_records import DicomdirKeys, parse_record_key
from asyncdicom.storage.folder import OutputFolder
from tests.support import dicom
from tests.support.media import CT, listable, report_document, sorted_tree, tree_of
from tests.support.peers import require_peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOT = "1.2.840.10008.5.1.4.1.1."
SYNTAXES = pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian],
    ids=["explicit", "implicit", "big endian"],
)


class Media:
    """A folder that becomes a file-set."""

    def __init__(self, path: Path, folder: OutputFolder) -> None:
        self.path = path
        self._folder = folder

    def save(self, path: str, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> str:
        self.write(path, dicom.part10(dataset, syntax))
        return path

    def write(self, path: str, content: bytes) -> str:
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return path

    def build(self, *paths: str, **keys: list[str]) -> DicomdirReport:
        own = {
            level: tuple(parse_record_key(text, tag_and_vr_of) for text in texts)
            for level, texts in keys.items()
        }
        return build_dicomdir(self._folder, paths, DicomdirKeys(**own))

    @property
    def dicomdir(self) -> Path:
        return self.path / "DICOMDIR"

    def read(self) -> Dataset:
        return pydicom.dcmread(self.dicomdir)

    def records(self, type_: str) -> list[Dataset]:
        found = self.read().DirectoryRecordSequence
        return [record for record in found if record.DirectoryRecordType == type_]

    @contextmanager
    def file_set(self) -> Iterator[FileSet]:
        """Let pydicom read it, and clean up behind pydicom."""
        # Reading into it, it would leave its first temporary folder to the garbage collector.
        file_set = FileSet()
        temporary = [file_set._stage["t"]]
        try:
            file_set.load(self.read())
            temporary.append(file_set._stage["t"])
            yield file_set
        finally:
            for folder in temporary:
                folder.cleanup()

    def tree(self) -> Any:
        return tree_of(self.dicomdir)


@pytest.fixture
def media(tmp_path: Path) -> Iterator[Media]:
    with OutputFolder.open(tmp_path / "media") as folder:
        yield Media(tmp_path / "media", folder)


def reasons(report: DicomdirReport) -> dict[str, str]:
    return {problem.path: problem.reason for problem in report.problems}


class TestTree:
    def test_records_hang_below_each_other(self, media: Media) -> None:
        paths = [
            media.save("A/IM000001", listable(1)),
            media.save("A/IM000002", listable(2)),
            media.save("A/SE2/IM000001", listable(3, series=2)),
            media.save("B/IM000001", listable(4, study=2, series=3, StudyDate="20250101")),
            media.save("C", listable(5, study=3, series=4, PatientID="P-0001")),
        ]
        report = media.build(*paths)
        one, two = dicom.uid("study", 1), dicom.uid("study", 2)
        assert media.tree() == [
            ("PATIENT", "P-0001", [
                ("STUDY", dicom.uid("study", 3), [
                    ("SERIES", dicom.uid("series", 4), [("IMAGE", "C", [])])])]),
            ("PATIENT", "P-0042", [
                ("STUDY", two, [
                    ("SERIES", dicom.uid("series", 3), [("IMAGE", "B/IM000001", [])])]),
                ("STUDY", one, [
                    ("SERIES", dicom.uid("series", 1), [
                        ("IMAGE", "A/IM000001", []), ("IMAGE", "A/IM000002", [])]),
                    ("SERIES", dicom.uid("series", 2), [("IMAGE", "A/SE2/IM000001", [])])])]),
        ]  # fmt: skip
        assert report.counts == {"PATIENT": 2, "STUDY": 3, "SERIES": 4, "IMAGE": 5}
        assert (report.added, report.kept, report.problems, report.is_written) == (5, 0, [], True)

    @SYNTAXES
    def test_pydicom_reads_it_as_a_file_set(self, media: Media, syntax: str) -> None:
        paths = [media.save(f"IM{n:06}", listable(n, series=n), syntax) for n in range(1, 5)]
        media.build(*paths)
        with media.file_set() as file_set:
            assert len(file_set) == 4
            assert media.read().file_meta.MediaStorageSOPInstanceUID == file_set.UID
            assert {instance.SOPInstanceUID for instance in file_set} == {
                dicom.uid("instance", n) for n in range(1, 5)
            }
            assert {instance.load().InstanceNumber for instance in file_set} == {1, 2, 3, 4}
            assert {instance.TransferSyntaxUID for instance in file_set} == {syntax}

    def test_its_own_fields(self, media: Media) -> None:
        media.build(media.save("A", listable()))
        directory = media.read()
        assert directory.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.1.3.10"
        assert directory.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert directory.FileSetConsistencyFlag == 0
        assert directory.FileSetID == ""

    def test_keys_of_the_records(self, media: Media) -> None:
        media.build(media.save("A", listable(AccessionNumber=None)))
        (study,) = media.records("STUDY")
        assert (study.StudyDate, study.StudyTime, study.StudyID) == ("20260102", "101112", "S1")
        assert study.AccessionNumber == ""
        (image,) = media.records("IMAGE")
        assert image.ReferencedSOPClassUIDInFile == CT
        assert image.ReferencedSOPInstanceUIDInFile == dicom.uid("instance", 1)
        assert image.ReferencedTransferSyntaxUIDInFile == ExplicitVRLittleEndian
        assert image.InstanceNumber == 1
        assert "StudyDate" not in image

    def test_instances_are_in_the_order_of_their_numbers(self, media: Media) -> None:
        for n, name in ((10, "A"), (9, "B"), (100, "C")):
            media.save(name, listable(n, InstanceNumber=str(n)))
        media.build("A", "B", "C")
        assert [record.ReferencedFileID for record in media.records("IMAGE")] == ["B", "A", "C"]

    @SYNTAXES
    def test_the_users_keys_are_copied(self, media: Media, syntax: str) -> None:
        dataset = listable(PatientBirthDate="19700101", PixelSpacing=["0.661468", "0.7"])
        dataset.add_new(0x00280106, "SS", -5)
        dataset.FrameIncrementPointer = 0x00181063
        media.save("A", dataset, syntax)
        media.build(
            "A",
            patient=["PatientBirthDate", "PatientSex:2", "PatientWeight"],
            image=["Rows:1", "PixelSpacing", "FrameIncrementPointer"],
        )
        (patient,), (image,) = media.records("PATIENT"), media.records("IMAGE")
        assert patient.PatientBirthDate == "19700101"
        assert patient.PatientSex == ""
        assert "PatientWeight" not in patient
        assert (image.Rows, image.FrameIncrementPointer) == (4, 0x00181063)
        assert [str(value) for value in image.PixelSpacing] == ["0.661468", "0.7"]

    @pytest.mark.peer("dcmtk")
    def test_dcmtk_reads_it(self, media: Media) -> None:
        require_peer("dcmtk")
        media.build(
            media.save(
                "A/IM000001", listable(1, SpecificCharacterSet="ISO_IR 192", PatientName="山")
            ),
            media.save("A/SR000001", report_document(2)),
        )
        done = subprocess.run(
            ["dcmdump", "-Un", media.dicomdir], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert '"Directory Record" SR DOCUMENT' in done.stdout
        assert "A\\IM000001" in done.stdout

    @pytest.mark.peer("dcmtk")
    def test_dcmmkdir_makes_the_same_records(self, media: Media) -> None:
        require_peer("dcmtk")
        names = [f"IM{n:06}" for n in range(1, 7)]
        for n, name in enumerate(names, 1):
            media.save(f"A/{name}", listable(n, series=n % 2 + 1, study=n % 3 + 1))
        media.build(*(f"A/{name}" for name in names))
        ours = media.tree()
        media.dicomdir.unlink()
        subprocess.run(
            ["dcmmkdir", "-q", "+r", "+id", ".", "-W"], cwd=media.path, check=True,
            capture_output=True,
        )  # fmt: skip
        assert sorted_tree(media.tree()) == sorted_tree(ours)


def modifier(text: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "HAS CONCEPT MOD", "CODE"
    item.ConceptCodeSequence = [dicom.code("x", "y", text)]
    return item


class TestRecordTypes:
    @pytest.mark.parametrize(
        ("suffix", "values", "record_type"),
        [
            pytest.param("104.1", {"MIMETypeOfEncapsulatedDocument": "text/xml"}, "ENCAP DOC",
                         id="an encapsulated document"),
            pytest.param("481.5", {"RTPlanLabel": "L"}, "RT PLAN", id="an RT plan"),
            pytest.param("481.3", {"StructureSetLabel": "L"}, "RT STRUCTURE SET", id="structures"),
            pytest.param("481.2", {"DoseSummationType": "PLAN"}, "RT DOSE", id="a dose"),
            pytest.param("9.1.1", {}, "WAVEFORM", id="an ECG"),
            pytest.param("66", {}, "RAW DATA", id="raw data"),
            pytest.param("66.1", {"ContentLabel": "L"}, "REGISTRATION", id="a registration"),
            pytest.param("11.1", {"PresentationCreationDate": "20260101",
                                  "PresentationCreationTime": "10", "ContentLabel": "L"},
                         "PRESENTATION", id="a presentation state"),
            pytest.param("66.4", {"Rows": 4}, "IMAGE", id="a segmentation"),
        ],
    )  # fmt: skip
    def test_each_class_has_its_record(
        self, media: Media, suffix: str, values: dict[str, Any], record_type: str
    ) -> None:
        media.save("A", listable(sop_class_uid=ROOT + suffix, **values))
        report = media.build("A")
        assert reasons(report) == {}
        (record,) = media.records(record_type)
        assert record.ReferencedSOPClassUIDInFile == ROOT + suffix

    def test_a_report_brings_its_title_and_what_modifies_it(self, media: Media) -> None:
        content = [*report_document().ContentSequence, modifier("final")]
        observer = [Dataset(), Dataset()]
        observer[0].VerificationDateTime, observer[1].VerificationDateTime = "20260101", "20260102"
        dataset = report_document(
            ContentSequence=content, VerifyingObserverSequence=observer, VerificationFlag="VERIFIED"
        )
        media.save("A", dataset)
        assert reasons(media.build("A")) == {}
        (record,) = media.records("SR DOCUMENT")
        assert record.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Report"
        assert [item.RelationshipType for item in record.ContentSequence] == ["HAS CONCEPT MOD"]
        assert record.VerificationDateTime == "20260102"
        assert "VerifyingObserverSequence" not in record

    def test_a_report_without_modifiers_brings_no_content(self, media: Media) -> None:
        media.build(media.save("A", report_document()))
        assert "ContentSequence" not in media.records("SR DOCUMENT")[0]

    def test_a_presentation_state_brings_its_references(self, media: Media) -> None:
        series = Dataset()
        series.SeriesInstanceUID = dicom.uid("series", 1)
        series.ReferencedImageSequence = [dicom.reference(dicom.uid("instance", 1))]
        dataset = listable(
            sop_class_uid=ROOT + "11.1", PresentationCreationDate="20260101",
            PresentationCreationTime="10", ContentLabel="L", ReferencedSeriesSequence=[series],
        )  # fmt: skip
        media.build(media.save("A", dataset))
        (record,) = media.records("PRESENTATION")
        assert record.ReferencedSeriesSequence == [series]

    def test_a_palette_belongs_to_no_patient(self, media: Media) -> None:
        dataset = Dataset()
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.39.1"
        dataset.SOPInstanceUID, dataset.ContentLabel = "2.999.1", "HOT"
        media.build(media.save("A", dataset), media.save("B", listable()))
        assert ("PALETTE", "A", []) in media.tree()

    def test_a_private_class_has_a_private_record(self, media: Media) -> None:
        media.build(media.save("A", listable(sop_class_uid="2.999.9.1")))
        (record,) = media.records("PRIVATE")
        assert record.PrivateRecordUID.startswith("2.25.")
        with media.file_set() as file_set:
            assert len(file_set) == 1


class TestCharacterSets:
    @SYNTAXES
    def test_records_bring_the_character_set_that_they_need(
        self, media: Media, syntax: str
    ) -> None:
        dataset = listable(SpecificCharacterSet="ISO_IR 192", PatientName="Größe^=山^太")
        media.build(media.save("A", dataset, syntax))
        (patient,) = media.records("PATIENT")
        assert patient.SpecificCharacterSet == "ISO_IR 192"
        assert patient.PatientName == "Größe^=山^太"
        (study,) = media.records("STUDY")
        assert "SpecificCharacterSet" not in study

    def test_each_record_has_that_of_its_own_instance(self, media: Media) -> None:
        media.save("A", listable(1, SpecificCharacterSet="ISO_IR 100", PatientName="Fuß"))
        two = listable(2, study=2, series=2, SpecificCharacterSet="ISO_IR 192")
        two.StudyDescription = "Größe"
        media.save("B", two)
        media.build("A", "B")
        studies = {study.StudyDescription for study in media.records("STUDY")}
        assert studies == {"Head and neck", "Größe"}
        assert media.records("PATIENT")[0].PatientName == "Fuß"

    def test_escapes_are_copied_as_they_stand(self, media: Media) -> None:
        dataset = listable(
            SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎"
        )
        content = dicom.part10(dataset)
        media.write("A", content)
        media.build("A")
        (patient,) = media.records("PATIENT")
        assert patient.PatientName == "Yamada^Tarou=山田^太郎"
        raw = content[content.index(b"Yamada") :].split(b"\x10\0\x20\0")[0]
        assert raw in media.dicomdir.read_bytes()

    def test_a_title_in_an_item_needs_it_as_well(self, media: Media) -> None:
        dataset = report_document(SpecificCharacterSet="ISO_IR 192")
        dataset.ConceptNameCodeSequence[0].CodeMeaning = "Ärztlich"
        media.build(media.save("A", dataset))
        (record,) = media.records("SR DOCUMENT")
        assert record.SpecificCharacterSet == "ISO_IR 192"
        assert record.ConceptNameCodeSequence[0].CodeMeaning == "Ärztlich"


class TestProblems:
    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            pytest.param({"StudyID": None}, "lacks StudyID, which its STUDY", id="absent"),
            pytest.param({"PatientID": ""}, "lacks PatientID, which its PATIENT", id="empty"),
            pytest.param(
                {"StudyDate": None, "StudyTime": None}, "lacks StudyDate, StudyTime,", id="two"
            ),
            pytest.param({"InstanceNumber": None}, "lacks InstanceNumber, which its", id="leaf"),
            pytest.param({"SeriesNumber": None}, "lacks SeriesNumber, which its", id="series"),
        ],
    )
    def test_what_lacks_a_key_is_named_and_the_others_are_listed(
        self, media: Media, values: dict[str, Any], reason: str
    ) -> None:
        bad = media.save("BAD", listable(**values))
        good = media.save("GOOD", listable(2, study=2, series=2, PatientID="P-1"))
        report = media.build(bad, good)
        assert list(reasons(report)) == ["BAD"]
        assert reason in reasons(report)["BAD"]
        assert report.added == 1
        assert media.tree()[0][1] == "P-1"
        assert len(media.tree()) == 1

    @pytest.mark.parametrize(
        "uid",
        [
            pytest.param(dicom.uid("instance", 1), id="instance"),
            pytest.param(CT, id="class"),
            pytest.param(ExplicitVRLittleEndian, id="transfer syntax"),
        ],
    )
    def test_an_instance_without_identity_is_a_problem(self, media: Media, uid: str) -> None:
        content = dicom.part10(listable()).replace(uid.encode(), uid[:-1].encode() + b"\xe0")
        report = media.build(media.write("A", content))
        assert reasons(report)["A"].startswith("does not say which instance of which class it is")

    def test_another_instance_of_the_study_may_have_what_one_lacks(self, media: Media) -> None:
        first = media.save("A", listable(1, StudyTime=None))
        second = media.save("B", listable(2))
        assert reasons(media.build(first, second)) == {}
        assert len(media.records("IMAGE")) == 2
        assert media.records("STUDY")[0].StudyTime == "101112"

    def test_a_key_of_the_users_may_be_missing_too(self, media: Media) -> None:
        report = media.build(media.save("A", listable()), image=["ImageComments:1"])
        assert reasons(report) == {"A": "lacks ImageComments, which its IMAGE record needs"}
        assert not report.is_written

    def test_a_type_may_be_relaxed(self, media: Media) -> None:
        report = media.build(media.save("A", listable(StudyID="")), study=["StudyID:2"])
        assert reasons(report) == {}
        assert media.records("STUDY")[0].StudyID == ""

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            pytest.param("IM000001.DCM", "'IM000001.DCM' is no name", id="an extension"),
            pytest.param("im000001", "'im000001' is no name", id="small letters"),
            pytest.param("ABCDEFGHI", "'ABCDEFGHI' is no name", id="nine characters"),
            pytest.param("A-B/IM000001", "'A-B' is no name", id="a dash in a folder"),
            pytest.param("1/2/3/4/5/6/7/8/9", "is more than 8 levels deep", id="nine levels"),
        ],
    )
    def test_names_have_to_fit_the_medium(self, media: Media, path: str, reason: str) -> None:
        report = media.build(media.save(path, listable()))
        assert reasons(report)[path].startswith(reason)
        assert report.problems[0].kind is ProblemKind.NAME
        assert not media.dicomdir.exists()

    def test_eight_levels_of_eight_characters_fit(self, media: Media) -> None:
        path = "/".join(f"ABC_{n:04}" for n in range(8))
        assert reasons(media.build(media.save(path, listable()))) == {}

    def test_the_same_instance_is_listed_once(self, media: Media) -> None:
        report = media.build(media.save("A", listable()), media.save("B", listable()))
        assert reasons(report) == {"B": "is the same instance as A"}
        assert report.added == 1

    def test_what_is_no_instance_is_told_apart(self, media: Media) -> None:
        media.build(media.save("A", listable()))
        shutil.copy(media.dicomdir, media.path / "COPY")
        report = media.build(media.write("TEXT", b"hello"), "COPY", "NONE")
        assert [(one.path, one.kind) for one in report.problems] == [
            ("TEXT", ProblemKind.FOREIGN),
            ("COPY", ProblemKind.FOREIGN),
            ("NONE", ProblemKind.OTHER),
        ]
        assert reasons(report)["NONE"] == "no such file"

    def test_a_damaged_file_is_a_problem(self, media: Media) -> None:
        report = media.build(media.write("A", dicom.part10(listable())[:501]))
        assert "ends inside of" in reasons(report)["A"]

    def test_nothing_listed_means_nothing_written(self, media: Media) -> None:
        report = media.build()
        assert (report.instance_count, report.is_written) == (0, False)
        assert not media.dicomdir.exists()

    def test_a_cancelled_run_writes_nothing(self, tmp_path: Path, media: Media) -> None:
        media.save("A", listable())
        with OutputFolder.open(media.path) as folder:
            report = build_dicomdir(folder, ["A"], is_cancelled=lambda: True)
        assert not report.is_written
        assert not media.dicomdir.exists()


class TestUpdate:
    def test_entries_stay_whose_files_are_there(self, media: Media) -> None:
        media.build(
            media.save("A", listable(1)), media.save("B", listable(2)),
            patient=["PatientBirthDate:2"],
        )  # fmt: skip
        uid = media.read().file_meta.MediaStorageSOPInstanceUID
        (media.path / "B").unlink()
        report = media.build(media.save("C", listable(3)))
        assert (report.added, report.kept) == (1, 1)
        assert [(one.path, one.reason) for one in report.removed] == [("B", "no such file")]
        assert [record.ReferencedFileID for record in media.records("IMAGE")] == ["A", "C"]
        assert media.read().file_meta.MediaStorageSOPInstanceUID == uid
        assert len(media.tree()) == 1

    def test_kept_records_stay_as_they_were(self, media: Media) -> None:
        dataset = listable(1, SpecificCharacterSet="ISO_IR 100", SeriesDescription="Fuß")
        media.build(media.save("A", dataset), series=["SeriesDescription"], image=["Rows"])
        before = media.dicomdir.read_bytes()
        assert media.build().kept == 1
        assert media.dicomdir.read_bytes() == before

    def test_building_twice_changes_nothing(self, media: Media) -> None:
        paths = [media.save(f"A/IM{n}", listable(n, series=n)) for n in range(1, 9)]
        media.build(*paths)
        before = media.dicomdir.read_bytes()
        report = media.build(*reversed(paths))
        assert (report.added, report.kept) == (8, 0)
        assert media.dicomdir.read_bytes() == before

    def test_patients_of_one_id_each_keep_what_is_theirs(self, media: Media) -> None:
        names = {"A": "One^Patient", "B": "Another^Patient"}
        for number, (path, name) in enumerate(names.items(), start=1):
            where: dict[str, Any] = {"study": number, "series": number, "PatientID": f"P-{number}"}
            dataset = listable(number, PatientName=name, **where)
            media.build(media.save(path, dataset))
        # Two hospitals, or a tool that tells patients apart by their names as well.
        media.dicomdir.write_bytes(media.dicomdir.read_bytes().replace(b"P-2 ", b"P-1 "))
        for _ in range(2):
            assert media.build().kept == 2
            assert [patient.PatientID for patient in media.records("PATIENT")] == ["P-1", "P-1"]
            with media.file_set() as file_set:
                found = {one.ReferencedFileID: str(one.PatientName) for one in file_set}
            assert found == names

    def test_groups_without_files_go(self, media: Media) -> None:
        media.build(
            media.save("A", listable(1)),
            media.save("B", listable(2, study=2, series=2, PatientID="P-1")),
        )
        (media.path / "A").unlink()
        media.build()
        assert [patient.PatientID for patient in media.records("PATIENT")] == ["P-1"]

    def test_a_file_that_changed_moves(self, media: Media) -> None:
        media.build(media.save("A", listable(1)), media.save("B", listable(2)))
        media.save("A", listable(7, study=2, series=2, PatientID="P-1"))
        report = media.build("A")
        assert (report.added, report.kept) == (1, 1)
        assert [patient.PatientID for patient in media.records("PATIENT")] == ["P-0042", "P-1"]
        assert len(media.records("IMAGE")) == 2

    @pytest.mark.parametrize("paths", ["AC", "CA"])
    def test_instances_may_change_places(self, media: Media, paths: str) -> None:
        media.build(media.save("A", listable(1)))
        media.save("A", listable(7))
        media.save("C", listable(1))
        assert reasons(media.build(*paths)) == {}
        found = {one.ReferencedFileID: one.InstanceNumber for one in media.records("IMAGE")}
        assert found == {"A": 7, "C": 1}

    def test_a_file_that_cannot_be_listed_any_more_is_not(self, media: Media) -> None:
        media.build(media.save("A", listable(1)), media.save("B", listable(2)))
        media.write("A", b"damaged")
        report = media.build("A", "B")
        assert list(reasons(report)) == ["A"]
        assert [one.ReferencedFileID for one in media.records("IMAGE")] == ["B"]

    def test_new_keys_renew_the_records_above(self, media: Media) -> None:
        media.build(media.save("A", listable(1, PatientBirthDate="19700101")))
        media.build("A", patient=["PatientBirthDate"])
        assert media.records("PATIENT")[0].PatientBirthDate == "19700101"

    def test_a_group_that_cannot_be_renewed_stays(self, media: Media) -> None:
        media.build(media.save("A", listable(1)))
        report = media.build(media.save("B", listable(2, StudyTime=None)))
        assert reasons(report) == {}
        assert media.records("STUDY")[0].StudyTime == "101112"

    def test_what_describes_the_file_set_stays(self, media: Media) -> None:
        media.build(media.save("A", listable(1)))
        directory = media.read()
        directory.FileSetID = "MY_MEDIA"
        directory.FileSetDescriptorFileID = ["README"]
        rewrite(media, directory)
        media.build(media.save("B", listable(2)))
        assert (media.read().FileSetID, media.read().FileSetDescriptorFileID) == (
            "MY_MEDIA",
            "README",
        )

    def test_private_records_and_icons_stay(self, media: Media) -> None:
        media.build(media.save("A", listable(sop_class_uid="2.999.9.1")))
        before = media.dicomdir.read_bytes()
        media.build()
        assert media.dicomdir.read_bytes() == before

    @pytest.mark.peer("dcmtk")
    def test_one_of_dcmtk_is_updated(self, media: Media) -> None:
        require_peer("dcmtk")
        media.save("A", listable(1))
        subprocess.run(
            ["dcmmkdir", "-q", "-W", "+id", ".", "A"], cwd=media.path, check=True,
            capture_output=True,
        )  # fmt: skip
        media.build(media.save("B", listable(2)))
        assert [record.ReferencedFileID for record in media.records("IMAGE")] == ["A", "B"]

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"no DICOM", id="something else"),
            pytest.param(dicom.ct(), id="an instance"),
        ],
    )
    def test_what_cannot_be_read_is_not_replaced(self, media: Media, content: bytes) -> None:
        media.write("DICOMDIR", content)
        media.save("A", listable())
        with pytest.raises(ConfigError, match=r"existing DICOMDIR cannot be updated.*move it away"):
            media.build("A")
        assert media.dicomdir.read_bytes() == content

    def test_one_that_outgrows_its_offsets_is_not_written(
        self, media: Media, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        media.build(media.save("A", listable(1)))
        before = media.dicomdir.read_bytes()
        monkeypatch.setattr(dicomdir_file, "_MAX_OFFSET", len(before))
        with pytest.raises(LimitExceeded, match="more than"):
            media.build(media.save("B", listable(2)))
        assert media.dicomdir.read_bytes() == before

    def test_a_link_in_its_place_is_not_followed(self, media: Media, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.write_bytes(b"precious")
        media.dicomdir.symlink_to(target)
        with pytest.raises(StorageError, match="symbolic link"):
            media.build(media.save("A", listable()))
        assert target.read_bytes() == b"precious"

    @pytest.mark.parametrize("is_there", [False, True])
    def test_what_another_run_lists_meanwhile_stays(
        self, media: Media, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
    ) -> None:
        paths = [media.save(name, listable(n)) for n, name in enumerate("ABC", start=1)]
        if is_there:
            media.build(paths[2])
        encoded = dicomdir_file.encoded_directory

        def behind_another_run(file_set: Any) -> Iterator[bytes]:
            monkeypatch.setattr(module, "encoded_directory", encoded)
            media.build(paths[0])
            return encoded(file_set)

        monkeypatch.setattr(module, "encoded_directory", behind_another_run)
        report = media.build(paths[1])
        assert (report.added, report.kept) == (1, 1 + is_there)
        listed = {record.ReferencedFileID for record in media.records("IMAGE")}
        assert listed == {*"AB", *("C" if is_there else "")}

    def test_runs_that_never_end_to_update_it_are_given_up_upon(
        self, media: Media, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoded, times = dicomdir_file.encoded_directory, count()

        def behind_another_run(file_set: Any) -> Iterator[bytes]:
            pieces = list(encoded(file_set))
            media.dicomdir.write_bytes(b"".join(pieces))
            os.utime(media.dicomdir, (0, next(times)))
            return iter(pieces)

        monkeypatch.setattr(module, "encoded_directory", behind_another_run)
        with pytest.raises(NameTaken, match="other runs keep updating"):
            media.build(media.save("A", listable()))

    def test_it_appears_whole_or_not_at_all(self, media: Media, tmp_path: Path) -> None:
        media.build(media.save("A", listable(1)))
        before = media.dicomdir.read_bytes()
        held = media.dicomdir.open("rb")
        with held:
            media.build(media.save("B", listable(2)))
            assert held.read() == before
        assert {path.name for path in media.path.iterdir()} - {".asyncdicom-run.lock"} == {
            "A",
            "B",
            "DICOMDIR",
        }


def rewrite(media: Media, directory: Dataset) -> None:
    """Write a changed DICOMDIR with offsets that are right, as pydicom does not."""
    saved = io.BytesIO()
    pydicom.dcmwrite(saved, directory, enforce_file_format=True)
    moved = pydicom.dcmread(io.BytesIO(saved.getvalue()))
    old = {record.seq_item_tell: n for n, record in enumerate(directory.DirectoryRecordSequence)}
    places = [record.seq_item_tell for record in moved.DirectoryRecordSequence]
    for record in moved.DirectoryRecordSequence:
        for name in (
            "OffsetOfTheNextDirectoryRecord",
            "OffsetOfReferencedLowerLevelDirectoryEntity",
        ):
            value = getattr(record, name)
            setattr(record, name, places[old[value]] if value in old else value)
    for which in ("First", "Last"):
        name = f"OffsetOfThe{which}DirectoryRecordOfTheRootDirectoryEntity"
        setattr(moved, name, places[old[getattr(moved, name)]])
    moved.save_as(media.dicomdir, enforce_file_format=True)


class TestHostileDirectories:
    """F6: no entry leads out of the folder, and no link of records leads nowhere or in circles."""

    @pytest.mark.parametrize(
        "file_id",
        [
            pytest.param(["..", "..", "SECRET"], id="upwards"),
            pytest.param(["..\\..\\SECRET"], id="upwards in one"),
            pytest.param(["/etc/passwd"], id="absolute"),
            pytest.param(["", "etc", "passwd"], id="absolute in parts"),
            pytest.param(["A", ".", "IM"], id="here"),
            pytest.param(["A/../../SECRET"], id="slashes in a component"),
            pytest.param(["im000001"], id="small letters"),
            pytest.param(["LINK"], id="a link to a file outside"),
            pytest.param(["LINKDIR", "SECRET"], id="a link to a folder outside"),
            pytest.param(["FOLDER"], id="a folder"),
            pytest.param(["ABCDEFGHI"], id="too long"),
            pytest.param(["A"] * 9, id="too deep"),
        ],
    )
    def test_an_entry_that_leads_elsewhere_is_dropped(
        self, media: Media, tmp_path: Path, file_id: list[str]
    ) -> None:
        (tmp_path / "SECRET").write_bytes(dicom.part10(listable(9)))
        media.save("GOOD", listable(1))
        (media.path / "FOLDER").mkdir()
        (media.path / "LINK").symlink_to(tmp_path / "SECRET")
        (media.path / "LINKDIR").symlink_to(tmp_path)
        media.build("GOOD", media.save("BAD", listable(2)))
        directory = media.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for record in directory.DirectoryRecordSequence:
                if record.get("ReferencedFileID") == "BAD":
                    record.ReferencedFileID = file_id
            rewrite(media, directory)
        report = media.build()
        assert len(report.removed) == 1
        assert [record.ReferencedFileID for record in media.records("IMAGE")] == ["GOOD"]
        assert b"SECRET" not in media.dicomdir.read_bytes()

    @pytest.mark.parametrize(
        "path", ["../SECRET", "/etc/hostname", "A/../../SECRET", "LINK", "LINKDIR/SECRET", "FOLDER"]
    )
    def test_a_path_that_leads_elsewhere_is_not_read(
        self, media: Media, tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "SECRET").write_bytes(dicom.part10(listable(9)))
        (media.path / "LINK").symlink_to(tmp_path / "SECRET")
        (media.path / "LINKDIR").symlink_to(tmp_path)
        (media.path / "FOLDER").mkdir()
        report = media.build(path)
        assert list(reasons(report)) == [path]
        assert not media.dicomdir.exists()

    @pytest.mark.parametrize(
        ("keyword", "change"),
        [
            pytest.param("OffsetOfTheNextDirectoryRecord", lambda place: place, id="to itself"),
            pytest.param("OffsetOfTheNextDirectoryRecord", lambda place: 1, id="to nothing"),
            pytest.param(
                "OffsetOfReferencedLowerLevelDirectoryEntity",
                lambda place: place,
                id="below itself",
            ),
            pytest.param(
                "OffsetOfReferencedLowerLevelDirectoryEntity",
                lambda place: 2**32 - 2,
                id="far away",
            ),
        ],
    )
    def test_links_that_lead_nowhere_or_back_are_refused(
        self, media: Media, keyword: str, change: Callable[[int], int]
    ) -> None:
        media.build(media.save("A", listable()))
        directory = media.read()
        record = directory.DirectoryRecordSequence[-1]
        setattr(record, keyword, change(record.seq_item_tell))
        directory.save_as(media.dicomdir)
        before = media.dicomdir.read_bytes()
        with pytest.raises(ConfigError, match="leads to no record, or back to one"):
            media.build("A")
        assert media.dicomdir.read_bytes() == before

    def test_deep_nesting_is_refused(self, media: Media) -> None:
        media.build(*(media.save(f"A{n}", listable(n)) for n in range(9)))
        directory = media.read()
        records = directory.DirectoryRecordSequence
        for record, below in pairwise(records):
            record.OffsetOfTheNextDirectoryRecord = 0
            record.OffsetOfReferencedLowerLevelDirectoryEntity = below.seq_item_tell
        directory.save_as(media.dicomdir)
        with pytest.raises(ConfigError, match="nested more than 8 deep"):
            media.build("A1")

    def test_one_without_records_is_filled(self, media: Media) -> None:
        media.build(media.save("A", listable(1)))
        directory = media.read()
        del directory.DirectoryRecordSequence
        directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
        directory.save_as(media.dicomdir)
        report = media.build("A")
        assert (report.added, report.kept) == (1, 0)

    def test_inactive_records_are_dropped(self, media: Media) -> None:
        media.build(media.save("A", listable(1)), media.save("B", listable(2)))
        directory = media.read()
        directory.DirectoryRecordSequence[-1].RecordInUseFlag = 0
        directory.save_as(media.dicomdir)
        assert media.build().kept == 1

    def test_a_record_without_a_type_is_refused(self, media: Media) -> None:
        media.build(media.save("A", listable(1)))
        directory = media.read()
        del directory.DirectoryRecordSequence[0].DirectoryRecordType
        directory.save_as(media.dicomdir)
        before = media.dicomdir.read_bytes()
        with pytest.raises(ConfigError, match="says no type"):
            media.build(media.save("B", listable(2)))
        assert media.dicomdir.read_bytes() == before

    @example([(0.328125, 0)], None)
    @given(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2**32 - 1) | st.integers(0, 2000)),
                 min_size=1, max_size=3),
        st.none() | st.floats(0, 1),
    )  # fmt: skip
    def test_a_damaged_directory_is_refused_or_read(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        changes: list[tuple[float, int]],
        end: float | None,
    ) -> None:
        path = tmp_path_factory.mktemp("media")
        with OutputFolder.open(path) as folder:
            (path / "A").write_bytes(dicom.part10(listable(1)))
            (path / "B").write_bytes(dicom.part10(listable(2)))
            build_dicomdir(folder, ["A", "B"])
            content = bytearray((path / "DICOMDIR").read_bytes())
            for place, number in changes:
                at = 132 + int(place * (len(content) - 136))
                content[at : at + 4] = struct.pack("<I", number)
            kept_bytes = len(content) if end is None else int(end * len(content))
            (path / "DICOMDIR").write_bytes(content[:kept_bytes])
            try:
                build_dicomdir(folder, ["A"])
            except AsyncDicomError:
                return
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert "A" in str(tree_of(path / "DICOMDIR"))


@pytest.mark.parametrize(
    ("path", "is_fine"),
    [
        pytest.param("IM000001", True, id="a name"),
        pytest.param("A/B_/9", True, id="levels"),
        pytest.param("", False, id="nothing"),
        pytest.param("A//B", False, id="an empty component"),
        pytest.param("A\nB", False, id="a line end"),
        pytest.param("A\n", False, id="a line end at the end"),
        pytest.param("Ä", False, id="another letter"),
        pytest.param("\uff21", False, id="a wide letter"),
    ],
)
def test_file_ids(path: str, *, is_fine: bool) -> None:
    assert (file_id_problem(path) == "") is is_fine


def test_a_thousand_instances_are_one_series(media: Media) -> None:
    content = dicom.part10(listable(1, series=1))
    uid = dicom.uid("instance", 1).encode()
    paths = []
    for n in range(1000):
        new = content.replace(uid, dicom.uid("instance", n).encode())
        paths.append(media.write(f"S{n // 100}/IM{n:06}", new))
    report = media.build(*paths)
    assert report.added == 1000
    assert media.dicomdir.stat().st_size < 1000 * 200
    assert len(tree_of(media.dicomdir)[0][2][0][2][0][2]) == 1000
