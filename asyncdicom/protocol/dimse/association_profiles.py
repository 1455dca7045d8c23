"""Association profiles: which SOP classes are accepted, in which transfer syntaxes.

    profile = read_association_profile(text, "Default")
    profile.select(abstract_syntax, proposed_transfer_syntaxes)     # a UID, or None to refuse

The text is a configuration file as DCMTK's tools take it (`--config-file FILE PROFILE`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["AssociationProfile", "Role", "read_association_profile"]


class Role(Enum):
    """What the requestor may be for a SOP class (PS3.7 §D.3.3.4)."""

    SCU = "SCU"
    SCP = "SCP"
    BOTH = "BOTH"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationProfile:
    """What an acceptor takes, by SOP Class UID."""

    name: str
    """As in the file."""
    transfer_syntaxes: Mapping[str, tuple[str, ...]]
    """UIDs in our own order of preference; a SOP class that is absent is not accepted."""
    roles: Mapping[str, Role] = field(default_factory=lambda: MappingProxyType({}))
    """Where absent, the requestor is SCU."""
    extended_negotiation: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Service-class-application-information that we answer with (PS3.7 §D.3.3.5)."""

    def offers(self, abstract_syntax: str) -> bool:
        """Tell whether a SOP class is accepted at all; if not, refuse it with result 3."""
        return abstract_syntax in self.transfer_syntaxes

    def select(self, abstract_syntax: str, proposed: Collection[str]) -> str | None:
        """Return the first of our own transfer syntaxes that the peer offers, too.

        None refuses the context: with result 3 if the SOP class is not offered, else 4.
        """
        ours = self.transfer_syntaxes.get(abstract_syntax, ())
        return next((one for one in ours if one in proposed), None)


def read_association_profile(text: str, name: str, *, source: str = "") -> AssociationProfile:
    """Read one profile of a configuration file.

    Args:
        text: All of the file, decoded in any way that keeps ASCII.
        name: Of the profile; case and blanks do not count.
        source: Name of the file, for messages.

    Raises:
        ConfigError: If anything in the file is wrong; the message names its line.

    """
    raise NotImplementedError
