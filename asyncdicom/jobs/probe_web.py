"""What a DICOMweb root can do and where it is odd, from at most 30 small requests.

report = await probe_web(source)
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from asyncdicom.jobs.probe import ProbeReport
from asyncdicom.jobs.probe_asking import Asker, Exchange, ProbeOver
from asyncdicom.jobs.probe_paging import probe_paging
from asyncdicom.jobs.probe_retrieve import probe_metadata, probe_pixels
from asyncdicom.jobs.probe_search import Place, probe_fields, probe_keys, probe_levels
from asyncdicom.model import is_uid
from asyncdicom.protocol.qido_keys import Level
from asyncdicom.protocol.qido_rs import SearchQuery
from asyncdicom.sources.search import search

if TYPE_CHECKING:
    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["probe_web"]


async def probe_web(source: DicomWebSource) -> ProbeReport:
    """Probe a service.

    Raises:
        TransportError: If it cannot be reached.
        OriginError: If it refuses to be searched.
        UnexpectedContent: If it is no DICOMweb service.
        ProtocolError: If its answer is damaged.

    """
    report = ProbeReport(source.root.url, "dicomweb")
    # The first answer decides whether there is anything to probe; it is judged as any search.
    async for _ in search(source, SearchQuery(Level.STUDY), limit=1, page_limit=1):
        pass
    asker = Asker(source)
    asker.requests = 1
    try:
        await _probe(asker, report, is_tls=source.root.url.startswith("https"))
    except ProbeOver as end:
        report.problem = str(end)
    if asker.was_throttled:
        report.add("connection", "patience", "asked for", odd=asker.was_throttled)
        report.profile["concurrency"] = 2
    report.exchanges = asker.requests
    return report


async def _probe(asker: Asker, report: ProbeReport, *, is_tls: bool) -> None:
    seen = [await asker.ask("/studies?limit=1") for _ in range(2)]
    _note_connection(report, seen, is_tls=is_tls)
    long = await probe_paging(asker, report)
    study = next((uid for uid in long.uids or () if is_uid(uid)), "")
    place = Place(study)
    await probe_keys(asker, report, place)
    if not study:
        report.add("search", "studies", 0, "nothing to retrieve, so nothing further was asked")
        return
    await probe_fields(asker, report, place)
    place = await probe_levels(asker, report, place)
    if place.instance:
        await probe_metadata(asker, report, place)
        await probe_pixels(asker, report, place)


def _note_connection(report: ProbeReport, seen: list[Exchange], *, is_tls: bool) -> None:
    last = seen[-1]
    report.add("connection", "http-version", last.http_version)
    report.add("connection", "tls", is_tls)
    for name in ("server", "via"):
        if value := last.header(name):
            report.add("connection", name, value)
    answer_s = statistics.median(one.first_byte_s for one in seen)
    report.add("connection", "answer-s", round(answer_s, 4), "median of two searches")
    coding = last.header("content-encoding") or "none"
    report.add("search", "gzip", coding == "gzip", f"offered gzip: {coding}")
    if last.media_type == "application/dicom+json":
        report.add("search", "content-type", last.media_type)
    elif last.media_type:
        # PS3.18 §10.6.4: the default of a search.
        wanted = "asked for application/dicom+json"
        report.add("search", "content-type", last.media_type, odd=f"{last}, {wanted}")
    if is_tls:
        report.profile["http2"] = last.http_version == "2"
