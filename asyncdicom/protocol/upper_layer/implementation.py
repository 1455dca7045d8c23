"""Who we say we are, in associations and in files (PS3.7 §D.3.3.2, PS3.10 §7.1)."""

from __future__ import annotations

__all__ = ["IMPLEMENTATION_CLASS_UID", "IMPLEMENTATION_VERSION_NAME"]

IMPLEMENTATION_CLASS_UID = "2.25.206322687174948124982863181941443881266"
"""Made from a UUID (PS3.5 §B.2), once and for ever."""
IMPLEMENTATION_VERSION_NAME = "ASYNCDICOM_0_1"
"""At most 16 characters (PS3.7 §D.3.3.2.3); changes with what is told here."""
