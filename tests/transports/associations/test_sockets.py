"""Sockets: told not to dawdle, and connected to the first address that answers."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.transports.associations import sockets
from tests.support.scripted_peer import open_peer
from tests.transports.associations.support import Archive, associated, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.scripted_peer import ScriptedPeer

pytestmark = pytest.mark.anyio

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with sockets.listen("127.0.0.1", 0) as sock:
        yield sock


@pytest.fixture
def refusing_port() -> int:
    with sockets.listen("127.0.0.1", 0) as sock:
        return int(sock.getsockname()[1])


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[Any, tuple[Any, ...]]) -> None:
    """Let any name have these addresses."""

    async def getaddrinfo(*_args: object, **_options: object) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", name) for family, name in addresses]

    class Loop:
        """The running loop, but for the look-up."""

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio.get_running_loop(), name)

    loop = Loop()
    loop.getaddrinfo = getaddrinfo  # type: ignore[attr-defined]  # -- what is replaced
    monkeypatch.setattr(sockets, "_loop", lambda: loop)


async def test_small_messages_leave_at_once(listener: socket.socket) -> None:
    with await sockets.connect("127.0.0.1", listener.getsockname()[1]) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getblocking()


async def test_both_sides_of_an_association_send_at_once() -> None:
    archive = Archive()
    async with serving(archive) as server, associated(server.port) as association:
        sock = association.wire.connection._socket
        assert sock is not None
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_the_first_address_that_answers_is_taken(
    listener: socket.socket, refusing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    resolve_to(
        monkeypatch,
        (V6, ("::1", refusing_port)),
        (V4, ("127.0.0.1", refusing_port)),
        (V4, ("127.0.0.1", port)),
    )
    with await sockets.connect("archive", 104) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


async def test_when_no_address_answers_the_failure_is_raised(
    refusing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, (V6, ("::1", refusing_port)), (V4, ("127.0.0.1", refusing_port)))
    with pytest.raises(ConnectionRefusedError):
        await sockets.connect("archive", 104)


async def test_an_address_that_hesitates_keeps_nobody_waiting(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first never answers: it is given up when the second did."""
    tried: list[object] = []
    connect = sockets._connect

    async def hesitating(address: sockets.Address) -> socket.socket:
        tried.append(address)
        if len(tried) == 1:
            await asyncio.Event().wait()
        return await connect(address)

    monkeypatch.setattr(sockets, "_connect", hesitating)
    monkeypatch.setattr(sockets, "STAGGER_S", 0.01)
    name = listener.getsockname()
    resolve_to(monkeypatch, (V4, name), (V4, name))
    before = asyncio.all_tasks()
    with await sockets.connect("archive", 104):
        assert len(tried) == 2
    assert asyncio.all_tasks() == before


async def test_of_two_addresses_that_answer_at_once_one_is_kept(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []
    both_wait = asyncio.Event()
    connect = sockets._connect
    waiting = 0

    async def together(address: sockets.Address) -> socket.socket:
        nonlocal waiting
        sock = await connect(address)
        made.append(sock)
        waiting += 1
        if waiting == 2:
            both_wait.set()
        await both_wait.wait()
        return sock

    monkeypatch.setattr(sockets, "_connect", together)
    monkeypatch.setattr(sockets, "STAGGER_S", 0.01)
    name = listener.getsockname()
    resolve_to(monkeypatch, (V4, name), (V4, name))
    with await sockets.connect("archive", 104) as kept:
        assert [one.fileno() >= 0 for one in made].count(True) == 1
        assert kept.fileno() >= 0


async def test_cancelling_a_race_leaves_nothing(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hesitating(_address: sockets.Address) -> socket.socket:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(sockets, "_connect", hesitating)
    monkeypatch.setattr(sockets, "STAGGER_S", 0.001)
    name = listener.getsockname()
    resolve_to(monkeypatch, (V4, name), (V4, name))
    before = asyncio.all_tasks()
    task = asyncio.create_task(sockets.connect("archive", 104))
    await until(lambda: len(asyncio.all_tasks()) == len(before) + 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    gc.collect()


@pytest.mark.parametrize(
    ("host", "options", "families"),
    [
        ("127.0.0.1", {}, {"127.0.0.1"}),
        ("0.0.0.0", {}, {"127.0.0.1"}),
        ("::1", {}, {"::1"}),
        ("::", {}, {"::1", "127.0.0.1"}),
        ("::", {"is_ipv6_only": True}, {"::1"}),
    ],
)
def test_a_socket_listens_to_the_families_that_it_is_told(
    host: str, options: dict[str, bool], families: set[str]
) -> None:
    with sockets.listen(host, 0, **options) as listener:
        port = listener.getsockname()[1]
        assert {one for one in ("127.0.0.1", "::1") if is_reachable(one, port)} == families


def is_reachable(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_families_take_turns() -> None:
    addresses = [(V6, ("a",)), (V6, ("b",)), (V6, ("c",)), (V4, ("d",))]
    turns = [name for _, (name,) in sockets._alternating(addresses)]
    assert turns == ["a", "d", "b", "c"]


async def test_a_socket_that_was_reset_is_not_armed() -> None:
    async def script(peer: ScriptedPeer) -> None:
        peer.reset()

    async with open_peer(script) as port:
        with await sockets.connect("127.0.0.1", port) as sock:
            await until(lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            sockets.acknowledge_at_once(sock)
        sockets.acknowledge_at_once(sock)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in taken:
            os.close(one)


async def test_when_descriptors_run_out_connections_wait(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "ACCEPT_PAUSE_S", 0.01)
    taken: list[socket.socket] = []
    with socket.create_connection(listener.getsockname()) as waiting:
        with no_descriptor_left():
            taking = sockets.Listener(listener, taken.append)
            await until(lambda: taking._pause is not None)
            assert taken == []
        await until(lambda: taken)
        assert taken[0].getpeername() == waiting.getsockname()
        taken[0].close()
    taking.close()
    taking.close()


@pytest.mark.parametrize(
    ("soft", "wanted", "becomes"),
    [
        pytest.param(256, 512, 512, id="raised"),
        pytest.param(256, 100, 256, id="never lowered"),
        pytest.param(256, 5000, 1024, id="as far as the system allows"),
    ],
)
def test_descriptors_are_allowed_as_far_as_possible(soft: int, wanted: int, becomes: int) -> None:
    program = (
        "import resource, sys; from asyncdicom.transports.associations import sockets; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, 1024)); "
        f"sockets.allow_descriptors({wanted}); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(done.stdout) == becomes
