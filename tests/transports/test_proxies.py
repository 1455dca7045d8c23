"""Proxies: which one is chosen, and that every engine goes through it."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import AsyncDicomError, ConfigError, TransportError, UsageError
from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.proxies import ProxyRules, read_proxy_rules
from tests.support.origin import Answer, open_origin
from tests.support.proxy import Proxy, open_proxy
from tests.transports.conftest import ENGINES, PATIENT, Authority
from tests.transports.contract import fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

engines = pytest.mark.parametrize("engine", ENGINES)

P = "http://proxy:3128"


@pytest.mark.parametrize(
    ("environment", "url", "chosen"),
    [
        pytest.param({}, "http://a/", None, id="no proxy at all"),
        pytest.param({"http_proxy": P}, "http://a/", P, id="http"),
        pytest.param({"HTTP_PROXY": P}, "http://a/", None, id="a CGI field is not believed"),
        pytest.param({"http_proxy": P}, "https://a/", None, id="of the other scheme"),
        pytest.param({"https_proxy": P}, "https://a/", P, id="https"),
        pytest.param({"HTTPS_PROXY": P}, "https://a/", P, id="https in upper case"),
        pytest.param({"ALL_PROXY": P}, "https://a/", P, id="all"),
        pytest.param({"all_proxy": P, "http_proxy": "b:1"}, "http://a/", "http://b:1", id="both"),
        pytest.param({"http_proxy": ""}, "http://a/", None, id="empty is none"),
        pytest.param({"http_proxy": P, "no_proxy": "*"}, "http://a/", None, id="bypass all"),
        pytest.param({"http_proxy": P, "NO_PROXY": "a.b"}, "http://a.b/", None, id="by name"),
        pytest.param({"http_proxy": P, "no_proxy": "a.b"}, "http://x.a.b/", None, id="by suffix"),
        pytest.param({"http_proxy": P, "no_proxy": ".a.b"}, "http://x.a.b/", None, id="dotted"),
        pytest.param({"http_proxy": P, "no_proxy": "a.b"}, "http://xa.b/", P, id="no suffix"),
        pytest.param({"http_proxy": P, "no_proxy": "A.B"}, "http://a.b/", None, id="other case"),
        pytest.param({"http_proxy": P, "no_proxy": "a:81"}, "http://a:80/", P, id="other port"),
        pytest.param({"http_proxy": P, "no_proxy": "a:81"}, "http://a:81/", None, id="that port"),
        pytest.param({"http_proxy": P, "no_proxy": "a:81"}, "http://a/", P, id="not of http"),
        pytest.param({"http_proxy": P, "no_proxy": "a:80"}, "http://a/", None, id="of http"),
        pytest.param({"https_proxy": P, "no_proxy": "a:443"}, "https://a/", None, id="of https"),
        pytest.param(
            {"http_proxy": P, "no_proxy": "10.0.0.0/8"}, "http://10.1.2.3/", None, id="network"
        ),
        pytest.param(
            {"http_proxy": P, "no_proxy": "10.0.0.0/8"}, "http://11.1.2.3/", P, id="not in network"
        ),
        pytest.param({"http_proxy": P, "no_proxy": "::1"}, "http://[::1]:8/", None, id="IPv6"),
        pytest.param({"http_proxy": P, "no_proxy": "b, a"}, "http://a/", None, id="a list"),
    ],
)
def test_the_environment_is_read_as_curl_reads_it(
    environment: dict[str, str], url: str, chosen: str | None
) -> None:
    assert read_proxy_rules(None, environment).choose(url) == chosen


def test_the_option_beats_the_environment_but_not_the_bypass() -> None:
    rules = read_proxy_rules("socks5://p:1", {"http_proxy": P, "no_proxy": "b"})
    assert rules.choose("http://a/") == "socks5://p:1"
    assert rules.choose("https://b/") is None


@pytest.mark.parametrize(
    "proxy",
    [
        "ftp://p",
        "http://",
        "http://p:99999",
        "socks4://p:1",
        "http://my proxy:80",
        "%zz:80",
        "a\udcff:1",
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_configuration_error(proxy: str) -> None:
    with pytest.raises(ConfigError):
        read_proxy_rules(proxy, {})


@engines
@pytest.mark.parametrize("host", ["[::1%25lo]", "xn--", "999.1.1.1", "b..ü"])
async def test_a_proxy_that_an_engine_cannot_use_is_one_of_our_errors(
    engine: str, host: str
) -> None:
    transport = open_transport(engine, replace(PATIENT, proxy=f"http://me:hunter2@{host}:9"))
    try:
        with pytest.raises(AsyncDicomError) as caught:
            await fetch(transport, "http://127.0.0.1:9/")
    finally:
        await transport.aclose()
    assert "hunter2" not in str(caught.value)
    assert transport.statistics().in_flight == 0


def test_secrets_of_a_proxy_are_not_shown() -> None:
    rules = read_proxy_rules("http://user:hunter2@p:1", {})
    assert "hunter2" not in repr(rules)
    assert "hunter2" not in repr(replace(PATIENT, proxy="http://user:hunter2@p:1"))
    assert rules != ProxyRules()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with open_proxy() as found:
        yield found


@engines
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
async def test_requests_go_through_the_proxy(
    engine: str, scheme: str, authority: Authority, proxy: Proxy, *, is_tls: bool
) -> None:
    context = authority.server_context() if is_tls else None
    async with open_origin(tls=context, host="localhost") as origin:
        origin.serve("/a", Answer(200, (), b"a"))
        settings = replace(PATIENT, proxy=proxy.url(scheme), ca_file=authority.ca_file, http2=False)
        transport = open_transport(engine, settings)
        assert (await fetch(transport, origin.url("/a"))).body == b"a"
        await transport.aclose()
        assert proxy.targets[0].endswith(f":{origin.port}")
        if scheme == "socks5h":
            assert proxy.targets == [f"name localhost:{origin.port}"]


@engines
@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_the_proxy_gets_its_own_credentials_and_nobody_else(
    engine: str, scheme: str, authority: Authority, proxy: Proxy
) -> None:
    async with open_origin(tls=authority.server_context()) as origin:
        origin.serve("/a", Answer(200, (), b"a"))
        url = proxy.url(scheme, "user:hunter2@")
        transport = open_transport(engine, replace(PATIENT, proxy=url, ca_file=authority.ca_file))
        await fetch(transport, origin.url("/a"))
        await transport.aclose()
        basic = "Basic " + base64.b64encode(b"user:hunter2").decode()
        assert proxy.authorizations == [basic if scheme == "http" else "user:hunter2"]
        assert origin.requests[0].header("proxy-authorization") is None


@engines
async def test_a_proxy_that_refuses_is_an_error_without_its_password(
    engine: str, authority: Authority, proxy: Proxy
) -> None:
    proxy.refuses = True
    async with open_origin(tls=authority.server_context()) as origin:
        url = proxy.url("http", "user:hunter2@")
        transport = open_transport(engine, replace(PATIENT, proxy=url, ca_file=authority.ca_file))
        with pytest.raises(TransportError) as caught:
            await fetch(transport, origin.url("/a"))
        await transport.aclose()
        assert "hunter2" not in f"{caught.value} {caught.value!r}"
        assert origin.connections == 0


@engines
@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_is_not_there_is_an_error(engine: str, scheme: str) -> None:
    transport = open_transport(engine, replace(PATIENT, proxy=f"{scheme}://127.0.0.1:1"))
    with pytest.raises(TransportError):
        await fetch(transport, "http://127.0.0.1:2/")
    await transport.aclose()


@engines
async def test_the_environment_is_obeyed(
    engine: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url("http"))
    async with open_origin() as origin, open_origin(host="localhost") as direct:
        monkeypatch.setenv("no_proxy", "localhost")
        origin.serve("/a", Answer(200, (), b"a"))
        direct.serve("/a", Answer(200, (), b"a"))
        transport = open_transport(engine, PATIENT)
        await fetch(transport, origin.url("/a"))
        await fetch(transport, direct.url("/a"))
        await transport.aclose()
        assert proxy.targets == [f"127.0.0.1:{origin.port}"]


@engines
async def test_no_engine_reads_the_environment_behind_our_back(
    engine: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url("http"))
    async with open_origin() as origin:
        origin.serve("/a", Answer(200, (), b"a"))
        transport = open_transport(engine, PATIENT)
        await fetch(transport, origin.url("/a"))
        await transport.aclose()
        with pytest.raises(UsageError):
            await fetch(transport, origin.url("/a"))
    assert proxy.targets == []
