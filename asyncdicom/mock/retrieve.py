"""Retrieve Transactions: instances, frames, bulk data, pictures (WADO-RS, PS3.18 §10.4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.mock import images
from asyncdicom.mock.accept import Offer, Range, choose
from asyncdicom.mock.archive import PIXEL_DATA
from asyncdicom.mock.messages import Content, Multipart, Part, Response
from asyncdicom.mock.routes import Level, Refused, Route
from asyncdicom.model import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncdicom.mock.archive import Instance
    from asyncdicom.model import Buffer

__all__ = ["Selection", "bulkdata", "frames", "instances", "picture"]

DICOM = "application/dicom"
OCTET_STREAM = "application/octet-stream"

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
NATIVE = frozenset(
    {
        "1.2.840.10008.1.2",
        EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    }
)

COMPRESSED_MEDIA_TYPES = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
}
"""PS3.18 Table 8.7.3-5; the other JPEG syntaxes are image/jpeg."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request accepts."""

    ranges: list[Range]
    is_strict: bool
    key: str
    """What the boundary is made from: the same request gets the same bytes."""

    def choose(self, *offers: Offer) -> tuple[Offer, Range]:
        """Select a media type.

        Raises:
            Refused: 406 if none of the offers is acceptable.

        """
        chosen = choose(self.ranges, offers)
        if chosen is None:
            types = ", ".join(offer.media_type for offer in offers)
            raise Refused(406, f"none of the acceptable media types is offered: {types}")
        return chosen

    def accepts_syntax(self, wanted: Range, transfer_syntax_uid: str) -> bool:
        """Tell whether the stored Transfer Syntax may be sent (PS3.18 §8.7.8.2)."""
        if wanted.transfer_syntax is None and not self.is_strict:
            return True
        return wanted.transfer_syntax in {"*", transfer_syntax_uid} or (
            wanted.transfer_syntax is None and transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
        )

    def multipart(
        self, media_type: str, parts: Callable[[], Iterable[Part]], *, status: int = 200
    ) -> Response:
        """Answer with parts of one media type (PS3.18 §8.6.1.2)."""
        boundary = hashlib.sha256(self.key.encode()).hexdigest()[:32]
        content_type = f'multipart/related; type="{media_type}"; boundary="{boundary}"'
        return Response(status, (("Content-Type", content_type),), Multipart(parts, boundary))


def instances(found: Sequence[Instance], route: Route, selection: Selection) -> Response:
    """Answer with Part 10 files; alone where one was asked for and that is accepted."""
    offers = [Offer(DICOM, is_multipart=True)]
    if route.level is Level.INSTANCE:
        offers.append(Offer(DICOM, is_multipart=False))
    offer, wanted = selection.choose(*offers)
    sent = [i for i in found if selection.accepts_syntax(wanted, i.transfer_syntax_uid)]
    if not sent:
        raise Refused(406, "nothing here is stored in an acceptable transfer syntax")
    if not offer.is_multipart:
        part = instance_part(sent[0])
        return Response(200, part.headers[:1], part.content)
    # PS3.18 §10.4.3.1: 206 where some, but not all, could be sent.
    status = 200 if len(sent) == len(found) else 206
    return selection.multipart(DICOM, lambda: map(instance_part, sent), status=status)


def instance_part(instance: Instance) -> Part:
    """Make the message part of one instance."""
    content = Content(instance.file_bytes(), instance.file)
    return part_of(f"{DICOM}; transfer-syntax={instance.transfer_syntax_uid}", content)


def part_of(content_type: str, content: Content) -> Part:
    """Make a message part with the fields that most servers send."""
    return Part((("Content-Type", content_type), ("Content-Length", str(content.length))), content)


def frames(instance: Instance, numbers: Sequence[int], selection: Selection) -> Response:
    """Answer with frames, one part each, in the order asked for (PS3.18 §10.4.1.1.3)."""
    if not instance.frame_count or max(numbers) > instance.frame_count:
        raise Refused(404, f"this instance has {instance.frame_count} frames")
    return pixels(instance, numbers, selection)


def pixels(instance: Instance, numbers: Sequence[int], selection: Selection) -> Response:
    """Answer with frames that exist."""
    media_type = frame_media_type(instance.transfer_syntax_uid)
    types = dict.fromkeys((OCTET_STREAM, media_type))
    offers = [Offer(name, is_multipart=True) for name in types]
    if len(numbers) == 1:
        offers += [Offer(name, is_multipart=False) for name in types]
    offer, wanted = selection.choose(*offers)
    syntax = instance.transfer_syntax_uid
    if syntax not in NATIVE and not selection.accepts_syntax(wanted, syntax):
        raise Refused(406, f"the frames are stored as {syntax}, and are not decoded here")
    content_type = f"{offer.media_type}; transfer-syntax={frame_syntax(syntax)}"
    if not offer.is_multipart:
        content = content_of(instance.frame(numbers[0]))
        return Response(200, (("Content-Type", content_type),), content)
    # Made now, not while they are sent: a frame that cannot be read is a refusal.
    parts = [part_of(content_type, content_of(instance.frame(n))) for n in numbers]
    return selection.multipart(offer.media_type, lambda: parts)


def frame_media_type(transfer_syntax_uid: str) -> str:
    """Return the media type of compressed frames (PS3.18 Table 8.7.3-5)."""
    if transfer_syntax_uid in NATIVE:
        return OCTET_STREAM
    return COMPRESSED_MEDIA_TYPES.get(transfer_syntax_uid, "image/jpeg")


def frame_syntax(transfer_syntax_uid: str) -> str:
    """Uncompressed frames are always Explicit VR Little Endian (PS3.18 §8.7.3.5.2)."""
    return EXPLICIT_VR_LITTLE_ENDIAN if transfer_syntax_uid in NATIVE else transfer_syntax_uid


def content_of(pieces: Sequence[Buffer]) -> Content:
    """Wrap buffers that are in memory."""
    return Content(sum(len(piece) for piece in pieces), lambda: pieces)


def bulkdata(instance: Instance, tag: str, selection: Selection) -> Response:
    """Answer with one value (PS3.18 §10.4.1.1.4)."""
    if tag not in instance.bulk:
        raise Refused(404, "no such bulk data")
    if tag == PIXEL_DATA and instance.transfer_syntax_uid not in NATIVE:
        return pixels(instance, range(1, instance.frame_count + 1), selection)
    offers = [Offer(OCTET_STREAM, is_multipart=True), Offer(OCTET_STREAM, is_multipart=False)]
    offer, _ = selection.choose(*offers)
    content = content_of(instance.bulk_value(tag))
    if not offer.is_multipart:
        return Response(200, (("Content-Type", OCTET_STREAM),), content)
    return selection.multipart(OCTET_STREAM, lambda: [part_of(OCTET_STREAM, content)])


def picture(instance: Instance, route: Route, selection: Selection) -> Response:
    """Answer with a rendered image or a thumbnail (PS3.18 §10.4.1.1.5): a mosaic."""
    if route.resource is Resource.RENDERED and not instance.frame_count:
        raise Refused(406, "this instance has no pixel data to render")
    if route.frames and max(route.frames) > instance.frame_count:
        raise Refused(404, f"this instance has {instance.frame_count} frames")
    offer, _ = selection.choose(
        Offer("image/jpeg", is_multipart=False), Offer("image/png", is_multipart=False)
    )
    encode = images.png if offer.media_type == "image/png" else images.jpeg
    data = encode(images.mosaic(f"{instance.sop_instance_uid} {route.frames}"))
    return Response(200, (("Content-Type", offer.media_type),), Content.of(data))
