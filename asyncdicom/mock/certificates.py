"""Certificates of a throw-away authority, so that clients check the mock as they check anyone."""

from __future__ import annotations

import ssl

import trustme

__all__ = ["issue"]


def issue(host: str, *, offers_http2: bool) -> tuple[ssl.SSLContext, bytes]:
    """Make an authority, and a server context with a certificate of it.

    Writes temporary files, so call it in a thread where blocking matters.

    Args:
        host: Name or address that clients will ask for, besides `localhost`.
        offers_http2: Whether ALPN offers `h2` (RFC 9113 §3.2) before `http/1.1`.

    Returns:
        The context, and the authority's certificate as PEM.

    """
    authority = trustme.CA(organization_name="asyncdicom mock")
    certificate = authority.issue_cert(*dict.fromkeys((host, "localhost", "127.0.0.1", "::1")))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"] if offers_http2 else ["http/1.1"])
    return context, authority.cert_pem.bytes()
