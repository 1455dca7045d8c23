"""Security profiles: their suites and versions, and why the retired ones are refused."""

from __future__ import annotations

import ssl

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.cipher_suites import list_ciphers
from asyncdicom.transports.associations.tls_profiles import (
    TlsProfile,
    cipher_string,
    profile_named,
    rules_of,
)

OFFERED = [
    TlsProfile.RFC8996,
    TlsProfile.RFC8996_MODIFIED,
    TlsProfile.NON_DOWNGRADING,
    TlsProfile.EXTENDED,
]


@pytest.mark.parametrize("profile", OFFERED)
def test_no_profile_goes_below_tls_1_2(profile: TlsProfile) -> None:
    rules = rules_of(profile)
    assert rules.minimum is ssl.TLSVersion.TLSv1_2
    is_old = profile is TlsProfile.EXTENDED
    assert rules.maximum is (ssl.TLSVersion.TLSv1_2 if is_old else ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("profile", OFFERED)
def test_suites_have_forward_secrecy_and_openssl_has_them(profile: TlsProfile) -> None:
    listed = {suite.openssl_name: suite for suite in list_ciphers()}
    assert [listed[name].weakness for name in rules_of(profile).suites if name in listed] == [
        ""
    ] * len(rules_of(profile).suites)


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (TlsProfile.BCP195, "TLS 1.0, which RFC 8996 forbids"),
        (TlsProfile.AES, "no forward secrecy"),
        (TlsProfile.BASIC, "3DES, which can be attacked"),
        (TlsProfile.NULL, "it does not encrypt"),
    ],
)
def test_a_retired_profile_is_refused_with_its_reason(profile: TlsProfile, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        rules_of(profile)
    assert "--profile-bcp195-nd" in caught.value.hint


def test_each_profile_is_offered_or_refused() -> None:
    refused = set(TlsProfile) - set(OFFERED)
    assert {profile.value for profile in refused} == {"bcp195", "aes", "basic", "null"}


def test_profiles_of_settings_for_both_sides_are_the_same() -> None:
    assert profile_named("bcp195") is TlsProfile.RFC8996
    assert profile_named("bcp195-modified") is TlsProfile.RFC8996_MODIFIED


def test_the_level_of_security_is_always_set() -> None:
    assert cipher_string(["A", "B"]) == "@SECLEVEL=2:A:B"
