"""Retrieve Transactions: what to ask for, in which media type, and what a status means.

Pure functions over PS3.18 §10.4 (resources), §8.7 (media types) and §8.5
(status codes); nothing here knows how a request travels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from asyncdicom.errors import (
    Incomplete,
    NotAcceptable,
    NotFound,
    OriginError,
    Throttled,
    Unauthorized,
    UnexpectedContent,
)
from asyncdicom.model import Resource, Target
from asyncdicom.protocol.urls import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "accept_alternatives",
    "accepts_gzip",
    "judge",
    "path_of",
    "url_of",
]

_JSON = "application/dicom+json"


def path_of(target: Target) -> str:
    """Return the path of a target below the root (PS3.18 Tables 10.4.1-1 to 10.4.1-4).

    UIDs are validated, so they need no escaping. A bulkdata target has no path
    of its own: its URI is a reference of the server (see `url_of`).
    """
    path = f"/studies/{target.study_instance_uid}"
    if target.series_instance_uid is not None:
        path += f"/series/{target.series_instance_uid}"
    if target.sop_instance_uid is not None:
        path += f"/instances/{target.sop_instance_uid}"
    if target.frame_number is not None:
        path += f"/frames/{target.frame_number}"
    match target.resource:
        case Resource.METADATA | Resource.RENDERED | Resource.THUMBNAIL:
            return f"{path}/{target.resource.value}"
        case Resource.SEARCH:
            # PS3.18 Table 10.6.1-2: series of a study, instances of a series.
            return f"{path}/{'series' if target.series_instance_uid is None else 'instances'}"
        case _:
            return path


def url_of(root: str, target: Target) -> str:
    """Return the absolute URL of a target.

    A relative BulkDataURI is relative to the metadata that holds it (RFC 3986
    §5.1.3: the URI used to retrieve it), and that is the metadata of the study.

    Raises:
        UnexpectedContent: If a BulkDataURI cannot be fetched over HTTP.

    """
    if target.bulkdata_uri is None:
        return root + path_of(target)
    base = Target(Resource.METADATA, target.study_instance_uid)
    try:
        return resolve(
            root + path_of(base), quote(target.bulkdata_uri, safe="%/:?#[]@!$&'()*+,;=~")
        )
    except ValueError as error:
        raise UnexpectedContent(f"unusable BulkDataURI: {error}") from error


# PS3.18 §8.7.3.5.2: `transfer-syntax=*` says "as stored". Without it the
# default Transfer Syntax applies and servers transcode (§8.7.8.2).
# The alternatives after the first are for servers that answer it with 406.
_ALTERNATIVES: dict[Resource, Callable[[str], tuple[str, ...]]] = {
    Resource.METADATA: lambda _: (_JSON, f"{_JSON}, application/json;q=0.9, */*;q=0.1"),
    Resource.SEARCH: lambda _: (_JSON, f"{_JSON}, application/json;q=0.9, */*;q=0.1"),
    Resource.FRAME: lambda syntax: (
        f'multipart/related; type="application/octet-stream"; transfer-syntax={syntax}',
        'multipart/related; type="image/*"',
        "*/*",
    ),
    Resource.BULKDATA: lambda syntax: (
        f'multipart/related; type="application/octet-stream"; transfer-syntax={syntax}',
        "application/octet-stream, */*;q=0.1",
        "*/*",
    ),
    Resource.RENDERED: lambda _: ("image/jpeg, image/png;q=0.9, */*;q=0.1", "*/*"),
    Resource.THUMBNAIL: lambda _: ("image/jpeg, image/png;q=0.9, */*;q=0.1", "*/*"),
}


def accept_alternatives(resource: Resource, transfer_syntax: str = "*") -> tuple[str, ...]:
    """Return Accept values in the order to try them; the next one after each 406.

    Args:
        resource: Kind of the target.
        transfer_syntax: UID, or `*` for "as stored".

    """
    if resource in _ALTERNATIVES:
        return _ALTERNATIVES[resource](transfer_syntax)
    dicom = f'multipart/related; type="application/dicom"; transfer-syntax={transfer_syntax}'
    if transfer_syntax != "*":
        return (dicom,)
    # Older servers refuse the parameter, and some answer one instance only single-part.
    return (dicom, 'multipart/related; type="application/dicom"', "application/dicom, */*;q=0.1")


def accepts_gzip(resource: Resource) -> bool:
    """Tell whether to offer gzip.

    For JSON it saves nine tenths of the bytes. For pixel data it costs a
    server two to four times the time and saves little.
    """
    return resource in (Resource.METADATA, Resource.SEARCH)


def judge(status_code: int, retry_after_s: float | None = None) -> None:
    """Raise what a status means for a Retrieve or Search Transaction, unless it is 200.

    Raises:
        Incomplete: 206. It is a success status that means *some* were returned
            (PS3.18 Table 8.5-1); it is not the 206 of HTTP ranges here.
        UnexpectedContent: 204 or another 2xx or 3xx: there is no representation.
        Throttled, Unauthorized, NotFound, NotAcceptable, OriginError: 400 and above.

    """
    if status_code == 200:
        return
    if status_code == 206:
        raise Incomplete(
            "the server returned some of the instances only (206)", expected=None, received=0
        )
    if status_code < 400:
        raise UnexpectedContent(f"status {status_code} comes without the content asked for")
    kind, words = _REFUSALS.get(status_code, (OriginError, "the server failed"))
    if kind is OriginError and status_code < 500:
        words = "the server refused the request"
    raise kind(f"{words} ({status_code})", status_code=status_code, retry_after_s=retry_after_s)


_REFUSALS: dict[int, tuple[type[OriginError], str]] = {
    401: (Unauthorized, "the server wants credentials"),
    403: (Unauthorized, "the server forbids it with these credentials"),
    404: (NotFound, "the server does not have it"),
    406: (NotAcceptable, "the server cannot answer in the media types asked for"),
    407: (Unauthorized, "the proxy wants credentials"),
    410: (NotFound, "the server no longer has it"),
    415: (NotAcceptable, "the server does not know the media type asked for"),
    429: (Throttled, "the server asks to slow down"),
    503: (Throttled, "the server is unavailable for now"),
}
