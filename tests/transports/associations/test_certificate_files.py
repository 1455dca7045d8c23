"""Files with keys and certificates: PEM as it is, DER put into PEM, and the rest refused."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations import certificate_files
from asyncdicom.transports.associations.certificate_files import (
    CERTIFICATE,
    DH_PARAMETERS,
    MAX_FILE_BYTES,
    PRIVATE_KEY,
    REVOCATION_LIST,
    labels_in,
    lent_file,
    pem_file,
    read_file,
    to_pem,
)
from tests.support.certificates import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=20)


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        pytest.param(["pkcs8", "-topk8", "-nocrypt"], "PRIVATE KEY", id="PKCS #8"),
        pytest.param(["rsa", "-traditional"], "RSA PRIVATE KEY", id="PKCS #1"),
        pytest.param(["ec"], "EC PRIVATE KEY", id="RFC 5915"),
        pytest.param(
            ["pkcs8", "-topk8", "-passout", "pass:x"], "ENCRYPTED PRIVATE KEY", id="encrypted"
        ),
    ],
)
def test_each_kind_of_key_is_put_into_pem(
    arguments: list[str], label: str, pki: Pki, tmp_path: Path
) -> None:
    identity = pki.elliptic_server if arguments == ["ec"] else pki.server
    path = tmp_path / "key.der"
    openssl(*arguments, "-in", identity.key, "-outform", "DER", "-out", path)
    with pem_file(path, PRIVATE_KEY) as name:
        assert labels_in(Path(name).read_bytes()) == {label}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.cert, name, password="x")


def test_a_certificate_and_a_list_are_put_into_pem(pki: Pki, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for kind, source, label in (
        ("x509", pki.ca, CERTIFICATE),
        ("crl", pki.client_crl, REVOCATION_LIST),
    ):
        path = tmp_path / f"{kind}.der"
        openssl(kind, "-in", source, "-outform", "DER", "-out", path)
        with pem_file(path, label) as name:
            context.load_verify_locations(cafile=name)
    assert context.cert_store_stats() == {"crl": 1, "x509": 1, "x509_ca": 1}


def test_pem_is_lent_as_it_is(pki: Pki) -> None:
    with pem_file(pki.ca, CERTIFICATE) as name:
        assert name == str(pki.ca)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (PRIVATE_KEY, "no private key in"),
        (REVOCATION_LIST, "no certificate revocation list in"),
        (DH_PARAMETERS, "no Diffie-Hellman parameters in"),
    ],
)
def test_pem_with_something_else_is_refused(label: str, words: str, pki: Pki) -> None:
    with pytest.raises(ConfigError, match=words), pem_file(pki.ca, label):
        pytest.fail("it is a certificate")


@pytest.mark.parametrize("data", [b"", b"no certificate", b"\x31\x00"])
def test_what_is_neither_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(data)
    with (
        pytest.raises(ConfigError, match=r"no certificate in .*; expected PEM or DER"),
        pem_file(path, CERTIFICATE),
    ):
        pytest.fail("it is nothing")


@pytest.mark.parametrize("data", [b"0", b"0\x82", b"0\xff\x01", b"0\x01\x02", b"0\x00"])
def test_a_cut_sequence_is_some_key(data: bytes) -> None:
    assert to_pem(data, PRIVATE_KEY).startswith(b"-----BEGIN PRIVATE KEY-----\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*absent: No such file"):
        read_file(tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        read_file(tmp_path)


def test_a_file_without_end_is_not_read() -> None:
    with pytest.raises(ConfigError, match="too large"):
        read_file(Path("/dev/zero"))
    assert MAX_FILE_BYTES == 16 * 1024 * 1024


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_lent_file_is_gone_afterwards(in_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 -- parametrized
    monkeypatch.setattr(certificate_files, "HAS_MEMORY_FILES", in_memory)
    with lent_file(b"content") as name:
        path = Path(name)
        assert path.read_bytes() == b"content"
        assert path.read_bytes() == b"content"
        assert in_memory == name.startswith("/proc/")
        assert in_memory or path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
