"""Reads the association profile of a receiver from a file of DCMTK's (`asconfig`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.dimse.association_profiles import read_association_profile

if TYPE_CHECKING:
    import os

    from asyncdicom.protocol.dimse.association_profiles import AssociationProfile

__all__ = ["load_association_profile"]


def load_association_profile(file: str | os.PathLike[str], name: str) -> AssociationProfile:
    """Return a profile of a file.

    Args:
        file: With any number of profiles, in the syntax of DCMTK's `--config-file`.
        name: Of the profile; case and blanks do not matter.

    Raises:
        ConfigError: If the file cannot be read, is none of its kind, or has no such profile.

    """
    path = Path(file)
    try:
        # DCMTK compares bytes; in Latin-1 each of them is a character.
        text = path.read_text(encoding="latin-1")
    except (OSError, ValueError) as error:
        # ValueError: no name of a file has a NUL.
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read {str(path)!r}: {why}") from error
    return read_association_profile(text, name, source=str(path))
