"""TLS of the acceptor beside dcmrecv: the same options let the same clients in."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.transports.associations.acceptor_tls import (
    AcceptorTls,
    PeerCertificate,
    Revocation,
)
from asyncdicom.transports.associations.tls_profiles import TlsProfile
from tests.support.certificates import Identity, Pki
from tests.support.openssl_client import visit
from tests.support.peers import find_program, require_peer
from tests.support.processes import accepts_connections, free_port, stop, wait_until
from tests.transports.associations.support import Archive, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.peer("dcmtk"),
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]

OPTIONS = {
    PeerCertificate.REQUIRE: "-rc",
    PeerCertificate.VERIFY: "-vc",
    PeerCertificate.IGNORE: "-ic",
}
START_DEADLINE_S = 40.0


@pytest.fixture(autouse=True)
def dcmtk() -> None:
    require_peer("dcmtk")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


@dataclass(frozen=True)
class Acceptors:
    """dcmrecv and ours, told the same."""

    pki: Pki
    folder: Path
    options: tuple[str, ...]
    tls: AcceptorTls

    async def admit(self, *arguments: str) -> tuple[bool, bool]:
        """Tell whether dcmrecv lets a client of OpenSSL in, and whether we do."""
        with self._dcmrecv() as port:
            theirs = await visit(port, *arguments)
        async with serving(Archive(), tls=self.tls) as server:
            ours = await visit(server.port, *arguments)
        return theirs.is_associated, ours.is_associated

    @contextmanager
    def _dcmrecv(self) -> Iterator[int]:
        program = find_program("dcmrecv")
        assert program is not None, "dcmrecv is not installed"
        port, log = free_port(), self.folder / "dcmrecv.log"
        proof = ("+tls", str(self.pki.server.key), str(self.pki.server.cert))
        command = [program, *proof, "+cf", str(self.pki.ca), *self.options, "--ignore", str(port)]
        with log.open("wb") as sink:
            process = subprocess.Popen(command, stdout=sink, stderr=sink)
        try:
            wait_until(
                lambda: accepts_connections(port), process, deadline_s=START_DEADLINE_S, log=log
            )
            yield port
        finally:
            stop(process)


@pytest.fixture
def acceptors(pki: Pki, tmp_path: Path) -> Acceptors:
    """Two that require a certificate."""
    tls = AcceptorTls(
        key_file=pki.server.key,
        cert_file=pki.server.cert,
        ca_files=(pki.ca,),
        profile=TlsProfile.NON_DOWNGRADING,
    )
    return Acceptors(pki, tmp_path, ("+py", "-rc"), tls)


def as_client(identity: Identity | None) -> list[str]:
    if identity is None:
        return []
    chain = str(identity.cert)
    return ["-cert", chain, "-cert_chain", chain, "-key", str(identity.key)]


@pytest.mark.parametrize("mode", list(PeerCertificate))
@pytest.mark.parametrize("who", ["client", "stranger", "revoked", "nobody"])
async def test_the_same_clients_are_let_in(
    who: str, mode: PeerCertificate, acceptors: Acceptors
) -> None:
    pki = acceptors.pki
    changed = replace(
        acceptors,
        options=("+py", OPTIONS[mode], "+crl", str(pki.client_crl)),
        tls=replace(acceptors.tls, peer_certificate=mode, crl_files=(pki.client_crl,)),
    )
    theirs, ours = await changed.admit(*as_client(getattr(pki, who, None)))
    assert theirs == ours
    assert ours == (
        who == "client"
        or mode is PeerCertificate.IGNORE
        or (who == "nobody" and mode is PeerCertificate.VERIFY)
    )


@pytest.mark.parametrize(
    ("lists", "is_admitted"),
    [
        pytest.param(["client_crl", "root_crl"], True, id="nobody is revoked"),
        pytest.param(["client_crl", "root_crl_without_intermediate"], False, id="its authority is"),
        pytest.param(["client_crl"], False, id="a list is missing"),
    ],
)
async def test_the_same_chains_are_revoked(
    lists: list[str], acceptors: Acceptors, *, is_admitted: bool
) -> None:
    paths = [getattr(acceptors.pki, name) for name in lists]
    given = [word for path in paths for word in ("+crl", str(path))]
    changed = replace(
        acceptors,
        options=("+py", "-rc", *given, "+cra"),
        tls=replace(acceptors.tls, crl_files=tuple(paths), revocation=Revocation.CHAIN),
    )
    admitted = await changed.admit(*as_client(acceptors.pki.client))
    assert admitted == (is_admitted, is_admitted)


OLD = ("-cipher", "ALL:@SECLEVEL=0")


@pytest.mark.parametrize(
    ("option", "profile"),
    [("+py", TlsProfile.NON_DOWNGRADING), ("+pz", TlsProfile.EXTENDED)],
)
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-tls1", *OLD), id="TLS 1.0"),
        pytest.param(("-tls1_1", *OLD), id="TLS 1.1"),
        pytest.param(("-tls1_2",), id="TLS 1.2"),
        pytest.param(("-tls1_3",), id="TLS 1.3"),
        pytest.param(("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"), id="DHE"),
        pytest.param(("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"), id="ChaCha20"),
        pytest.param(("-tls1_2", "-cipher", "AES128-SHA"), id="static RSA"),
    ],
)
async def test_the_same_versions_and_suites_are_spoken(
    arguments: tuple[str, ...], option: str, profile: TlsProfile, acceptors: Acceptors
) -> None:
    ignoring = replace(acceptors.tls, peer_certificate=PeerCertificate.IGNORE, profile=profile)
    changed = replace(acceptors, options=(option, "-ic"), tls=ignoring)
    theirs, ours = await changed.admit(*arguments)
    assert theirs == ours


async def test_an_added_suite_is_spoken_by_both(acceptors: Acceptors) -> None:
    suite = "TLS_RSA_WITH_AES_128_CBC_SHA"
    ignoring = replace(acceptors.tls, peer_certificate=PeerCertificate.IGNORE, suites=(suite,))
    changed = replace(acceptors, options=("+py", "-ic", "+cs", suite), tls=ignoring)
    assert await changed.admit("-tls1_2", "-cipher", "AES128-SHA") == (True, True)
