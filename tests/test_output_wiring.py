"""From the options of a command to where instances and objects go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.jobs.instance_store import InstanceStore
from asyncdicom.jobs.zip_store import ZipStore
from asyncdicom.output_wiring import collected_tags, open_keeper, open_store
from asyncdicom.protocol.part10 import DEFAULT_TAGS
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.object_names import LayoutNaming

if TYPE_CHECKING:
    from pathlib import Path


def test_tags_are_collected_for_the_variables_of_a_layout() -> None:
    assert collected_tags(["PatientID", "SOPInstanceUID"]) == dict(DEFAULT_TAGS)
    collect = collected_tags(["BodyPartExamined", "NoSuchKeyword"])
    assert collect == dict(DEFAULT_TAGS) | {0x00180015: "BodyPartExamined"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "kind", "durability"),
    [
        ({}, InstanceStore, Durability.BATCH),
        ({"as_zip": True, "durability": "none"}, ZipStore, Durability.NONE),
        (
            {"layout": "tree", "iso_9660": True, "durability": "full"},
            InstanceStore,
            Durability.FULL,
        ),
    ],
)
async def test_a_store_is_as_the_options_say(
    tmp_path: Path, options: dict[str, Any], kind: type, durability: Durability
) -> None:
    async with open_store({"output": str(tmp_path / "new")} | options) as store:
        assert isinstance(store, kind)
        assert store._folder.durability is durability


@pytest.mark.anyio
@pytest.mark.parametrize(
    "options", [{"layout": "{NoSuchKeyword}"}, {"extension": "/x"}, {"layout": "{"}]
)
async def test_a_store_that_cannot_be_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await open_store({"output": str(tmp_path)} | options).__aenter__()


@pytest.mark.anyio
async def test_objects_are_named_by_their_keys_unless_a_layout_is_given(tmp_path: Path) -> None:
    async with open_keeper({"output": tmp_path}) as place:
        assert place.naming is None
    async with open_keeper({"output": tmp_path, "layout": "flat"}) as place:
        assert isinstance(place.naming, LayoutNaming)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "sees"),
    [
        ({}, False),
        ({"report": "r.jsonl"}, True),
        ({"as_json": True}, True),
        ({"sha256": True}, True),
        ({"catalog": "c.jsonl"}, True),
    ],
)
async def test_digests_are_computed_only_where_somebody_sees_them(
    tmp_path: Path, options: dict[str, Any], *, sees: bool
) -> None:
    if "catalog" in options:
        options = {"catalog": tmp_path / "catalog.jsonl"}
    async with open_keeper({"output": tmp_path / "out", **options}) as place:
        assert place.keeper.look()._options.computes_sha256 is sees
        await place.finish()
