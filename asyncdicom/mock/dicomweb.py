"""DICOMweb over any archive: a pure function from request to answer (PS3.18 §10).

    web = DicomWeb(archive, WebOptions())
    response = web.respond(Request("GET", "/dicom-web/studies"))

No socket, no clock, no state: what a request is answered with depends on
nothing but the request, the archive and the options.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from asyncdicom.mock import qido
from asyncdicom.mock.accept import parse_accept
from asyncdicom.mock.archive import Unreadable
from asyncdicom.mock.messages import Content, Request, Response, header_value
from asyncdicom.mock.retrieve import Selection, bulkdata, frames, instances, picture
from asyncdicom.mock.routes import Level, Refused, Route, parse_route
from asyncdicom.model import Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.mock.archive import Archive, Attributes, Instance, Series, Study

__all__ = ["DicomWeb", "WebOptions"]

DICOM_JSON = "application/dicom+json"

GZIP_FROM_BYTES = 512
"""Smaller answers are not worth a content-coding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """How the DICOMweb face behaves where the Standard leaves a choice."""

    root: str = "/dicom-web"
    absolute_bulk_uris: bool = False
    """Whether a BulkDataURI is absolute, or relative to the URL of the metadata."""
    empty_search_status: int = 204
    """Status of a search without results: 204, or 200 with an empty list."""
    require_token: str | None = None
    """Credentials that each request has to show: a bearer token, or `user:password`."""
    strict_accept: bool = False
    """Whether a missing transfer-syntax parameter means Explicit VR Little Endian (PS3.18
    §8.7.3.5.2), which answers 406 for compressed instances; else the stored syntax is sent."""
    gzip: bool = True
    """Whether JSON is compressed for those who accept it."""
    max_results: int | None = None
    """Most results of one search; more are announced with a Warning (PS3.18 §8.3.4.4.1)."""


