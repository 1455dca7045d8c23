"""Trust: certificates from files, TLS contexts, and what to do when trust fails.

Rule: `--cacert` adds authorities to those of the system, in all engines. TLS
1.2 is the oldest version spoken (RFC 8996).
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.transports.settings import TransportSettings

__all__ = ["explain_tls_failure", "identity_pem", "read_certificates", "tls_context"]

CERTIFICATE_MARK = b"-----BEGIN CERTIFICATE-----"
KEY_MARK = b"PRIVATE KEY-----"

# Fragments of what OpenSSL and rustls say, in lower case, most specific first.
_SENTENCES = (
    (
        ("certificate has expired", "certificate expired", "expired"),
        "the server's certificate has expired; renew it, or accept anything with --insecure",
    ),
    (
        ("hostname mismatch", "ip address mismatch", "notvalidforname", "not valid for name"),
        "the server's certificate is for another host name; use that name, or --insecure",
    ),
    (
        ("certificate required", "certificaterequired", "handshake failure", "handshakefailure"),
        "the server refused the handshake: it may want a client certificate (--cert, --key)",
    ),
    (
        ("eof occurred in violation", "handshake eof", "unexpected eof while reading"),
        "the server left during the handshake: it may want a client certificate (--cert, --key)",
    ),
    (
        ("unknown ca", "unknownca", "bad certificate", "badcertificate", "decrypt error"),
        "the server does not accept our client certificate; check --cert and --key",
    ),
    (
        ("wrong version number", "invalidcontenttype", "record layer failure", "http request"),
        "the server does not speak TLS on this port; is it http:// instead of https://",
    ),
    (
        ("protocol version", "protocolversion", "peerincompatible", "peer is incompatible"),
        "the server offers no TLS version or cipher that is still considered safe",
    ),
    (
        ("unknownissuer", "self-signed", "self signed", "unable to get", "certificate verify"),
        "no trusted authority signed the server's certificate; see --cacert, or --insecure",
    ),
    (
        ("invalid peer certificate", "certificate", "tls", "ssl", "received fatal alert"),
        "no TLS connection could be made; see --cacert, --cert and --insecure",
    ),
)


def explain_tls_failure(text: str) -> str | None:
    """Return what went wrong with TLS and what to do, or None if the text is not about TLS."""
    # OpenSSL says some things twice: CERTIFICATE_VERIFY_FAILED, certificate verify failed.
    lowered = text.lower().replace("_", " ")
    for fragments, sentence in _SENTENCES:
        if any(fragment in lowered for fragment in fragments):
            return sentence
    return None


def tls_context(settings: TransportSettings) -> ssl.SSLContext:
    """Build the context of the engines that use OpenSSL.

    Raises:
        ConfigError: If a file cannot be read or holds no usable certificate or key.

    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.ca_file is not None:
        pem = read_certificates(settings.ca_file)
        _guarded(lambda: context.load_verify_locations(cadata=pem.decode("ascii")), "--cacert")
    if settings.client_cert_file is not None:
        identity_pem(settings)
        files = (settings.client_cert_file, settings.client_key_file)
        # Without a password OpenSSL would ask for one on the terminal.
        _guarded(lambda: context.load_cert_chain(*files, password=""), "--cert and --key")
    return context


def read_certificates(path: Path) -> bytes:
    """Read a PEM bundle.

    Raises:
        ConfigError: If it cannot be read or holds no certificate.

    """
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if CERTIFICATE_MARK not in pem or not pem.isascii():
        raise ConfigError(f"no certificate in {path}", hint="expected the PEM format")
    return pem


def identity_pem(settings: TransportSettings) -> bytes | None:
    """Return client certificate and key as one PEM text, or None without them.

    Raises:
        ConfigError: If a file cannot be read, or certificate or key are not in it.

    """
    if settings.client_cert_file is None:
        return None
    pem = read_certificates(settings.client_cert_file)
    if settings.client_key_file is not None:
        try:
            pem = pem + b"\n" + settings.client_key_file.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"cannot read {settings.client_key_file}: {error.strerror}"
            ) from error
    if KEY_MARK not in pem:
        raise ConfigError("no private key for the client certificate", hint="give it with --key")
    if b"ENCRYPTED" in pem:
        raise ConfigError("the client key is encrypted", hint="decrypt it into a 0600 file first")
    return pem


def _guarded(load: object, option: str) -> None:
    assert callable(load), "a loader is a function"
    try:
        load()
    except (ssl.SSLError, ValueError, OSError) as error:
        raise ConfigError(
            f"certificates cannot be used ({getattr(error, 'reason', None) or error})",
            hint=f"check {option}",
        ) from error
