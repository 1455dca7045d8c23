"""What an acceptor proves itself with, and whom it trusts: files that do, files that are told."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.acceptor_credentials import (
    FFDHE3072,
    load_authorities,
    load_dh_parameters,
    load_folder,
    load_identity,
    load_revoked,
)
from asyncdicom.transports.associations.acceptor_tls import AcceptorTls
from tests.support.certificates import Pki

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSWORD = "secret"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


@pytest.fixture
def plain(pki: Pki) -> AcceptorTls:
    return AcceptorTls(key_file=pki.server.key, cert_file=pki.server.cert)


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)


@pytest.fixture
def encrypted(pki: Pki, plain: AcceptorTls, tmp_path: Path) -> AcceptorTls:
    path = tmp_path / "encrypted.pem"
    openssl("pkcs8", "-topk8", "-in", pki.server.key, "-passout", f"pass:{PASSWORD}", "-out", path)
    return replace(plain, key_file=path)


@pytest.mark.parametrize("form", ["PEM", "DER"])
@pytest.mark.parametrize("given", [PASSWORD, lambda: PASSWORD], ids=["text", "function"])
def test_a_password_opens_an_encrypted_key(
    form: str,
    given: str | Callable[[], str],
    encrypted: AcceptorTls,
    context: ssl.SSLContext,
    tmp_path: Path,
) -> None:
    path = tmp_path / "key"
    openssl(
        *("pkcs8", "-topk8", "-in", encrypted.key_file, "-passin", f"pass:{PASSWORD}"),
        *("-passout", f"pass:{PASSWORD}", "-outform", form, "-out", path),
    )
    load_identity(context, replace(encrypted, key_file=path, password=given))


def test_an_empty_password_may_be_the_right_one(
    pki: Pki, plain: AcceptorTls, context: ssl.SSLContext, tmp_path: Path
) -> None:
    path = tmp_path / "empty.pem"
    openssl("pkcs8", "-topk8", "-in", pki.server.key, "-passout", "pass:", "-out", path)
    load_identity(context, replace(plain, key_file=path, password=""))


def test_nobody_is_asked_for_the_password_of_a_plain_key(
    plain: AcceptorTls, context: ssl.SSLContext
) -> None:
    load_identity(context, replace(plain, password=lambda: pytest.fail("it has none")))


def test_a_password_is_asked_for_once(encrypted: AcceptorTls, context: ssl.SSLContext) -> None:
    asked: list[str] = []

    def ask() -> str:
        asked.append("once")
        return "wrong"

    with pytest.raises(ConfigError, match="the password does not open the private key"):
        load_identity(context, replace(encrypted, password=ask))
    assert asked == ["once"]


def test_what_stops_asking_comes_out(encrypted: AcceptorTls, context: ssl.SSLContext) -> None:
    def ask() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_identity(context, replace(encrypted, password=ask))


def test_an_encrypted_key_needs_a_password(encrypted: AcceptorTls, context: ssl.SSLContext) -> None:
    with pytest.raises(ConfigError, match=r"encrypted.pem is encrypted; give its password"):
        load_identity(context, encrypted)


@pytest.mark.parametrize("password", ["mistaken", "", "x" * 2000])
def test_a_wrong_password_is_told(
    password: str, encrypted: AcceptorTls, context: ssl.SSLContext
) -> None:
    with pytest.raises(ConfigError, match="the password does not open") as caught:
        load_identity(context, replace(encrypted, password=password))
    assert "mistaken" not in str(caught.value)


def test_a_password_is_in_no_text(plain: AcceptorTls) -> None:
    assert PASSWORD not in repr(replace(plain, password=PASSWORD))


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_a_key_of_another_certificate_is_told(
    kind: str, plain: AcceptorTls, context: ssl.SSLContext, tmp_path: Path
) -> None:
    option = {"RSA": "rsa_keygen_bits:2048", "EC": "ec_paramgen_curve:P-256"}[kind]
    key = tmp_path / "key.pem"
    openssl("genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", key)
    with pytest.raises(ConfigError, match=r"not that of the certificate in .*server\.pem"):
        load_identity(context, replace(plain, key_file=key))


def test_a_weak_key_is_told(context: ssl.SSLContext, tmp_path: Path) -> None:
    key, cert = tmp_path / "weak.key", tmp_path / "weak.pem"
    openssl(
        *("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=weak"),
        *("-keyout", key, "-out", cert),
    )
    with pytest.raises(ConfigError, match=r"weak.pem is too weak \(EE_KEY_TOO_SMALL\)"):
        load_identity(context, AcceptorTls(key_file=key, cert_file=cert))


def broken(path: Path) -> Path:
    """Write what says to be a certificate and a key, and is neither."""
    path.write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
        "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n"
    )
    return path


@pytest.mark.parametrize("field", ["key_file", "cert_file"])
def test_a_broken_file_is_told(
    field: str, plain: AcceptorTls, context: ssl.SSLContext, tmp_path: Path
) -> None:
    files = {field: broken(tmp_path / "broken.pem")}
    with pytest.raises(ConfigError, match=r"broken.pem.* cannot be used"):
        load_identity(context, replace(plain, **files))  # type: ignore[arg-type]  # -- a path


@pytest.mark.parametrize("load", [load_authorities, load_revoked, load_dh_parameters])
def test_each_file_has_to_be_there_and_to_be_right(
    load: Callable[[ssl.SSLContext, Path], None],
    pki: Pki,
    context: ssl.SSLContext,
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*absent"):
        load(context, tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"broken.pem cannot be used"):
        load(context, broken(tmp_path / "broken.pem"))
    with pytest.raises(ConfigError, match=r"server\.key\.pem; expected PEM or DER"):
        load(context, pki.server.key)


def test_authorities_and_lists_are_loaded(pki: Pki, context: ssl.SSLContext) -> None:
    load_authorities(context, pki.ca)
    load_authorities(context, pki.client.cert)
    load_revoked(context, pki.client_crl)
    assert context.cert_store_stats() == {"crl": 1, "x509": 3, "x509_ca": 2}


def test_a_folder_is_loaded_whatever_else_is_in_it(
    pki: Pki, context: ssl.SSLContext, tmp_path: Path
) -> None:
    openssl("x509", "-in", pki.ca, "-outform", "DER", "-out", tmp_path / "0.der")
    openssl("crl", "-in", pki.root_crl, "-outform", "DER", "-out", tmp_path / "1.der")
    (tmp_path / "client.txt").write_bytes(pki.client.cert.read_bytes())
    (tmp_path / "list").write_bytes(pki.client_crl.read_bytes())
    (tmp_path / "README").write_text("what is here")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    load_folder(context, tmp_path)
    assert context.cert_store_stats() == {"crl": 2, "x509": 3, "x509_ca": 2}


def test_a_folder_without_authorities_is_told(
    pki: Pki, context: ssl.SSLContext, tmp_path: Path
) -> None:
    (tmp_path / "list").write_bytes(pki.client_crl.read_bytes())
    with pytest.raises(ConfigError, match="no certificate in the folder"):
        load_folder(context, tmp_path)
    with pytest.raises(ConfigError, match=r"cannot read the folder .*absent: No such file"):
        load_folder(context, tmp_path / "absent")


def test_a_broken_certificate_in_a_folder_is_told(
    pki: Pki, context: ssl.SSLContext, tmp_path: Path
) -> None:
    (tmp_path / "a.pem").write_bytes(pki.ca.read_bytes())
    broken(tmp_path / "b.pem")
    with pytest.raises(ConfigError, match=r"b.pem cannot be used"):
        load_folder(context, tmp_path)


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_long_enough_parameters_are_loaded(
    form: str, context: ssl.SSLContext, tmp_path: Path
) -> None:
    path = tmp_path / "dh"
    openssl(
        *("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"),
        *("-outform", form, "-out", path),
    )
    load_dh_parameters(context, path)


def test_without_parameters_there_is_a_group(context: ssl.SSLContext) -> None:
    load_dh_parameters(context, None)


def test_short_parameters_are_told(context: ssl.SSLContext, tmp_path: Path) -> None:
    path = tmp_path / "dh.pem"
    openssl("dhparam", "-dsaparam", "-out", path, "1024")
    context.set_ciphers("@SECLEVEL=2:DHE-RSA-AES128-GCM-SHA256")
    with pytest.raises(ConfigError, match=r"dh.pem cannot be used \(DH_KEY_TOO_SMALL\)"):
        load_dh_parameters(context, path)


def test_the_group_of_our_own_is_that_of_rfc_7919(tmp_path: Path) -> None:
    path = tmp_path / "group.pem"
    openssl(
        *("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe3072"),
        *("-out", path),
    )
    assert path.read_bytes() == FFDHE3072
