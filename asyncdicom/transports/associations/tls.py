"""Secure transport connections of a requestor of DIMSE (PS3.15 §B.12, §B.13), and what went wrong.

DCMTK's clients check no host name, and many archives have certificates that name none.
We check it unless told otherwise: whoever holds any certificate of the hospital's
authority could else take the archive's place.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import AsyncDicomError, ConnectionLost, TlsRejected, TransportError
from asyncdicom.transports.associations.tls_profiles import cipher_string, profile_named, rules_of
from asyncdicom.transports.settings import TransportSettings
from asyncdicom.transports.tls import explain_tls_failure, tls_context

if TYPE_CHECKING:
    from asyncdicom.transports.associations.settings import TlsSettings

__all__ = ["broken", "explain", "explain_client", "requestor_context"]


def requestor_context(settings: TlsSettings) -> ssl.SSLContext:
    """Build the context of a requestor.

    Raises:
        ConfigError: If a file cannot be read or holds no usable certificate or key.

    """
    context = tls_context(
        TransportSettings(
            ca_file=settings.ca_file,
            client_cert_file=settings.client_cert_file,
            client_key_file=settings.client_key_file,
            verify=settings.verify,
        )
    )
    if not settings.check_host_name:
        context.check_hostname = False
    rules = rules_of(profile_named(settings.profile))
    context.minimum_version = rules.minimum
    context.set_ciphers(cipher_string(rules.suites))
    return context


def explain(error: BaseException) -> str:
    """Return what went wrong with TLS, and what to do."""
    told = explain_tls_failure(str(error))
    return (
        told.replace("https://", "dicoms://").replace("http://", "dicom://")
        if told
        else ("no TLS connection could be made")
    )


def broken(error: Exception, origin: str) -> TransportError:
    """Return the error for a connection that was lost."""
    if isinstance(error, ssl.SSLError):
        # TLS 1.3: whether our certificate pleases is only said after the handshake.
        return TlsRejected(explain(error), origin=origin)
    return ConnectionLost("the connection broke", origin=origin)


# What OpenSSL or our own reader calls it, and what it means when a client did it.
_CLIENTS: Final = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "it has no certificate, and one is required"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS"),
    ("HTTP_REQUEST", "it speaks HTTP without TLS"),
    ("UNSUPPORTED_PROTOCOL", "it speaks no version of TLS that is still safe"),
    ("NO_SHARED_CIPHER", "no cipher suite is common to both sides"),
    ("CALLBACK_FAILED", "it asks for another host name than is expected"),
    ("UNKNOWN_CA", "it does not trust our certificate"),
    ("ALERT_BAD_CERTIFICATE", "it does not accept our certificate"),
    ("CERTIFICATE_UNKNOWN", "it does not accept our certificate"),
    ("A_PDU_OF_TYPE_16", "it speaks TLS, and this port does not"),
)


def explain_client(error: Exception) -> str:
    """Return why no association came of a connection, as the acceptor sees it."""
    text = str(getattr(error, "reason", None) or error)
    if isinstance(error, AsyncDicomError):
        text = str(error)
    for mark, meaning in _CLIENTS:
        if mark in text.upper().replace(" ", "_"):
            told = getattr(error, "verify_message", None)
            return f"{meaning} ({told})" if told else meaning
    if isinstance(error, AsyncDicomError):
        return text
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection could be made ({text})"
    if isinstance(error, TimeoutError):
        return "it asked for no association in time"
    return "it left during the TLS handshake, or did not finish it in time"
