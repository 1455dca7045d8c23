"""What to do about an error: one line a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom import errors
from asyncdicom.model import ObjectTarget

if TYPE_CHECKING:
    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.model import AnyTarget

__all__ = ["hint_about", "hint_for"]


def hint_about(target: AnyTarget, error: AsyncDicomError) -> str:
    """Return what to do next about a target that failed, or an empty string."""
    if isinstance(target, ObjectTarget) and not isinstance(error, errors.TransportError):
        return ""  # what an object store refuses says itself what may help
    return hint_for(error)


def hint_for(error: AsyncDicomError | None) -> str:
    """Return what to do next, or an empty string."""
    match error:
        case errors.Unauthorized(status_code=403):
            return "the credentials are known but not allowed to do this: ask for other ones"
        case errors.Unauthorized(status_code=407):
            return "give the proxy's user and password in --proxy http://NAME:PASSWORD@HOST:PORT"
        case errors.Unauthorized():
            return "give --user, --bearer or --authorization"
        case errors.AssociationRejected():
            return _hint_for_rejection(error)
        case errors.NotNegotiated():
            return "it may offer another --model, or the other of ?retrieve=get and ?retrieve=move"
        case errors.OperationFailed(status=0xA801):
            return "the archive has to know the AE title: its configuration names host and port"
        case errors.TlsRejected() | errors.TransportError():
            return "" if "--" in str(error) else "check the address, and that the server is up"
        case errors.OriginError(status_code=400 | 413):
            return "check that SOURCE is the root of a DICOMweb service"
        case errors.NotFound(status_code=404):
            return "check the UIDs, and that SOURCE is a bucket or the root of a DICOMweb service"
        case errors.UnexpectedContent():
            return "check that SOURCE is the root of a DICOMweb service"
        case _:
            return ""


def _hint_for_rejection(error: errors.AssociationRejected) -> str:
    """Return whose AE title is wrong (PS3.8 Table 9-21), or that patience helps."""
    if error.is_transient:
        return "it is busy: try again later, or with --max-associations 1"
    if "called AE" in error.message:
        return "check CALLED_AE in dicom://CALLED_AE@HOST:PORT; upper and lower case count"
    if "calling AE" in error.message:
        return "the archive has to know our AE title: give one that it knows with --calling-aet"
    return "check both AE titles (--calling-aet), and that the archive admits this machine"
