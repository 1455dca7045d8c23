"""What a probe of a server finds, and the profile that follows from it.

    report = ProbeReport("https://pacs/dicom-web", "dicomweb")
    report.add("paging", "offset", "ignored", odd="asked for offset=3, got answer 0 again")
    report.as_json(), as_toml(report.profile, ["made by ..."])

Rule: a finding is what was seen. Whatever is called odd names what was asked and what
came, so that a person can ask again and judge; what cannot be told is `unknown`, not odd.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["UNKNOWN", "Finding", "ProbeReport", "Value", "as_toml"]

Value: TypeAlias = "str | int | float | bool | tuple[str, ...] | None"

UNKNOWN: Final = "unknown"
"""Value of a finding where the archive gives no occasion to tell."""

MAX_TEXT_CHARACTERS = 200
"""Of what a server says about itself; it goes to terminals and into files."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen."""

    topic: str
    """What it belongs to, such as `paging`."""
    name: str
    """Stable within its topic, in kebab-case."""
    value: Value
    evidence: str = ""
    """What was asked and what came, where it does not go without saying."""
    is_odd: bool = False
    """Whether it is not as the Standard, or a client, has it; the evidence says how."""


@dataclass(slots=True)
class ProbeReport:
    """What was found, in the order in which it was looked for."""

    source: str
    kind: str
    """`dicomweb` or `dimse`."""
    findings: list[Finding] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)
    """Options by name that suit the server; those of one command in a dictionary of their own."""
    remarks: list[str] = field(default_factory=list)
    """What the profile cannot say, for people."""
    exchanges: int = 0
    """Requests or associations so far."""
    problem: str = ""
    """Why the probe ended before its end, or an empty string."""

    def add(
        self, topic: str, name: str, value: Value, evidence: str = "", *, odd: str = ""
    ) -> None:
        """Note what was seen.

        Args:
            topic: What it belongs to.
            name: Within the topic.
            value: As short as possible.
            evidence: What was asked and what came.
            odd: The same, if it is not as expected.

        """
        value = printable(value) if isinstance(value, str) else value
        text = printable(odd or evidence)
        self.findings.append(Finding(topic, name, value, text, is_odd=bool(odd)))

    @property
    def odd(self) -> list[Finding]:
        """What is not as expected."""
        return [finding for finding in self.findings if finding.is_odd]

    def value_of(self, topic: str, name: str) -> Value:
        """Return what was found, or None."""
        for finding in self.findings:
            if (finding.topic, finding.name) == (topic, name):
                return finding.value
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return asdict(self)


def printable(text: str) -> str:
    """Return text of a server fit for one line, bounded."""
    line = "".join(c if c.isprintable() else " " for c in text).strip()
    return line if len(line) <= MAX_TEXT_CHARACTERS else f"{line[: MAX_TEXT_CHARACTERS - 3]}..."


def as_toml(profile: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """Write a profile as a configuration file that other commands read (`--config`).

    Args:
        profile: Options by name, those of one command in a dictionary.
        comments: Lines to stand above.

    """
    lines = [f"# {printable(comment)}" for comment in comments]
    shared = {name: value for name, value in profile.items() if not isinstance(value, dict)}
    lines += [f"{name} = {_literal(value)}" for name, value in shared.items()]
    for command, options in profile.items():
        if isinstance(options, dict):
            lines += ["", f"[{command}]"]
            lines += [f"{name} = {_literal(value)}" for name, value in options.items()]
    return "\n".join(lines) + "\n"


def _literal(value: str | float | bool) -> str:  # noqa: FBT001 -- what TOML knows
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        assert value.isprintable(), "names of choices"
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
