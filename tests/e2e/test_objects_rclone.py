"""`get s3://` and `verify` against rclone's S3 server, over buckets made from the real index.

Trees and bytes are compared with the folder that rclone serves: the truth that no
program of ours has touched.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.e2e.object_support import LEFT, s3_environ
from tests.e2e.support import Completed, cli, files_below, reading_report
from tests.support.certificates import Pki
from tests.support.idc_layout import (
    IdcLayout,
    IdcObject,
    big_series,
    collection,
    later_versions,
    other_buckets,
    prior_versions,
)
from tests.support.rclone import RcloneOptions, running_rclone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.rclone import Rclone

pytestmark = [pytest.mark.peer("rclone"), pytest.mark.timeout(180)]

BUCKETS = ("idc-open-data", "idc-open-data-two", "idc-open-data-cr")
AUTH_KEY = ("reader", "open sesame 4711")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> IdcLayout:
    """Three buckets: a whole collection, two patients, six earlier versions, a large object."""
    layout = IdcLayout(tmp_path_factory.mktemp("idc") / "buckets")
    layout.add(collection("prostate_3t"), scale=0.02)
    layout.add(other_buckets(), scale=0.001)
    earlier = prior_versions()
    layout.add([*earlier, *later_versions(earlier)], scale=0.1)
    layout.add([big_series()])
    return layout


@pytest.fixture(scope="module")
def server(layout: IdcLayout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    """A server that knows the MD5 of each object."""
    with running_rclone(tmp_path_factory.mktemp("rclone"), layout.root) as server:
        yield server


@pytest.fixture(scope="module")
def plain_server(layout: IdcLayout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    """A server that promises nothing: its ETags are empty."""
    options = RcloneOptions(etag_hash="none")
    with running_rclone(tmp_path_factory.mktemp("plain"), layout.root, options) as server:
        yield server


def get(server: Rclone, source: str, out: Path, *words: str, **environ: str) -> Completed:
    access = () if "AWS_ACCESS_KEY_ID" in environ else ("--no-sign-request",)
    return cli(
        *("get", source, "--endpoint-url", server.url, *access, "-o", str(out)),
        *("--durability", "none", *words),
        env=s3_environ(**environ),
    )


def truth_of(layout: IdcLayout, objects: Iterable[IdcObject], prefix: str = "") -> dict[str, bytes]:
    """Return the bytes of objects by the part of their key that is below a prefix."""
    return {one.key.removeprefix(prefix): layout.path(one).read_bytes() for one in objects}


def series_of(layout: IdcLayout, *, is_current: bool = True) -> list[IdcObject]:
    """Return the objects of one series."""
    first = next(one for one in layout.objects if one.series.is_current == is_current)
    return layout.objects_of(first.series.crdc_series_uuid)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_whole_bucket_comes_as_it_is(
    layout: IdcLayout, server: Rclone, tmp_path: Path, bucket: str
) -> None:
    first = get(server, f"s3://{bucket}/", tmp_path)
    truth = files_below(layout.root / bucket)

    assert (first.code, first.out) == (0, "")
    assert first.last_line.startswith(f"{len(truth)} stored · 0 missing · 0 corrupt · ")
    assert files_below(tmp_path) == truth
    again = get(server, f"s3://{bucket}/", tmp_path)
    skipped = f"0 stored · 0 missing · 0 corrupt · {len(truth)} skipped (verified)"
    assert again.last_line.startswith(skipped)


def test_a_series_without_any_digest_is_compared_by_size_and_structure(
    layout: IdcLayout, plain_server: Rclone, tmp_path: Path
) -> None:
    objects = series_of(layout)
    prefix = f"{objects[0].series.crdc_series_uuid}/"

    done = get(plain_server, f"s3://idc-open-data/{prefix}", tmp_path)

    assert done.code == 0
    assert files_below(tmp_path) == truth_of(layout, objects, prefix)


def test_a_pattern_as_manifests_have_it(layout: IdcLayout, server: Rclone, tmp_path: Path) -> None:
    objects = series_of(layout)
    prefix = f"{objects[0].series.crdc_series_uuid}/"

    done = get(server, f"s3://idc-open-data/{prefix}*", tmp_path)

    assert done.code == 0
    assert files_below(tmp_path) == truth_of(layout, objects, prefix)


def test_one_object(layout: IdcLayout, server: Rclone, tmp_path: Path) -> None:
    one = series_of(layout)[3]

    done = get(server, one.url, tmp_path)

    assert done.code == 0
    assert list(files_below(tmp_path).values()) == [layout.path(one).read_bytes()]


def test_an_earlier_version_is_not_the_later_one(
    layout: IdcLayout, server: Rclone, tmp_path: Path
) -> None:
    earlier = series_of(layout, is_current=False)
    uid = earlier[0].series.series_instance_uid
    later = [
        one
        for one in layout.objects
        if one.series.is_current and one.series.series_instance_uid == uid
    ]
    assert later
    for objects in (earlier, later):
        uuid = objects[0].series.crdc_series_uuid
        bucket = objects[0].series.bucket
        assert get(server, f"s3://{bucket}/{uuid}/", tmp_path / uuid).code == 0
        assert files_below(tmp_path / uuid) == truth_of(layout, objects, f"{uuid}/")


@pytest.mark.parametrize("words", [(), ("--part-size", "8M", "--parts", "8"), ("--parts", "1")])
@pytest.mark.parametrize("has_digests", [True, False], ids=["md5", "no hash"])
def test_a_large_object_is_the_same_however_it_comes(
    request: pytest.FixtureRequest,
    layout: IdcLayout,
    tmp_path: Path,
    words: tuple[str, ...],
    *,
    has_digests: bool,
) -> None:
    server: Rclone = request.getfixturevalue("server" if has_digests else "plain_server")
    (one,) = layout.objects_of(big_series().crdc_series_uuid)

    done = get(server, one.url, tmp_path, *words)

    assert done.code == 0
    (path,) = tmp_path.rglob("*.dcm")
    assert path.read_bytes() == layout.path(one).read_bytes()


def test_what_is_in_the_catalog_is_not_looked_at_again(
    layout: IdcLayout, server: Rclone, tmp_path: Path
) -> None:
    objects = series_of(layout)
    prefix = f"{objects[0].series.crdc_series_uuid}/"
    source, out = f"s3://idc-open-data/{prefix}", tmp_path / "out"
    catalog = ("--catalog", str(tmp_path / "catalog.jsonl"))
    get(server, source, out, *catalog)
    lost = out / objects[0].key.removeprefix(prefix)
    lost.unlink()

    done = get(server, source, out, *catalog)

    assert done.last_line.startswith(
        f"1 stored · 0 missing · 0 corrupt · {len(objects) - 1} skipped"
    )
    assert files_below(out) == truth_of(layout, objects, prefix)


# Proof of what is there


def test_each_of_a_thousand_flipped_bits_is_found(
    layout: IdcLayout, server: Rclone, tmp_path: Path
) -> None:
    out, report = tmp_path / "out", tmp_path / "damaged.jsonl"
    get(server, "s3://idc-open-data/", out, "--exclude", f"{big_series().crdc_series_uuid}/*")
    dice = random.Random(1000)
    damaged = dice.sample(sorted(path for path in out.rglob("*.dcm")), 1000)
    for path in damaged:
        flip(path, dice)

    done = cli(
        *("verify", str(out), "s3://idc-open-data/", "--endpoint-url", server.url),
        *("--no-sign-request", "--report", str(report), "-q"),
        env=s3_environ(),
    )

    assert done.code == 1
    failed = [line for line in reading_report(report) if line["outcome"] == "failed"]
    found = {line["url"].removeprefix("s3://idc-open-data/") for line in failed}
    missing = {one.key for one in layout.objects_of(big_series().crdc_series_uuid)}
    assert found == {str(path.relative_to(out)) for path in damaged} | missing


def flip(path: Path, dice: random.Random) -> None:
    """Flip one bit of a file, and leave its size and time as they are."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# Who asks, and over what


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def closed_server(
    layout: IdcLayout, pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rclone]:
    """A server over TLS that wants signatures."""
    options = RcloneOptions(auth_key=AUTH_KEY, identity=pki.server)
    with running_rclone(tmp_path_factory.mktemp("closed"), layout.root, options) as server:
        yield server


