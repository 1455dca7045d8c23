"""Which representations a service has of an instance, and how it refuses others (PS3.18 §8.7).

await probe_metadata(asker, report, place)
await probe_pixels(asker, report, place)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncdicom.jobs.probe_asking import JSON, MAX_PIXEL_BYTES
from asyncdicom.model import Resource
from asyncdicom.protocol import wado_rs

if TYPE_CHECKING:
    from asyncdicom.jobs.probe import ProbeReport
    from asyncdicom.jobs.probe_asking import Asker, Exchange
    from asyncdicom.jobs.probe_search import Place

__all__ = ["probe_metadata", "probe_pixels"]

NONSENSE: Final = "application/x-asyncdicom-probe"
"""A media type that nobody has."""


async def probe_metadata(asker: Asker, report: ProbeReport, place: Place) -> None:
    """Ask for metadata of an instance, in several media types and codings."""
    path = f"{place.instance_path}/metadata"
    seen = await asker.ask(path)
    answers = seen.answers()
    if not answers:
        report.add("metadata", JSON, value=False, odd=str(seen))
        return
    report.add("metadata", JSON, value=True)
    _note_type(report, seen)
    _note_coding(report, seen)
    _note_bulkdata(report, answers[0])
    for accept in ("application/json", 'multipart/related; type="application/dicom+xml"'):
        await _note_accept(asker, report, "metadata", path, accept)
    refused = await asker.ask(path, accept=NONSENSE)
    _note_refusal(report, refused)


def _note_type(report: ProbeReport, seen: Exchange) -> None:
    if seen.media_type == JSON:
        report.add("metadata", "content-type", seen.media_type)
    else:
        # PS3.18 §8.7.8: what was acceptable is what comes.
        report.add("metadata", "content-type", seen.media_type, odd=f"{seen}, asked for {JSON}")


def _note_coding(report: ProbeReport, seen: Exchange) -> None:
    coding = seen.header("content-encoding") or "none"
    sizes = f"{len(seen.body)} bytes travelled as {seen.downloaded_bytes}"
    report.add("metadata", "gzip", coding == "gzip", f"offered gzip: {coding}, {sizes}")


def _note_bulkdata(report: ProbeReport, answer: dict[str, Any]) -> None:
    uris = [
        element["BulkDataURI"]
        for element in answer.values()
        if isinstance(element, dict) and isinstance(element.get("BulkDataURI"), str)
    ]
    has_inline = any(
        isinstance(element, dict) and "InlineBinary" in element for element in answer.values()
    )
    how = "BulkDataURI" if uris else "InlineBinary" if has_inline else "none"
    report.add("metadata", "binary-values", how)


async def _note_accept(
    asker: Asker, report: ProbeReport, topic: str, path: str, accept: str
) -> Exchange:
    """Ask for a media type at the beginning of a resource, and note whether it came."""
    seen = await asker.ask(path, accept=accept, encoding="identity", max_bytes=MAX_PIXEL_BYTES)
    wanted = accept.partition(";")[0].strip()
    is_wanted = wanted in (seen.media_type, "*/*")
    if not seen.is_success:
        report.add(topic, accept, value=False, evidence=str(seen))
    elif is_wanted:
        report.add(topic, accept, value=True, evidence=_framing(seen))
    else:
        report.add(topic, accept, seen.media_type, odd=f"{seen}, asked for {wanted}")
    return seen


def _framing(seen: Exchange) -> str:
    """Return how the end of the body is known."""
    if length := seen.header("content-length"):
        return f"{length} bytes"
    if seen.http_version == "2":
        return "no length, ends with its stream"
    if seen.header("transfer-encoding"):
        return "no length, chunked"
    return "no length, ends with the connection: a cut cannot be seen"


def _note_refusal(report: ProbeReport, seen: Exchange) -> None:
    # PS3.18 §8.7.4: 406 where none of the media types is available.
    if seen.status_code == 406:
        report.add("metadata", "refuses-what-it-has-not", "406")
    elif seen.is_success:
        told = f"{seen}, asked for {NONSENSE}"
        report.add("metadata", "refuses-what-it-has-not", "ignores Accept", odd=told)
    else:
        report.add("metadata", "refuses-what-it-has-not", str(seen.status_code), odd=str(seen))


async def probe_pixels(asker: Asker, report: ProbeReport, place: Place) -> None:
    """Ask for the beginning of an instance, of a frame, and of rendered images."""
    first, _, single = wado_rs.accept_alternatives(Resource.INSTANCE)
    path = place.instance_path
    await _note_accept(asker, report, "instance", path, first)
    await _note_accept(asker, report, "instance", path, single.partition(",")[0])
    frame = wado_rs.accept_alternatives(Resource.FRAME)[0]
    await _note_accept(asker, report, "frame", f"{path}/frames/1", frame)
    for name in ("rendered", "thumbnail"):
        seen = await asker.ask(
            f"{path}/{name}",
            accept="image/jpeg",
            encoding="identity",
            max_bytes=MAX_PIXEL_BYTES,
        )
        is_there = seen.is_success and seen.media_type.startswith("image/")
        report.add(name, "image/jpeg", seen.media_type if is_there else False, str(seen))
