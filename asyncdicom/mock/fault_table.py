"""The list of faults as text, made from the list that is executed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.mock import dimse_faults, faults, s3_faults
from asyncdicom.mock.dimse_effects import DIMSE_EFFECTS, INTERRUPTING, dimse_status_effect
from asyncdicom.mock.effects import EFFECTS, status_effect
from asyncdicom.mock.s3_effects import S3_EFFECTS, S3_KINDS, s3_status_effect

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["fault_table"]


def fault_table() -> str:
    """Return the language, and every fault with its options."""
    status, dimse_status = status_effect("503"), dimse_status_effect("A702")
    assert status is not None, "503 is a status"
    assert dimse_status is not None, "A702 is a status"
    web = {**EFFECTS, "NNN": replace(status, summary="answer with that status, 200 to 599")}
    end = "end with that status of DIMSE, four hexadecimal digits"
    dimse = {**DIMSE_EFFECTS, "HHHH": replace(dimse_status, summary=end)}
    lines = [(faults.__doc__ or "").strip(), "", "Faults", ""]
    for name, effect in web.items():
        lines += described(name, effect.summary, effect.options)
    lines += ["", (dimse_faults.__doc__ or "").strip(), "", "Faults of DIMSE", ""]
    for name, one in dimse.items():
        kinds = ", ".join(sorted(one.kinds))
        common = INTERRUPTING if one.interrupt else {}
        options = {name: text for name, text in one.options.items() if name not in common}
        lines += described(name, f"{one.summary} ({kinds})", options)
    return "\n".join([*lines, *s3_lines()])


def s3_lines() -> list[str]:
    """Return what concerns S3; effects that DICOMweb has as well are described there."""
    status = s3_status_effect("503")
    assert status is not None, "503 is a status"
    also = ", ".join(name for name in S3_EFFECTS if name in EFFECTS)
    lines = ["", (s3_faults.__doc__ or "").strip(), "", "Faults of S3", ""]
    lines += described("NNN", "answer with that status, 200 to 599, as S3 does", status.options)
    for name, effect in S3_EFFECTS.items():
        if name in EFFECTS:
            continue
        kinds = "" if effect.kinds == S3_KINDS else f" ({', '.join(effect.kinds)})"
        lines += described(name, f"{effect.summary}{kinds}", effect.options)
    return [*lines, f"  and, as for DICOMweb: {also}"]


def described(name: str, summary: str, options: Mapping[str, str]) -> list[str]:
    """Return the lines of one effect."""
    told = [f"  {'':<20}   {option}: {text}" for option, text in options.items()]
    return [f"  {name:<20} {summary}", *told]
