"""What every small client is told: URLS FOLDER CA [CONCURRENCY]."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Arguments", "parse"]


@dataclass(frozen=True, slots=True)
class Arguments:
    """The job of a client."""

    urls: list[str]
    folder: Path
    ca_file: Path
    concurrency: int

    def path_of(self, url: str) -> Path:
        """Return where the answer belongs, with its folder made."""
        path = self.folder / urlsplit(url).path.lstrip("/")
        # An instance is an answer and the folder of its metadata and frames.
        if path.parent.name == "instances":
            path = path / "_" / path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def parse() -> Arguments:
    """Read the command line."""
    urls, folder, ca_file, *rest = sys.argv[1:]
    return Arguments(
        Path(urls).read_text().split(), Path(folder), Path(ca_file), int(rest[0]) if rest else 32
    )
