"""A small archive as a bucket, asked without a socket."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from asyncdicom.mock.archive import instance_count
from asyncdicom.mock.messages import Request, Response
from asyncdicom.mock.s3 import S3Face, S3Options
from asyncdicom.mock.s3_faults import S3Plan
from asyncdicom.mock.synthetic import SyntheticArchive, SyntheticOptions

if TYPE_CHECKING:
    from asyncdicom.mock.archive import Archive

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def small_archive(**options: Any) -> SyntheticArchive:
    shape = {"studies": 2, "series": 2, "instances": 3, "rows": 16}
    return SyntheticArchive(SyntheticOptions(**(shape | options)))


def truth_of(archive: Archive) -> dict[str, bytes]:
    """Return all files by the key that they must have, in the order of S3."""
    every = [
        instance
        for study in archive.studies
        for series in study.all_series
        for instance in series.instances
    ]
    assert len(every) == sum(map(instance_count, archive.studies))
    keys = {
        f"{i.study_instance_uid}/{i.series_instance_uid}/{i.sop_instance_uid}.dcm": i.file()
        for i in every
    }
    return {key: b"".join(keys[key]) for key in sorted(keys, key=str.encode)}


@dataclass
class Listed:
    """What a page says."""

    keys: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    is_truncated: bool = False
    token: str | None = None


def read_page(response: Response) -> Listed:
    """Read a page with Python's parser."""
    assert response.status == 200, body_of(response)
    root = ET.fromstring(body_of(response))
    is_encoded = root.findtext(f"{NAMESPACE}EncodingType") == "url"
    decode = unquote if is_encoded else str
    listed = Listed(
        is_truncated=root.findtext(f"{NAMESPACE}IsTruncated") == "true",
        token=root.findtext(f"{NAMESPACE}NextContinuationToken"),
    )
    for entry in root.iter(f"{NAMESPACE}Contents"):
        listed.keys.append(decode(entry.findtext(f"{NAMESPACE}Key", "")))
        listed.sizes.append(int(entry.findtext(f"{NAMESPACE}Size", "")))
        listed.etags.append(entry.findtext(f"{NAMESPACE}ETag", ""))
    for entry in root.iter(f"{NAMESPACE}CommonPrefixes"):
        listed.prefixes.append(decode(entry.findtext(f"{NAMESPACE}Prefix", "")))
    assert int(root.findtext(f"{NAMESPACE}KeyCount", "")) == len(listed.keys + listed.prefixes)
    return listed


def body_of(response: Response) -> bytes:
    return b"".join(map(bytes, response.body.buffers()))


class Bucket:
    """A face whose answers meet the faults of a plan, as a server would let them."""

    def __init__(self, *faults: str, max_keys: int = 1000) -> None:
        self.archive = small_archive()
        self.truth = truth_of(self.archive)
        self.keys = list(self.truth)
        self._face = S3Face(self.archive, S3Options(max_keys=max_keys))
        self._plan = S3Plan(faults)

    def ask(
        self, path: str, query: dict[str, str] | None = None, method: str = "GET", **fields: str
    ) -> Response:
        headers = tuple((name.replace("_", "-"), value) for name, value in fields.items())
        request = Request(method, path, tuple((query or {}).items()), headers)
        fault = self._plan.decide(self._face.kind_of(request), path)
        if fault is None:
            return self._face.respond(request)
        response = self._face.respond(fault.effect.rewrite(request, fault.settings))
        return fault.effect.apply(request, response, fault.settings)

    def get(self, at: int = 0, **fields: str) -> Response:
        """Ask for an object by its place."""
        return self.ask(f"/dicom/{self.keys[at]}", None, "GET", **fields)

    def content(self, at: int = 0) -> bytes:
        return self.truth[self.keys[at]]

    def listing(self, **query: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in query.items()}
        return self.ask("/dicom", {"list-type": "2", **named})

    def pages(self, **query: str) -> list[Listed]:
        """Read pages until there is no token."""
        found = [read_page(self.listing(**query))]
        while found[-1].token is not None:
            found.append(read_page(self.listing(continuation_token=found[-1].token, **query)))
        return found
