"""How many peers there may be for the descriptors that there are."""

from __future__ import annotations

import resource

import pytest

from asyncdicom.receiver.descriptors import cached_directories, descriptor_limit, within
from asyncdicom.transports.associations.acceptor import ServerSettings

SERVER = ServerSettings()


ENGINES = pytest.mark.parametrize("engine", ["native", "pynetdicom"])


@ENGINES
def test_with_enough_of_them_all_is_as_asked_for(engine: str) -> None:
    assert within(SERVER, 4096, engine) == SERVER
    assert cached_directories(4096) == 128


@pytest.mark.parametrize(
    ("limit", "engine", "associations", "connections"),
    [
        pytest.param(1024, "native", 64, 800, id="usual"),
        pytest.param(1024, "pynetdicom", 64, 672, id="usual, in threads"),
        pytest.param(128, "native", 36, 44, id="few"),
        pytest.param(64, "native", 8, 16, id="very few"),
        pytest.param(64, "pynetdicom", 4, 12, id="very few, in threads"),
        pytest.param(16, "native", 1, 2, id="too few"),
    ],
)
def test_with_few_of_them_there_are_fewer_peers(
    limit: int, engine: str, associations: int, connections: int
) -> None:
    bounded = within(SERVER, limit, engine)
    assert (bounded.max_associations, bounded.max_connections) == (associations, connections)
    assert bounded.host == SERVER.host


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = min(before[1], 4096) if before[1] != resource.RLIM_INFINITY else 4096
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), before[1]))
        assert descriptor_limit(64) >= min(hard, 2048)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_no_limit_is_as_much_as_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: infinite)
    assert within(SERVER, descriptor_limit(64), "native") == SERVER
