"""User information, by what is asked of it (PS3.7 Annex D)."""

from __future__ import annotations

from asyncdicom.protocol.upper_layer.user_information import (
    DEFAULT_PEER_PDU_BYTES,
    AsyncOperationsWindow,
    ImplementationClass,
    ImplementationVersion,
    MaximumLength,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)

SCP = RoleSelection("1.2", is_scu=False, is_scp=True)
SCU = RoleSelection("1.2", is_scu=True, is_scp=False)
OTHER = RoleSelection("1.3", is_scu=True, is_scp=True)
IDENTITY = UserIdentity.of_user("me", "secret")


def test_what_was_said_is_found() -> None:
    user = UserInformation(
        (
            MaximumLength(4096),
            ImplementationClass("1.2.3"),
            ImplementationVersion("V1"),
            AsyncOperationsWindow(3, 4),
            SCP,
            OTHER,
            IDENTITY,
            UserIdentityResponse(b"OK"),
        )
    )
    assert user.max_pdu_bytes == 4096
    assert user.implementation_class_uid == "1.2.3"
    assert user.implementation_version == "V1"
    assert user.async_operations == AsyncOperationsWindow(3, 4)
    assert user.roles == {"1.2": SCP, "1.3": OTHER}
    assert user.identity is IDENTITY
    assert user.identity_response == b"OK"


def test_what_was_not_said_has_its_default() -> None:
    user = UserInformation()
    assert user.max_pdu_bytes == DEFAULT_PEER_PDU_BYTES
    assert user.implementation_class_uid == user.implementation_version == ""
    assert user.async_operations == AsyncOperationsWindow(1, 1)
    assert user.roles == {}
    assert user.identity is None
    assert user.identity_response is None


def test_no_limit_is_not_the_default() -> None:
    assert UserInformation((MaximumLength(0),)).max_pdu_bytes == 0


def test_what_comes_twice_counts_the_first_time() -> None:
    user = UserInformation((MaximumLength(4096), SCP, MaximumLength(0), SCU))
    assert user.max_pdu_bytes == 4096
    assert user.roles == {"1.2": SCP}


def test_a_user_has_a_passcode_or_none() -> None:
    assert UserIdentity.of_user("Jörg") == UserIdentity(1, "Jörg".encode())
    assert UserIdentity(2, b"me", b"secret") == IDENTITY


def test_no_secret_is_shown() -> None:
    shown = repr(UserInformation((IDENTITY, UserIdentityResponse(b"token"))))
    assert "secret" not in shown
    assert "me" not in shown.replace("UserIdentity", "").replace("items", "")
    assert "token" not in shown
