"""The data dictionary: what is asked of it, and that it costs nothing before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asyncdicom.storage.data_dictionary import (
    follows_pixel_representation,
    name_of,
    tag_and_vr_of,
    uid_name_of,
    vr_of,
)


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        pytest.param(0x00100010, "PN", id="of the Standard"),
        pytest.param(0x00280106, "US", id="unsigned or signed"),
        pytest.param(0x7FE00010, "OW", id="bytes or words"),
        pytest.param(0x60023000, "OW", id="of a repeating group"),
        pytest.param(0x00090010, "LO", id="a private creator"),
        pytest.param(0x00091010, "UN", id="private"),
        pytest.param(0x00280000, "UL", id="a group length"),
        pytest.param(0x00080004, "UN", id="unknown"),
        pytest.param(0xFFFEE000, "UN", id="an item has none"),
    ],
)
def test_vrs(tag: int, vr: str) -> None:
    assert vr_of(tag) == vr


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        pytest.param(0x00100010, "Patient's Name", id="of the Standard"),
        pytest.param(0x00091010, "", id="private"),
        pytest.param(-1, "", id="no tag"),
        pytest.param(1 << 32, "", id="too large for a tag"),
    ],
)
def test_names(tag: int, name: str) -> None:
    assert name_of(tag) == name


def test_keywords() -> None:
    assert tag_and_vr_of("PatientBirthDate") == (0x00100030, "DA")
    assert tag_and_vr_of("Nonsense") is None
    assert tag_and_vr_of("") is None


def test_names_of_uids() -> None:
    assert uid_name_of("1.2.840.10008.5.1.4.1.1.2") == "CT Image Storage"
    assert uid_name_of("2.999.1") == "2.999.1"


def test_pixel_values_follow_pixel_representation() -> None:
    assert follows_pixel_representation(0x00280106)
    assert not follows_pixel_representation(0x00280010)
    assert not follows_pixel_representation(0x00091010)


def test_importing_it_does_not_import_pydicom() -> None:
    code = "import sys, asyncdicom.storage.data_dictionary; sys.exit('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
