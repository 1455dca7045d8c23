"""What a fault does to an answer of the S3 face: pure functions, listed in `S3_EFFECTS`.

How bytes travel goes wrong as it does for DICOMweb, by the same functions; what is
added here are the ways in which an object store can be wrong about objects and lists.
"""

from __future__ import annotations

import base64
import fnmatch
import re
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from asyncdicom.mock.effects import EFFECTS, answer_status, on_wire, status_effect
from asyncdicom.mock.messages import Content, Framing, Request, Response
from asyncdicom.mock.registry import (
    Apply,
    Effect,
    Rewrite,
    Settings,
    same_request,
    same_response,
)
from asyncdicom.mock.s3 import OTHER_VERSION, error_response
from asyncdicom.mock.s3_listing import contents_xml
from asyncdicom.mock.tampering import Endless

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["S3_EFFECTS", "S3_KINDS", "S3Effect", "s3_status_effect"]

S3_KINDS: Final = ("object", "head", "listing")

_OBJECTS: Final = ("object", "head")
_LISTING: Final = ("listing",)

KEY = "glob of the keys that are meant (default: all)"


@dataclass(frozen=True, slots=True)
class S3Effect(Effect):
    """An effect, and what it can happen to."""

    kinds: tuple[str, ...] = S3_KINDS


S3_EFFECTS: Final[dict[str, S3Effect]] = {}
"""All effects by name, in the order in which they are listed."""


def _register(effect: Effect, *kinds: str) -> None:
    values = {field.name: getattr(effect, field.name) for field in fields(Effect)}
    S3_EFFECTS[effect.name] = S3Effect(**values, kinds=kinds or S3_KINDS)


for _name in ("truncate", "cut", "reset", "stall", "delay", "drip", "length", "corrupt"):
    _register(EFFECTS[_name])
for _name in ("endless-header", "gzip-bomb", "html-200", "empty", "redirect"):
    _register(EFFECTS[_name])


def _effect(
    name: str, summary: str, kinds: tuple[str, ...], **options: str
) -> Callable[[Apply], Apply]:
    """Register a function that changes answers."""

    def register(apply: Apply) -> Apply:
        _register(Effect(name, summary, options, apply, same_request), *kinds)
        return apply

    return register


def _rewriting(name: str, summary: str, **options: str) -> Callable[[Rewrite], Rewrite]:
    """Register a function that misreads requests for objects."""

    def register(rewrite: Rewrite) -> Rewrite:
        _register(Effect(name, summary, options, same_response, rewrite), *_OBJECTS)
        return rewrite

    return register


def s3_status_effect(name: str) -> S3Effect | None:
    """Return the effect that answers with a status, 200 to 599; None if the name is none."""
    web = status_effect(name)
    if web is None:
        return None
    options = {**web.options, "as": "code in the answer (default: S3's for the status)"}
    summary = f"answer with status {name} and an error as S3 writes it"
    return S3Effect(name, summary, options, partial(_answer_status, int(name)), same_request)


def _answer_status(
    status: int, request: Request, response: Response, settings: Settings
) -> Response:
    """Answer with an error of S3; below 300 with the status alone."""
    if status < 300:
        return replace(response, status=status)
    plain = answer_status(status, request, response, settings)
    waits = tuple(pair for pair in plain.headers if pair[0] == "Retry-After")
    code = settings.text("as")
    return error_response(status, request.path, "a fault says so", code=code, headers=waits)


@_effect("error-200", "answer with status 200 and an error in the body", S3_KINDS)
def error_200(request: Request, _response: Response, _settings: Settings) -> Response:
    """Find out too late that it does not work."""
    return replace(error_response(500, request.path, "please try again"), status=200)


@_effect("wrong-etag", "tell another ETag than the bytes have", S3_KINDS, key=f"listing: {KEY}")
def wrong_etag(_request: Request, response: Response, settings: Settings) -> Response:
    """Tell the MD5 of something else."""
    etag = response.header("etag")
    if etag is not None:
        return replace(response, headers=response.with_header("ETag", f'"{_other(etag)}"'))
    return _change_entries(response, settings, _other_etag)


def _other(etag: str) -> str:
    return etag.strip('"')[::-1]


def _other_etag(entry: bytes) -> bytes:
    return re.sub(rb"(&quot;)([0-9a-f]+)", lambda m: m[1] + m[2][::-1], entry, count=1)


@_effect("no-etag", "tell no ETag, as rclone does without a hash", S3_KINDS)
def no_etag(_request: Request, response: Response, settings: Settings) -> Response:
    """Promise nothing about the bytes."""
    if response.header("etag") is not None:
        return replace(response, headers=response.with_header("ETag", '""'))
    return _change_entries(response, settings, partial(_ETAG.sub, b"<ETag></ETag>"))


_ETAG = re.compile(rb"<ETag>.*</ETag>")


@_effect("wrong-checksum", "tell another checksum to who asks for one", _OBJECTS)
def wrong_checksum(_request: Request, response: Response, _settings: Settings) -> Response:
    """Promise a checksum that the bytes do not have."""
    for name, value in response.headers:
        if name.startswith("x-amz-checksum-") and not name.endswith("-type"):
            wrong = base64.b64encode(bytes(len(base64.b64decode(value)))).decode("ascii")
            return replace(response, headers=response.with_header(name, wrong))
    return response


@_rewriting("ignore-range", "send the whole object, with status 200, for a range")
def ignore_range(request: Request, _settings: Settings) -> Request:
    """Know nothing of ranges."""
    return replace(request, headers=_without_range(request))


@_effect("range-200", "send a range with status 200, as rclone does", _OBJECTS)
def range_200(_request: Request, response: Response, _settings: Settings) -> Response:
    """Keep the Content-Range, and the bytes it names."""
    return replace(response, status=200) if response.status == 206 else response


