from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncdicom.storage.directories import check_name
from asyncdicom.storage.naming import (
    QUARANTINE,
    collision_key,
    iso_name,
    plain_name,
    quarantine_path,
    suffixed,
)

if TYPE_CHECKING:
    from pathlib import Path

CRUMBS = st.text(
    st.sampled_from("./\\ \0\n\x7f\x9f_^=~ABß山é\ud800\u202e\u2028\u200dCONnul.com1"), max_size=400
)
HOSTILE = CRUMBS | st.text(st.characters(), max_size=300)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("BEETHOVEN^LUDWIG", "BEETHOVEN^LUDWIG", id="as it is"),
        pytest.param("山田^太郎", "山田^太郎", id="not Latin"),
        pytest.param("2_T1 MPRAGE / sag", "2_T1 MPRAGE _ sag", id="separator"),
        pytest.param("a\\b", "a_b", id="the other separator"),
        pytest.param("../../etc", "___.._etc", id="way out"),
        pytest.param("..", "__", id="parent"),
        pytest.param(".", "_", id="itself"),
        pytest.param("...", "___", id="dots alone"),
        pytest.param("", "_", id="empty"),
        pytest.param("   ", "_", id="blank"),
        pytest.param(" padded \0", "padded", id="padding"),
        pytest.param(".hidden", "_hidden", id="leading dot"),
        pytest.param("Dr.", "Dr_", id="trailing dot"),
        pytest.param("a. .", "a___", id="trailing dots and blanks"),
        pytest.param("a\0b\nc\x7fd\x9fe", "a_b_c_d_e", id="control characters"),
        pytest.param("a\u202eb\u2028c\ufeffd", "a_b_c_d", id="direction, line end, byte order"),
        pytest.param("a\u200db\u200cc", "a\u200db\u200cc", id="joiners are letters' business"),
        pytest.param("a\ud800b", "a_b", id="half a character"),
        pytest.param("NUL", "NUL_", id="device"),
        pytest.param("com1.dcm", "com1_.dcm", id="device with extension"),
        pytest.param("CONRAD", "CONRAD", id="no device"),
        pytest.param("COM", "COM", id="no device without number"),
        pytest.param("a:b*c?", "a:b*c?", id="what Unix allows"),
        pytest.param(".asyncdicom-run.lock", "_asyncdicom-run.lock", id="ours"),
        pytest.param("x" * 255, "x" * 255, id="as long as can be"),
    ],
)
def test_what_can_stay_stays(text: str, name: str) -> None:
    assert plain_name(text) == name


def test_what_is_too_long_ends_in_a_digest_of_the_whole() -> None:
    one, other = plain_name("x" * 300), plain_name("x" * 301)
    assert len(one) == 255
    assert re.fullmatch(r"x{238}_[0-9a-f]{16}", one)
    assert one != other


def test_long_names_are_cut_between_characters() -> None:
    name = plain_name("山" * 200)
    assert len(name.encode()) <= 255
    assert name.startswith("山" * 79 + "_")


@given(HOSTILE)
@example("\0")
@example("CON." + "x" * 300)
def test_any_text_gives_a_name_that_the_folder_takes(text: str) -> None:
    name = plain_name(text)
    check_name(name, name)
    assert name == name.strip(" ")
    assert not name.startswith(".")
    assert not name.endswith((".", " "))
    assert not re.search(r"[\\/\x00-\x1f\x7f-\x9f]", name)
    assert plain_name(name) == name


def test_names_are_as_the_file_system_takes_them(tmp_path: Path) -> None:
    for text in ("山" * 200, "../../x", "a\nb", "CON", "", "é" * 255):
        (tmp_path / plain_name(text)).mkdir()
    assert len(os.listdir(tmp_path)) == 6  # noqa: PTH208 -- counts, whatever they are called


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("BEETHOVEN^LUDWIG", "BEETHOVE", id="eight characters"),
        pytest.param("2_T1 MPRAGE / sag", "2_T1_MPR", id="blanks"),
        pytest.param("LONGSTUDYID12345_A very long", "LONGSTUD", id="long"),
        pytest.param("0_lower case", "0_LOWER_", id="lower case"),
        pytest.param("山田^太郎", "_____", id="not Latin"),
        pytest.param("Großmann^X", "GROSSMAN", id="shortened after upper-casing"),
        pytest.param("..", "__", id="parent"),
        pytest.param("", "_", id="empty"),
        pytest.param("con", "CON_", id="device"),
    ],
)
def test_iso_names(text: str, name: str) -> None:
    assert iso_name(text) == name


@given(HOSTILE)
def test_any_text_gives_an_iso_name(text: str) -> None:
    assert re.fullmatch(r"[A-Z0-9_]{1,8}", iso_name(text))


@pytest.mark.parametrize(
    ("name", "suffix", "max_bytes", "expected"),
    [
        pytest.param("BEETHOVE", "_2", 8, "BEETHO_2", id="shortened"),
        pytest.param("AB", "_12345", 8, "AB_12345", id="fits"),
        pytest.param("éé", "_2", 5, "é_2", id="between characters"),
    ],
)
def test_suffixes_fit(name: str, suffix: str, max_bytes: int, expected: str) -> None:
    assert suffixed(name, suffix, max_bytes=max_bytes) == expected


@given(HOSTILE)
def test_quarantine_is_named_by_digest_alone(raw_uid: str) -> None:
    digest = hashlib.sha256(raw_uid.encode("utf-8", "surrogatepass")).hexdigest()
    assert quarantine_path(raw_uid) == f"{QUARANTINE}/{digest}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("é", "e\u0301"),
        ("A", "a"),
        ("\u1fb7", "\u0391\u0342\u0345"),
    ],
)
def test_names_that_some_disk_takes_for_one_share_a_key(one: str, other: str) -> None:
    assert collision_key(one) == collision_key(other)
