from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ConfigError, UnsafeName
from asyncdicom.model import Uid
from asyncdicom.storage import layout as layout_module
from asyncdicom.storage.directories import check_name
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.templates import Instance, parse_layout

HOSTILE = st.text(st.sampled_from("./\\ \0\n_^ABß山\ud800\u202eCONnul"), max_size=300) | st.text(
    st.characters(), max_size=80
)


def instance(sop: str = "1.2.3", study: str = "1", series: str = "1.2", **values: str) -> Instance:
    return Instance(Uid(sop), Uid(series), Uid(study), values)


def tree(*, is_iso_9660: bool = False) -> Layout:
    return Layout(parse_layout("tree"), is_iso_9660=is_iso_9660)


def patient_of(path: str) -> str:
    return path.split("/", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("extension", "name"),
    [
        pytest.param(".dcm", "1.2.3.dcm", id="usual"),
        pytest.param("", "1.2.3", id="bare UID"),
        pytest.param("dicom", "1.2.3.dicom", id="without its dot"),
    ],
)
def test_flat_is_the_uid_and_an_extension(extension: str, name: str) -> None:
    assert Layout((), extension=extension).path_for(instance()) == name


@pytest.mark.parametrize("extension", ["/x", "..", ".a/b", ". ", ".tar.gz", "\0", "x" * 17])
def test_what_is_no_extension_is_refused(extension: str) -> None:
    with pytest.raises(ConfigError, match="extension"):
        Layout((), extension=extension)


def test_tree_of_an_instance() -> None:
    values = {"PatientName": "BEETHOVEN^LUDWIG", "StudyID": "1", "SeriesNumber": "2"}
    assert tree().path_for(instance(**values)) == "BEETHOVEN^LUDWIG/1/2/1.2.3.dcm"
    assert tree(is_iso_9660=True).path_for(instance(**values)) == "BEETHOVE/1/2/IM000001"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("DOE^JOHN/X", "DOE^JOHN\\X", id="sanitised to one name"),
        pytest.param("x" * 300 + "/", "x" * 300 + "\\", id="shortened"),
        pytest.param("Doe^John", "DOE^JOHN", id="same but for case"),
        pytest.param("José", "Jose\u0301", id="same but for composition"),
    ],
)
def test_two_patients_never_share_a_folder(one: str, other: str) -> None:
    layout = tree()
    paths = [layout.path_for(instance(PatientName=name)) for name in (one, other)]
    folders = {patient_of(path).casefold() for path in paths}
    assert len(folders) == 2


def test_two_patients_of_one_name_have_two_folders() -> None:
    layout = tree()
    one = layout.path_for(instance(PatientName="DOE^JOHN", PatientID="1"))
    other = layout.path_for(instance(PatientName="DOE^JOHN", PatientID="2"))
    assert patient_of(one) == "DOE^JOHN"
    assert re.fullmatch(r"DOE\^JOHN_[0-9a-f]{8}", patient_of(other))


def test_the_suffix_depends_on_who_it_is_and_not_on_who_came_between() -> None:
    def second(*between: str) -> str:
        layout = tree()
        for identifier in ("1", *between):
            layout.path_for(instance(PatientName="DOE", PatientID=identifier))
        return patient_of(layout.path_for(instance(PatientName="DOE", PatientID="2")))

    assert second() == second("3", "4")


def test_a_patient_named_like_a_suffixed_one_is_kept_apart() -> None:
    def names(*patients: tuple[str, str]) -> list[str]:
        layout = tree()
        return [
            patient_of(layout.path_for(instance(PatientName=name, PatientID=identifier)))
            for name, identifier in patients
        ]

    taken = names(("DOE", "1"), ("DOE", "2"))[1]
    folders = names(("DOE", "1"), (taken, "3"), ("DOE", "2"))
    assert len(set(folders)) == 3
    assert folders[1] == taken


def test_two_studies_of_one_id_have_two_folders() -> None:
    layout = tree()
    paths = [layout.path_for(instance(study=uid, StudyID="1")) for uid in ("1.1", "1.2")]
    assert len({path.split("/")[1] for path in paths}) == 2


def test_the_same_instance_has_the_same_path_again() -> None:
    for layout in (tree(), tree(is_iso_9660=True)):
        first = layout.path_for(instance(PatientName="A"))
        layout.path_for(instance("1.2.4", PatientName="B"))
        assert layout.path_for(instance(PatientName="A")) == first


@pytest.mark.parametrize("name", ["_quarantine", "_QUARANTINE", "DICOMDIR"])
def test_names_of_ours_in_the_root_are_kept_free(name: str) -> None:
    for layout in (tree(), tree(is_iso_9660=True)):
        found = patient_of(layout.path_for(instance(PatientName=name)))
        assert found.casefold() not in {"_quarantine", "dicomdir"}


