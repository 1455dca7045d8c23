"""`connect_objects` against rclone's S3 server: what a folder holds is the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom import Doubtful, Incomplete, Unauthorized
from tests.jobs.support import files_in
from tests.support.dicom import small_instance
from tests.support.rclone import RcloneOptions, running_rclone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.rclone import Rclone

pytestmark = [pytest.mark.anyio, pytest.mark.peer("rclone"), pytest.mark.timeout(180)]

AUTH_KEY = ("reader", "open sesame 4711")
FILES = {f"study/{number}.dcm": small_instance(number) for number in range(1, 31)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two buckets: one of instances, one that holds no DICOM file."""
    root = tmp_path_factory.mktemp("buckets")
    for name, content in FILES.items():
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "texts").mkdir()
    (root / "texts" / "readme.txt").write_bytes(b"nobody knows what is right")
    return root


@pytest.fixture(scope="module")
def server(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    """A server that wants signatures, and knows the MD5 of each object."""
    options = RcloneOptions(auth_key=AUTH_KEY)
    with running_rclone(tmp_path_factory.mktemp("rclone"), served, options) as server:
        yield server


@pytest.fixture(scope="module")
def plain_server(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    """A server that promises nothing: its ETags are empty."""
    options = RcloneOptions(etag_hash="none")
    with running_rclone(tmp_path_factory.mktemp("plain"), served, options) as server:
        yield server


@pytest.fixture
def signed(server: Rclone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options for the server that wants signatures, with a profile that has its keys."""
    key, secret = AUTH_KEY
    path = tmp_path / "credentials"
    path.write_text(f"[lab]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return {"endpoint_url": server.url, "profile": "lab"}


async def test_a_bucket_is_listed_fetched_and_verified(
    signed: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    async with asyncdicom.connect_objects("s3://images/study", **signed) as bucket:
        listed = {found.key: found.byte_count async for found in bucket.list()}
        ended = await bucket.download(out, catalog=tmp_path / "catalog.jsonl")
        again = await bucket.download(out, catalog=tmp_path / "catalog.jsonl")
        proven = await bucket.verify(out)
    assert listed == {name: len(content) for name, content in FILES.items()}
    assert (ended.stored, again.skipped, proven.skipped) == (len(FILES),) * 3
    assert {f"study/{name}": content for name, content in files_in(out).items()} == FILES


async def test_without_keys_nothing_opens(server: Rclone, tmp_path: Path) -> None:
    options: dict[str, Any] = {"endpoint_url": server.url, "no_sign_request": True}
    async with asyncdicom.connect_objects("s3://images/study/", **options) as bucket:
        job = bucket.download(tmp_path)
        assert not (await job).is_complete
        assert [type(one.error) for one in job.failed] == [Unauthorized]
        with pytest.raises(Unauthorized):
            [one async for one in bucket.list()]


async def test_where_a_store_promises_nothing_the_structure_of_files_counts(
    plain_server: Rclone, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"endpoint_url": plain_server.url, "no_sign_request": True}
    async with asyncdicom.connect_objects("s3://images/", **options) as bucket:
        assert (await bucket.download(tmp_path)).stored == len(FILES)
        assert (await bucket.verify(tmp_path)).skipped == len(FILES)


async def test_files_that_nothing_proves_are_not_called_complete(
    plain_server: Rclone, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"endpoint_url": plain_server.url, "no_sign_request": True}
    async with asyncdicom.connect_objects("s3://texts/", **options) as bucket:
        assert (await bucket.download(tmp_path)).is_complete
        job = bucket.verify(tmp_path)
        await job
    assert isinstance(job.failed[0].error, Doubtful)
    with pytest.raises(Incomplete, match="nothing is proven but sizes"):
        job.check()
