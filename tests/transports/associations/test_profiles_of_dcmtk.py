"""Association profiles beside dcmrecv: which files both take, and what a requestor then sees.

The requestor is pynetdicom; the acceptors are DCMTK's dcmrecv and ours, with the same file.
"""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.dimse.association_profiles import (
    AssociationProfile,
    read_association_profile,
)
from asyncdicom.protocol.upper_layer.user_information import RoleSelection
from asyncdicom.transports.associations.services import Services
from tests.protocol.dimse.profile_files import PROFILE, RIGHT, changed, with_list
from tests.support.peers import find_program, require_peer
from tests.support.processes import accepts_connections, free_port, stop, wait_until
from tests.transports.associations.support import CT, MR, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.upper_layer.pdu import ProposedContext
    from asyncdicom.protocol.upper_layer.user_information import ExtendedNegotiation
    from asyncdicom.transports.associations.services import Requestor

pytestmark = pytest.mark.peer("dcmtk")

ROLES, NEGOTIATION = "SCPSCURoleSelection", "ExtendedNegotiation"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
JPEG, J2K = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
REFUSED = 66
"""Exit code of dcmrecv for a file or profile it does not take."""
START_DEADLINE_S = 40.0


@pytest.fixture(autouse=True)
def dcmtk() -> None:
    require_peer("dcmtk")