def credentials(secret: str = AUTH_KEY[1]) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": AUTH_KEY[0], "AWS_SECRET_ACCESS_KEY": secret}


def test_requests_are_signed_with_credentials_of_the_environment(
    layout: IdcLayout, closed_server: Rclone, pki: Pki, tmp_path: Path
) -> None:
    objects = series_of(layout)
    prefix = f"{objects[0].series.crdc_series_uuid}/"
    source, out, report = f"s3://idc-open-data/{prefix}", tmp_path / "out", tmp_path / "r.jsonl"
    words = ("--cacert", str(pki.ca), "-v", "--report", str(report), "--part-size", "64k")

    done = get(closed_server, source, out, *words, **credentials())

    assert done.code == 0, done.err
    assert files_below(out) == truth_of(layout, objects, prefix)
    told = done.out + done.err + report.read_text()
    assert AUTH_KEY[1] not in told
    assert "Signature" not in told


@pytest.mark.parametrize(
    "environ",
    [pytest.param(credentials("wrong"), id="wrong secret"), pytest.param({}, id="no credentials")],
)
def test_who_may_not_is_refused(
    closed_server: Rclone, pki: Pki, tmp_path: Path, environ: dict[str, str]
) -> None:
    done = get(closed_server, "s3://idc-open-data/", tmp_path, "--cacert", str(pki.ca), **environ)

    assert done.code == 5
    assert files_below(tmp_path) == {}
    assert AUTH_KEY[1] not in done.err


def test_a_server_that_nobody_vouches_for_is_refused(closed_server: Rclone, tmp_path: Path) -> None:
    done = get(closed_server, "s3://idc-open-data/", tmp_path, **credentials())

    assert done.code == 5
    assert "certificate" in done.err
    assert not list(tmp_path.rglob(f"{LEFT}*"))
