"""The data are well formed: whatever reads the table can rely on it."""

from __future__ import annotations

import re

from asyncdicom.model import is_uid
from asyncdicom.protocol.dimse.storage_classes import STORAGE_CLASSES, STORAGE_ROOT


def test_each_class_has_a_uid_and_a_name() -> None:
    for suffix, (_, name) in STORAGE_CLASSES.items():
        assert is_uid(STORAGE_ROOT + suffix)
        assert "Storage" in name


def test_no_two_classes_have_one_name() -> None:
    names = [name for _, name in STORAGE_CLASSES.values()]
    assert len(set(names)) == len(names)


def test_prefixes_fit_into_file_names() -> None:
    assert all(re.fullmatch(r"\w{2,4}", prefix) for prefix, _ in STORAGE_CLASSES.values())
