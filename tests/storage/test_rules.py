from __future__ import annotations

from asyncdicom.storage import atomic, rules


def test_durability_is_spelled_as_on_the_command_line() -> None:
    assert [durability.value for durability in rules.Durability] == ["none", "batch", "full"]


def test_who_writes_files_finds_it_beside_the_writer() -> None:
    assert atomic.Durability is rules.Durability