class DicomWeb:
    """The DICOMweb face of an archive.

    Args:
        archive: What it serves.
        options: How it behaves.

    """

    def __init__(self, archive: Archive, options: WebOptions | None = None) -> None:
        self.archive = archive
        self.options = options or WebOptions()

    def route(self, request: Request) -> Route:
        """Tell what a request asks for.

        Raises:
            Refused: If nothing lives there.

        """
        root = self.options.root
        below = request.path.removeprefix(root)
        if not request.path.startswith(root) or (below and not below.startswith("/")):
            raise Refused(404, f"nothing here; the DICOMweb root is {root}")
        return parse_route(below)

    def kind_of(self, request: Request) -> str | None:
        """Name what a request asks for, None if nothing lives there."""
        try:
            return self.route(request).resource.value
        except Refused:
            return None

    def blocks(self, _request: Request) -> bool:
        """Tell whether answering may block: reading a folder does."""
        return self.archive.is_blocking

    def respond(self, request: Request) -> Response:
        """Answer a request; refusals become answers too."""
        try:
            self._admit(request)
            response = self._answer(self.route(request), request)
        except Refused as refusal:
            return refuse(refusal)
        except Unreadable as error:
            return refuse(Refused(500, f"an instance cannot be read: {error}"))
        return self._compress(request, response)

    def _admit(self, request: Request) -> None:
        if request.method not in {"GET", "HEAD"}:
            raise Refused(405, f"{request.method} is not served; this archive is read-only")
        token = self.options.require_token
        if token is None:
            return
        scheme, _, credentials = (request.header("authorization") or "").partition(" ")
        # RFC 7617 §2: basic credentials travel in Base64.
        expected = {"bearer": token, "basic": base64_of(token)}.get(scheme.lower())
        if credentials != expected:
            raise Refused(401, "credentials are missing or wrong")

    def _answer(self, route: Route, request: Request) -> Response:
        if route.resource is Resource.SEARCH:
            return self._search(route, request)
        found = self._find(route)
        if route.resource is Resource.METADATA:
            return self._metadata(found, request)
        accepted = dict(request.query).get("accept") or request.header("accept")
        selection = Selection(
            ranges=parse_accept(accepted),
            is_strict=self.options.strict_accept,
            key=f"{request.path}",
        )
        match route.resource:
            case Resource.FRAME:
                return frames(found[0], route.frames, selection)
            case Resource.BULKDATA:
                return bulkdata(found[0], route.bulk_tag, selection)
            case Resource.RENDERED | Resource.THUMBNAIL:
                return picture(found[0], route, selection)
        return instances(found, route, selection)

    def _find(self, route: Route) -> Sequence[Instance]:
        """Look up the instances of a target.

        Raises:
            Refused: 404 if there is none.

        """
        study = self.archive.study(route.study or "")
        found = instances_of(study, route) if study else []
        if not found:
            raise Refused(404, f"no such {route.level.value}")
        return found

    def _search(self, route: Route, request: Request) -> Response:
        query = qido.parse_query(request.query)
        records = qido.search(self.archive, route, query)
        cap, wanted = self.options.max_results, query.limit
        limit = min((n for n in (cap, wanted) if n is not None), default=None)
        stop = None if limit is None else query.offset + limit
        page = list(islice(records, query.offset, stop))
        results = [self._result(record, route, query, request) for record in page]
        headers: list[tuple[str, str]] = []
        if limit is not None and limit != wanted and next(records, None) is not None:
            headers.append(("Warning", '299 asyncdicom "there are additional results"'))
        if query.fuzzy:
            # PS3.18 §8.3.4.2: the warning of a server that cannot.
            text = "The fuzzymatching parameter is not supported. Only literal matching has been"
            headers.append(("Warning", f'299 asyncdicom "{text} performed."'))
        if not results and self.options.empty_search_status == 204:
            return Response(204, tuple(headers))
        return json_response(results, headers)

    def _result(
        self, record: qido.Record, route: Route, query: qido.Query, request: Request
    ) -> Attributes:
        element = {"vr": "UR", "Value": [self._url_of(record, request)]}
        return qido.project(record, route, query) | {"00081190": element}

    def _url_of(self, record: qido.Record, request: Request) -> str:
        url = f"{self._base(request)}/studies/{record.study.study_instance_uid}"
        if record.series is not None:
            url += f"/series/{record.series.series_instance_uid}"
        if record.instance is not None:
            url += f"/instances/{record.instance.sop_instance_uid}"
        return url

    def _base(self, request: Request) -> str:
        return f"{request.scheme}://{request.authority}{self.options.root}"

    def _metadata(self, found: Sequence[Instance], request: Request) -> Response:
        return json_response([self._describe(instance, request) for instance in found])

    def _describe(self, instance: Instance, request: Request) -> Attributes:
        attributes = instance.attributes()
        uri = self._bulk_base(instance, request)
        for tag, vr in instance.bulk.items():
            attributes[tag] = {"vr": vr, "BulkDataURI": f"{uri}/{tag}"}
        # PS3.18 §10.4.1.1.2: what the instance can be had in, said by (0008,3002).
        syntax = {"vr": "UI", "Value": [instance.transfer_syntax_uid]}
        return attributes | {"00083002": syntax}

    def _bulk_base(self, instance: Instance, request: Request) -> str:
        path = (
            f"/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
            f"/instances/{instance.sop_instance_uid}/bulkdata"
        )
        if self.options.absolute_bulk_uris:
            return self._base(request) + path
        # RFC 3986 §5.2.4: a reference is resolved against the folder of the metadata's
        # own URL, so it climbs from there to the root of the service.
        below_root = request.path.removeprefix(self.options.root).strip("/")
        return "../" * below_root.count("/") + path.lstrip("/")

    def _compress(self, request: Request, response: Response) -> Response:
        is_json = response.header("content-type") == DICOM_JSON
        if not is_json or not self.options.gzip or response.body.byte_count() < GZIP_FROM_BYTES:
            return response
        response = replace(response, headers=response.with_header("Vary", "Accept-Encoding"))
        if "gzip" not in (header_value(request.headers, "accept-encoding") or ""):
            return response
        # mtime=0 keeps the answer a function of the request.
        packed = gzip.compress(b"".join(response.body.buffers()), compresslevel=1, mtime=0)
        headers = response.with_header("Content-Encoding", "gzip")
        return replace(response, headers=headers, body=Content.of(packed))


def base64_of(text: str) -> str:
    """Encode text as Base64."""
    return b64encode(text.encode()).decode("ascii")


def instances_of(study: Study, route: Route) -> Sequence[Instance]:
    """Return the instances of a study, or of a series or an instance in it."""
    if route.series is None:
        every: Sequence[Series] = study.all_series
        return every[0].instances if len(every) == 1 else [i for s in every for i in s.instances]
    series = study.series(route.series)
    if series is None or route.level is not Level.INSTANCE:
        return series.instances if series else []
    instance = series.instance(route.instance or "")
    return [instance] if instance else []


def json_response(results: list[Any], headers: Sequence[tuple[str, str]] = ()) -> Response:
    """Answer in the DICOM JSON Model (PS3.18 §F.2: elements in ascending order of tags)."""
    data = orjson.dumps(results, option=orjson.OPT_SORT_KEYS)
    return Response(200, (("Content-Type", DICOM_JSON), *headers), Content.of(data))


def refuse(refusal: Refused) -> Response:
    """Say no, with the reason as text."""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/plain; charset=utf-8"),)
    if refusal.status == 401:
        headers += (("WWW-Authenticate", 'Bearer realm="asyncdicom mock", Basic realm="mock"'),)
    return Response(refusal.status, headers, Content.of(f"{refusal.detail}\n".encode()))
