"""Secure transport connections of DIMSE (PS3.15 §B.12, §B.13).

DCMTK's clients check no host name, and many archives have certificates that name none.
We check it unless told otherwise: whoever holds any certificate of the hospital's
authority could else take the archive's place.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.transports.settings import TransportSettings
from asyncdicom.transports.tls import explain_tls_failure, read_certificates, tls_context

if TYPE_CHECKING:
    from asyncdicom.transports.associations.settings import TlsSettings

__all__ = ["acceptor_context", "explain", "requestor_context"]

# What both profiles ask for of TLS 1.2; TLS 1.3 has only suites that they allow.
_BCP195 = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
_SUITES = {
    "bcp195": _BCP195,
    "bcp195-modified": (
        *_BCP195,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-AES128-CCM",
        "ECDHE-ECDSA-AES256-CCM8",
        "ECDHE-ECDSA-AES128-CCM8",
    ),
}


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
    return _restricted(context, settings.profile)


def acceptor_context(settings: TlsSettings) -> ssl.SSLContext:
    """Build the context of an acceptor; authorities, where given, must vouch for each client.

    Raises:
        ConfigError: If a file cannot be read or holds no usable certificate or key.

    """
    if settings.client_cert_file is None:
        raise ConfigError("an acceptor needs a certificate for TLS", hint="give --cert and --key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.client_cert_file, settings.client_key_file, password="")
        if settings.ca_file is not None:
            pem = read_certificates(settings.ca_file)
            context.load_verify_locations(cadata=pem.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    except (ssl.SSLError, ValueError, OSError) as error:
        raise ConfigError(
            f"certificates cannot be used ({getattr(error, 'reason', None) or error})",
            hint="check --cert and --key",
        ) from error
    return _restricted(context, settings.profile)


def explain(error: BaseException) -> str:
    """Return what went wrong with TLS, and what to do."""
    told = explain_tls_failure(str(error))
    return (
        told.replace("https://", "dicoms://").replace("http://", "dicom://")
        if told
        else ("no TLS connection could be made")
    )


def _restricted(context: ssl.SSLContext, profile: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(_SUITES[profile]))
    return context
