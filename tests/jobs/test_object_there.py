"""What need not be fetched again, and what does; what is replaced, and what never is."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import NameTaken, UidMismatch
from asyncdicom.jobs import object_there
from asyncdicom.model import parse_uid
from asyncdicom.storage.catalog import Catalog
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.object_names import LayoutNaming
from asyncdicom.storage.reading import read_chunks
from asyncdicom.storage.templates import parse_layout
from tests.jobs.object_support import MemoryStore, fetch_objects, group_of, open_keeper
from tests.jobs.support import files_in
from tests.support.dicom import ct, uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.storage.folder import OutputFolder
    from tests.jobs.support import Run

pytestmark = pytest.mark.anyio

CONTENT = ct(number=1)
OTHER = ct(number=2)
assert len(CONTENT) == len(OTHER)


def flipped(content: bytes, at: int = -10) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


async def fetched(
    store: MemoryStore,
    folder: Path,
    groups: Iterable[ObjectGroup] | None = None,
    *,
    catalog: Path | None = None,
) -> Run:
    if catalog is None:
        async with open_keeper(folder) as keeper:
            return await fetch_objects(store, keeper, groups)
    with Catalog.open(str(catalog)) as opened:
        async with open_keeper(folder, catalog=opened) as keeper:
            return await fetch_objects(store, keeper, groups)


def requests(store: MemoryStore) -> list[str]:
    asked = [line for line in store.asked if not line.startswith("list")]
    store.asked.clear()
    return asked


async def test_what_the_list_proves_is_read_and_not_fetched(tmp_path: Path) -> None:
    store = MemoryStore({"a": CONTENT, "b": b"no dicom"})
    await fetched(store, tmp_path)
    requests(store)
    run = await fetched(store, tmp_path)
    assert [s.path for s in run.skipped] == ["a", "b"]
    assert requests(store) == []


async def test_an_etag_that_is_no_digest_makes_nobody_fetch_again(tmp_path: Path) -> None:
    store = MemoryStore({"a": CONTENT, "b": b"no dicom"}, is_encrypted=True)
    await fetched(store, tmp_path)
    requests(store)
    run = await fetched(store, tmp_path)
    assert [s.path for s in run.skipped] == ["a"]
    # What is no DICOM file, and has no digest, is proven by nothing.
    asked = f"head a|get a 0-{len(CONTENT) - 1}|head b|get b"
    assert requests(store) == asked.split("|")


async def test_without_a_digest_the_first_bytes_say_whose_file_it_is(tmp_path: Path) -> None:
    store = MemoryStore({"a": CONTENT, "b": b"no dicom"}, has_etags=False)
    await fetched(store, tmp_path)
    requests(store)
    run = await fetched(store, tmp_path)
    assert [s.path for s in run.skipped] == ["a"]
    assert [s.path for s in run.stored] == ["b"]
    assert requests(store) == [f"get a 0-{min(8192, len(CONTENT)) - 1}", "get b"]


async def test_a_file_that_vanishes_while_it_is_compared_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(CONTENT)

    def vanishing(folder: OutputFolder, path: str, **how: int) -> Iterator[bytes]:
        if how:  # the first bytes, when all of it was read already
            (tmp_path / path).unlink()
        return read_chunks(folder, path, **how)

    monkeypatch.setattr(object_there, "read_chunks", vanishing)
    run = await fetched(MemoryStore({"a": CONTENT}, has_etags=False), tmp_path)
    assert [s.path for s in run.stored] == ["a"]
    assert files_in(tmp_path) == {"a": CONTENT}


@pytest.mark.parametrize("has_etags", [True, False])
async def test_a_file_of_another_instance_is_no_proof_and_is_never_replaced(
    tmp_path: Path, *, has_etags: bool
) -> None:
    (tmp_path / "a").write_bytes(OTHER)
    run = await fetched(MemoryStore({"a": CONTENT}, has_etags=has_etags), tmp_path)
    assert [type(f.error) for f in run.failed] == [NameTaken]
    assert files_in(tmp_path) == {"a": OTHER}


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(flipped(CONTENT), id="a bit in the pixels"),
        pytest.param(CONTENT[:-1], id="cut"),
        pytest.param(b"", id="empty"),
        pytest.param(bytes(len(CONTENT)), id="zeros"),
    ],
)
async def test_a_damaged_file_is_replaced(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "a").write_bytes(damaged)
    run = await fetched(MemoryStore({"a": CONTENT}), tmp_path)
    assert [s.path for s in run.stored] == ["a"]
    assert files_in(tmp_path) == {"a": CONTENT}


# PS3.10 §7.2: Data Set Trailing Padding.
PADDED = CONTENT + b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0\0\0\0\0"


@pytest.mark.parametrize(("there", "listed"), [(CONTENT, PADDED), (PADDED, CONTENT)])
async def test_a_whole_file_of_another_size_is_replaced_though_it_begins_alike(
    tmp_path: Path, there: bytes, listed: bytes
) -> None:
    (tmp_path / "a").write_bytes(there)
    run = await fetched(MemoryStore({"a": listed}, has_etags=False), tmp_path)
    assert [s.path for s in run.stored] == ["a"]
    assert files_in(tmp_path) == {"a": listed}


async def test_a_file_of_another_series_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    group = group_of(series_instance_uid=parse_uid(uid("series", 7)))
    run = await fetched(MemoryStore({"a": CONTENT}), tmp_path, [group])
    assert [type(f.error) for f in run.failed] == [UidMismatch]


async def test_what_the_catalog_knows_costs_one_look(tmp_path: Path) -> None:
    catalog, folder = tmp_path / "catalog", tmp_path / "out"
    store = MemoryStore({"a": CONTENT, "b": b"no dicom"}, has_etags=False)
    first = await fetched(store, folder, catalog=catalog)
    requests(store)
    os.chmod(folder / "a", 0)  # noqa: PTH101 -- whoever reads it fails, unless root
    run = await fetched(store, folder, catalog=catalog)
    assert [(s.path, s.sha256) for s in run.skipped] == [(s.path, s.sha256) for s in first.stored]
    assert run.skipped[0].sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert requests(store) == []


async def test_a_file_that_was_touched_is_read_and_compared(tmp_path: Path) -> None:
    catalog, folder = tmp_path / "catalog", tmp_path / "out"
    store = MemoryStore({"a": CONTENT, "b": b"no dicom"}, has_etags=False)
    await fetched(store, folder, catalog=catalog)
    (folder / "a").write_bytes(flipped(CONTENT))
    (folder / "b").write_bytes(b"no dicom")
    requests(store)
    run = await fetched(store, folder, catalog=catalog)
    assert [s.path for s in run.stored] == ["a"]
    assert [s.path for s in run.skipped] == ["b"]
    assert requests(store) == ["get a"]
    assert files_in(folder)["a"] == CONTENT


async def test_a_later_version_is_fetched_whatever_the_catalog_knows(tmp_path: Path) -> None:
    catalog, folder = tmp_path / "catalog", tmp_path / "out"
    store = MemoryStore({"a": b"one"})
    await fetched(store, folder, catalog=catalog)
    store.objects = {"a": b"two"}
    run = await fetched(store, folder, catalog=catalog)
    assert [s.path for s in run.stored] == ["a"]
    assert files_in(folder) == {"a": b"two"}


async def test_names_made_of_content_are_found_by_the_catalog(tmp_path: Path) -> None:
    catalog, folder = tmp_path / "catalog", tmp_path / "out"
    store = MemoryStore({"a": CONTENT})
    naming = LayoutNaming(Layout(parse_layout("flat")))
    await fetched(store, folder, [group_of(naming=naming)], catalog=catalog)
    requests(store)
    run = await fetched(store, folder, [group_of(naming=naming)], catalog=catalog)
    assert [s.path for s in run.skipped] == [f"{uid('instance', 1)}.dcm"]
    assert requests(store) == []


async def test_without_a_catalog_names_made_of_content_need_the_content(tmp_path: Path) -> None:
    store = MemoryStore({"a": CONTENT})
    naming = LayoutNaming(Layout(parse_layout("flat")))
    await fetched(store, tmp_path, [group_of(naming=naming)])
    requests(store)
    run = await fetched(store, tmp_path, [group_of(naming=naming)])
    assert run.is_complete
    assert requests(store) == ["get a"]
    assert files_in(tmp_path) == {f"{uid('instance', 1)}.dcm": CONTENT}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("x/../1", "x/__/1", id="what is unsafe becomes what another one is called"),
        pytest.param(" 1", "1", id="blanks"),
    ],
)
async def test_two_objects_never_share_a_file(tmp_path: Path, first: str, second: str) -> None:
    objects = {first: CONTENT, second: flipped(CONTENT)}
    for expected in (1, 0):
        run = await fetched(MemoryStore(objects), tmp_path)
        assert [type(f.error) for f in run.failed] == [NameTaken]
        assert len(run.stored) == expected
        assert list(files_in(tmp_path).values()) in ([CONTENT], [flipped(CONTENT)])


async def test_one_instance_under_two_keys_is_there_once(tmp_path: Path) -> None:
    naming = LayoutNaming(Layout(parse_layout("flat")))
    store = MemoryStore({"a": CONTENT, "b": CONTENT})
    run = await fetched(store, tmp_path, [group_of(naming=naming)])
    assert run.is_complete
    assert files_in(tmp_path) == {f"{uid('instance', 1)}.dcm": CONTENT}


async def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    run = await fetched(MemoryStore({"a": CONTENT, "b": OTHER}), tmp_path)
    assert [type(f.error) for f in run.failed] == [NameTaken]
    assert [s.path for s in run.stored] == ["b"]


async def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(CONTENT)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a").symlink_to(outside)
    run = await fetched(MemoryStore({"a": CONTENT}), folder)
    assert [f.error.reason for f in run.failed] == ["unsafe-name"]
    assert (folder / "a").is_symlink()