@contextmanager
def dcmrecv(folder: Path, text: str, profile: str) -> Iterator[tuple[int, Any]]:
    """Start dcmrecv with a file; yield its port and process, which may end at once."""
    program = find_program("dcmrecv")
    assert program is not None, "dcmrecv is not installed"
    configuration, port, log = folder / "dcmrecv.cfg", free_port(), folder / "dcmrecv.log"
    configuration.write_text(text, encoding="utf-8", newline="")
    command = [program, "-xf", str(configuration), profile, "--ignore", str(port)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        wait_until(
            lambda: accepts_connections(port) or process.poll() is not None,
            process,
            deadline_s=START_DEADLINE_S,
            log=log,
        )
        yield port, process
    finally:
        stop(process)


def is_taken_by_dcmrecv(folder: Path, text: str, profile: str = PROFILE) -> bool:
    with dcmrecv(folder, text, profile) as (_, process):
        assert process.poll() in (None, REFUSED)
        return process.returncode is None


def is_taken_by_us(text: str, profile: str = PROFILE) -> bool:
    try:
        read_association_profile(text, profile)
    except ConfigError:
        return False
    return True


LITTLE, SECOND = "LittleEndianExplicit", "PresentationContext2"
BOTH, NEITHER = (True, True), (False, False)
ONLY_DCMRECV, ONLY_WE = (True, False), (False, True)


@pytest.mark.parametrize(
    ("text", "takers"),
    [
        pytest.param(RIGHT, BOTH, id="the right file"),
        pytest.param(RIGHT.replace("\n", "\r\n"), BOTH, id="lines as in Windows"),
        pytest.param(changed("[U]", "[ u ]"), BOTH, id="blanks in a name"),
        pytest.param(changed("Implicit", "Explicit"), BOTH, id="a transfer syntax twice"),
        pytest.param(changed("CTImageStorage", "1.2.3"), BOTH, id="a private SOP class"),
        pytest.param(changed("[[Profiles]]", "[E]\n[[Profiles]]"), BOTH, id="an unused empty list"),
        pytest.param(
            with_list(NEGOTIATION, "ExtendedNegotiation1 = CTImageStorage\\01fF"), BOTH, id="bytes"
        ),
        pytest.param(with_list(ROLES, "Role1 = CTImageStorage\\both"), BOTH, id="a role"),
        pytest.param("", NEITHER, id="an empty file"),
        pytest.param(changed("CTImageStorage", "VerificationSOPClass"), NEITHER, id="class twice"),
        pytest.param(changed(LITTLE, LITTLE.lower()), NEITHER, id="letters"),
        pytest.param(changed("CTImageStorage\\U", "CTImageStorage"), NEITHER, id="no backslash"),
        pytest.param(changed("CTImageStorage\\U", "CTImageStorage\\V"), NEITHER, id="no such list"),
        pytest.param(changed("TransferSyntax1", "TransferSyntax01"), NEITHER, id="a leading zero"),
        pytest.param(changed("[P]", "[P]\n # x"), NEITHER, id="an indented comment"),
        pytest.param(changed("Contexts = C", "Contexts = D"), NEITHER, id="no such contexts"),
        pytest.param(with_list(ROLES, "Role1 = MRImageStorage\\SCU"), NEITHER, id="not a context"),
        pytest.param(changed(SECOND, "PresentationContext3"), ONLY_DCMRECV, id="gap"),
        pytest.param(changed(SECOND, "PresentationContext1"), ONLY_DCMRECV, id="key"),
        pytest.param(changed("TransferSyntax2", "Foo"), ONLY_DCMRECV, id="an unknown key"),
        pytest.param(changed("[P]", "[P]\n # x = y"), ONLY_DCMRECV, id="an entry for DCMTK"),
        pytest.param(changed("CTImageStorage", "JPEGBaseline"), ONLY_DCMRECV, id="no SOP class"),
        pytest.param(RIGHT + "[[Others]]\n", ONLY_DCMRECV, id="an unknown supersection"),
        pytest.param(changed(LITTLE, f"{LITTLE} "), ONLY_WE, id="blanks"),
        pytest.param("\ufeff" + RIGHT, ONLY_WE, id="a byte order mark"),
        pytest.param(changed("[[Profiles]]", " [[Profiles]]"), ONLY_WE, id="an indented name"),
    ],
)
def test_a_file_is_taken_as_dcmrecv_takes_it_or_for_a_reason_not(
    text: str, takers: tuple[bool, bool], tmp_path: Path
) -> None:
    assert (is_taken_by_dcmrecv(tmp_path, text), is_taken_by_us(text)) == takers


SHIPPED = Path("/etc/dcmtk/storescp.cfg")


@pytest.mark.parametrize("name", ["Default", "AllDICOM", "all dicom"])
def test_the_profiles_that_dcmtk_ships_are_taken(name: str, tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="latin-1")
    assert is_taken_by_dcmrecv(tmp_path, text, name)
    profile = read_association_profile(text, name, source=str(SHIPPED))
    assert len(profile.transfer_syntaxes) >= 128
    assert profile.select(CT, [IMPLICIT, EXPLICIT, JPEG]) == JPEG


def test_the_shipped_profile_of_a_requestor_is_none_of_an_acceptor(tmp_path: Path) -> None:
    text = SHIPPED.with_name("storescu.cfg").read_text(encoding="latin-1")
    assert not is_taken_by_dcmrecv(tmp_path, text, "Default")
    with pytest.raises(ConfigError, match=r"line 66: .* that SOP class was there in line 65"):
        read_association_profile(text, "Default")


class Profiled(Services):
    """Takes what a profile says."""

    def __init__(self, profile: AssociationProfile) -> None:
        self.profile = profile

    def offers(self, requestor: Requestor, abstract_syntax: str, /) -> bool:
        role = requestor.request.user.roles.get(abstract_syntax)
        is_scp_proposed = role is not None and role.is_scp
        return self.profile.offers(abstract_syntax, is_scp_proposed=is_scp_proposed)

    def select(self, _requestor: Requestor, proposed: ProposedContext, /) -> str | None:
        return self.profile.select(proposed.abstract_syntax, proposed.transfer_syntaxes)

    def granted(self, _requestor: Requestor, proposed: RoleSelection, /) -> RoleSelection | None:
        uid = proposed.sop_class_uid
        roles = self.profile.granted_roles(uid, is_scu=proposed.is_scu, is_scp=proposed.is_scp)
        return None if roles is None else RoleSelection(uid, *roles)

    def extended(self, _requestor: Requestor, proposed: ExtendedNegotiation, /) -> bytes | None:
        return self.profile.extended_negotiation.get(proposed.sop_class_uid)


@dataclass(frozen=True)
class Asked:
    """What a requestor proposes."""

    contexts: tuple[tuple[str, tuple[str, ...]], ...]
    role: tuple[bool, bool] | None = None
    """Of CT, as SCU and SCP."""
    information: bytes | None = None
    """Extended negotiation of CT."""


@dataclass(frozen=True)
class Seen:
    """What it then sees; no results where the association was refused."""

    results: tuple[tuple[int, str], ...] = ()
    """Result and transfer syntax by context, in order."""
    role: tuple[bool, bool] | None = None
    information: bytes | None = None


def associate(port: int, asked: Asked) -> Seen:
    """Associate with pynetdicom, once; blocks."""
    items: list[Any] = []
    if asked.role is not None:
        items.append(build_role(CT, scu_role=asked.role[0], scp_role=asked.role[1]))
    if asked.information is not None:
        items.append(SOPClassExtendedNegotiation())
        items[-1].sop_class_uid = CT
        items[-1].service_class_application_information = asked.information
    contexts = [build_context(uid, list(syntaxes)) for uid, syntaxes in asked.contexts]
    answers: list[Any] = []
    association = AE().associate(
        "127.0.0.1",
        port,
        contexts=contexts,
        ext_neg=items,
        evt_handlers=[(evt.EVT_ACCEPTED, lambda event: answers.append(event.assoc.acceptor))],
    )
    if not answers:
        return Seen()
    if association.is_established:
        association.release()
    (acceptor,) = answers
    role = acceptor.role_selection.get(CT)
    answered = acceptor.primitive.presentation_context_definition_results_list
    return Seen(
        tuple((one.result, one.transfer_syntax[0] if one.result == 0 else "") for one in answered),
        None if role is None else (role.scu_role, role.scp_role),
        acceptor.sop_class_extended.get(CT),
    )


def role_list(role: str) -> str:
    return with_list(ROLES, f"Role1 = CTImageStorage\\{role}")


PLAIN = (CT, (IMPLICIT, EXPLICIT))
EXTENDED = with_list(NEGOTIATION, "ExtendedNegotiation1 = CTImageStorage\\0102")
MANY = Asked((PLAIN, (CT, (IMPLICIT,)), (CT, (JPEG,)), (MR, (EXPLICIT,)), (CT, (J2K, EXPLICIT))))
TAKEN = (0, EXPLICIT)


@pytest.mark.parametrize(
    ("text", "asked", "seen"),
    [
        pytest.param(
            RIGHT,
            MANY,
            Seen((TAKEN, (0, IMPLICIT), (4, ""), (3, ""), TAKEN)),
            id="the first of the acceptor's own transfer syntaxes, or why not",
        ),
        pytest.param(RIGHT, Asked((PLAIN,), (False, True)), Seen((TAKEN,)), id="no role"),
        pytest.param(
            role_list("SCU"), Asked((PLAIN,), (True, True)), Seen((TAKEN,), (True, False)), id="SCU"
        ),
        pytest.param(
            role_list("SCP"), Asked((PLAIN,), (True, True)), Seen((TAKEN,), (False, True)), id="SCP"
        ),
        pytest.param(
            role_list("BOTH"),
            Asked((PLAIN,), (True, True)),
            Seen((TAKEN,), (True, True)),
            id="both",
        ),
        pytest.param(
            EXTENDED,
            Asked((PLAIN,), information=b"\x09"),
            Seen((TAKEN,), information=b"\x01\x02"),
            id="extended negotiation is answered with the acceptor's bytes",
        ),
        pytest.param(
            RIGHT, Asked((PLAIN,), information=b"\x09"), Seen((TAKEN,)), id="it is not answered"
        ),
    ],
)
@pytest.mark.anyio
async def test_a_requestor_sees_the_same(
    text: str, asked: Asked, seen: Seen, tmp_path: Path
) -> None:
    with dcmrecv(tmp_path, text, PROFILE) as (port, _):
        assert await asyncio.to_thread(associate, port, asked) == seen
    async with serving(Profiled(read_association_profile(text, PROFILE))) as server:
        assert await asyncio.to_thread(associate, server.port, asked) == seen


@pytest.mark.parametrize(
    ("text", "asked", "ours"),
    [
        pytest.param(RIGHT, Asked(((MR, (EXPLICIT,)),)), Seen(((3, ""),)), id="no such SOP class"),
        pytest.param(RIGHT, Asked(((CT, (JPEG,)),)), Seen(((4, ""),)), id="no such syntax"),
        pytest.param(role_list("SCP"), Asked((PLAIN,)), Seen(((3, ""),)), id="it is not an SCP"),
    ],
)
@pytest.mark.anyio
async def test_where_nothing_is_accepted_we_say_of_each_context_why(
    text: str, asked: Asked, ours: Seen, tmp_path: Path
) -> None:
    with dcmrecv(tmp_path, text, PROFILE) as (port, _):
        assert await asyncio.to_thread(associate, port, asked) == Seen()
    async with serving(Profiled(read_association_profile(text, PROFILE))) as server:
        assert await asyncio.to_thread(associate, server.port, asked) == ours


@pytest.mark.anyio
async def test_nothing_is_answered_that_was_not_asked(tmp_path: Path) -> None:
    asked = Asked((PLAIN,))
    with dcmrecv(tmp_path, EXTENDED, PROFILE) as (port, _):
        theirs = await asyncio.to_thread(associate, port, asked)
        assert theirs == Seen((TAKEN,), information=b"\x01\x02")
    async with serving(Profiled(read_association_profile(EXTENDED, PROFILE))) as server:
        assert await asyncio.to_thread(associate, server.port, asked) == Seen((TAKEN,))
