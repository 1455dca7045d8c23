"""An archive behind DICOMweb without a network, in which any answer can be replaced.

    served = Served(instances=3)
    served.script("*/studies/*", ScriptedAnswer(500))        # the next answer there
    served.script("*/frames/1", NotFound(...), for_good=True)
    job = GetJob(served.source, ...)
    served.paths()                                            # what was asked for

A script may also be a function from the true answer to another one.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from asyncdicom.mock import SyntheticArchive, SyntheticOptions
from asyncdicom.mock.dicomweb import DicomWeb, WebOptions
from asyncdicom.mock.messages import Request, split_target
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.protocol.urls import Root
from asyncdicom.sources.dicomweb import DicomWebSource
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.http import HttpRequest

    Script: TypeAlias = ScriptedAnswer | FetchError | Callable[[ScriptedAnswer], ScriptedAnswer]

__all__ = ["ROOT", "Served", "cut_after_parts", "whole_body"]

ROOT = "http://archive.test/dicom-web"


@dataclass
class _Rule:
    pattern: str
    script: Script
    is_for_good: bool


class Served:
    """A synthetic archive, a transport to it, and a source over that.

    Args:
        web: How its DICOMweb face behaves.
        options: Of the archive (`SyntheticOptions`); small by default.

    """

    def __init__(self, web: WebOptions | None = None, **options: Any) -> None:
        small = {"studies": 1, "instances": 3, "rows": 8}
        self.archive = SyntheticArchive(SyntheticOptions(**(small | options)))
        self._web = DicomWeb(self.archive, web)
        self._rules: list[_Rule] = []
        self.transport = ScriptedTransport(self._answer)
        self.source = DicomWebSource(Root(ROOT), self.transport)
        study = self.archive.studies[0]
        every = [instance for series in study.all_series for instance in series.instances]
        self.study = Uid(study.study_instance_uid)
        self.series = [Uid(series.series_instance_uid) for series in study.all_series]
        self.instances = [Uid(instance.sop_instance_uid) for instance in every]
        self.files = {i.sop_instance_uid: b"".join(map(bytes, i.file())) for i in every}
        self._series_of = {i.sop_instance_uid: Uid(i.series_instance_uid) for i in every}

    def script(self, pattern: str, *scripts: Script, for_good: bool = False) -> None:
        """Replace the next answers to paths below the root that match a pattern, one each."""
        self._rules += [_Rule(pattern, script, for_good) for script in scripts]

    def target(self, instance: int | None = None, *, series: int | None = None) -> Target:
        """Return the study as a target, or a series or an instance of it by its index."""
        if instance is not None:
            uid = self.instances[instance]
            return Target(Resource.INSTANCE, self.study, self._series_of[uid], uid)
        if series is not None:
            return Target(Resource.SERIES, self.study, self.series[series])
        return Target(Resource.STUDY, self.study)

    def paths(self, pattern: str = "*") -> list[str]:
        """Return the paths below the root that were asked for, without the queries, in order."""
        found = [urlsplit(r.url).path.removeprefix("/dicom-web") for r in self.transport.requests]
        return [path for path in found if fnmatch.fnmatchcase(path, pattern)]

    def retrieved(self) -> list[str]:
        """Return what was retrieved: `study`, `series` or `instance N`, in order."""
        names = {f"/studies/{self.study}": "study"}
        names |= {f"/studies/{self.study}/series/{uid}": f"series {uid}" for uid in self.series}
        for number, uid in enumerate(self.instances):
            path = f"/studies/{self.study}/series/{self._series_of[uid]}/instances/{uid}"
            names[path] = f"instance {number}"
        return [names[path] for path in self.paths() if path in names]

    def true_answer(self, request: HttpRequest) -> ScriptedAnswer:
        """Return what the archive says."""
        parts = urlsplit(request.url)
        path, query = split_target(f"{parts.path}?{parts.query}")
        response = self._web.respond(
            Request("GET", path, query, request.headers, authority=parts.netloc)
        )
        body = whole_body(response.body)
        return ScriptedAnswer(response.status, response.headers, body, http_version="2")

    def _answer(self, request: HttpRequest) -> ScriptedAnswer | FetchError:
        path = urlsplit(request.url).path.removeprefix("/dicom-web")
        for rule in self._rules:
            if fnmatch.fnmatchcase(path, rule.pattern):
                if not rule.is_for_good:
                    self._rules.remove(rule)
                if callable(rule.script):
                    return rule.script(self.true_answer(request))
                return rule.script
        return self.true_answer(request)


def whole_body(body: Any) -> bytes:
    """Return a body of the mock, or of a scripted answer, as bytes."""
    if isinstance(body, bytes):
        return body
    return b"".join(map(bytes, body.buffers()))


def cut_after_parts(count: int, error: FetchError) -> Callable[[ScriptedAnswer], ScriptedAnswer]:
    """Return a script that ends a multipart answer within the part after `count` whole ones."""

    def cut(answer: ScriptedAnswer) -> ScriptedAnswer:
        body = whole_body(answer.body)
        boundary = body[: body.index(b"\r\n")]
        at = 0
        for _ in range(count):
            at = body.index(boundary, at + 1)
        return ScriptedAnswer(200, answer.headers, [body[: at + len(boundary) + 200], error])

    return cut
