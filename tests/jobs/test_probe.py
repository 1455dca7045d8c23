"""What a probe finds in services that behave, and in those that do not."""

from __future__ import annotations

import tomllib
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from asyncdicom.errors import (
    AssociationRejected,
    ConnectionLost,
    FetchError,
    NotNegotiated,
    OperationFailed,
    Unauthorized,
    UnexpectedContent,
    Unreachable,
)
from asyncdicom.jobs.probe import ProbeReport, as_toml
from asyncdicom.jobs.probe_asking import MAX_PIXEL_BYTES, MAX_REQUESTS
from asyncdicom.jobs.probe_dimse import MAX_ASSOCIATIONS, PRIVATE_CLASS, probe_dimse
from asyncdicom.jobs.probe_paging import LONG_PAGE
from asyncdicom.jobs.probe_web import probe_web
from asyncdicom.ports.dimse import AcceptedContext, FindAnswer
from asyncdicom.protocol.dimse.sop_classes import PATIENT_ROOT, STUDY_ROOT, VERIFICATION
from asyncdicom.protocol.urls import Root
from asyncdicom.sources.dicomweb import DicomWebSource
from tests.support.dicom import ct
from tests.support.scripted import ScriptedAnswer, ScriptedTransport, dicom_json, paging_of
from tests.support.scripted_dimse import (
    ScriptedAssociation,
    ScriptedPeer,
    read_identifier,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from asyncdicom.ports.dimse import Proposal
    from asyncdicom.ports.http import HttpRequest

pytestmark = pytest.mark.anyio

ROOT = "http://archive.test/dicom-web"
PIXELS = {"application/dicom", "application/octet-stream"}


def answer(tag: str, uid: str, **others: Any) -> dict[str, Any]:
    return {tag: {"vr": "UI", "Value": [uid]}, **others}


def study(number: int) -> dict[str, Any]:
    return answer("0020000D", f"1.2.{number}")


class Service:
    """A DICOMweb service that conforms; a test replaces what it wants otherwise."""

    def __init__(self, count: int = 25) -> None:
        self.studies = [study(number) for number in range(count)]
        self.pages: Callable[[int, int], ScriptedAnswer | FetchError] = self.true_page
        self.replaced: dict[str, Callable[[], ScriptedAnswer | FetchError]] = {}
        """By the end of a path, or by a part of its query."""
        self.decodes = True
        self.transport = ScriptedTransport(self._answer)

    @property
    def paths(self) -> list[str]:
        return [request.url.removeprefix(ROOT) for request in self.transport.requests]

    async def probe(self) -> ProbeReport:
        report = await probe_web(DicomWebSource(Root(ROOT), self.transport))
        assert self.transport.open_answers == 0
        assert len(self.transport.requests) == report.exchanges
        return report

    def true_page(self, offset: int, limit: int) -> ScriptedAnswer:
        return dicom_json(self.studies[offset:][:limit])

    def _answer(self, request: HttpRequest) -> ScriptedAnswer | FetchError:
        url = urlsplit(request.url)
        path, words = url.path.removeprefix("/dicom-web"), url.query
        for name, replace in self.replaced.items():
            if path.endswith(name) or name in words:
                return replace()
        if path == "/studies":
            return self._studies(request, words)
        if path.endswith(("/series", "/instances")):
            tag = "0020000E" if path.endswith("/series") else "00080018"
            return dicom_json([answer(tag, "1.2.3.4")])
        return self._representation(path, dict(request.headers)["accept"])

    def _studies(self, request: HttpRequest, words: str) -> ScriptedAnswer | FetchError:
        pairs = parse_qsl(unquote(words) if self.decodes else words.replace("%", "%25"))
        keys = dict(pairs)
        if "PatientID" in keys:
            return ScriptedAnswer(204)
        if "StudyInstanceUID" not in keys:
            return self.pages(*paging_of(request))
        found = [
            one for one in self.studies if one["0020000D"]["Value"] == [keys["StudyInstanceUID"]]
        ]
        asked = [tag for name, value in pairs if name == "includefield" for tag in value.split(",")]
        more: dict[str, Any] = {tag: {"vr": "LO", "Value": ["7"]} for tag in asked}
        return dicom_json([one | more for one in found])

    def _representation(self, path: str, accept: str) -> ScriptedAnswer:
        if path.endswith("/metadata"):
            if "application/dicom+json" in accept:
                return dicom_json([answer("00080018", "1.2.3.4")])
            return ScriptedAnswer(406)
        kind = accept.partition(";")[0]
        return ScriptedAnswer(200, (("content-type", kind),), [bytes(50_000)] * 1000)


def found(report: ProbeReport) -> dict[str, Any]:
    return {f"{one.topic}: {one.name}": one.value for one in report.findings}


def odd(report: ProbeReport) -> list[str]:
    return [f"{one.topic}: {one.name}" for one in report.findings if one.is_odd]


async def test_nothing_is_odd_about_a_service_that_conforms() -> None:
    service = Service()
    report = await service.probe()
    assert (odd(report), report.problem, report.profile) == ([], "", {})
    assert report.exchanges <= MAX_REQUESTS
    seen = found(report)
    assert seen["paging: limit"] == seen["paging: offset"] == "honoured"
    assert seen["paging: longest-page"] == 25
    assert seen["counts: NumberOfStudyRelatedInstances"] == 7
    assert seen["search: includefield"] == "honoured"
    assert seen["metadata: refuses-what-it-has-not"] == "406"
    assert seen["connection: http-version"] == "1.1"
    assert seen["rendered: image/jpeg"] == "image/jpeg"


async def test_of_pixels_the_beginning_is_read_only() -> None:
    service = Service()
    read = 0

    class Counting(ScriptedAnswer):
        async def read(self) -> bytes:
            nonlocal read
            piece = bytes(await super().read())
            read += len(piece)
            return piece

    fields = (("content-type", "multipart/related"),)
    pieces = [bytes(10_000)] * 1000
    service.replaced["/frames/1"] = lambda: Counting(200, fields, pieces)
    await service.probe()
    assert MAX_PIXEL_BYTES <= read <= MAX_PIXEL_BYTES + 10_000


def ignore_offset(service: Service) -> Callable[[int, int], ScriptedAnswer]:
    return lambda _, limit: service.true_page(0, limit)


def count_pages(service: Service) -> Callable[[int, int], ScriptedAnswer]:
    return lambda offset, limit: service.true_page(offset * limit, limit)


def cap(service: Service, *headers: tuple[str, str]) -> Callable[[int, int], ScriptedAnswer]:
    return lambda offset, limit: dicom_json(service.studies[offset:][: min(limit, 12)], *headers)


def cap_aloud(service: Service) -> Callable[[int, int], ScriptedAnswer]:
    return cap(service, ("Warning", "299 test: There are 13 additional results"))


def halve(service: Service) -> Callable[[int, int], ScriptedAnswer]:
    return lambda offset, limit: service.true_page(offset, max(1, limit // 2))


def ignore_limit(service: Service) -> Callable[[int, int], ScriptedAnswer]:
    return lambda offset, _: service.true_page(offset, 1000)


def turn_around(service: Service) -> Callable[[int, int], ScriptedAnswer]:
    def page(offset: int, limit: int) -> ScriptedAnswer:
        service.studies.reverse()
        return service.true_page(offset, limit)

    return page


def refuse_long(service: Service) -> Callable[[int, int], ScriptedAnswer]:
    return lambda offset, limit: (
        ScriptedAnswer(413) if limit > 100 else service.true_page(offset, limit)
    )


def fail_behind(service: Service) -> Callable[[int, int], ScriptedAnswer]:
    return lambda offset, limit: (
        ScriptedAnswer(500) if offset > 1000 else service.true_page(offset, limit)
    )


@pytest.mark.parametrize(
    ("misbehave", "name", "value"),
    [
        pytest.param(ignore_offset, "offset", "ignored", id="the offset is ignored"),
        pytest.param(count_pages, "offset", "counts pages", id="the offset counts pages"),
        pytest.param(cap, "cap", 12, id="pages are capped without a word"),
        pytest.param(cap_aloud, "cap", 12, id="pages are capped with a warning"),
        pytest.param(halve, "limit", "short pages", id="pages are half empty"),
        pytest.param(turn_around, "order", "changes", id="the order changes"),
        pytest.param(refuse_long, "longest-page", None, id="a long page is refused"),
        pytest.param(fail_behind, "behind-the-end", "500", id="no page behind the end"),
    ],
)
async def test_odd_paging_is_named_with_evidence(
    misbehave: Callable[[Service], Callable[[int, int], ScriptedAnswer]], name: str, value: object
) -> None:
    service = Service()
    service.pages = misbehave(service)
    report = await service.probe()
    (finding,) = (one for one in report.odd if (one.topic, one.name) == ("paging", name))
    assert finding.value == value
    assert finding.evidence.startswith("GET /studies?limit=")


async def test_a_limit_that_is_ignored_is_seen_on_small_pages() -> None:
    service = Service()
    service.pages = ignore_limit(service)
    assert found(await service.probe())["paging: limit"] == "ignored"


async def test_what_was_capped_suits_a_profile() -> None:
    service = Service()
    service.pages = cap_aloud(service)
    report = await service.probe()
    assert report.profile == {"find": {"page-size": 12}}
    assert found(report)["paging: says-when-there-is-more"] is True


async def test_a_full_page_is_no_cap() -> None:
    report = await Service(LONG_PAGE + 1).probe()
    assert found(report)["paging: longest-page"] == LONG_PAGE
    assert odd(report) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 11])
async def test_small_archives_are_not_called_odd(count: int) -> None:
    assert odd(await Service(count).probe()) == []


async def test_of_an_empty_archive_nothing_further_is_asked() -> None:
    service = Service(0)
    report = await service.probe()
    assert (odd(report), report.problem) == ([], "")
    assert len(service.paths) < 8


@pytest.mark.parametrize(
    ("where", "instead", "name"),
    [
        pytest.param(
            "PatientID",
            lambda: dicom_json([study(1)]),
            "search: no-match",
            id="keys that match nothing are ignored",
        ),
        pytest.param(
            "PatientID", lambda: ScriptedAnswer(404), "search: no-match", id="404 for no match"
        ),
        pytest.param(
            "includefield=all",
            lambda: ScriptedAnswer(400),
            "search: includefield-all",
            id="all fields are refused",
        ),
        pytest.param(
            "includefield=00201206&",
            lambda: dicom_json([study(0)]),
            "counts: NumberOfStudyRelatedSeries",
            id="no counts",
        ),
        pytest.param(
            "1.2.0/series",
            lambda: ScriptedAnswer(501),
            "levels: series of a study",
            id="no search for series",
        ),
        pytest.param(
            "/metadata",
            lambda: ScriptedAnswer(
                200, (("content-type", "application/json"),), b'[{"00080018":{"vr":"UI"}}]'
            ),
            "metadata: content-type",
            id="another media type than asked for",
        ),
        pytest.param(
            "/metadata", lambda: ScriptedAnswer(500), "metadata: application/dicom+json", id="none"
        ),
        pytest.param(
            "/frames/1",
            lambda: ScriptedAnswer(200, (("content-type", "text/html"),), b"<html>"),
            'frame: multipart/related; type="application/octet-stream"; transfer-syntax=*',
            id="a page instead of a frame",
        ),
    ],
)
async def test_odd_answers_are_named_with_evidence(
    where: str, instead: Callable[[], ScriptedAnswer], name: str
) -> None:
    service = Service()
    service.replaced[where] = instead
    report = await service.probe()
    assert name in odd(report)
    assert all(one.evidence for one in report.odd)


async def test_a_service_that_does_not_decode_keys_is_told() -> None:
    service = Service()
    service.decodes = False
    assert odd(await service.probe()) == ["search: decodes-keys"]


async def test_an_accept_that_is_ignored_is_told() -> None:
    service = Service()
    service.replaced["/metadata"] = lambda: dicom_json([answer("00080018", "1.2.3.4")])
    assert found(await service.probe())["metadata: refuses-what-it-has-not"] == "ignores Accept"


@pytest.mark.parametrize(
    ("first", "error"),
    [
        pytest.param(Unreachable("no route"), Unreachable, id="nobody is there"),
        pytest.param(ScriptedAnswer(401), Unauthorized, id="credentials are wanted"),
        pytest.param(
            ScriptedAnswer(200, (("content-type", "text/html"),), b"<html>"),
            UnexpectedContent,
            id="a web page",
        ),
        pytest.param(ScriptedAnswer(404), UnexpectedContent, id="nothing lives there"),
    ],
)
async def test_what_is_no_service_is_an_error(
    first: ScriptedAnswer | FetchError, error: type[FetchError]
) -> None:
    service = Service()
    service.pages = lambda _offset, _limit: first
    with pytest.raises(error):
        await service.probe()


async def test_one_broken_answer_is_passed_over() -> None:
    service = Service()
    service.replaced["/rendered"] = lambda: ConnectionLost("reset")
    report = await service.probe()
    assert report.problem == ""
    assert found(report)["rendered: image/jpeg"] is False


async def test_a_service_that_goes_away_ends_the_probe() -> None:
    service = Service()
    service.replaced["/rendered"] = lambda: ConnectionLost("reset")
    service.replaced["/thumbnail"] = lambda: ConnectionLost("reset")
    report = await service.probe()
    assert "reset" in report.problem
    assert found(report)["paging: offset"] == "honoured"


async def test_who_asks_for_patience_is_asked_again_once_and_treated_gently() -> None:
    service = Service()
    refusals = [ScriptedAnswer(503, (("retry-after", "0"),)), ScriptedAnswer(404)]
    service.replaced["/thumbnail"] = lambda: refusals.pop(0)
    report = await service.probe()
    assert report.problem == ""
    assert report.profile["concurrency"] == 2
    assert "connection: patience" in odd(report)


@pytest.mark.parametrize("seconds", ["0", "300"])
async def test_who_is_busy_for_long_is_left_alone(seconds: str) -> None:
    service = Service()
    service.replaced["1.2.0/series"] = lambda: ScriptedAnswer(429, (("retry-after", seconds),))
    report = await service.probe()
    assert report.problem
    assert service.paths[-1].endswith("/series?limit=1")


async def test_what_a_server_says_of_itself_fits_one_line() -> None:
    service = Service()
    headers = (("server", "evil\x1b[2J\n" + "x" * 1000),)
    service.pages = lambda offset, limit: dicom_json(service.studies[offset:][:limit], *headers)
    server = found(await service.probe())["connection: server"]
    assert server.isprintable()
    assert len(server) <= 200


def test_a_profile_is_toml() -> None:
    profile = {"http2": True, "model": 'a"b\\c', "find": {"page-size": 12}, "concurrency": 2}
    text = as_toml(profile, ["made\nup"])
    assert text.startswith("# made up\n")
    assert tomllib.loads(text) == profile


# DIMSE


def peer(count: int = 2) -> ScriptedPeer:
    return ScriptedPeer([ct(number=number) for number in range(1, count + 1)])


async def probed(scripted: ScriptedPeer, **options: Any) -> ProbeReport:
    report = await probe_dimse("dicom://PEER@archive.test:104", scripted, **options)
    assert (scripted.open_now, scripted.open_peak) == (0, 1)
    assert all(len(contexts) <= 128 for contexts in scripted.established)
    return report


async def test_a_peer_that_does_everything_is_not_odd() -> None:
    scripted = peer()
    report = await probed(scripted)
    assert (odd(report), report.problem) == ([], "")
    assert report.profile == {"model": "study"}
    assert report.exchanges == len(scripted.established) <= 5
    seen = found(report)
    assert seen["association: implementation-version"] == "SCRIPTED"
    assert seen["association: max-pdu-bytes"] == "any"
    assert seen["study model: IMAGE level"] is True
    assert seen["patient model: PATIENT level"] is True
    assert seen["storage: receiver-role"] is True


async def test_queries_are_cancelled_after_their_first_answer() -> None:
    scripted = peer(5)
    await probed(scripted)
    assert scripted.cancelled > 0
    assert scripted.asked.count("find STUDY") <= 6


async def test_the_last_days_are_asked_for_before_everything() -> None:
    scripted = peer()
    await probed(scripted)
    first = next(keys for keys in scripted.identifiers if keys.QueryRetrieveLevel == "STUDY")
    assert str(first.StudyDate).endswith("-")


async def test_a_thorough_probe_stays_within_its_associations() -> None:
    scripted = peer()
    report = await probed(scripted, is_thorough=True)
    assert 5 < report.exchanges <= MAX_ASSOCIATIONS
    assert len(report.value_of("storage", "CT Image Storage") or ()) > 10  # type: ignore[arg-type]  # -- a list of names


def refusing(*classes: str) -> Callable[[str, str], bool]:
    return lambda sop_class, _syntax: sop_class not in classes


@pytest.mark.parametrize(
    ("refused", "model"),
    [
        pytest.param([STUDY_ROOT.find], "patient", id="no study root"),
        pytest.param([STUDY_ROOT.find, PATIENT_ROOT.find], "patient-study", id="only the third"),
    ],
)
async def test_the_profile_names_a_model_that_is_spoken(refused: list[str], model: str) -> None:
    scripted = peer()
    scripted.accepts = refusing(*refused)
    assert (await probed(scripted)).profile == {"model": model}


async def test_who_refuses_c_get_is_to_be_asked_for_c_move() -> None:
    scripted = peer()
    scripted.accepts = refusing(STUDY_ROOT.get, PATIENT_ROOT.get)
    report = await probed(scripted)
    assert "retrieve=move" in report.remarks[0]
    assert found(report)["storage: asked-as"] == "sender"
    assert not any(one.is_scp for contexts in scripted.established for one in contexts)


async def test_classes_and_transfer_syntaxes_that_are_refused_are_named() -> None:
    scripted = peer()
    mr, private = "1.2.840.10008.5.1.4.1.1.4", PRIVATE_CLASS
    jpeg = "1.2.840.10008.1.2.4.50"
    scripted.accepts = lambda sop_class, syntax: sop_class not in (mr, private) and syntax != jpeg
    report = await probed(scripted)
    seen = found(report)
    assert seen["storage: refused-classes"] == ("MR Image Storage",)
    assert seen["storage: accepts-any-class"] is False
    spoken = seen["storage: transfer syntaxes of CT Image Storage"]
    assert "RLE Lossless" in spoken
    assert "JPEG Baseline (Process 1)" not in spoken


class Roleless(ScriptedPeer):
    """Accepts everything, and grants nobody the role of a receiver."""

    @asynccontextmanager
    async def associate(self, proposal: Proposal) -> AsyncIterator[ScriptedAssociation]:
        async with super().associate(proposal) as association:
            association.accepted = tuple(
                AcceptedContext(one.context_id, one.abstract_syntax, one.transfer_syntax)
                for one in association.accepted
            )
            yield association


async def test_a_role_that_is_not_granted_is_odd() -> None:
    assert "storage: receiver-role" in odd(await probed(Roleless([ct()])))


class Shallow(ScriptedPeer):
    """Knows studies, and nothing below them."""

    @asynccontextmanager
    async def associate(self, proposal: Proposal) -> AsyncIterator[ScriptedAssociation]:
        async with super().associate(proposal):
            yield ShallowAssociation(self, proposal)


class ShallowAssociation(ScriptedAssociation):
    async def find(self, context: AcceptedContext, identifier: bytes) -> AsyncGenerator[FindAnswer]:
        keys = read_identifier(identifier, context.transfer_syntax)
        if keys.QueryRetrieveLevel == "SERIES":
            raise OperationFailed("no such level", status=0xA900)
        async with aclosing(super().find(context, identifier)) as answers:
            async for one in answers:
                yield one


async def test_a_level_that_fails_is_odd_and_the_rest_is_asked_for() -> None:
    report = await probed(Shallow([ct()]))
    assert report.problem == ""
    assert odd(report) == ["study model: SERIES level", "patient model: SERIES level"]
    assert "A900" in report.odd[0].evidence
    assert found(report)["storage: classes"]


async def test_who_does_not_verify_is_probed_all_the_same() -> None:
    scripted = peer()
    scripted.accepts = refusing(VERIFICATION)
    scripted.associate = without_verification(scripted)  # type: ignore[method-assign]  # -- a script
    report = await probed(scripted)
    assert odd(report) == ["association: echo"]
    assert found(report)["study model: STUDY level"] is True


def without_verification(scripted: ScriptedPeer) -> Any:
    original = scripted.associate

    @asynccontextmanager
    async def associate(proposal: Proposal) -> AsyncIterator[ScriptedAssociation]:
        if [one.abstract_syntax for one in proposal.contexts] == [VERIFICATION]:
            scripted.established.append(proposal.contexts)
            raise NotNegotiated("refused")
        async with original(proposal) as association:
            yield association

    return associate


async def test_who_cannot_be_reached_is_an_error() -> None:
    scripted = peer()
    scripted.refusals = [Unreachable("no route")]
    with pytest.raises(Unreachable):
        await probed(scripted)


@pytest.mark.parametrize(
    ("refusals", "profile"),
    [
        pytest.param(
            [None, AssociationRejected("busy", is_transient=True)],
            {"max-associations": 1},
            id="busy",
        ),
        pytest.param([None, None, ConnectionLost("reset")], {"model": "study"}, id="gone"),
    ],
)
async def test_a_peer_that_goes_away_leaves_what_was_found(
    refusals: Sequence[FetchError | None], profile: dict[str, Any]
) -> None:
    scripted = peer()
    scripted.refusals = list(refusals)
    report = await probed(scripted)
    assert report.problem
    assert report.profile == profile
    assert found(report)["association: echo"] is True


def test_a_report_is_json() -> None:
    report = ProbeReport("dicom://A@b:104", "dimse")
    report.add("storage", "classes", ("a", "b"), odd="asked and answered")
    assert report.as_json()["findings"] == [
        {
            "topic": "storage",
            "name": "classes",
            "value": ("a", "b"),
            "evidence": "asked and answered",
            "is_odd": True,
        }
    ]