class TestIso9660:
    def test_patients_shortened_to_one_name_are_numbered(self) -> None:
        layout = tree(is_iso_9660=True)
        names = [f"BEETHOVEN^{name}" for name in ("LUDWIG", "KARL", "CASPAR", "LUDWIG")]
        found = [patient_of(layout.path_for(instance(PatientName=name))) for name in names]
        assert found == ["BEETHOVE", "BEETHO_2", "BEETHO_3", "BEETHOVE"]

    def test_files_are_numbered_per_folder(self) -> None:
        layout = Layout(parse_layout("{PatientID}"), is_iso_9660=True)
        asked = [("1", "A"), ("2", "A"), ("3", "B"), ("1", "A")]
        found = [layout.path_for(instance(sop, PatientID=patient)) for sop, patient in asked]
        assert found == ["A/IM000001", "A/IM000002", "B/IM000001", "A/IM000001"]

    def test_numbers_continue_after_what_is_there(self) -> None:
        asked: list[str] = []

        def names_in(path: str) -> list[str]:
            asked.append(path)
            return ["IM000007", "IM000003", "IM0000099", "other", "IM000042.dcm"]

        layout = Layout(parse_layout("A"), is_iso_9660=True, names_in=names_in)
        assert layout.path_for(instance("1")) == "A/IM000008"
        assert layout.path_for(instance("2")) == "A/IM000009"
        assert asked == ["A"]

    def test_in_the_root_too(self) -> None:
        assert Layout((), is_iso_9660=True).path_for(instance()) == "IM000001"

    def test_a_full_folder_is_an_error(self) -> None:
        layout = Layout((), is_iso_9660=True, names_in=lambda _: ["IM999999"])
        with pytest.raises(UnsafeName, match="999999 files"):
            layout.path_for(instance())

    def test_too_many_folders_of_one_name_are_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(layout_module, "MAX_ISO_SUFFIX", 3)
        layout = tree(is_iso_9660=True)
        for name in ("BEETHOVEN1", "BEETHOVEN2", "BEETHOVEN3"):
            layout.path_for(instance(PatientName=name))
        with pytest.raises(UnsafeName, match="come out the same"):
            layout.path_for(instance(PatientName="BEETHOVEN4"))


LAYOUTS = ["flat", "tree", "{PatientID}/x{PatientName}", "%A/%B/b", "{A}{B}"]


@given(
    template=st.sampled_from(LAYOUTS),
    is_iso_9660=st.booleans(),
    patients=st.lists(
        st.dictionaries(
            st.sampled_from(["PatientName", "PatientID", "StudyID", "SeriesDescription", "A", "B"]),
            HOSTILE,
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_no_value_leaves_the_root(
    *, template: str, is_iso_9660: bool, patients: list[dict[str, str]]
) -> None:
    layout = Layout(parse_layout(template), is_iso_9660=is_iso_9660)
    for values in patients:
        path = layout.path_for(instance(**values))
        components = path.split("/")
        assert len(components) == len(parse_layout(template)) + 1
        for component in components:
            check_name(component, path)
        assert os.path.normpath(path) == path
        assert not PurePosixPath(path).is_absolute()


@given(
    patients=st.lists(st.tuples(HOSTILE, st.sampled_from("123")), max_size=8),
    is_iso_9660=st.booleans(),
)
def test_different_patients_never_meet(
    *, patients: list[tuple[str, str]], is_iso_9660: bool
) -> None:
    layout = tree(is_iso_9660=is_iso_9660)
    owners: dict[str, tuple[str, str]] = {}
    for name, identifier in patients:
        path = layout.path_for(instance(PatientName=name, PatientID=identifier))
        owner = (name.strip(" \0"), identifier)
        assert owners.setdefault(patient_of(path).casefold(), owner) == owner


def test_who_names_without_an_end_remembers_what_was_asked_for_last() -> None:
    layout = Layout(parse_layout("{PatientName}"), max_remembered=2)

    def folder_of(patient: str) -> str:
        return patient_of(layout.path_for(instance(PatientName=patient)))

    assert [folder_of(name) for name in ("A", "B", "A", "C")] == ["A", "B", "A", "C"]
    # B was forgotten, A was not.
    assert folder_of("b") == "b"
    assert re.fullmatch(r"c_[0-9a-f]{8}", folder_of("c"))


def test_what_is_forgotten_is_named_as_in_a_new_run() -> None:
    there: dict[str, list[str]] = {}
    layout = Layout(
        parse_layout("{PatientName}"),
        is_iso_9660=True,
        names_in=lambda path: there.get(path, ()),
        max_remembered=1,
    )
    for patient, sop, expected in (
        ("A", "1.1", "A/IM000001"),
        ("A", "1.2", "A/IM000002"),
        ("A", "1.2", "A/IM000002"),
        ("B", "1.3", "B/IM000001"),
        ("A", "1.4", "A/IM000003"),
        ("B", "1.3", "B/IM000002"),
    ):
        path = layout.path_for(instance(sop, PatientName=patient))
        assert path == expected
        folder, _, name = path.partition("/")
        there.setdefault(folder, []).append(name)
    remembered = (layout._folders, layout._owners, layout._numbered, layout._last_numbers)
    assert [len(one) for one in remembered] == [1, 3, 1, 1]
