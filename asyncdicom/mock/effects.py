"""What a fault does to an answer: pure functions, listed in `EFFECTS`.

Most change the answer; those of searches change the request, as a server with
that bug would misread it. How bytes travel is only described here (`Wire`);
`http1` and `http2` obey.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

from asyncdicom.mock import tampering
from asyncdicom.mock.messages import (
    Content,
    Ending,
    Framing,
    Multipart,
    Part,
    Request,
    Response,
    Wire,
    first_bytes,
)
from asyncdicom.mock.registry import (
    EFFECTS,
    Effect,
    Settings,
    effect,
    same_request,
    search_effect,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EFFECTS", "status_effect"]

AT = "body bytes sent before it, or `head` for not even the head (default: half of the body)"
PART = "number of the part, from 1"

LOGIN_PAGE = b"<!doctype html><title>Sign in</title><form method=post><input name=user></form>\n"


def status_effect(name: str) -> Effect | None:
    """Return the effect that answers with a status, 200 to 599; None if the name is none."""
    if not re.fullmatch(r"[2-5][0-9][0-9]", name):
        return None
    options = {
        "retry-after": "value of Retry-After, as it is (default: no such field)",
        "retry-after-date": "seconds from now, sent as a date in Retry-After",
    }
    summary = f"answer with status {name}"
    return Effect(name, summary, options, partial(answer_status, int(name)), same_request)


def answer_status(
    status: int, _request: Request, response: Response, settings: Settings
) -> Response:
    """Answer with a status; 204 without a body, 206 with all parts but the last."""
    if status == 206:
        return replace(drop_last_part(response), status=206)
    if status < 300:
        body = Content.of(b"") if status == 204 else response.body
        return replace(response, status=status, body=body)
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    if settings.has("retry-after"):
        headers.append(("Retry-After", settings.text("retry-after")))
    if settings.has("retry-after-date"):
        moment_s = time.time() + settings.decimal("retry-after-date", 0)
        headers.append(("Retry-After", formatdate(moment_s, usegmt=True)))
    if status == 401:
        headers.append(("WWW-Authenticate", 'Bearer realm="asyncdicom mock"'))
    return Response(status, tuple(headers), Content.of(f"a fault says {status}\n".encode()))


def drop_last_part(response: Response) -> Response:
    """Leave the last of several parts out."""
    return tampering.change_parts(response, lambda parts: parts[:-1] or parts)


@effect(
    "truncate",
    "end cleanly, too early (default: before the closing boundary; half of a single part)",
    at="body bytes that are sent",
    parts="whole parts that are sent",
)
def truncate(_request: Request, response: Response, settings: Settings) -> Response:
    """Shorten the body; the framing says that this is all."""
    body = response.body
    if settings.has("parts") and isinstance(body, Multipart):
        body = replace(body, parts=lambda: first_parts(response, settings.number("parts", 0)))
    if settings.has("at"):
        length = min(settings.number("at", 0), body.byte_count())
    elif isinstance(body, Multipart):
        length = body.byte_count() - len(f"\r\n--{body.boundary}--\r\n")
    else:
        length = body.byte_count() // 2
    return replace(response, body=Content(length, lambda: first_bytes(body.buffers(), length)))


def first_parts(response: Response, count: int) -> Iterable[Part]:
    """Return the first parts of a multipart answer."""
    assert isinstance(response.body, Multipart), "the caller has looked"
    return list(response.body.parts())[:count]


def stop(response: Response, settings: Settings, ending: Ending, *, at_head: bool) -> Response:
    """Let an answer end early, its framing left open."""
    at = settings.text("at", "head" if at_head else "")
    half = response.body.byte_count() // 2
    bytes_sent = -1 if at == "head" else settings.number("at", half)
    code = settings.number("code", 0 if ending is Ending.GOAWAY else 2)
    wire = replace(response.wire, stop_after_bytes=bytes_sent, ending=ending, error_code=code)
    return replace(response, wire=wire)


CODE = "HTTP/2 error code (default: 2, INTERNAL_ERROR)"


@effect("cut", "close the connection in mid-body (HTTP/2: RST_STREAM)", at=AT, code=CODE)
def cut(_request: Request, response: Response, settings: Settings) -> Response:
    """End the connection or stream, the framing left open."""
    return stop(response, settings, Ending.CUT, at_head=False)


@effect("reset", "end the connection with a TCP RST", at=AT)
def reset(_request: Request, response: Response, settings: Settings) -> Response:
    """Reset the connection, with all streams on it."""
    return stop(response, settings, Ending.RESET, at_head=False)


@effect("stall", "send nothing more, and keep the connection open", at=AT)
def stall(_request: Request, response: Response, settings: Settings) -> Response:
    """Fall silent."""
    return stop(response, settings, Ending.STALL, at_head=False)


@effect(
    "goaway",
    "HTTP/2: GOAWAY, then the end of the connection; HTTP/1.1: as cut",
    at="as for cut (default: head, so the request counts as not processed)",
    code="HTTP/2 error code (default: 0, NO_ERROR)",
)
def goaway(_request: Request, response: Response, settings: Settings) -> Response:
    """Take leave of the connection."""
    return stop(response, settings, Ending.GOAWAY, at_head=True)


@effect("delay", "be silent before the head", s="seconds, `inf` for ever (default: 1)")
def delay(_request: Request, response: Response, settings: Settings) -> Response:
    """Answer late."""
    return on_wire(response, delay_s=settings.decimal("s", 1.0))


@effect("drip", "send the body slowly", rate="bytes per second (default: 100)")
def drip(_request: Request, response: Response, settings: Settings) -> Response:
    """Trickle."""
    return on_wire(response, rate_bytes_per_s=max(0.1, settings.decimal("rate", 100)))


def on_wire(response: Response, **changes: float | bool | Framing) -> Response:
    """Change how an answer travels."""
    wire: Wire = replace(response.wire, **changes)  # type: ignore[arg-type]  # -- fields of Wire
    return replace(response, wire=wire)


@effect("length", "announce a wrong Content-Length", by="bytes more, or fewer (default: 10)")
def length(_request: Request, response: Response, settings: Settings) -> Response:
    """Lie about the length; the body itself is whole."""
    return on_wire(response, length_error_bytes=settings.number("by", 10))


@effect("endless-header", "send a head that never ends (HTTP/2: CONTINUATION without end)")
def endless_header(_request: Request, response: Response, _settings: Settings) -> Response:
    """Never come to the body."""
    return on_wire(response, endless_header=True)


@effect("endless-part-header", "send a part whose header never ends")
def endless_part_header(_request: Request, response: Response, _settings: Settings) -> Response:
    """Never come to the content of the first part."""
    boundary = response.body.boundary if isinstance(response.body, Multipart) else "none"
    start = f"--{boundary}\r\nContent-Type: application/dicom\r\n".encode()
    body = tampering.Endless(start, (b"X-Endless: " + b"a" * 1000 + b"\r\n") * 16)
    return on_wire(replace(response, body=body), framing=Framing.CHUNKED)


@effect("gzip-bomb", "send zeros, compressed a thousand to one", size="bytes (default: 1e9)")
def bomb(_request: Request, response: Response, settings: Settings) -> Response:
    """Expand to far more than was sent."""
    packed = tampering.gzip_bomb(settings.number("size", 10**9))
    headers = response.with_header("Content-Encoding", "gzip")
    return replace(response, headers=headers, body=Content.of(packed))


@effect("html-200", "answer with a login page and status 200")
def html(_request: Request, _response: Response, _settings: Settings) -> Response:
    """Be a portal that wants a person."""
    return Response(200, (("Content-Type", "text/html"),), Content.of(LOGIN_PAGE))


@effect("empty", "answer with status 200 and no content at all")
def empty(_request: Request, response: Response, _settings: Settings) -> Response:
    """Send the head only."""
    return replace(response, status=200, body=Content.of(b""))


@effect(
    "redirect",
    "send elsewhere",
    to="URL (default: the same one, a loop)",
    status="301, 302, 303, 307 or 308 (default: 302)",
)
def redirect(request: Request, _response: Response, settings: Settings) -> Response:
    """Point to another URL."""
    here = f"{request.scheme}://{request.authority}{request.path}"
    location = ("Location", settings.text("to", here))
    return Response(settings.number("status", 302), (location,))


@effect("content-type", "name another media type", to="media type (default: text/plain)")
def content_type(_request: Request, response: Response, settings: Settings) -> Response:
    """Mislabel the body."""
    headers = response.with_header("Content-Type", settings.text("to", "text/plain"))
    return replace(response, headers=headers)


@effect("wrong-boundary", "name another boundary than the one that is used")
def wrong_boundary(_request: Request, response: Response, _settings: Settings) -> Response:
    """Mislead the parser."""
    return with_boundary(response, '; boundary="not-the-one"')


@effect("no-boundary", "leave the boundary parameter out")
def no_boundary(_request: Request, response: Response, _settings: Settings) -> Response:
    """Make the parser guess."""
    return with_boundary(response, "")


def with_boundary(response: Response, parameter: str) -> Response:
    """Replace the boundary parameter of the Content-Type; an answer without one stays."""
    if not isinstance(response.body, Multipart):
        return response
    value = re.sub(r"; boundary=[^;]*", parameter, response.header("content-type") or "")
    return replace(response, headers=response.with_header("Content-Type", value))


@effect("missing-part", "leave one part out", part=f"{PART} (default: the last)")
def missing_part(_request: Request, response: Response, settings: Settings) -> Response:
    """Send fewer instances than there are."""

    def drop(parts: list[Part]) -> list[Part]:
        del parts[min(settings.number("part", len(parts)), len(parts)) - 1]
        return parts

    return tampering.change_parts(response, drop)


@effect("duplicate-part", "send one part twice", part=f"{PART} (default: 1)")
def duplicate_part(_request: Request, response: Response, settings: Settings) -> Response:
    """Send an instance again."""

    def double(parts: list[Part]) -> list[Part]:
        at = min(settings.number("part", 1), len(parts))
        return [*parts[:at], *parts[at - 1 :]]

    return tampering.change_parts(response, double)


@effect(
    "short-part",
    "leave the end of one part out, its Content-Length too",
    part=f"{PART} (default: the last)",
    by="bytes, at most the whole part (default: 1000, at most half)",
)
def short_part(_request: Request, response: Response, settings: Settings) -> Response:
    """Send an instance that is too short, in a payload that is whole."""

    def shorten(parts: list[Part]) -> list[Part]:
        at = min(settings.number("part", len(parts)), len(parts)) - 1
        content = parts[at].content
        by = min(settings.number("by", min(1000, content.length // 2)), content.length)
        left = content.length - by
        short = Content(left, lambda: first_bytes(content.produce(), left))
        headers = tuple(h for h in parts[at].headers if h[0] != "Content-Length")
        parts[at] = Part(headers, short)
        return parts

    return tampering.change_parts(response, shorten)


@effect("no-parts", "send a payload of nothing but the closing boundary")
def no_parts(_request: Request, response: Response, _settings: Settings) -> Response:
    """Send a valid multipart payload without content."""
    return tampering.change_parts(response, lambda _parts: [])


@effect("wrong-uid", "send another SOP Instance UID", part=f"{PART} (default: 1)")
def wrong_uid(_request: Request, response: Response, settings: Settings) -> Response:
    """Send an instance, or its metadata, under another name."""
    return tampering.change_content(response, settings.number("part", 1), tampering.other_uid)


@effect(
    "corrupt",
    "flip a bit of an instance (default: in the length of its Pixel Data)",
    part=f"{PART} (default: 1)",
    at="byte of the instance, negative from its end",
)
def corrupt(_request: Request, response: Response, settings: Settings) -> Response:
    """Break the structure of an instance, or any byte of it."""
    at = settings.number("at", 0) if settings.has("at") else None
    flip = partial(tampering.flip, at=at)
    return tampering.change_content(response, settings.number("part", 1), flip)


@effect("preamble", "put lines before the first boundary and after the last, as MIME allows")
def preamble(_request: Request, response: Response, _settings: Settings) -> Response:
    """Be legal, but unusual (RFC 2046 §5.1.1)."""
    if not isinstance(response.body, Multipart):
        return response
    body = replace(response.body, preamble=b"\r\nignore me\r\n", epilogue=b"and me\r\n")
    return replace(response, body=body)


@effect("bare-lf", "end the lines of the multipart payload with LF alone")
def bare_lf(_request: Request, response: Response, _settings: Settings) -> Response:
    """Be a server that writes text as its platform does."""
    if not isinstance(response.body, Multipart):
        return response
    return replace(response, body=replace(response.body, eol="\n"))


def integer_of(request: Request, name: str) -> int | None:
    """Return a number of the query, or None."""
    text = dict(request.query).get(name, "")
    return int(text) if text.isdecimal() else None


def with_query(request: Request, **changes: int) -> Request:
    """Replace parameters of the query."""
    kept = tuple(pair for pair in request.query if pair[0] not in changes)
    added = tuple((name, str(value)) for name, value in changes.items())
    return replace(request, query=kept + added)


@search_effect("ignore-offset", "QIDO-RS: answer each page with the first one")
def ignore_offset(request: Request, _settings: Settings) -> Request:
    """Loop a client that pages until a page is empty."""
    return with_query(request, offset=0)


@search_effect("repeat-pages", "QIDO-RS: answer each page twice, so half of the results is lost")
def repeat_pages(request: Request, _settings: Settings) -> Request:
    """Answer page n with page n // 2."""
    limit, offset = integer_of(request, "limit"), integer_of(request, "offset") or 0
    return with_query(request, offset=offset // limit // 2 * limit) if limit else request


@search_effect("cap", "QIDO-RS: send at most so many results, silently", n="results (default: 100)")
def cap(request: Request, settings: Settings) -> Request:
    """Cut the list without a word."""
    limit = integer_of(request, "limit")
    most = settings.number("n", 100)
    return with_query(request, limit=min(most, most if limit is None else limit))


@search_effect("short-pages", "QIDO-RS: send half of a page although there is more")
def short_pages(request: Request, _settings: Settings) -> Request:
    """Mislead a client that takes a short page for the last one."""
    limit = integer_of(request, "limit")
    return with_query(request, limit=max(1, limit // 2)) if limit else request


def warn(_request: Request, response: Response, _settings: Settings) -> Response:
    """Say that there is more (PS3.18 §8.3.4.4.1)."""
    text = '299 asyncdicom "there are additional results that can be requested"'
    return replace(response, headers=(*response.headers, ("Warning", text)))


EFFECTS["warning"] = Effect(
    "warning",
    "QIDO-RS: as cap, but say so in a Warning field",
    {"n": "results (default: 100)"},
    warn,
    cap,
)
