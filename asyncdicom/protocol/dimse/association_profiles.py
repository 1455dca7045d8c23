r"""Association profiles: which SOP classes are accepted, and in which transfer syntaxes.

    profile = read_association_profile(text, "Default", source="storescp.cfg")
    profile.offers(abstract_syntax)                             # if not, refuse with result 3
    profile.select(abstract_syntax, proposed_transfer_syntaxes) # if None, refuse with result 4

The text is a configuration file as DCMTK's tools take it (`--config-file FILE PROFILE`):

    [[TransferSyntaxes]]
    [Any]
    TransferSyntax1 = JPEG2000LosslessOnly
    TransferSyntax2 = LittleEndianExplicit

    [[PresentationContexts]]
    [Images]
    PresentationContext1 = VerificationSOPClass\Any
    PresentationContext2 = CTImageStorage\Any
    PresentationContext3 = 1.2.3.4.5\Any

    [[Profiles]]
    [Default]
    PresentationContexts = Images

Rules:
    1. SOP classes and transfer syntaxes are UIDs, private ones too, or DCMTK's names.
    2. What DCMTK accepts and then does something else with, such as a gap in the numbers
       behind which it stops reading, is refused; the message names the line.
    3. All of the file has to be right, whichever profile is asked for. Only a SOP class
       may be in a list twice if the profile does not use that list: requestors do that.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.dimse.supersections import (
    MAX_SHOWN_CHARACTERS,
    Entry,
    Section,
    Tree,
    failure,
    folded,
    read_supersections,
    shown,
)
from asyncdicom.protocol.dimse.symbolic_names import (
    SOP_CLASSES,
    TRANSFER_SYNTAXES,
    find_sop_class,
    find_transfer_syntax,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

__all__ = ["AssociationProfile", "Role", "read_association_profile"]

T = TypeVar("T")

TRANSFER_SYNTAX_LISTS: Final = "TransferSyntaxes"
CONTEXT_LISTS: Final = "PresentationContexts"
ROLE_LISTS: Final = "SCPSCURoleSelection"
NEGOTIATION_LISTS: Final = "ExtendedNegotiation"
PROFILES: Final = "Profiles"
MANDATORY: Final = (TRANSFER_SYNTAX_LISTS, CONTEXT_LISTS, PROFILES)
SUPERSECTIONS: Final = (*MANDATORY, ROLE_LISTS, NEGOTIATION_LISTS)
KEYS_OF_A_PROFILE: Final = (CONTEXT_LISTS, ROLE_LISTS, NEGOTIATION_LISTS)

NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")
HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
MAX_INFORMATION_BYTES: Final = 65000
"""Of one extended negotiation; its length is a field of 16 bits, together with its UID."""


class Role(Enum):
    """What a requestor may be for a SOP class (PS3.7 §D.3.3.4)."""

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
    """Where absent, the requestor is SCU, whatever it proposes."""
    extended_negotiation: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Service-class-application-information that we answer with (PS3.7 §D.3.3.5)."""

    def offers(self, abstract_syntax: str, *, is_scp_proposed: bool = False) -> bool:
        """Tell whether a SOP class is accepted at all; if not, refuse it with result 3.

        Args:
            abstract_syntax: SOP Class UID.
            is_scp_proposed: Whether the requestor proposes to be its SCP.

        """
        is_known = abstract_syntax in self.transfer_syntaxes
        # PS3.7 §D.3.3.4: a requestor that proposes no role is SCU.
        is_possible = is_scp_proposed or self.roles.get(abstract_syntax) is not Role.SCP
        return is_known and is_possible

    def select(self, abstract_syntax: str, proposed: Collection[str]) -> str | None:
        """Return the first of our own transfer syntaxes that the peer proposes, too.

        None refuses the context: with result 3 if the SOP class is not offered, else 4.
        """
        ours = self.transfer_syntaxes.get(abstract_syntax, ())
        return next((one for one in ours if one in proposed), None)

    def granted_roles(
        self, abstract_syntax: str, *, is_scu: bool, is_scp: bool
    ) -> tuple[bool, bool] | None:
        """Return which of the proposed roles are accepted: SCU, SCP; None answers nothing."""
        role = self.roles.get(abstract_syntax)
        if role is None:
            return None
        return is_scu and role is not Role.SCP, is_scp and role is not Role.SCU


