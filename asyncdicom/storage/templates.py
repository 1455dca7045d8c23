"""What `--layout` says: `flat`, `tree`, or a template.

    parse_layout("%PatientID/{Modality}_{SeriesInstanceUID}")

A template names folders; the file below them is the instance. `{Keyword}` and
`%Keyword` stand for values, `%%` for a percent sign, `/` separates folders;
everything else is literal. `%` takes a DICOM keyword (`Modality` of
`%Modality_x`) or a column of the IDC index (`%collection_id`).

Rule: a folder has an identity besides its name: the raw values it was made
from. Two identities never share a folder, even if their names come out the same.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from asyncdicom.errors import ConfigError
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from asyncdicom.model import Uid
    from asyncdicom.protocol.part10 import InstanceFacts

__all__ = ["FolderRule", "Instance", "Rendered", "parse_layout", "variables_of"]

UNKNOWN = "unknown"
"""Stands for a value that is absent or empty."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What names are made from."""

    sop_instance_uid: Uid
    series_instance_uid: Uid | None = None
    study_instance_uid: Uid | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    """By keyword; nobody vouches for them."""

    @classmethod
    def of(cls, facts: InstanceFacts) -> Self:
        """Return what a walked file is named by."""
        return cls(
            facts.sop_instance_uid,
            facts.series_instance_uid,
            facts.study_instance_uid,
            facts.elements,
        )

    def value(self, keyword: str) -> str:
        """Return a value without padding; empty if it is absent. UIDs are the validated ones."""
        found: str | None = None
        if keyword.endswith("InstanceUID"):
            found = {
                "SOPInstanceUID": self.sop_instance_uid,
                "SeriesInstanceUID": self.series_instance_uid,
                "StudyInstanceUID": self.study_instance_uid,
            }.get(keyword)
        return (found or self.values.get(keyword) or "").strip(" \0")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A folder as it is wanted."""

    text: str
    identity: tuple[str, ...]


class FolderRule(Protocol):
    """How one level of folders is named."""

    def __call__(self, instance: Instance, /) -> Rendered:
        """Return the name that is wanted, not yet made safe."""


@dataclass(frozen=True, slots=True)
class _Variable:
    keyword: str


_Piece: TypeAlias = str | _Variable


@dataclass(frozen=True, slots=True)
class _TemplateFolder:
    """One component of a template."""

    pieces: tuple[_Piece, ...]

    def __call__(self, instance: Instance) -> Rendered:
        values = [
            instance.value(piece.keyword) or UNKNOWN
            for piece in self.pieces
            if isinstance(piece, _Variable)
        ]
        rest = iter(values)
        text = "".join(piece if isinstance(piece, str) else next(rest) for piece in self.pieces)
        return Rendered(text, tuple(values))


def _patient(instance: Instance) -> Rendered:
    name, identifier = instance.value("PatientName"), instance.value("PatientID")
    identity = (name, identifier, instance.value("IssuerOfPatientID"))
    return Rendered(name or identifier or UNKNOWN, identity)


def _study(instance: Instance) -> Rendered:
    uid = instance.value("StudyInstanceUID")
    return Rendered(_joined(instance, "StudyID", "StudyDescription") or uid or UNKNOWN, (uid,))


def _series(instance: Instance) -> Rendered:
    uid = instance.value("SeriesInstanceUID")
    return Rendered(
        _joined(instance, "SeriesNumber", "SeriesDescription") or uid or UNKNOWN, (uid,)
    )


def _joined(instance: Instance, *keywords: str) -> str:
    return "_".join(filter(None, map(instance.value, keywords)))


TREE: tuple[FolderRule, ...] = (_patient, _study, _series)

_NAME = r"[A-Z][A-Za-z0-9]*|[a-z][a-z0-9]*(?:_[a-z0-9]+)*"
_TOKEN = re.compile(
    rf"\{{(?P<braced>[^{{}}/]*)\}}|%(?P<bare>{_NAME})|(?P<percent>%%)|(?P<literal>[^{{}}%]+)"
)
_KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def parse_layout(text: str, *, known: Collection[str] | None = None) -> tuple[FolderRule, ...]:
    """Read a layout.

    Args:
        text: `flat`, `tree`, or a template; the empty template is flat.
        known: Variables that a template may use, or None for any.

    Raises:
        ConfigError: If the template is malformed; names the variable.

    """
    if text == "flat":
        return ()
    if text == "tree":
        return TREE
    components = [component for component in text.split("/") if component]
    return tuple(_TemplateFolder(tuple(_pieces(component, known))) for component in components)


def variables_of(text: str) -> set[str]:
    """Return the variables that a template names; none for `flat` and `tree`."""
    if text in ("flat", "tree"):
        return set()
    return {match["braced"] or match["bare"] for match in _TOKEN.finditer(text)} - {None}


def _pieces(component: str, known: Collection[str] | None) -> Iterator[_Piece]:
    if component in {".", ".."}:
        raise ConfigError(f"layout has a folder {component!r}", hint="name it, or leave it out")
    position = 0
    while position < len(component):
        token = _TOKEN.match(component, position)
        if token is None:
            raise ConfigError(
                f"layout is malformed at {component[position:]!r}",
                hint="variables are written {PatientID} or %PatientID, a percent sign %%",
            )
        position = token.end()
        yield _piece(token, known)


def _piece(token: re.Match[str], known: Collection[str] | None) -> _Piece:
    if token["percent"]:
        return "%"
    if token["literal"]:
        return token["literal"]
    keyword = token["bare"] or token["braced"]
    if not _KEYWORD.fullmatch(keyword):
        raise ConfigError(
            f"layout has a variable {keyword!r}", hint="a variable is a keyword like PatientID"
        )
    if known is not None and keyword not in known:
        raise ConfigError(
            f"layout has an unknown variable {keyword!r}",
            hint=f"known here: {', '.join(sorted(known))}",
        )
    return _Variable(keyword)
