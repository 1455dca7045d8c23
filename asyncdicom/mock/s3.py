"""The S3 face of an archive: a pure function from request to answer.

    face = S3Face(archive)
    face.respond(Request("GET", "/dicom", (("list-type", "2"),)))
    face.respond(Request("GET", "/dicom/1.2.3/1.2.3.4/1.2.3.4.5.dcm"))

One bucket, path style, no credentials: ListObjectsV2, GetObject and HeadObject with
Range, If-Match and If-None-Match, HeadBucket, GetBucketLocation and ListBuckets. The
ETag is the MD5; a checksum is there for who asks for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from asyncdicom.mock.archive import Unreadable
from asyncdicom.mock.messages import Content, Request, Response
from asyncdicom.mock.routes import Refused
from asyncdicom.mock.s3_listing import MAX_KEYS, MODIFIED_AT, page_of, page_xml, read_asked
from asyncdicom.mock.s3_objects import ArchiveObjects, StoredObject, spanned

if TYPE_CHECKING:
    from asyncdicom.mock.archive import Archive
    from asyncdicom.model import Header

__all__ = ["OTHER_VERSION", "S3Face", "S3Options", "error_response"]

OTHER_VERSION = "other"
"""`versionId` of the version that objects do not have unless a fault says so."""

_CODES = {
    304: "NotModified",
    400: "InvalidArgument",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    412: "PreconditionFailed",
    416: "InvalidRange",
    429: "TooManyRequests",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
}
"""What S3 says along with a status."""

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_XML: Header = ("Content-Type", "application/xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """How the S3 face behaves."""

    bucket: str = "dicom"
    max_keys: int = MAX_KEYS
    """Most keys of a page, 1 to 1000."""
    checksum: str = "crc32c"
    """What is promised to who asks for checksums; Amazon's own is `crc64nvme`."""


class S3Face:
    """An archive as a bucket.

    Args:
        archive: What it serves.
        options: How it behaves.

    """

    def __init__(self, archive: Archive, options: S3Options | None = None) -> None:
        self.archive = archive
        self.options = options or S3Options()
        self.objects = ArchiveObjects(archive, checksum=self.options.checksum)

    def kind_of(self, request: Request) -> str | None:
        """Tell `object` (GET), `head` (HEAD) and `listing` apart; None for the rest."""
        bucket, key = _split(request)
        if bucket != self.options.bucket:
            return None
        if key:
            return {"GET": "object", "HEAD": "head"}.get(request.method)
        is_listing = request.method == "GET" and dict(request.query).get("list-type") == "2"
        return "listing" if is_listing else None

    def blocks(self, request: Request) -> bool:
        """Tell whether answering may take long: ETags of a page are digests of all its objects."""
        return self.archive.is_blocking or self.kind_of(request) == "listing"

    def respond(self, request: Request) -> Response:
        """Answer a request; refusals are answers, too."""
        try:
            return self._answer(request)
        except Refused as refusal:
            return error_response(refusal.status, request.path, refusal.detail)
        except Unreadable as error:
            return error_response(500, request.path, f"an instance cannot be read: {error}")

    def _answer(self, request: Request) -> Response:
        bucket, key = _split(request)
        if request.method not in {"GET", "HEAD"}:
            raise Refused(405, "this bucket is read-only")
        if not bucket:
            return self._buckets()
        if bucket != self.options.bucket:
            return error_response(404, request.path, "no such bucket", code="NoSuchBucket")
        if key:
            return self._object(key, request)
        query = dict(request.query)
        if "location" in query:
            return _xml("<LocationConstraint></LocationConstraint>")
        if request.method == "HEAD":
            return Response(200, (("x-amz-bucket-region", "us-east-1"),))
        if query.get("list-type") != "2":
            raise Refused(501, "only ListObjectsV2 is served: list-type=2")
        page = page_of(self.objects, read_asked(query, self.options.max_keys))
        return Response(200, (_XML,), Content.of(page_xml(bucket, page, self.objects)))

    def _buckets(self) -> Response:
        bucket = f"<Bucket><Name>{self.options.bucket}</Name><CreationDate>{MODIFIED_AT}"
        return _xml(
            "<ListAllMyBucketsResult><Owner><ID>mock</ID></Owner><Buckets>"
            f"{bucket}</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>"
        )

    def _object(self, key: str, request: Request) -> Response:
        is_other = dict(request.query).get("versionId") == OTHER_VERSION
        found = self.objects.find(key, is_other=is_other)
        if found is None:
            raise Refused(404, "the specified key does not exist")
        etag = f'"{self.objects.md5(found)}"'
        if not _matches(request.header("if-match"), etag, default=True):
            raise Refused(412, "another version is there")
        if _matches(request.header("if-none-match"), etag, default=False):
            return Response(304, (("ETag", etag),))
        headers: tuple[Header, ...] = (
            ("Content-Type", "application/dicom"),
            ("Accept-Ranges", "bytes"),
            ("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT"),
            ("ETag", etag),
        )
        return self._spanned(found, request, headers)

    def _spanned(
        self, found: StoredObject, request: Request, headers: tuple[Header, ...]
    ) -> Response:
        """Answer with the whole object, or with the span that is asked for."""
        length = found.byte_count()
        span = _read_range(request.header("range"), length)
        if span is not None:
            first, last = span
            count = last - first + 1
            content = Content(count, lambda: spanned(found.buffers(), first, count))
            headers += (("Content-Range", f"bytes {first}-{last}/{length}"),)
            return Response(206, headers, content)
        if (request.header("x-amz-checksum-mode") or "").upper() == "ENABLED":
            headers += (
                (f"x-amz-checksum-{self.options.checksum}", self.objects.checksum(found)),
                ("x-amz-checksum-type", "FULL_OBJECT"),
            )
        return Response(200, headers, Content(length, found.buffers))


def _split(request: Request) -> tuple[str, str]:
    """Split a path into bucket and key."""
    bucket, _, key = request.path.removeprefix("/").partition("/")
    return bucket, key


def _matches(condition: str | None, etag: str, *, default: bool) -> bool:
    """Compare an ETag with a condition (RFC 9110 §13.1.1)."""
    if condition is None:
        return default
    wanted = {one.strip().strip('"') for one in condition.split(",")}
    return bool(wanted & {"*", etag.strip('"')})


def _read_range(value: str | None, length: int) -> tuple[int, int] | None:
    """Return first and last byte of a single range (RFC 9110 §14.1.2), or None for all.

    Raises:
        Refused: If there is no such byte.

    """
    found = _RANGE.fullmatch(value or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, length - int(last)), length - 1
    else:
        start, end = int(first), min(int(last or length - 1), length - 1)
    if start > end:
        raise Refused(416, "the requested range is not satisfiable")
    return start, end


def error_response(
    status: int, resource: str, message: str, *, code: str = "", headers: tuple[Header, ...] = ()
) -> Response:
    """Say no as S3 does."""
    code = code or _CODES.get(status, "InternalError")
    body = (
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        f"<Resource>{escape(resource)}</Resource><RequestId>MOCK</RequestId></Error>"
    )
    return _xml(body, status, headers)


def _xml(body: str, status: int = 200, headers: tuple[Header, ...] = ()) -> Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Response(status, (_XML, *headers), Content.of(text.encode()))
