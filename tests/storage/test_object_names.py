"""Names of objects: as the key says, and never out of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import UnexpectedContent
from asyncdicom.ports.objects import ObjectEntry
from asyncdicom.protocol.part10 import Part10Walker
from asyncdicom.storage.directories import check_name
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.object_names import KeyNaming, LayoutNaming
from asyncdicom.storage.templates import parse_layout
from tests.support.dicom import ct, uid

if TYPE_CHECKING:
    from asyncdicom.protocol.part10 import InstanceFacts


def facts_of(content: bytes) -> InstanceFacts:
    walker = Part10Walker()
    walker.receive_data(content)
    return walker.receive_eof()


def path_of(key: str, prefix: str = "") -> str:
    return KeyNaming(prefix).path_of(ObjectEntry(key, 1), None)


@pytest.mark.parametrize(
    ("prefix", "key", "path"),
    [
        pytest.param("", "a/b/1.dcm", "a/b/1.dcm", id="all of the key"),
        pytest.param("a/", "a/b/1.dcm", "b/1.dcm", id="what is below the prefix"),
        pytest.param("a/b/1", "a/b/1.dcm", "1.dcm", id="up to the last slash of the prefix"),
        pytest.param("a/1.dcm", "a/1.dcm", "1.dcm", id="one object"),
        pytest.param("x/", "a/1.dcm", "a/1.dcm", id="another prefix"),
        pytest.param("", "../../etc/passwd", "__/__/etc/passwd", id="parents"),
        pytest.param("", "/etc/passwd", "_/etc/passwd", id="an absolute path"),
        pytest.param("", "a//b", "a/_/b", id="an empty component"),
        pytest.param("", "a/./b", "a/_/b", id="a dot"),
        pytest.param("", "a\0b", "a_b", id="NUL"),
        pytest.param("", "a\\..\\b", "a_.._b", id="backslashes"),
        pytest.param("", "a/", "a/_", id="a key that ends like a folder"),
        pytest.param("", ".asyncdicom-1.part", "_asyncdicom-1.part", id="a name that is ours"),
        pytest.param("", "NUL.dcm", "NUL_.dcm", id="a device"),
    ],
)
def test_a_file_is_named_by_its_key(prefix: str, key: str, path: str) -> None:
    assert path_of(key, prefix) == path


@given(st.text(min_size=1, max_size=400), st.text(max_size=20))
def test_whatever_the_key_each_component_is_a_plain_name(key: str, prefix: str) -> None:
    for name in path_of(key, prefix).split("/"):
        check_name(name, key)


def test_files_go_below_a_folder() -> None:
    entry = ObjectEntry("uuid/1.dcm", 1)
    assert KeyNaming("uuid/", below="coll/P1").path_of(entry, None) == "coll/P1/1.dcm"


def test_over_long_names_stay_different() -> None:
    paths = {path_of("x" * 300 + str(number)) for number in range(10)}
    assert len(paths) == 10


def test_a_layout_names_files_by_what_they_say() -> None:
    naming = LayoutNaming(Layout(parse_layout("{PatientID}")))
    assert naming.needs_facts
    path = naming.path_of(ObjectEntry("any", 1), facts_of(ct(number=3)))
    assert path == f"P-0042/{uid('instance', 3)}.dcm"


def test_a_layout_has_no_name_for_what_is_no_dicom_file() -> None:
    naming = LayoutNaming(Layout(parse_layout("flat")))
    with pytest.raises(UnexpectedContent):
        naming.path_of(ObjectEntry("any", 1), None)
