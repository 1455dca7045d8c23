"""Faults of DIMSE are read as documented, and do what they say to a peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AssociationAborted,
    AssociationRejected,
    ConfigError,
    ConnectionLost,
    NotNegotiated,
    OperationFailed,
    ProtocolError,
    Stalled,
)
from asyncdicom.mock import DimseServer
from asyncdicom.mock.dimse_effects import DIMSE_EFFECTS
from asyncdicom.mock.dimse_faults import DimsePlan, is_dimse_fault, parse_dimse_fault
from asyncdicom.mock.dimse_tampering import with_sop_instance_uid
from asyncdicom.mock.effects import EFFECTS
from asyncdicom.mock.fault_table import fault_table
from asyncdicom.ports.dimse import SubOperations
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT
from asyncdicom.protocol.identifiers import texts_in
from asyncdicom.transports.associations import wire
from tests.mock.dimse_support import (
    CT,
    Kept,
    archive_of,
    associated,
    datasets_of,
    get_study,
    study_identifier,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.ports.dimse import FindAnswer

anyio = pytest.mark.anyio

ARCHIVE = archive_of(studies=1)
TRUTH = datasets_of(ARCHIVE)
UIDS = list(TRUTH)
VICTIM = UIDS[2]

IDLE_S = 0.4


class TestLanguage:
    @pytest.mark.parametrize(
        ("fault", "kinds"),
        [
            pytest.param("abort:get", {"get"}, id="one kind"),
            pytest.param("abort:find+get", {"find", "get"}, id="two kinds"),
            pytest.param("reject", {"association"}, id="all kinds of the effect"),
            pytest.param("A702", {"echo", "find", "get", "move", "store"}, id="a status"),
            pytest.param("a702:get", {"get"}, id="a status in lower case"),
            pytest.param("lose:any:nth=2", {"suboperation"}, id="any kind"),
        ],
    )
    def test_kinds(self, fault: str, kinds: set[str]) -> None:
        assert parse_dimse_fault(fault).selector.kinds == kinds

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            pytest.param("explode", "unknown fault", id="unknown name"),
            pytest.param("A70", "unknown fault", id="three digits"),
            pytest.param("reject:get", "unknown kind", id="kind that the effect has not"),
            pytest.param("abort:study", "unknown kind", id="kind of DICOMweb"),
            pytest.param("abort:get:colour=red", "unknown option", id="unknown option"),
            pytest.param("late:get:s=soon", "is no number", id="value of the wrong kind"),
            pytest.param("late:get:s=nan", "is no number", id="no number"),
            pytest.param("A702:get:sent=inf", "is no number", id="no count"),
            pytest.param("fail:suboperation:as=A70", "is no status", id="no status"),
        ],
    )
    def test_what_cannot_be_read_is_said(self, fault: str, reason: str) -> None:
        with pytest.raises(ConfigError, match=reason):
            parse_dimse_fault(fault)

    def test_no_name_means_two_things(self) -> None:
        assert not DIMSE_EFFECTS.keys() & EFFECTS.keys()
        assert not any(map(is_dimse_fault, ["truncate", "503:study", "cut:instance"]))

    def test_every_fault_is_in_the_table(self) -> None:
        table = fault_table()
        for name, effect in DIMSE_EFFECTS.items():
            assert f"  {name:<20} {effect.summary}" in table

    def test_selectors_are_those_of_all_faults(self) -> None:
        plan = DimsePlan(["lose:suboperation:path=*/1.2,times=1"])
        paths = ["/get/STUDY/9/1.1", "/get/STUDY/9/1.2", "/get/STUDY/9/1.2"]
        decided = [plan.decide("suboperation", path) is not None for path in paths]
        assert decided == [False, True, False]


@anyio
class TestAssociations:
    @pytest.mark.parametrize(
        ("fault", "error", "words"),
        [
            pytest.param("reject", AssociationRejected, "for good", id="wrong AE title"),
            pytest.param(
                "reject:result=2,source=3,reason=1", AssociationRejected, "congestion", id="busy"
            ),
            pytest.param(
                "reject:result=2,source=3,reason=2", AssociationRejected, "limit", id="too many"
            ),
            pytest.param("refuse-contexts", NotNegotiated, "none of the services", id="contexts"),
            pytest.param("abort:association", AssociationAborted, "aborted", id="abort"),
            pytest.param("close:association", ConnectionLost, "closed", id="close"),
            pytest.param("silence:association", Stalled, "nothing came", id="silence"),
            pytest.param("garbage-pdu:association", ProtocolError, "type 99", id="garbage"),
        ],
    )
    async def test_refusals(self, fault: str, error: type[AsyncDicomError], words: str) -> None:
        async with DimseServer(ARCHIVE, faults=[fault]) as server:
            with pytest.raises(error, match=words):
                async with associated(server, acse_timeout_s=IDLE_S):
                    pytest.fail("there is no association")

    async def test_a_refusal_of_the_moment_passes(self) -> None:
        fault = "reject:result=2,source=3,reason=2,times=2"
        async with DimseServer(ARCHIVE, faults=[fault]) as server:
            for _ in range(2):
                with pytest.raises(AssociationRejected) as caught:
                    async with associated(server):
                        pytest.fail("there is no association")
                assert caught.value.is_transient
            async with associated(server) as association:
                await association.echo()

    async def test_contexts_of_one_class_can_be_refused(self) -> None:
        faults = [f"refuse-contexts:uid={CT}"]
        async with (
            DimseServer(ARCHIVE, faults=faults) as server,
            associated(server) as association,
        ):
            await association.echo()
            with pytest.raises(NotNegotiated):
                association.context_for(CT)

    @pytest.mark.parametrize("fault", ["close", "silence", "garbage-pdu"])
    async def test_a_release_without_an_answer_harms_nobody(self, fault: str) -> None:
        async with DimseServer(ARCHIVE, faults=[f"{fault}:release"]) as server:
            async with associated(server, acse_timeout_s=IDLE_S) as association:
                await association.echo()
            assert server.requests[-1].fault == f"{fault}:release"

    async def test_a_verification_can_fail(self) -> None:
        async with (
            DimseServer(ARCHIVE, faults=["0210:echo"]) as server,
            associated(server) as association,
        ):
            with pytest.raises(OperationFailed, match="0210"):
                await association.echo()

    async def test_what_was_asked_is_remembered(self) -> None:
        async with DimseServer(ARCHIVE, faults=["lose:suboperation:nth=2"]) as server:
            async with associated(server) as association:
                await get_study(association, ARCHIVE, Kept())
            study = ARCHIVE.studies[0].study_instance_uid
            told = [(one.kind, one.path, one.fault) for one in server.requests]
        assert told[:4] == [
            ("association", "/association/TESTER/MOCK", None),
            ("get", f"/get/STUDY/{study}", None),
            ("suboperation", f"/get/STUDY/{study}/{UIDS[0]}", None),
            ("suboperation", f"/get/STUDY/{study}/{UIDS[1]}", "lose:suboperation:nth=2"),
        ]
        assert told[-1] == ("release", "/release", None)


BREAKS: Sequence[Any] = [
    pytest.param("abort", AssociationAborted, "aborted", id="abort"),
    pytest.param("close", ConnectionLost, "closed", id="close"),
    pytest.param("silence", Stalled, "nothing came", id="silence"),
    pytest.param("half-pdu", Stalled, "nothing came", id="half a PDU"),
    pytest.param("garbage-pdu", ProtocolError, "type 99", id="garbage"),
    pytest.param("pdu-length", ProtocolError, "without a PDV", id="length 0"),
    pytest.param(
        "pdu-length:length=4294967295", ProtocolError, "4294967295 bytes", id="length FFFFFFFF"
    ),
    pytest.param("oversize-pdu", ProtocolError, "131082 bytes, 131072 were", id="oversize"),
    pytest.param("pdv-length", ProtocolError, "PDV of 112 bytes", id="PDV beyond its PDU"),
    pytest.param("unknown-context", ProtocolError, "which is none", id="unknown context"),
]


def spelled(fault: str, kind: str, *options: str) -> str:
    name, _, own = fault.partition(":")
    return f"{name}:{kind}:{','.join(filter(None, (*options, own)))}".rstrip(":")


@anyio
class TestQueries:
    async def ask(
        self, fault: str, *, first: int | None = None, **settings: Any
    ) -> list[FindAnswer]:
        """Query for the instances of the study, and return the answers."""
        identifier = study_identifier(ARCHIVE).replace(b"STUDY ", b"IMAGE ")
        answers: list[FindAnswer] = []
        self.answers = answers
        async with (
            DimseServer(ARCHIVE, faults=[fault]) as server,
            associated(server, idle_timeout_s=IDLE_S, **settings) as association,
        ):
            context = association.context_for(STUDY_ROOT.find)
            async for answer in association.find(context, identifier):
                answers.append(answer)
                if len(answers) == first:
                    break
        return answers

    @pytest.mark.parametrize(("fault", "error", "words"), BREAKS)
    @pytest.mark.parametrize("sent", [0, 2, 6])
    async def test_they_break_after_so_many_answers(
        self, fault: str, error: type[AsyncDicomError], words: str, sent: int
    ) -> None:
        with pytest.raises(error, match=words):
            await self.ask(spelled(fault, "find", f"sent={sent}"))
        assert len(self.answers) == sent

    @pytest.mark.parametrize("status", ["A700", "A900", "C001"])
    async def test_they_end_with_a_status(self, status: str) -> None:
        with pytest.raises(OperationFailed) as caught:
            await self.ask(f"{status}:find:sent=2")
        assert caught.value.status == int(status, 16)
        assert len(self.answers) == 2

    async def test_they_flood(self) -> None:
        assert len(await self.ask("answer-flood:n=50")) == 6 * 50

    async def test_a_flood_ends_when_it_is_cancelled(self) -> None:
        assert len(await self.ask("answer-flood:n=1000000", first=10)) == 10

    async def test_they_name_a_wrong_level(self) -> None:
        (first, *_) = await self.ask("wrong-level:to=SERIES")
        texts = texts_in(first.identifier, first.transfer_syntax, (0x00080052,))
        assert texts == {0x00080052: "SERIES"}

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            pytest.param("unknown-message", "responds to message", id="unknown message"),
            pytest.param("garbage-pdu", "type 99", id="garbage"),
        ],
    )
    async def test_they_respond_wrongly(self, fault: str, words: str) -> None:
        with pytest.raises(ProtocolError, match=words):
            await self.ask(f"{fault}:find:sent=1")

    async def test_they_end_too_early_and_then_go_on(self) -> None:
        assert len(await self.ask("ends-twice:find:sent=2")) == 2

    async def test_a_pause_passes(self) -> None:
        assert len(await self.ask("late:find:sent=1,s=0.01")) == 6


@anyio
class TestRetrievals:
    @pytest.fixture(autouse=True)
    def hears_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the mock sends is counted here, so every response has to be told."""
        monkeypatch.setattr(wire, "PROGRESS_S", 0.0)

    async def get(self, *faults: str, **settings: Any) -> tuple[list[SubOperations], Kept]:
        """Get the study."""
        self.kept = Kept()
        async with (
            DimseServer(ARCHIVE, faults=faults) as server,
            associated(server, idle_timeout_s=IDLE_S, **settings) as association,
        ):
            return await get_study(association, ARCHIVE, self.kept), self.kept

    async def test_without_faults_all_is_well(self) -> None:
        responses, kept = await self.get()
        assert kept.by_uid == TRUTH
        assert responses[-1] == SubOperations(0, None, 6, 0, 0)
        assert [(r.remaining, r.completed) for r in responses[:2]] == [(5, 1), (4, 2)]

    @pytest.mark.parametrize(("fault", "error", "words"), BREAKS)
    @pytest.mark.parametrize("sent", [0, 2, 6])
    async def test_they_break_after_so_many_sub_operations(
        self, fault: str, error: type[AsyncDicomError], words: str, sent: int
    ) -> None:
        with pytest.raises(error, match=words):
            await self.get(spelled(fault, "get", f"sent={sent}"))
        assert self.kept.by_uid == dict(list(TRUTH.items())[:sent])

    @pytest.mark.parametrize(("fault", "error", "words"), BREAKS)
    @pytest.mark.parametrize("at", [0, 100])
    async def test_they_break_inside_of_a_data_set(
        self, fault: str, error: type[AsyncDicomError], words: str, at: int
    ) -> None:
        with pytest.raises(error, match=words):
            await self.get(spelled(fault, "suboperation", f"path=*/{VICTIM}", f"at={at}"))
        whole = [TRUTH[uid] for uid in UIDS[:2]]
        assert self.kept.whole == whole
        assert self.kept.requests[-1].sop_instance_uid == VICTIM
        assert self.kept.discarded == 1

    @pytest.mark.parametrize("status", ["A702", "C000", "B000"])
    @pytest.mark.parametrize("sent", [0, 3])
    async def test_they_end_with_a_status(self, status: str, sent: int) -> None:
        responses, kept = await self.get(f"{status}:get:sent={sent}")
        assert responses[-1].status == int(status, 16)
        assert responses[-1].completed == sent
        assert len(kept.whole) == sent

    async def test_a_failed_sub_operation_is_counted_and_named(self) -> None:
        responses, kept = await self.get(f"fail:suboperation:path=*/{VICTIM}")
        final = SubOperations(0xB000, None, 5, 1, 0, failed_sop_instance_uids=(VICTIM,))
        assert responses[-1] == final
        assert kept.by_uid == {uid: TRUTH[uid] for uid in UIDS if uid != VICTIM}

    async def test_a_failed_sub_operation_need_not_be_named(self) -> None:
        responses, _ = await self.get("fail:suboperation:nth=3", "unlisted:get")
        assert responses[-1] == SubOperations(0xB000, None, 5, 1, 0)

    async def test_if_each_fails_nothing_could_be_performed(self) -> None:
        responses, _ = await self.get("fail:suboperation:as=C001")
        assert (responses[-1].status, responses[-1].failed) == (0xA702, 6)

    async def test_a_warning_is_counted(self) -> None:
        responses, kept = await self.get("warn:suboperation:nth=1")
        assert responses[-1] == SubOperations(0xB000, None, 5, 0, 1)
        assert kept.by_uid == TRUTH

    async def test_an_instance_can_be_lost_without_a_word(self) -> None:
        responses, kept = await self.get("lose:suboperation:every=2")
        assert responses[-1] == SubOperations(0x0000, None, 6, 0, 0)
        assert list(kept.by_uid) == UIDS[::2]

    async def test_counters_lie(self) -> None:
        responses, kept = await self.get("miscount:by=4")
        assert [response.completed for response in responses] == [5, 6, 7, 8, 9, 10, 10]
        assert len(kept.whole) == 6

    async def test_they_stop_at_the_first_that_cannot_be_sent(self) -> None:
        fault = f"fail:suboperation:path=*/{VICTIM}"
        responses, kept = await self.get("stop-at-first", fault)
        assert (responses[-1].status, responses[-1].failed) == (0xC000, 1)
        assert responses[-1].remaining is None
        assert list(kept.by_uid) == UIDS[:2]

    async def test_they_flood_with_pending_responses(self) -> None:
        responses, kept = await self.get("pending-flood:n=500")
        assert len(responses) == 6 * 500 + 1
        assert kept.by_uid == TRUTH

    async def test_they_end_when_they_are_cancelled(self) -> None:
        kept = Kept()
        async with (
            DimseServer(ARCHIVE, faults=["pending-flood:n=1000000"]) as server,
            associated(server) as association,
        ):
            context = association.context_for(STUDY_ROOT.get)
            responses = association.get(context, study_identifier(ARCHIVE), kept)
            async for response in responses:
                assert response.completed == 1
                break
            await responses.aclose()
            await association.echo()
        assert kept.whole == [TRUTH[UIDS[0]]]

    async def test_they_send_ahead(self) -> None:
        responses, kept = await self.get("window:n=3")
        assert kept.by_uid == TRUTH
        assert responses[-1] == SubOperations(0, None, 6, 0, 0)

    @pytest.mark.parametrize("fault", ["tiny-pdvs", "same-message-id"])
    async def test_what_is_legal_arrives(self, fault: str) -> None:
        responses, kept = await self.get(f"{fault}:suboperation")
        assert kept.by_uid == TRUTH
        assert responses[-1].status == 0x0000

    async def test_message_ids_are_the_same(self) -> None:
        _, kept = await self.get("same-message-id:suboperation")
        assert {request.message_id for request in kept.requests} == {7}

    async def test_an_instance_comes_twice(self) -> None:
        _, kept = await self.get(f"twice:suboperation:path=*/{VICTIM}")
        assert [request.sop_instance_uid for request in kept.requests].count(VICTIM) == 2

    async def test_two_messages_are_mixed(self) -> None:
        with pytest.raises(ProtocolError, match="another command"):
            await self.get("interleave:suboperation:nth=3")
        assert len(self.kept.whole) == 2

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            pytest.param("short-dataset:by=7", lambda data: data[:-7], id="short"),
            pytest.param("long-dataset:by=7", lambda data: data + b"\xff" * 7, id="long"),
            pytest.param("no-dataset", lambda data: b"", id="none"),
            pytest.param("other-uid", lambda data: data, id="not touched"),
        ],
    )
    async def test_data_sets_are_tampered_with(self, fault: str, expected: Any) -> None:
        _, kept = await self.get(spelled(fault, "suboperation", f"path=*/{VICTIM}"))
        at = UIDS.index(VICTIM)
        assert kept.whole[at] == expected(TRUTH[VICTIM])
        assert kept.whole[:at] == [TRUTH[uid] for uid in UIDS[:at]]

    async def test_the_command_names_another_uid(self) -> None:
        _, kept = await self.get(f"other-uid:suboperation:path=*/{VICTIM}")
        named = {request.sop_instance_uid for request in kept.requests}
        assert named == {*UIDS, f"{VICTIM}.1"} - {VICTIM}

    @pytest.mark.parametrize(
        ("options", "uid"),
        [
            pytest.param("", "../../x", id="upwards"),
            pytest.param("uid=", "", id="empty"),
            pytest.param("uid=/etc/passwd", "/etc/passwd", id="absolute"),
            pytest.param("length=10000", ("../../x" * 1429)[:10_000], id="10 kB"),
            pytest.param("uid=a%00b", "a\0b", id="NUL"),
        ],
    )
    @pytest.mark.parametrize("where", ["command", "dataset", "both"])
    async def test_uids_are_hostile(self, options: str, uid: str, where: str) -> None:
        fault = spelled(f"hostile-uid:{options}", "suboperation", f"path=*/{VICTIM}")
        _, kept = await self.get(f"{fault.rstrip(',')},where={where}")
        at = UIDS.index(VICTIM)
        in_command = kept.requests[at].sop_instance_uid == uid
        assert in_command == (where != "dataset")
        in_dataset = kept.whole[at] == with_sop_instance_uid(TRUTH[VICTIM], uid)
        assert in_dataset == (where != "command")

    async def test_a_final_response_comes_too_early(self) -> None:
        responses, kept = await self.get("ends-twice:get:sent=2")
        assert responses[-1].status == 0x0000
        assert len(kept.whole) == 2

    async def test_counts_of_faults_are_counts_of_the_server(self) -> None:
        async with DimseServer(ARCHIVE, faults=["A702:get:times=2"]) as server:
            statuses = []
            for _ in range(3):
                async with associated(server) as association:
                    statuses.append((await get_study(association, ARCHIVE, Kept()))[-1].status)
        assert statuses == [0xA702, 0xA702, 0x0000]


@pytest.mark.parametrize("uid", ["1.2", "", "1" * 300])
def test_a_uid_is_replaced_in_either_encoding(uid: str) -> None:
    explicit = b"\x08\x00\x18\x00UI\x04\x001.2\0rest"
    implicit = b"\x08\x00\x18\x00\x04\x00\x00\x001.2\0rest"
    value = uid.encode() + b"\0" * (len(uid) % 2)
    size = len(value).to_bytes(2, "little")
    assert with_sop_instance_uid(explicit, uid) == b"\x08\x00\x18\x00UI" + size + value + b"rest"
    told = b"\x08\x00\x18\x00" + size + b"\0\0" + value + b"rest"
    assert with_sop_instance_uid(implicit, uid) == told
    assert with_sop_instance_uid(b"nothing of it", uid) == b"nothing of it"
