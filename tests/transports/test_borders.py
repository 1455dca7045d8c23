"""No exception of a library travels further: each class it defines is mapped to one of ours."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING

import aiohttp
import aiohttp.client_exceptions
import aiohttp.http_exceptions
import h2.exceptions
import hpack.exceptions
import httpx
import pyreqwest.exceptions
import pytest
import python_socks

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    FetchError,
    ProtocolError,
    Stalled,
    TlsRejected,
    TransportError,
    Unreachable,
)
from asyncdicom.transports.aiohttp import map_aiohttp_errors
from asyncdicom.transports.httpx import map_httpx_errors
from asyncdicom.transports.messages import one_line, system_reason
from asyncdicom.transports.pyreqwest import map_pyreqwest_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

URL = "http://user:hunter2@host/path?token=hunter2"


def classes_of(*modules: ModuleType) -> list[type[Exception]]:
    """Return the exception classes that modules define."""
    found = [value for module in modules for value in vars(module).values()]
    return sorted(
        {
            value
            for value in found
            if inspect.isclass(value)
            and issubclass(value, Exception)
            and not issubclass(value, Warning)
            and value.__module__ != "builtins"
        },
        key=lambda value: value.__name__,
    )


def instance_of(kind: type[Exception]) -> Exception:
    """Return an exception without asking its constructor, which wants what we do not have."""
    # Some write their text from what their constructor got.
    spoken: type[Exception] = type(kind.__name__, (kind,), {"__str__": lambda _self: "boom"})
    error = spoken.__new__(spoken, "boom")
    error.args = ("boom",)
    for name, value in (("message", "boom"), ("details", {}), ("status", 500)):
        if not hasattr(error, name):
            error.__dict__[name] = value
    error.__dict__.setdefault("_os_error", OSError(111, "refused"))
    return error


EXPECTED: dict[type[Exception], type[AsyncDicomError]] = {
    pyreqwest.exceptions.ConnectError: ConnectionLost,
    pyreqwest.exceptions.ReadError: ConnectionLost,
    pyreqwest.exceptions.ReadTimeoutError: Stalled,
    pyreqwest.exceptions.ClientClosedError: ConnectionLost,
    pyreqwest.exceptions.DecodeError: ProtocolError,
    pyreqwest.exceptions.BuilderError: ProtocolError,
    httpx.ConnectError: Unreachable,
    httpx.ConnectTimeout: Unreachable,
    httpx.PoolTimeout: Unreachable,
    httpx.ProxyError: Unreachable,
    httpx.ReadTimeout: Stalled,
    httpx.ReadError: ConnectionLost,
    httpx.WriteError: ConnectionLost,
    httpx.CloseError: ConnectionLost,
    httpx.RemoteProtocolError: ProtocolError,
    httpx.UnsupportedProtocol: ProtocolError,
    httpx.InvalidURL: ProtocolError,
    h2.exceptions.InvalidBodyLengthError: ProtocolError,
    h2.exceptions.DenialOfServiceError: ProtocolError,
    hpack.exceptions.OversizedHeaderListError: ProtocolError,
    aiohttp.ClientConnectorError: Unreachable,
    aiohttp.ClientConnectorDNSError: Unreachable,
    aiohttp.ClientConnectorCertificateError: TlsRejected,
    aiohttp.ClientConnectorSSLError: TlsRejected,
    aiohttp.ConnectionTimeoutError: Unreachable,
    aiohttp.SocketTimeoutError: Stalled,
    aiohttp.ServerDisconnectedError: ConnectionLost,
    aiohttp.ClientOSError: ConnectionLost,
    aiohttp.ClientPayloadError: ProtocolError,
    aiohttp.ClientResponseError: ProtocolError,
    aiohttp.InvalidURL: ProtocolError,
    aiohttp.http_exceptions.BadHttpMessage: ProtocolError,
    python_socks.ProxyError: Unreachable,
    python_socks.ProxyTimeoutError: Unreachable,
    python_socks.ProxyConnectionError: Unreachable,
}

BORDERS: list[tuple[Callable[[Exception, str], AsyncDicomError], list[type[Exception]]]] = [
    (map_pyreqwest_errors, classes_of(pyreqwest.exceptions)),
    (map_httpx_errors, classes_of(httpx, h2.exceptions, hpack.exceptions)),
    (
        map_aiohttp_errors,
        classes_of(aiohttp.client_exceptions, aiohttp.http_exceptions, python_socks),
    ),
]

CASES = [
    pytest.param(border, kind, id=f"{border.__name__.split('_')[1]}-{kind.__name__}")
    for border, kinds in BORDERS
    for kind in kinds
]


@pytest.mark.parametrize(("border", "kind"), CASES)
def test_every_exception_is_mapped(
    border: Callable[[Exception, str], AsyncDicomError], kind: type[Exception]
) -> None:
    found = border(instance_of(kind), URL)
    assert isinstance(found, FetchError)
    assert type(found) is not FetchError
    assert "hunter2" not in f"{found} {found!r}"
    assert "\n" not in str(found)


@pytest.mark.parametrize(("border", "kind"), [case for case in CASES if case.values[1] in EXPECTED])
def test_the_table_of_the_border(
    border: Callable[[Exception, str], AsyncDicomError], kind: type[Exception]
) -> None:
    assert type(border(instance_of(kind), URL)) is EXPECTED[kind]


def test_the_table_names_no_exception_that_is_gone() -> None:
    known = {kind for _border, kinds in BORDERS for kind in kinds}
    assert set(EXPECTED) <= known


@pytest.mark.parametrize("border", [border for border, _kinds in BORDERS])
@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError(5), AssertionError(), OSError()])
def test_even_what_nobody_expects_is_mapped(
    border: Callable[[Exception, str], AsyncDicomError], error: Exception
) -> None:
    assert isinstance(border(error, URL), TransportError)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Connection refused (os error 111)", "connection refused", id="number"),
        pytest.param("failed for https://u:p@h/x?y=z now", "failed for the URL now", id="URL"),
        pytest.param("one\r\ntwo\x00", "one two", id="one line"),
        pytest.param("", "no reason was given", id="nothing"),
        pytest.param("Ends with a stop.", "ends with a stop", id="no period"),
        pytest.param("a" * 500, "a" * 157 + "...", id="long"),
        pytest.param("no line: bytearray(b'DOE^JANE')", "no line", id="bytes that h11 quotes"),
        pytest.param("no line:\n\n b'DOE^JANE'\n   ^", "no line", id="bytes that aiohttp quotes"),
        pytest.param("it's a web's fault", "it's a web's fault", id="no bytes"),
    ],
)
def test_foreign_texts_are_made_fit(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize("piece", ["a", " ", "x0 ", "b", "http:", "("])
def test_long_texts_take_no_time(piece: str) -> None:
    begun_s = time.thread_time()
    one_line(piece * 1_000_000)
    assert time.thread_time() - begun_s < 0.3


def test_what_the_system_said_is_found_at_the_root() -> None:
    error = RuntimeError("All attempts failed")
    error.__cause__ = ExceptionGroup("", [ConnectionRefusedError(111, "x")])
    assert system_reason(error) == "connection refused"