def read_association_profile(text: str, name: str, *, source: str = "") -> AssociationProfile:
    """Read one profile of a configuration file.

    Args:
        text: All of the file, decoded in any way that keeps ASCII.
        name: Of the profile; case and blanks do not count.
        source: Name of the file, for messages.

    Raises:
        ConfigError: If anything in the file is wrong, with its line, or the profile is not
            in it.

    """
    try:
        return _Interpreter(read_supersections(text, SUPERSECTIONS)).profile(name)
    except ConfigError as error:
        if not source:
            raise
        raise ConfigError(f"{source}: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class _Context:
    """A SOP class of a list of presentation contexts."""

    sop_class: str
    transfer_syntaxes: tuple[str, ...]
    entry: Entry


class _Interpreter:
    """Makes sense of the sections, all of them, in an order in which names are known."""

    def __init__(self, tree: Tree) -> None:
        for name in MANDATORY:
            if folded(name) not in tree:
                raise ConfigError(f"there is no [[{name}]]", hint="add it, with its sections")
        self._tree = tree
        self._syntaxes = self._lists(TRANSFER_SYNTAX_LISTS, "TransferSyntax", _transfer_syntaxes)
        self._contexts = self._lists(CONTEXT_LISTS, "PresentationContext", self._read_contexts)
        self._roles = self._lists(ROLE_LISTS, "Role", _roles)
        self._negotiations = self._lists(NEGOTIATION_LISTS, NEGOTIATION_LISTS, _negotiations)

    def _lists(
        self, supersection: str, key: str, read: Callable[[Sequence[Entry]], T]
    ) -> dict[str, T]:
        sections = self._tree.get(folded(supersection), {})
        return {name: read(_numbered(section, key)) for name, section in sections.items()}

    def profile(self, name: str) -> AssociationProfile:
        """Check all profiles, and return one."""
        sections = self._tree[folded(PROFILES)]
        checked = {key: self._checked(section) for key, section in sections.items()}
        if folded(name) not in sections:
            there = ", ".join(section.name for section in sections.values())
            raise ConfigError(
                f"there is no profile {shown(name)}", hint=f"one of: {there[:400]}" * bool(there)
            )
        contexts, roles, negotiations = checked[folded(name)]
        return AssociationProfile(
            name=sections[folded(name)].name,
            transfer_syntaxes=MappingProxyType(_by_sop_class(contexts)),
            roles=MappingProxyType({uid: role for uid, (role, _) in roles.items()}),
            extended_negotiation=MappingProxyType(
                {uid: information for uid, (information, _) in negotiations.items()}
            ),
        )

    def _checked(
        self, section: Section
    ) -> tuple[list[_Context], dict[str, tuple[Role, Entry]], dict[str, tuple[bytes, Entry]]]:
        """Follow the entries of a profile to the lists they name."""
        allowed = {folded(key) for key in KEYS_OF_A_PROFILE}
        for key, entry in section.entries.items():
            if key not in allowed:
                raise failure(
                    entry.line,
                    f"no key of a profile: {shown(entry.key)}",
                    hint=f"one of {', '.join(KEYS_OF_A_PROFILE)}",
                )
        if folded(CONTEXT_LISTS) not in section.entries:
            raise failure(
                section.line,
                f"profile {shown(section.name)} has no presentation contexts",
                hint=f"add {CONTEXT_LISTS} = and the name of a section of [[{CONTEXT_LISTS}]]",
            )
        contexts = _found(section, CONTEXT_LISTS, self._contexts) or []
        roles = _found(section, ROLE_LISTS, self._roles) or {}
        negotiations = _found(section, NEGOTIATION_LISTS, self._negotiations) or {}
        known = {context.sop_class for context in contexts}
        for uid, (_, entry) in (*roles.items(), *negotiations.items()):
            if uid not in known:
                raise failure(
                    entry.line,
                    f"{shown(entry.value)} is about a SOP class that is not in the presentation"
                    f" contexts of profile {shown(section.name)}",
                    hint="add a presentation context, or take this line out",
                )
        return contexts, roles, negotiations

    def _read_contexts(self, entries: Sequence[Entry]) -> list[_Context]:
        return [self._context(entry) for entry in entries]

    def _context(self, entry: Entry) -> _Context:
        sop_class, name = _split(entry, "transfer syntaxes")
        syntaxes = self._syntaxes.get(folded(name))
        if not syntaxes:
            problem = "no list of transfer syntaxes" if syntaxes is None else "an empty list"
            sections = self._tree[folded(TRANSFER_SYNTAX_LISTS)].values()
            raise failure(
                entry.line,
                f"{shown(name)} is {problem}",
                hint=_likely(name, [section.name for section in sections])
                or f"add [{name[:MAX_SHOWN_CHARACTERS]}] to [[{TRANSFER_SYNTAX_LISTS}]]",
            )
        return _Context(sop_class, syntaxes, entry)


def _numbered(section: Section, key: str) -> list[Entry]:
    """Return the entries of a list in the order of their numbers, which are 1, 2, 3, ..."""
    by_number: dict[int, Entry] = {}
    for name, entry in section.entries.items():
        digits = name.removeprefix(folded(key))
        if digits == name or not NUMBER.fullmatch(digits):
            raise failure(
                entry.line,
                f"{shown(entry.key)} is not a key of this section",
                hint=f"write {key}1, {key}2 and so on, without leading zeros",
            )
        by_number[int(digits)] = entry
    ordered = sorted(by_number)
    for expected, number in enumerate(ordered, start=1):
        if number != expected:
            raise failure(
                by_number[number].line,
                f"{key}{expected} is missing before {key}{number}",
                hint="number without gaps: DCMTK would ignore this line and those after it",
            )
    return [by_number[number] for number in ordered]


def _found(section: Section, key: str, lists: Mapping[str, T]) -> T | None:
    """Return the list that an entry of a profile names; None where there is no such entry."""
    entry = section.entries.get(folded(key))
    if entry is None:
        return None
    found = lists.get(folded(entry.value))
    if not found:
        problem = "has no entries" if found is not None else f"is not a section of [[{key}]]"
        raise failure(
            entry.line, f"{shown(entry.value)} {problem}", hint=f"see [[{key}]] for what is there"
        )
    return found


def _by_sop_class(contexts: Iterable[_Context]) -> dict[str, tuple[str, ...]]:
    first: dict[str, _Context] = {}
    for context in contexts:
        former = first.setdefault(context.sop_class, context)
        if former is not context:
            raise failure(
                context.entry.line,
                f"{shown(context.entry.value)}: that SOP class was there in line"
                f" {former.entry.line}",
                hint="an acceptor has one list of transfer syntaxes for each SOP class; merge them",
            )
    return {uid: context.transfer_syntaxes for uid, context in first.items()}


def _transfer_syntaxes(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_transfer_syntax, entries)))


