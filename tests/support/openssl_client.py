"""The program `openssl s_client` as a DIMSE client: it asks for an association through TLS.

    seen = await visit(server.port, "-tls1_2", "-cipher", "AES128-SHA")
    assert seen.is_associated, seen.text
    print(seen.version, seen.cipher)

What counts is the A-ASSOCIATE-AC: with TLS 1.3 a client believes that its handshake is
over before the acceptor has looked at its certificate.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from dataclasses import dataclass

from asyncdicom.protocol.dimse.sop_classes import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal, Party, propose
from asyncdicom.protocol.upper_layer.pdu import Abort, encode
from tests.support.peers import find_program

__all__ = ["Visit", "visit"]

DEADLINE_S = 40.0
ASSOCIATE_AC = 2
REQUEST = encode(
    propose(
        [ContextProposal(VERIFICATION, (IMPLICIT_VR_LITTLE_ENDIAN,))],
        Party("ARCHIVE", "OPENSSL", 16384),
    )
) + encode(Abort(0, 0))
"""The acceptor closes after the A-ABORT, and then the program ends."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What the program saw."""

    is_associated: bool
    version: str
    """Such as `TLSv1.3`; empty if there was no handshake."""
    cipher: str
    protocol: str
    """That was agreed on by ALPN, or empty."""
    text: str
    """Everything it told."""


async def visit(port: int, *arguments: str) -> Visit:
    """Ask an acceptor of 127.0.0.1 for an association."""
    return await asyncio.to_thread(_visit, port, arguments)


def _visit(port: int, arguments: tuple[str, ...]) -> Visit:
    program = find_program("openssl")
    assert program is not None, "openssl is not installed"
    command = [program, "s_client", "-connect", f"127.0.0.1:{port}", "-brief", "-ign_eof"]
    done = subprocess.run(
        [*command, *arguments], input=REQUEST, capture_output=True, timeout=DEADLINE_S, check=False
    )
    text = done.stderr.decode("latin-1")
    return Visit(
        is_associated=done.stdout[:1] == bytes([ASSOCIATE_AC]),
        version=_found(r"Protocol version: (\S+)", text),
        cipher=_found(r"Ciphersuite: (\S+)", text),
        protocol=_found(r"ALPN protocol: (\S+)", text + done.stdout.decode("latin-1")),
        text=text,
    )


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else ""
