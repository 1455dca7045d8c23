"""Association profiles: what is read, what is refused with which line, what is then selected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.dimse.association_profiles import (
    AssociationProfile,
    Role,
    read_association_profile,
)
from asyncdicom.protocol.dimse.sop_classes import (
    BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    VERIFICATION,
)
from tests.protocol.dimse.profile_files import PROFILE, RIGHT, changed, with_list

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
JPEG = "1.2.840.10008.1.2.4.50"
EXPLICIT, IMPLICIT = EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
PLAIN = (EXPLICIT, IMPLICIT)
ROLES, NEGOTIATION = "SCPSCURoleSelection", "ExtendedNegotiation"


def read(text: str, name: str = PROFILE) -> AssociationProfile:
    return read_association_profile(text, name)


def test_a_profile_says_what_is_taken() -> None:
    profile = read(RIGHT)
    assert profile.name == "P"
    assert profile.transfer_syntaxes == {VERIFICATION: PLAIN, CT: PLAIN}
    assert profile.roles == {}
    assert profile.extended_negotiation == {}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(RIGHT.lower().replace("littleendian", "LittleEndian").replace(
            "explicit", "Explicit").replace("implicit", "Implicit").replace(
            "verificationsopclass", "VerificationSOPClass").replace(
            "ctimagestorage", "CTImageStorage"), id="small letters in names and keys"),
        pytest.param(changed("[U]", "[ u ]"), id="blanks in the name of a list"),
        pytest.param(changed("CTImageStorage\\U", "CTImageStorage \\ u "), id="blanks around \\"),
        pytest.param(changed("CTImageStorage", CT), id="a UID of a SOP class"),
        pytest.param(changed("LittleEndianImplicit", IMPLICIT), id="a UID of a transfer syntax"),
        pytest.param(changed("= LittleEndianImplicit", "= LittleEndianExplicit\nTransfer Syntax 3"
                             " = LittleEndianImplicit"), id="a transfer syntax twice"),
        pytest.param(changed("[[Profiles]]", "[E]\n[[Profiles]]"), id="an empty list of no use"),
        pytest.param(
            changed("[[Profiles]]", "[D]\nPresentationContext1 = CTImageStorage\\U\n"
                    "PresentationContext2 = CTImageStorage\\U\n[[Profiles]]\n[Q]\n"
                    "PresentationContexts = D"),
            id="a SOP class twice in another profile, which is one of a requestor",
        ),
        pytest.param(
            "[[Profiles]]\n[P]\nPresentationContexts = C\n" + RIGHT.partition("[[Profiles]]")[0],
            id="profiles before what they name",
        ),
    ],
)  # fmt: skip
def test_other_ways_to_write_the_same(text: str) -> None:
    profile = read(text)
    assert profile.transfer_syntaxes == {VERIFICATION: PLAIN, CT: PLAIN}


@pytest.mark.parametrize("name", ["P", "p", " p "])
def test_case_and_blanks_do_not_count_in_the_name_of_a_profile(name: str) -> None:
    assert read(RIGHT, name).name == "P"


def test_entries_are_in_the_order_of_their_numbers() -> None:
    text = changed("TransferSyntax1", "TransferSyntax3").replace(
        "[[Pres", "TransferSyntax1 = OppositeEndianExplicit\n[[Pres"
    )
    assert read(text).transfer_syntaxes[CT] == (BIG_ENDIAN, IMPLICIT, EXPLICIT)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param(changed("TransferSyntax1", "TransferSyntax01"), 3,
                     "'TransferSyntax01' is not a key", id="a leading zero"),
        pytest.param(changed("TransferSyntax1", "TransferSyntax"), 3, "is not a key",
                     id="no number"),
        pytest.param(changed("TransferSyntax1", "Foo"), 3, "'Foo' is not a key", id="another key"),
        pytest.param(changed("TransferSyntax1", "1"), 3, "'1' is not a key", id="only a number"),
        pytest.param(changed("TransferSyntax1", "TransferSyntax" + "9" * 5000), 3, "is not a key",
                     id="a number without end"),
        pytest.param(changed("PresentationContext2", "PresentationContext3"), 8,
                     "PresentationContext2 is missing before PresentationContext3", id="a gap"),
        pytest.param(changed("TransferSyntax1", "TransferSyntax3"), 4,
                     "TransferSyntax1 is missing before TransferSyntax2", id="no first one"),
        pytest.param(changed("[P]", "[P]\n # x"), 11, "a comment has to begin in the first column",
                     id="an indented comment"),
        pytest.param(changed("LittleEndianExplicit", "LittleEndianExplicit # x"), 3,
                     "no transfer syntax: 'LittleEndianExplicit # x'; comments stand on lines",
                     id="a comment behind a value"),
        pytest.param(changed("= LittleEndianExplicit", "="), 3, "no transfer syntax: ''",
                     id="no value"),
        pytest.param(changed("LittleEndianExplicit", "littleendianexplicit"), 3,
                     "no transfer syntax: 'littleendianexplicit'; is it LittleEndianExplicit?",
                     id="small letters in a value"),
        pytest.param(changed("LittleEndianExplicit", "CTImageStorage"), 3, "no transfer syntax",
                     id="a SOP class where a transfer syntax should be"),
        pytest.param(changed("CTImageStorage", "JPEGBaseline"), 8, "no SOP class: 'JPEGBaseline'",
                     id="a transfer syntax where a SOP class should be"),
        pytest.param(changed("CTImageStorage", "CatImageStorage"), 8,
                     "no SOP class: 'CatImageStorage'; is it CTImageStorage?",
                     id="an unknown SOP class"),
        pytest.param(changed("CTImageStorage", "1.2.x"), 8, "no SOP class: '1.2.x'; write the UID",
                     id="not a UID"),
        pytest.param(changed("CTImageStorage\\U", "CTImageStorage"), 8,
                     "no \\ in 'CTImageStorage'; write the SOP class, \\ and the transfer syntaxes",
                     id="no backslash"),
        pytest.param(changed("CTImageStorage\\U", "CTImageStorage\\V"), 8,
                     "'V' is no list of transfer syntaxes; add [V] to [[TransferSyntaxes]]",
                     id="an unknown list of transfer syntaxes"),
        pytest.param(changed("CTImageStorage\\U", "CTImageStorage\\U\\V"), 8,
                     "'U\\V' is no list of transfer syntaxes", id="two backslashes"),
        pytest.param(changed("[U]", "[Plain]"), 7, "'U' is no list of transfer syntaxes",
                     id="a list of another name"),
        pytest.param(changed("[[Pres", "[V]\n[[Pres").replace("CTImageStorage\\U",
                     "CTImageStorage\\V"), 9, "'V' is an empty list", id="an empty list"),
        pytest.param(changed("[[Pres", "[V]\nTransferSyntax1 = x\n[[Pres"), 6,
                     "no transfer syntax: 'x'", id="a wrong list that is not used"),
        pytest.param(changed("CTImageStorage", "VerificationSOPClass"), 8,
                     "'VerificationSOPClass\\U': that SOP class was there in line 7",
                     id="a SOP class twice"),
        pytest.param(changed("CTImageStorage", VERIFICATION), 8,
                     f"'{VERIFICATION}\\U': that SOP class was there in line 7",
                     id="a SOP class twice, once by its UID"),
        pytest.param(changed("[P]\nPresentationContexts = C", "[P]\n"), 10,
                     "profile 'P' has no presentation contexts", id="no presentation contexts"),
        pytest.param(RIGHT + "[Q]\n", 12, "profile 'Q' has no presentation contexts",
                     id="an empty profile that is not used"),
        pytest.param(RIGHT + "Contexts = C\n", 12, "no key of a profile: 'Contexts'",
                     id="an unknown key of a profile"),
        pytest.param(changed("Contexts = C", "Contexts = D"), 11,
                     "'D' is not a section of [[PresentationContexts]]", id="an unknown list"),
        pytest.param(changed("Contexts = C", "Contexts = D").replace("[[Prof", "[D]\n[[Prof"), 12,
                     "'D' has no entries", id="an empty list of contexts"),
        pytest.param(RIGHT + "SCPSCURoleSelection = R\n", 12,
                     "'R' is not a section of [[SCPSCURoleSelection]]", id="an unknown role list"),
        pytest.param(with_list(ROLES, "Role1 = CTImageStorage\\X"), 11, "no role: 'X'; one of SCU",
                     id="an unknown role"),
        pytest.param(with_list(ROLES, "Role1 = CTImageStorage"), 11, "no \\ in 'CTImageStorage'",
                     id="no role"),
        pytest.param(with_list(ROLES, "Role1 = CTImageStorage\\SCU", f"Role2 = {CT}\\SCP"), 12,
                     f"'{CT}\\SCP': that SOP class was there in line 11", id="two roles"),
        pytest.param(with_list(ROLES, "Role1 = MRImageStorage\\SCU"), 11,
                     "is about a SOP class that is not in the presentation contexts",
                     id="a role of a SOP class that is not taken"),
        pytest.param(with_list(NEGOTIATION, "ExtendedNegotiation1 = CTImageStorage\\01 02"), 11,
                     "not bytes in hexadecimal digits: '01 02'", id="blanks between bytes"),
        pytest.param(with_list(NEGOTIATION, "ExtendedNegotiation1 = CTImageStorage\\012"), 11,
                     "not bytes in hexadecimal digits: '012'", id="half a byte"),
        pytest.param(with_list(NEGOTIATION, "ExtendedNegotiation1 = CTImageStorage\\"), 11,
                     "not bytes in hexadecimal digits: ''", id="no bytes"),
        pytest.param(with_list(NEGOTIATION, f"ExtendedNegotiation1 = {CT}\\" + "00" * 65001), 11,
                     "not bytes in hexadecimal digits", id="more bytes than the item holds"),
        pytest.param(with_list(NEGOTIATION, "ExtendedNegotiation1 = MRImageStorage\\01"), 11,
                     "is about a SOP class that is not in the presentation contexts",
                     id="extended negotiation of a SOP class that is not taken"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(f"line {line}: ")
    assert message in str(caught.value)
    assert caught.value.hint
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["TransferSyntaxes", "PresentationContexts", "Profiles"])
def test_three_supersections_have_to_be_there(name: str) -> None:
    before, _, after = RIGHT.partition(f"[[{name}]]")
    _, bracket, others = after.partition("[[")
    with pytest.raises(ConfigError, match=rf"there is no \[\[{name}\]\]"):
        read(before + bracket + others)


def test_who_asks_for_an_absent_profile_learns_which_there_are() -> None:
    with pytest.raises(ConfigError, match="there is no profile 'Default'; one of: P, Q") as caught:
        read(RIGHT + "[Q]\nPresentationContexts = C\n", "Default")
    assert "line" not in caught.value.message


def test_a_file_without_profiles_has_none_to_name() -> None:
    with pytest.raises(ConfigError) as caught:
        read(RIGHT.partition("[P]")[0])
    assert str(caught.value) == "there is no profile 'P'"


def test_messages_begin_with_the_name_of_the_file() -> None:
    with pytest.raises(ConfigError, match=r"^a\.cfg: line 12: neither a section nor .*; write"):
        read_association_profile(RIGHT + "x\n", PROFILE, source="a.cfg")


def test_what_is_first_among_ours_is_selected() -> None:
    profile = read(RIGHT)
    assert profile.select(CT, [JPEG, IMPLICIT, EXPLICIT]) == EXPLICIT
    assert profile.select(CT, [IMPLICIT]) == IMPLICIT
    assert profile.select(CT, [JPEG]) is None
    assert profile.select(CT, []) is None
    assert profile.select(MR, [EXPLICIT]) is None


def test_a_sop_class_is_offered_if_it_is_in_the_list() -> None:
    profile = read(RIGHT)
    assert profile.offers(CT)
    assert not profile.offers(MR)
    assert not profile.offers(MR, is_scp_proposed=True)


@pytest.mark.parametrize(
    ("written", "role"), [("SCU", Role.SCU), ("scp", Role.SCP), ("Both", Role.BOTH)]
)
def test_roles_are_read(written: str, role: Role) -> None:
    profile = read(with_list(ROLES, f"Role1 = CTImageStorage\\{written}"))
    assert profile.roles == {CT: role}


PROPOSALS = [(True, False), (False, True), (True, True)]


@pytest.mark.parametrize(
    ("role", "granted"),
    [
        (Role.SCU, [(True, False), (False, False), (True, False)]),
        (Role.SCP, [(False, False), (False, True), (False, True)]),
        (Role.BOTH, [(True, False), (False, True), (True, True)]),
        (None, [None, None, None]),
    ],
)
def test_of_the_proposed_roles_those_of_the_profile_are_granted(
    role: Role | None, granted: list[tuple[bool, bool] | None]
) -> None:
    roles = {} if role is None else {CT: role}
    profile = AssociationProfile(name="P", transfer_syntaxes={CT: PLAIN}, roles=roles)
    answers = [profile.granted_roles(CT, is_scu=scu, is_scp=scp) for scu, scp in PROPOSALS]
    assert answers == granted


def test_who_proposes_no_role_is_scu_and_not_accepted_where_only_an_scp_is() -> None:
    profile = read(with_list(ROLES, "Role1 = CTImageStorage\\SCP"))
    assert not profile.offers(CT)
    assert profile.offers(CT, is_scp_proposed=True)
    assert profile.offers(VERIFICATION)


def test_extended_negotiation_is_read() -> None:
    profile = read(with_list(NEGOTIATION, "ExtendedNegotiation1 = CTImageStorage\\00fF10"))
    assert profile.extended_negotiation == {CT: b"\x00\xff\x10"}


CRUMBS = st.sampled_from(
    [
        *("[[", "]]", "[", "]", "=", "\\", "#", "\n", "\r\n", " ", "\t", "\ufeff", "U", "C", "P"),
        *("TransferSyntaxes", "PresentationContexts", "Profiles", ROLES, NEGOTIATION),
        *("TransferSyntax1", "TransferSyntax2", "PresentationContext1", "Role1", "01", "SCU"),
        *("ExtendedNegotiation1", "LittleEndianExplicit", "CTImageStorage", "1.2.3", "\x00"),
    ]
)
ANY = st.one_of(
    st.text(),
    st.lists(CRUMBS, max_size=60).map("".join),
    # The right file, with crumbs in place of some of it.
    st.builds(
        lambda start, length, crumb: RIGHT[:start] + crumb + RIGHT[start + length :],
        st.integers(0, len(RIGHT)),
        st.integers(0, 40),
        st.lists(CRUMBS, max_size=4).map("".join),
    ),
)


@given(ANY, st.sampled_from(["P", "C", "", "\n"]))
def test_any_text_is_a_profile_or_told_to_be_none(text: str, name: str) -> None:
    try:
        profile = read(text, name)
    except ConfigError as error:
        told = str(error)
    else:
        told = ""
        assert all(profile.select(uid, ours) == ours[0] for uid, ours in
                   profile.transfer_syntaxes.items())  # fmt: skip
        assert profile.roles.keys() <= profile.transfer_syntaxes.keys()
        assert profile.extended_negotiation.keys() <= profile.transfer_syntaxes.keys()
    assert "\n" not in told
