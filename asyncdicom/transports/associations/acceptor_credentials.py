"""Keys, certificates, authorities and parameters from files into the context of an acceptor.

    load_identity(context, settings)
    load_certificates(context, path)

Rule: what is in a file has to be usable, and who reads the message learns which file is not.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.certificate_files import (
    CERTIFICATE,
    DH_PARAMETERS,
    PRIVATE_KEY,
    REVOCATION_LIST,
    labels_in,
    lent_file,
    pem_file,
    read_file,
    to_pem,
)

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.transports.associations.acceptor_tls import AcceptorTls

__all__ = ["load_authorities", "load_dh_parameters", "load_folder", "load_identity", "load_revoked"]

FFDHE3072: Final = b"""-----BEGIN DH PARAMETERS-----
MIIBiAKCAYEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEfz9zeNVs7ZRkDW7w09N75nAI4YbRvydbmyQd62R0mkff3
7lmMsPrBhtkcrv4TCYUTknC0EwyTvEN5RPT9RFLi103TZPLiHnH1S/9croKrnJ32
nuhtK8UiNjoNq8Uhl5sN6todv5pC1cRITgq80Gv6U93vPBsg7j/VnXwl5B0rZsYu
N///////////AgEC
-----END DH PARAMETERS-----
"""
"""The group of RFC 7919 §A.2: 125 bits of security, and it may be used by everybody."""


class _Password:
    """Gives the password to OpenSSL, and remembers whether that was needed."""

    def __init__(self, settings: AcceptorTls) -> None:
        self._settings = settings
        self.was_needed = False

    def __call__(self) -> str:
        self.was_needed = True
        given = self._settings.password
        if given is None:
            raise ConfigError(
                f"the private key in {self._settings.key_file} is encrypted",
                hint="give its password, or decrypt it into a file of mode 0600",
            )
        return given if isinstance(given, str) else given()


def load_identity(context: ssl.SSLContext, settings: AcceptorTls) -> None:
    """Load key and certificate.

    Raises:
        ConfigError: If they cannot be used, or the password is wrong.

    """
    password = _Password(settings)
    with (
        pem_file(settings.cert_file, CERTIFICATE) as certificate,
        pem_file(settings.key_file, PRIVATE_KEY) as key,
    ):
        try:
            context.load_cert_chain(certificate, key, password=password)
        except (ssl.SSLError, ValueError, OSError) as error:
            raise _why_no_proof(settings, error, password) from error


def _why_no_proof(settings: AcceptorTls, error: Exception, password: _Password) -> ConfigError:
    reason = _reason(error)
    # Another key, or one of another kind.
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return ConfigError(
            f"the private key in {settings.key_file} is not that of the certificate in"
            f" {settings.cert_file}",
            hint="give the two that were made together",
        )
    if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return ConfigError(
            f"the certificate in {settings.cert_file} is too weak ({reason})",
            hint="use RSA of 2048 bits or an elliptic curve of 256, signed with SHA-256",
        )
    if password.was_needed:
        return ConfigError(
            f"the password does not open the private key in {settings.key_file}",
            hint="check the password",
        )
    return ConfigError(
        f"the certificate in {settings.cert_file} or the private key in {settings.key_file}"
        f" cannot be used ({reason})",
        hint="check both files",
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)


def load_authorities(context: ssl.SSLContext, path: Path) -> None:
    """Load the certificates in a file.

    Raises:
        ConfigError: If none is there, or one cannot be used.

    """
    _load(context, path, CERTIFICATE)


def load_revoked(context: ssl.SSLContext, path: Path) -> None:
    """Load the certificate revocation lists in a file.

    Raises:
        ConfigError: If none is there, or one cannot be used.

    """
    _load(context, path, REVOCATION_LIST)


def _load(context: ssl.SSLContext, path: Path, label: str) -> None:
    with pem_file(path, label) as name:
        try:
            context.load_verify_locations(cafile=name)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"what is in {path} cannot be used ({_reason(error)})", hint="check the file"
            ) from error


def load_folder(context: ssl.SSLContext, folder: Path) -> None:
    """Load all certificates and revocation lists in a folder; other files may lie there, too.

    Raises:
        ConfigError: If no certificate is there, or something cannot be read.

    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise ConfigError(f"cannot read the folder {folder}: {error.strerror}") from error
    if not sum(_load_either(context, path) for path in paths):
        raise ConfigError(f"no certificate in the folder {folder}", hint="expected PEM or DER")


def _load_either(context: ssl.SSLContext, path: Path) -> bool:
    """Load a file of a folder, and tell whether certificates are in it."""
    data = read_file(path)
    labels = labels_in(data)
    for label in (CERTIFICATE, REVOCATION_LIST):
        if any(found.endswith(label) for found in labels):
            _load(context, path, label)
            return label == CERTIFICATE
    for label in (CERTIFICATE, REVOCATION_LIST):
        with lent_file(to_pem(data, label)) as name:
            try:
                context.load_verify_locations(cafile=name)
            except ssl.SSLError:
                continue
        return label == CERTIFICATE
    return False


def load_dh_parameters(context: ssl.SSLContext, path: Path | None) -> None:
    """Load Diffie-Hellman parameters, or a group that everybody may use.

    Raises:
        ConfigError: If they cannot be used, or are too short.

    """
    if path is None:
        with lent_file(FFDHE3072) as name:
            context.load_dh_params(name)
        return
    with pem_file(path, DH_PARAMETERS) as name:
        try:
            context.load_dh_params(name)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"the Diffie-Hellman parameters in {path} cannot be used ({_reason(error)})",
                hint="they need 2048 bits or more; without --dhparam ffdhe3072 is used",
            ) from error
