"""What every object store does over every engine: real servers, and faults by script."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    NotFound,
    ObjectChanged,
    OriginError,
    ProtocolError,
    Stalled,
    Throttled,
    Truncated,
    Unauthorized,
)
from asyncdicom.object_wiring import open_object_store
from asyncdicom.protocol.object_stores.digests import RunningDigests
from asyncdicom.protocol.object_stores.urls import escape_key
from asyncdicom.protocol.object_stores.values import ByteSpan
from tests.protocol.object_stores.listings import s3_listing
from tests.support.gcs import running_gcs
from tests.support.origin import (
    Answer,
    Close,
    Drip,
    Origin,
    Received,
    Reset,
    Send,
    Step,
    Wait,
    open_origin,
)
from tests.support.peers import require_peer
from tests.support.rclone import Rclone, RcloneOptions, running_rclone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from asyncdicom.ports.objects import ListingPage, ObjectStore

pytestmark = pytest.mark.anyio

ENGINES = ("pyreqwest", "httpx", "aiohttp")
BUCKET = "bucket"
KEYS = (
    "a/b/c.dcm",
    "equal=dollar$.dcm",
    "hash#query?x=1&y.dcm",
    "paren(1)'[2]*!.dcm",
    "per%20cent.dcm",
    "pipe|<>{}^`.dcm",
    "plus+plus.dcm",
    'quote"back\\slash.dcm',
    "sp ace.dcm",
    "tilde~semi;colon:comma,at@.dcm",
    "under/x..y/...z.dcm",
    "\N{LATIN SMALL LETTER E WITH ACUTE}-\N{CJK UNIFIED IDEOGRAPH-65E5}-\N{BRAIN}.dcm",
)
ODD_KEYS = ("/a", "a//b", "a/", "./a", "a/../b", "../a", "a/..", "a/./b", "%2E%2E/a", "a/b//../c")
SECRET = ("reader", "open sesame")

one_loop = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")]
)
engines = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rclone]:
    """Serve a bucket whose objects hold their own names, to who signs."""
    require_peer("rclone")
    folder = tmp_path_factory.mktemp("rclone")
    for key in KEYS:
        path = folder / "root" / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())
    many = folder / "root" / "many" / "p"
    many.mkdir(parents=True)
    for number in range(1234):
        (many / f"{number:04}").write_bytes(b"")
    options = RcloneOptions(auth_key=SECRET)
    with running_rclone(folder, folder / "root", options) as server:
        yield server


@pytest.fixture
def keys_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET[1])


async def fetched(store: ObjectStore, key: str, **wanted: Any) -> bytes:
    data = b""
    async with store.fetch(BUCKET, key, **wanted) as answer:
        digests = RunningDigests(answer.entry)
        while piece := await answer.read():
            data += piece
            digests.update(piece)
    if "span" not in wanted:
        digests.verify()
        assert len(data) == answer.entry.byte_count
    return data


async def pages(store: ObjectStore, bucket: str, prefix: str) -> list[ListingPage]:
    found = [await store.page(bucket, prefix)]
    while found[-1].continuation is not None:
        found.append(await store.page(bucket, prefix, continuation=found[-1].continuation))
    return found


@pytest.mark.peer("rclone")
@engines
class TestRclone:
    """A real server, which checks signatures."""

    @pytest.fixture
    async def store(
        self, engine: str, rclone: Rclone, keys_of_aws: None
    ) -> AsyncIterator[ObjectStore]:
        options = {"endpoint_url": rclone.url, "http_engine": engine}
        async with open_object_store(f"s3://{BUCKET}/", options) as store:
            yield store

    async def test_every_key_is_listed_signed_and_fetched(self, store: ObjectStore) -> None:
        (page,) = await pages(store, BUCKET, "")
        assert sorted(entry.key for entry in page.entries) == sorted(KEYS)
        for entry in page.entries:
            assert await fetched(store, entry.key) == entry.key.encode()
            said = await store.entry(BUCKET, entry.key)
            assert said.etag == entry.etag == hashlib.md5(entry.key.encode()).hexdigest()
            assert said.byte_count == entry.byte_count == len(entry.key.encode())

    async def test_a_prefix_may_hold_any_sign(self, store: ObjectStore) -> None:
        for key in KEYS:
            (page,) = await pages(store, BUCKET, key[:-4])
            assert [entry.key for entry in page.entries] == [key]

    async def test_folders_are_listed(self, store: ObjectStore) -> None:
        page = await store.page(BUCKET, "", delimiter="/")
        assert sorted(page.prefixes) == ["a/", "under/"]
        assert len(page.entries) == len(KEYS) - 2

    async def test_a_list_of_several_pages_is_whole(self, store: ObjectStore) -> None:
        first, second = await pages(store, "many", "p/")
        names = [entry.key for page in (first, second) for entry in page.entries]
        assert names == [f"p/{number:04}" for number in range(1234)]

    async def test_a_span_is_fetched(self, store: ObjectStore) -> None:
        key = KEYS[0]
        async with store.fetch(BUCKET, key, span=ByteSpan(2, 4)) as answer:
            assert (answer.first_byte, answer.entry.byte_count) == (2, len(key))
            assert bytes(await answer.read()) == key.encode()[2:5]
        assert await fetched(store, key, span=ByteSpan(5)) == key.encode()[5:]
        assert await fetched(store, key, span=ByteSpan(5, 10**6)) == key.encode()[5:]

    async def test_a_span_behind_the_end_is_refused(self, store: ObjectStore) -> None:
        with pytest.raises(OriginError) as caught:
            await fetched(store, KEYS[0], span=ByteSpan(10**6))
        assert caught.value.status_code == 416

    async def test_another_version_is_not_fetched(self, store: ObjectStore) -> None:
        etag = (await store.entry(BUCKET, KEYS[0])).etag
        assert await fetched(store, KEYS[0], etag=etag)
        with pytest.raises(ObjectChanged):
            await fetched(store, KEYS[0], etag="0" * 32)

    async def test_what_is_not_there_is_told_apart(self, store: ObjectStore) -> None:
        with pytest.raises(NotFound, match="no such object"):
            await fetched(store, "nothing")
        with pytest.raises(NotFound, match="no such object"):
            await store.entry(BUCKET, "nothing")
        with pytest.raises(NotFound, match="no such bucket"):
            await store.page("nobody", "")

    async def test_names_that_look_like_paths_are_signed_as_they_are(
        self, store: ObjectStore
    ) -> None:
        # rclone has no such objects, but looks at the signature first.
        for key in ODD_KEYS:
            with pytest.raises(OriginError) as caught:
                await fetched(store, key)
            assert "secret key" not in str(caught.value)


@pytest.mark.peer("rclone")
@engines
@one_loop
async def test_a_wrong_secret_opens_nothing(
    engine: str, rclone: Rclone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong secret")
    options = {"endpoint_url": rclone.url, "http_engine": engine}
    async with open_object_store(f"s3://{BUCKET}/", options) as store:
        with pytest.raises(OriginError, match="SignatureDoesNotMatch") as caught:
            await store.page(BUCKET, "")
    assert "wrong secret" not in str(caught.value)


@pytest.mark.peer("rclone")
@engines
@one_loop
async def test_without_credentials_it_does_not_open(engine: str, rclone: Rclone) -> None:
    options = {"endpoint_url": rclone.url, "http_engine": engine, "no_sign_request": True}
    async with open_object_store(f"s3://{BUCKET}/", options) as store:
        with pytest.raises(Unauthorized, match="--no-sign-request"):
            await store.page(BUCKET, "")


GCS_CONTENT = {key: key.encode() for key in (*KEYS, "a//b", "a/../b")}


@pytest.mark.peer("fake-gcs-server")
@engines
async def test_google_s_json_interface(engine: str, tmp_path: Path) -> None:
    require_peer("fake-gcs-server")
    with running_gcs(tmp_path, {BUCKET: GCS_CONTENT}) as server:
        options = {"endpoint_url": server.url, "http_engine": engine, "gcs_json": True}
        async with open_object_store(f"gs://{BUCKET}/", options) as store:
            found = [entry for page in await pages(store, BUCKET, "") for entry in page.entries]
            assert sorted(entry.key for entry in found) == sorted(GCS_CONTENT)
            for entry in found:
                assert await fetched(store, entry.key, etag=entry.etag) == GCS_CONTENT[entry.key]
                assert (await store.entry(BUCKET, entry.key)).digests == entry.digests != ()
            await check_spans(store)
            with pytest.raises(NotFound):
                await store.entry(BUCKET, "nothing")


@pytest.mark.peer("fake-gcs-server")
@engines
@one_loop
async def test_google_s_xml_interface(engine: str, tmp_path: Path) -> None:
    require_peer("fake-gcs-server")
    # The emulator's lists in XML do not say whether they are whole, as Google's do.
    with running_gcs(tmp_path, {BUCKET: GCS_CONTENT}) as server:
        options = {"endpoint_url": server.url, "http_engine": engine}
        async with open_object_store(f"gs://{BUCKET}/", options) as store:
            for key in KEYS:
                assert await fetched(store, key) == GCS_CONTENT[key]
            await check_spans(store)


async def check_spans(store: ObjectStore) -> None:
    assert await fetched(store, KEYS[0], span=ByteSpan(2, 4)) == KEYS[0].encode()[2:5]
    with pytest.raises(NotFound):
        await fetched(store, "nothing")


def media(data: bytes, *fields: tuple[str, str], status: int = 200) -> Answer:
    return Answer(status, fields, data)


@asynccontextmanager
async def scripted(
    engine: str, *, key: str = "k", steps: tuple[Step, ...] = (), **options: Any
) -> AsyncIterator[tuple[ObjectStore, Origin]]:
    """Open a store whose answer to one key is a script."""
    async with open_origin() as origin:
        if steps:
            origin.serve(f"/{BUCKET}/{key}", *steps)
        settings = {"endpoint_url": origin.url(""), "http_engine": engine, "timeout": 10.0}
        settings |= {"no_sign_request": True} | options
        async with open_object_store(f"s3://{BUCKET}/", settings) as store:
            yield store, origin


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"


@engines
@one_loop
@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        pytest.param((Send(HEAD + b"abc"), Close()), ConnectionLost, id="cut"),
        pytest.param((Send(HEAD), Close()), ConnectionLost, id="cut behind the head"),
        pytest.param((Send(HEAD + b"abc"), Reset()), ConnectionLost, id="reset"),
        pytest.param((Send(HEAD + b"abc"), Wait()), Stalled, id="stall"),
        pytest.param((Wait(),), Stalled, id="no answer"),
        pytest.param((Send(HEAD), Drip(b"abcdefghi", 0.25)), Stalled, id="a trickle"),
        pytest.param(
            (media(b"abc", ("Content-Range", "bytes 0-2/9")),), ProtocolError, id="a part unasked"
        ),
        pytest.param(
            (media(b"abc", ("Content-Range", "bytes 0-2/9"), status=206),),
            ProtocolError,
            id="206 unasked",
        ),
        pytest.param(
            (Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),),
            ProtocolError,
            id="of unknown size",
        ),
        pytest.param(
            (media(b"<Error><Code>SlowDown</Code></Error>", status=503),), Throttled, id="busy"
        ),
        pytest.param((media(b"", status=404),), NotFound, id="gone"),
        pytest.param((media(b"", status=304),), AsyncDicomError, id="not modified"),
    ],
)
async def test_faults_are_errors(
    engine: str, steps: tuple[Step, ...], kind: type[AsyncDicomError]
) -> None:
    patience_s = 0.3 if kind is Stalled else 10.0
    async with scripted(engine, steps=steps, timeout=patience_s) as (store, _):
        with pytest.raises(kind):
            await fetched(store, "k")


@engines
@one_loop
async def test_a_list_cut_by_its_length_is_no_list(engine: str) -> None:
    data = s3_listing(["a", "b"])
    async with open_origin() as origin:
        origin.serve(f"/{BUCKET}", Answer(200, (), data[:-30]))
        options = {
            "endpoint_url": f"http://127.0.0.1:{origin.port}",
            "http_engine": engine,
            "no_sign_request": True,
        }
        async with open_object_store(f"s3://{BUCKET}/", options) as store:
            with pytest.raises(Truncated):
                await store.page(BUCKET, "")


@engines
@pytest.mark.parametrize("key", [*KEYS, *ODD_KEYS])
@one_loop
async def test_no_engine_changes_a_name(engine: str, key: str) -> None:
    path = escape_key(key)
    async with scripted(engine, key=path, steps=(media(b"abc"),)) as (store, origin):
        assert await fetched(store, key) == b"abc"
        assert [request.path for request in origin.requests] == [f"/{BUCKET}/{path}"]


@engines
async def test_connections_are_used_again(engine: str) -> None:
    async with scripted(engine, steps=(media(bytes(100_000)),)) as (store, origin):
        for _ in range(5):
            assert len(await fetched(store, "k")) == 100_000
        assert origin.connections == 1


@engines
async def test_as_many_connections_as_requests_at_once_are_kept(engine: str) -> None:
    async with scripted(engine, steps=(media(bytes(1000)),)) as (store, origin):
        for _ in range(4):
            await asyncio.gather(*[fetched(store, "k") for _ in range(24)])
        assert len(origin.requests) == 4 * 24
        assert origin.connections <= 30


@engines
async def test_who_is_cancelled_leaves_the_store_usable(engine: str) -> None:
    slow = (Send(HEAD + b"abc"), Wait())
    async with scripted(engine, steps=slow) as (store, origin):
        origin.serve(f"/{BUCKET}/k", media(b"abcdef"))
        reading = asyncio.create_task(fetched(store, "k"))
        await origin.until(lambda: len(origin.requests) == 1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await fetched(store, "k") == b"abcdef"


@engines
@one_loop
async def test_a_refusal_costs_no_connection(engine: str) -> None:
    async with scripted(engine, steps=(media(b"<Error/>", status=404),)) as (store, origin):
        for _ in range(3):
            with pytest.raises(NotFound):
                await fetched(store, "k")
        assert origin.connections == 1


@engines
@one_loop
async def test_a_store_that_ignores_ranges_sends_all_of_it(engine: str) -> None:
    async with (
        scripted(engine, steps=(media(b"abcdef"),)) as (store, _),
        store.fetch(BUCKET, "k", span=ByteSpan(2, 3)) as answer,
    ):
        assert (answer.first_byte, answer.entry.byte_count) == (0, 6)


@engines
@one_loop
async def test_nothing_goes_to_where_a_store_points(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET[1])
    async with open_origin() as thief:

        def point(_: Received) -> Step:
            return media(b"", ("Location", thief.url("/bucket/k")), status=307)

        async with scripted(engine, no_sign_request=False) as (store, origin):
            origin.decide(f"/{BUCKET}/k", point)
            with pytest.raises(OriginError):
                await fetched(store, "k")
            assert origin.requests[0].header("authorization") is not None
        assert thief.connections == 0
