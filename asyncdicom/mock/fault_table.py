"""The list of faults as text, made from the list that is executed."""

from __future__ import annotations

from asyncdicom.mock import faults
from asyncdicom.mock.effects import EFFECTS, status_effect

__all__ = ["fault_table"]


def fault_table() -> str:
    """Return the language, and every fault with its options."""
    language = (faults.__doc__ or "").strip()
    status = status_effect("503")
    assert status is not None, "503 is a status"
    lines = [language, "", "Faults", ""]
    for name, effect in {**EFFECTS, "NNN": status}.items():
        summary = "answer with that status, 200 to 599" if name == "NNN" else effect.summary
        lines.append(f"  {name:<20} {summary}")
        lines += [f"  {'':<20}   {option}: {text}" for option, text in effect.options.items()]
    return "\n".join(lines)
