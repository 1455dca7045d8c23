"""Alerts of failed handshakes: kept with the error, sent, and nobody waited for without end."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trustme

from asyncdicom.transports.associations.settings import TlsSettings
from asyncdicom.transports.associations.tls_alerts import AlertingContext, send_alert
from tests.support.scripted_peer import dial
from tests.transports.associations.support import Archive, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

ALERT = bytes.fromhex("15030300020274")
"""Fatal: certificate required."""


def failed(reason: str = "PEER_DID_NOT_RETURN_A_CERTIFICATE", alert: bytes = ALERT) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    error.alert = alert  # type: ignore[attr-defined]  # -- as AlertingContext does
    return error


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection; neither blocks."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


async def test_an_alert_is_sent_and_the_client_closes_first(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.send(b"what nobody will read")
    sending = asyncio.create_task(send_alert(ours, failed(), timeout_s=8))
    loop = asyncio.get_running_loop()
    assert await loop.sock_recv(theirs, 100) == ALERT
    assert await loop.sock_recv(theirs, 100) == b""
    assert not sending.done()
    theirs.close()
    await sending


async def test_a_client_that_does_not_close_has_its_time(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    await asyncio.wait_for(send_alert(pair[0], failed(), timeout_s=0.05), 8)


async def test_a_client_that_is_gone_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    await send_alert(pair[0], failed(), timeout_s=8)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(failed(alert=b""), id="there is none"),
        pytest.param(failed("WRONG_VERSION_NUMBER"), id="it speaks something else"),
        pytest.param(failed("HTTP_REQUEST"), id="it speaks HTTP"),
        pytest.param(ssl.SSLError(1, "another"), id="no error of a handshake"),
    ],
)
async def test_nothing_is_sent_where_it_would_be_noise(
    error: ssl.SSLError, pair: tuple[socket.socket, socket.socket]
) -> None:
    await send_alert(pair[0], error, timeout_s=8)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_the_error_of_a_handshake_carries_the_alert() -> None:
    ca = trustme.CA()
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    begun = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        begun.do_handshake()
    with pytest.raises(ssl.SSLError) as caught:
        context.wrap_bio(to_server, to_client, server_side=True).do_handshake()
    alert = caught.value.alert  # type: ignore[attr-defined]  # -- what the context adds
    assert alert[:1] == b"\x15"
    assert alert[-2:] == bytes([2, ssl.ALERT_DESCRIPTION_PROTOCOL_VERSION])


@dataclass
class Listening(Archive):
    """Hears why connections came to nothing."""

    errors: list[Exception] = field(default_factory=list)

    def unserved(self, _address: str, error: Exception, /) -> None:
        self.errors.append(error)


async def test_without_a_second_descriptor_the_connection_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = tmp_path / "identity.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(identity))

    def exhausted(_sock: socket.socket) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    services = Listening()
    async with serving(services, tls=TlsSettings(client_cert_file=identity)) as server:
        with monkeypatch.context() as patched:
            patched.setattr(socket.socket, "dup", exhausted)
            async with dial(server.port) as peer:
                assert await peer.reader.read() == b""
        await until(lambda: server.statistics().connections == 0)
    assert [type(error) for error in services.errors] == [OSError]
