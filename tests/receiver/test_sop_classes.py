"""Which SOP classes are taken, and in what."""

from __future__ import annotations

import pytest

from asyncdicom.protocol.dimse.association_profiles import AssociationProfile
from asyncdicom.protocol.dimse.sop_classes import VERIFICATION
from asyncdicom.protocol.dimse.storage_classes import STORAGE_CLASSES, STORAGE_ROOT
from asyncdicom.protocol.upper_layer.pdu import ProposedContext
from asyncdicom.receiver.settings import ReceiverSettings
from asyncdicom.receiver.sop_classes import SopClasses
from asyncdicom.transports.associations.acceptor import ServerSettings
from asyncdicom.transports.associations.services import QUERY_CLASSES
from tests.receiver.support import CT, rules

NOTHING = AssociationProfile(name="none", transfer_syntaxes={})


def classes(
    profile: AssociationProfile | None = None, *, is_promiscuous: bool = False
) -> SopClasses:
    return SopClasses(
        ReceiverSettings(
            server=ServerSettings(),
            storing=rules(),
            profile=profile,
            is_promiscuous=is_promiscuous,
        )
    )


@pytest.mark.parametrize("suffix", STORAGE_CLASSES)
def test_each_storage_class_of_the_standard_is_taken(suffix: str) -> None:
    assert classes().takes(STORAGE_ROOT + suffix)
    assert classes(is_promiscuous=True).takes(STORAGE_ROOT + suffix)
    assert not classes(NOTHING).takes(STORAGE_ROOT + suffix)


@pytest.mark.parametrize("uid", ["", "x", "../y", "1.2." + "3" * 70])
def test_what_is_no_uid_is_no_class(uid: str) -> None:
    assert not classes().takes(uid)
    assert not classes(is_promiscuous=True).takes(uid)


@pytest.mark.parametrize("uid", sorted(QUERY_CLASSES))
def test_no_query_is_ever_taken(uid: str) -> None:
    of_a_profile = AssociationProfile(name="x", transfer_syntaxes={uid: ("1.2.840.10008.1.2",)})
    assert not classes().takes(uid)
    assert not classes(is_promiscuous=True).takes(uid)
    assert not classes(of_a_profile).takes(uid)


def test_verification_is_spoken_and_nothing_of_it_is_stored() -> None:
    echo = ProposedContext(1, VERIFICATION, ("1.2.840.10008.1.2",))
    for chosen in (classes(), classes(NOTHING), classes(is_promiscuous=True)):
        assert not chosen.takes(VERIFICATION)
        assert chosen.accepts(echo)


def test_a_context_without_a_transfer_syntax_is_not_accepted() -> None:
    assert not classes().accepts(ProposedContext(1, CT, ()))
    assert not classes(is_promiscuous=True).accepts(ProposedContext(1, CT, ("no UID",)))
