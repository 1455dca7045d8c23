"""The association profile of a receiver, read from its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.dimse.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN
from asyncdicom.receiver.profiles import load_association_profile
from tests.receiver.support import CT, MR

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = r"""
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[Images]
PresentationContext1 = CTImageStorage\Plain
[[Profiles]]
[CT alone]
PresentationContexts = Images
"""


def test_a_profile_is_found_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "storescp.cfg"
    file.write_bytes(b"# \xe9crit \xe0 la main\n" + CONTENT.encode())
    for name in (file, str(file)):
        profile = load_association_profile(name, "ct ALONE")
        assert profile.offers(CT)
        assert not profile.offers(MR)
        assert profile.select(CT, (EXPLICIT_VR_LITTLE_ENDIAN,)) == EXPLICIT_VR_LITTLE_ENDIAN


@pytest.mark.parametrize(
    ("file", "name", "message"),
    [
        pytest.param("missing.cfg", "CT alone", "No such file", id="no file"),
        pytest.param(".", "CT alone", "directory", id="a folder"),
        pytest.param("a\0b", "CT alone", "null", id="no name of a file"),
        pytest.param("storescp.cfg", "MR", "MR", id="no profile"),
        pytest.param("empty.cfg", "CT alone", "empty.cfg", id="nothing in it"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, file: str, name: str, message: str) -> None:
    (tmp_path / "storescp.cfg").write_text(CONTENT)
    (tmp_path / "empty.cfg").touch()
    with pytest.raises(ConfigError, match=message):
        load_association_profile(tmp_path / file, name)
