"""Alerts of a failed TLS handshake, which tell a client why it was refused (RFC 8446 §6.2).

    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    spare = sock.dup()
    try:
        await loop.connect_accepted_socket(factory, sock, ssl=context)
    except ssl.SSLError as error:
        await send_alert(spare, error, timeout_s=2)

asyncio and uvloop close the connection when a handshake fails, and leave the alert that
OpenSSL wrote unsent: the client sees an end of file, and its owner does not learn that,
say, a certificate is missing. So the alert is kept with the error, and sent over a second
descriptor of the socket.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

__all__ = ["AlertingContext", "send_alert"]

DRAIN_BYTES = 64 * 1024
NOT_TLS = frozenset(["WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"])
"""Reasons of OpenSSL when the peer speaks something else, to which an alert is noise."""


class _AlertingObject(ssl.SSLObject):
    """Keeps with the error of a handshake what OpenSSL would still send."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        """Go on with the handshake (ssl)."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            error.alert = self.outgoing.read()  # type: ignore[attr-defined]  # -- ours
            raise


class AlertingContext(ssl.SSLContext):
    """A context whose failed handshakes can be told to the client."""

    sslobject_class = _AlertingObject

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any
    ) -> ssl.SSLObject:
        """Make the object of one connection (ssl)."""
        wrapped = super().wrap_bio(incoming, outgoing, *args, **options)
        assert isinstance(wrapped, _AlertingObject), "sslobject_class says so"
        wrapped.outgoing = outgoing
        return wrapped


async def send_alert(sock: socket.socket, error: ssl.SSLError, *, timeout_s: float) -> None:
    """Send the alert of a failed handshake, and let the client close first.

    Args:
        sock: A descriptor of the connection that is still open, and does not block.
        error: From the handshake.
        timeout_s: How long the client may take to close, in seconds.

    """
    alert = getattr(error, "alert", b"")
    if not alert or error.reason in NOT_TLS:
        return
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            await loop.sock_sendall(sock, alert)
            sock.shutdown(socket.SHUT_WR)
            # Closing with unread data would reset the connection, and with it the alert.
            while await loop.sock_recv(sock, DRAIN_BYTES):
                continue
    except OSError:  # the client is gone, or (TimeoutError) has had its time
        return