@_effect(
    "wrong-range", "name another Content-Range than is sent", _OBJECTS, by="bytes (default: 1)"
)
def wrong_range(_request: Request, response: Response, settings: Settings) -> Response:
    """Be wrong about where the bytes belong."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.header("content-range") or "")
    if found is None:
        return response
    first, last = (int(value) + settings.number("by", 1) for value in found.groups()[:2])
    value = f"bytes {first}-{last}/{found[3]}"
    return replace(response, headers=response.with_header("Content-Range", value))


@_rewriting("other-range", "send another range, and name it", by="bytes (default: -1)")
def other_range(request: Request, settings: Settings) -> Request:
    """Send what nobody asked for."""
    by = settings.number("by", -1)
    moved = re.sub(
        r"\d+", lambda found: str(max(0, int(found[0]) + by)), request.header("range") or ""
    )
    if not moved:
        return request
    return replace(request, headers=(*_without_range(request), ("Range", moved)))


def _without_range(request: Request) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in request.headers if pair[0].lower() != "range")


@_rewriting("changed", "have another version: other pixels, another ETag, 412 for the first one")
def changed(request: Request, _settings: Settings) -> Request:
    """Let somebody have uploaded the object again."""
    return replace(request, query=(*request.query, ("versionId", OTHER_VERSION)))


@_rewriting("other-object", "send another object than asked for", to="its key")
def other_object(request: Request, settings: Settings) -> Request:
    """Mix keys up; along with `extra-key`, have an object under any name."""
    bucket = request.path.split("/")[1]
    return replace(request, path=f"/{bucket}/{settings.text('to')}")


_ENTRY = re.compile(rb"<Contents><Key>(.*?)</Key>.*?</Contents>", re.DOTALL)


def _change_entries(
    response: Response, settings: Settings, change: Callable[[bytes], bytes]
) -> Response:
    """Change the entries of a page whose keys are meant."""
    wanted = settings.text("key", "*")

    def changed_entry(found: re.Match[bytes]) -> bytes:
        is_meant = fnmatch.fnmatchcase(found[1].decode(), wanted)
        return change(found[0]) if is_meant else found[0]

    return _change_page(response, partial(_ENTRY.sub, changed_entry))


def _change_page(response: Response, change: Callable[[bytes], bytes]) -> Response:
    """Change the XML of a page; errors stay as they are."""
    if response.status != 200:
        return response
    return replace(response, body=Content.of(change(b"".join(response.body.buffers()))))


@_effect(
    "wrong-size", "list wrong sizes", _LISTING, by="bytes more, or fewer (default: 1)", key=KEY
)
def wrong_size(_request: Request, response: Response, settings: Settings) -> Response:
    """Be wrong about how long objects are."""
    by = settings.number("by", 1)

    def resized(entry: bytes) -> bytes:
        return re.sub(rb"(<Size>)(\d+)", lambda m: m[1] + str(int(m[2]) + by).encode(), entry)

    return _change_entries(response, settings, resized)


@_effect("missing-key", "leave keys out of a list", _LISTING, key=KEY)
def missing_key(_request: Request, response: Response, settings: Settings) -> Response:
    """Forget objects that are there."""
    return _change_entries(response, settings, lambda _entry: b"")


@_effect("duplicate-key", "list keys twice", _LISTING, key=KEY)
def duplicate_key(_request: Request, response: Response, settings: Settings) -> Response:
    """Be eager."""
    return _change_entries(response, settings, lambda entry: entry + entry)


@_effect(
    "extra-key",
    "list one key more at the end of a page",
    _LISTING,
    to="key (default: one that is not there)",
)
def extra_key(_request: Request, response: Response, settings: Settings) -> Response:
    """List what was deleted, or what no client should take for a path."""
    key = settings.text("to", "2.999.404/2.999.404.1/2.999.404.1.1.dcm")
    entry = contents_xml(key, 1000, "0" * 32).encode()
    end = b"</ListBucketResult>"
    return _change_page(response, lambda page: page.replace(end, entry + end))


@_effect("repeat-token", "hand out the token that a page was asked for with", _LISTING)
def repeat_token(request: Request, response: Response, _settings: Settings) -> Response:
    """Send a client round in circles; the first page is true."""
    token = dict(request.query).get("continuation-token")
    if token is None:
        return response
    again = f"<NextContinuationToken>{token}</NextContinuationToken>".encode()
    return _change_page(response, lambda page: _with_next(page, again))


@_effect("missing-token", "say that there is more, but not how to ask for it", _LISTING)
def missing_token(_request: Request, response: Response, _settings: Settings) -> Response:
    """Leave the token out."""
    return _change_page(response, lambda page: _with_next(page, b""))


def _with_next(page: bytes, element: bytes) -> bytes:
    """Say that there is another page, and put an element where its token stands."""
    page = re.sub(rb"<NextContinuationToken>.*?</NextContinuationToken>", b"", page)
    return re.sub(
        rb"<IsTruncated>\w+</IsTruncated>", b"<IsTruncated>true</IsTruncated>" + element, page
    )


@_effect("endless-page", "send a page that never ends", _LISTING)
def endless_page(_request: Request, response: Response, _settings: Settings) -> Response:
    """List one object again and again."""
    if response.status != 200:
        return response
    page = b"".join(response.body.buffers())
    found = _ENTRY.search(page)
    entry = found[0] if found else contents_xml("1", 1, "0" * 32).encode()
    body = Endless(page[: found.start()] if found else page, entry * 64)
    return on_wire(replace(response, body=body), framing=Framing.CHUNKED)
