"""Keys, certificates and the like in files, PEM or DER, for OpenSSL, which reads PEM from files.

    with pem_file(path, PRIVATE_KEY) as name:
        context.load_cert_chain(..., keyfile=name)

Strategy: whether a file is DER is told by its first byte. Then its content is put into
PEM and lent as a file that is in memory only, where the system has such: a private key
does not get onto another disk.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CERTIFICATE",
    "DH_PARAMETERS",
    "PRIVATE_KEY",
    "REVOCATION_LIST",
    "labels_in",
    "lent_file",
    "pem_file",
    "read_file",
    "to_pem",
]

CERTIFICATE: Final = "CERTIFICATE"
PRIVATE_KEY: Final = "PRIVATE KEY"
REVOCATION_LIST: Final = "X509 CRL"
DH_PARAMETERS: Final = "DH PARAMETERS"
_WORDS: Final = {
    CERTIFICATE: "certificate",
    PRIVATE_KEY: "private key",
    REVOCATION_LIST: "certificate revocation list",
    DH_PARAMETERS: "Diffie-Hellman parameters",
}

HAS_MEMORY_FILES: Final = sys.platform == "linux" and Path("/proc/self/fd").is_dir()
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""The bundle of authorities of a whole system has 200 KB, a large revocation list some MB."""

_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9. ]{1,40})-----")
_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04


def read_file(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        ConfigError: If it cannot be read, or is too large to be what it should be.

    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is too large to be a key or certificate", hint="at most 16 MiB")
    return data


def labels_in(data: bytes) -> set[str]:
    """Return what a PEM text says it holds."""
    return {label.decode("ascii") for label in _LABEL.findall(data)}


@contextmanager
def pem_file(path: Path, label: str) -> Iterator[str]:
    """Lend the name of a PEM file with what a file holds: itself, or one made from DER.

    Args:
        path: The file.
        label: What has to be in it.

    Raises:
        ConfigError: If it cannot be read, or holds nothing of the kind.

    """
    data = read_file(path)
    if any(found.endswith(label) for found in labels_in(data)):
        yield str(path)
    elif data[:1] == bytes([_SEQUENCE]):
        with lent_file(to_pem(data, label)) as name:
            yield name
    else:
        raise ConfigError(f"no {_WORDS[label]} in {path}", hint="expected PEM or DER")


def to_pem(data: bytes, label: str) -> bytes:
    """Return DER as PEM."""
    name = _key_label(data) if label == PRIVATE_KEY else label
    body = base64.encodebytes(data).decode("ascii")
    return f"-----BEGIN {name}-----\n{body}-----END {name}-----\n".encode("ascii")


def _key_label(data: bytes) -> str:
    """Tell which of the four kinds of private key a DER sequence is, by its first fields.

    PKCS #8 (RFC 5208 §5) begins with a version and an algorithm, encrypted (§6) with the
    algorithm alone; PKCS #1 (RFC 8017 §A.1.2) with a version and a number, an elliptic
    key (RFC 5915 §3) with a version and octets.
    """
    first = data[_content(data, 0) :][:1]
    if first == bytes([_SEQUENCE]):
        return "ENCRYPTED PRIVATE KEY"
    start = _content(data, 0)
    second = data[_content(data, start) + 1 :][:1]
    kinds = {_INTEGER: "RSA PRIVATE KEY", _OCTETS: "EC PRIVATE KEY"}
    return kinds.get(second[0] if second else 0, "PRIVATE KEY")


def _content(data: bytes, at: int) -> int:
    """Return where the content of a DER element begins (X.690 §8.1.3)."""
    length = data[at + 1 : at + 2]
    long_form = length[0] & 0x7F if length and length[0] & 0x80 else 0
    return at + 2 + long_form


@contextmanager
def lent_file(data: bytes) -> Iterator[str]:
    """Lend the name of a file with some content; nobody else can read it, and it is gone after."""
    if HAS_MEMORY_FILES:
        descriptor = os.memfd_create("pem")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pem"
            path.touch(mode=0o600)
            path.write_bytes(data)
            yield str(path)