def _transfer_syntax(entry: Entry) -> str:
    uid = find_transfer_syntax(entry.value)
    if uid is None:
        raise _unknown(entry, entry.value, "transfer syntax", TRANSFER_SYNTAXES)
    return uid


def _roles(entries: Sequence[Entry]) -> dict[str, tuple[Role, Entry]]:
    return _once(entries, "role", _role)


def _role(entry: Entry, value: str) -> Role:
    try:
        return Role(value.upper())
    except ValueError:
        raise failure(
            entry.line, f"no role: {shown(value)}", hint="one of SCU, SCP and BOTH"
        ) from None


def _negotiations(entries: Sequence[Entry]) -> dict[str, tuple[bytes, Entry]]:
    return _once(entries, "information in hexadecimal digits", _information)


def _information(entry: Entry, value: str) -> bytes:
    if not HEX.fullmatch(value) or len(value) > 2 * MAX_INFORMATION_BYTES:
        raise failure(
            entry.line,
            f"not bytes in hexadecimal digits: {shown(value)}",
            hint="write two digits for each byte without blanks, such as 010001",
        )
    return bytes.fromhex(value)


def _once(
    entries: Sequence[Entry], what: str, read: Callable[[Entry, str], T]
) -> dict[str, tuple[T, Entry]]:
    r"""Read entries `SOPCLASS\value`, each SOP class at most once."""
    found: dict[str, tuple[T, Entry]] = {}
    for entry in entries:
        sop_class, value = _split(entry, what)
        if sop_class in found:
            raise failure(
                entry.line,
                f"{shown(entry.value)}: that SOP class was there in line"
                f" {found[sop_class][1].line}",
                hint="take one of the lines out",
            )
        found[sop_class] = (read(entry, value), entry)
    return found


def _split(entry: Entry, what: str) -> tuple[str, str]:
    name, backslash, value = entry.value.partition("\\")
    if not backslash:
        raise failure(
            entry.line,
            f"no \\ in {shown(entry.value)}",
            hint=f"write the SOP class, \\ and the {what}",
        )
    uid = find_sop_class(name.strip())
    if uid is None:
        raise _unknown(entry, name.strip(), "SOP class", SOP_CLASSES)
    return uid, value.strip()


def _unknown(entry: Entry, value: str, what: str, names: Mapping[str, str]) -> ConfigError:
    hint = _likely(value, names)
    if "#" in value:
        hint = "comments stand on lines of their own"
    return failure(
        entry.line,
        f"no {what}: {shown(value)}",
        hint=hint or f"write the UID of the {what}, or DCMTK's name of it",
    )


def _likely(value: str, names: Iterable[str]) -> str:
    """Return the name that was meant, as a question, or nothing."""
    names = list(names)
    by_letters = {folded(name): name for name in names}
    key = folded(value[:MAX_SHOWN_CHARACTERS])
    close = difflib.get_close_matches(key, by_letters, n=1, cutoff=0.8)
    return f"is it {by_letters[close[0]]}?" if close else ""
