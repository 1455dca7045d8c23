"""Configuration files for the tests of association profiles: a right one, and changes to it."""

from __future__ import annotations

__all__ = ["PROFILE", "RIGHT", "changed", "with_list"]

PROFILE = "P"
RIGHT = """\
[[TransferSyntaxes]]
[U]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[C]
PresentationContext1 = VerificationSOPClass\\U
PresentationContext2 = CTImageStorage\\U
[[Profiles]]
[P]
PresentationContexts = C
"""


def changed(old: str, new: str) -> str:
    """Return the right file with one thing replaced."""
    assert RIGHT.count(old) == 1, old
    return RIGHT.replace(old, new)


def with_list(supersection: str, *entries: str) -> str:
    """Return the right file with a list of roles or extended negotiation that its profile uses."""
    lines = f"[[{supersection}]]\n[L]\n" + "".join(f"{entry}\n" for entry in entries)
    return changed("[[Profiles]]", f"{lines}[[Profiles]]") + f"{supersection} = L\n"
