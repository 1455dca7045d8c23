"""What to do about an error: one line a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom import errors

if TYPE_CHECKING:
    from asyncdicom.errors import AsyncDicomError

__all__ = ["hint_for"]


def hint_for(error: AsyncDicomError | None) -> str:
    """Return what to do next, or an empty string."""
    match error:
        case errors.Unauthorized(status_code=403):
            return "the credentials are known but not allowed to do this: ask for other ones"
        case errors.Unauthorized(status_code=407):
            return "give the proxy's user and password in --proxy http://NAME:PASSWORD@HOST:PORT"
        case errors.Unauthorized():
            return "give --user, --bearer or --authorization"
        case errors.TlsRejected() | errors.TransportError():
            return "" if "--" in str(error) else "check the address, and that the server is up"
        case errors.OriginError(status_code=400 | 413):
            return "check that SOURCE is the root of a DICOMweb service"
        case errors.NotFound(status_code=404):
            return "check the UIDs, and that SOURCE is the root of a DICOMweb service"
        case errors.UnexpectedContent():
            return "check that SOURCE is the root of a DICOMweb service"
        case _:
            return ""
