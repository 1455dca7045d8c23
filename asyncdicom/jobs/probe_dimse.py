"""What a DIMSE peer can do and where it is odd, from a few associations, one at a time.

report = await probe_dimse("dicom://PACS@pacs:104", transport)
"""

from __future__ import annotations

import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import (
    AssociationRejected,
    FetchError,
    NotNegotiated,
    OperationFailed,
    UsageError,
)
from asyncdicom.jobs.probe import ProbeReport
from asyncdicom.jobs.probe_levels import probe_levels
from asyncdicom.ports.dimse import PresentationContext, Proposal
from asyncdicom.protocol.dimse.contexts import storage_proposals
from asyncdicom.protocol.dimse.sop_classes import (
    ALL_TRANSFER_SYNTAXES,
    COMMON_TRANSFER_SYNTAXES,
    LIKELY_STORAGE_CLASSES,
    PATIENT_ROOT,
    QUERY_MODELS,
    STUDY_ROOT,
    UNCOMPRESSED,
    VERIFICATION,
    is_image_class,
    sop_class_name,
    transfer_syntax_name,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from asyncdicom.ports.dimse import AcceptedContext, Association, DimseTransport

__all__ = ["MAX_ASSOCIATIONS", "probe_dimse"]

MAX_ASSOCIATIONS: Final = 40
ASKED_OPERATIONS: Final = 16
"""Operations at once that are asked for, to see what is granted."""
ECHOES: Final = 3

LIKELY: Final = LIKELY_STORAGE_CLASSES

PRIVATE_CLASS: Final = "2.25.151131415161718192021222324252627"
"""A SOP class that nobody has: only who takes any accepts it."""

_MODEL_OPTIONS: Final = {
    "study": "study",
    "patient": "patient",
    "patient-study-only": "patient-study",
}
"""Value of `--model` by the name of a model; a worklist is no model to get from."""


async def probe_dimse(
    url: str, transport: DimseTransport, *, is_thorough: bool = False
) -> ProbeReport:
    """Probe a peer.

    Args:
        url: Of the peer, for the report.
        transport: The way to it.
        is_thorough: Whether each likely storage class is proposed in each common transfer
            syntax, and not only one image class and one other in all there are.

    Raises:
        TransportError: If it cannot be reached, or refuses the first association.
        ProtocolError: If it does not speak DIMSE.

    """
    prober = _Prober(ProbeReport(url, "dimse"), transport)
    await prober.verify()
    try:
        accepted = await prober.probe_models()
        await prober.probe_storage(accepted, is_thorough=is_thorough)
    except AssociationRejected as error:
        prober.report.problem = str(error)
        if error.is_transient:
            prober.report.add("association", "patience", "asked for", odd=str(error))
            prober.report.profile["max-associations"] = 1
    except FetchError as error:
        prober.report.problem = str(error)
    return prober.report


class _Prober:
    def __init__(self, report: ProbeReport, transport: DimseTransport) -> None:
        self.report = report
        self._transport = transport

    @asynccontextmanager
    async def _associated(
        self, contexts: Iterable[PresentationContext], *, operations: int = 1
    ) -> AsyncGenerator[Association | None]:
        """Associate; None if all contexts are refused."""
        if self.report.exchanges >= MAX_ASSOCIATIONS:
            raise UsageError(f"more than {MAX_ASSOCIATIONS} associations")
        self.report.exchanges += 1
        proposal = Proposal(tuple(contexts), max_operations_invoked=operations)
        association = self._transport.associate(proposal)
        try:
            entered = await association.__aenter__()
        except NotNegotiated:
            yield None
            return
        error: BaseException | None = None
        try:
            yield entered
        except BaseException as raised:
            error = raised
            raise
        finally:
            await association.__aexit__(
                None if error is None else type(error),
                error,
                None if error is None else error.__traceback__,
            )

    async def verify(self) -> None:
        """See who is there (PS3.7 §9.1.5)."""
        context = PresentationContext(VERIFICATION, UNCOMPRESSED)
        begun_s = time.perf_counter()
        async with self._associated([context], operations=ASKED_OPERATIONS) as association:
            associated_s = time.perf_counter() - begun_s
            self.report.add("association", "associate-s", round(associated_s, 4))
            if association is None:
                refused = "Verification is refused, which each acceptor has to offer"
                self.report.add("association", "echo", value=False, odd=refused)
                return
            self._introduce(association)
            await self._echo(association)

    def _introduce(self, association: Association) -> None:
        peer, add = association.peer, self.report.add
        add("association", "implementation-class-uid", peer.implementation_class_uid or None)
        add("association", "implementation-version", peer.implementation_version or None)
        longest = association.peer_max_pdu_bytes
        add("association", "max-pdu-bytes", longest or "any", "that it takes")
        granted = peer.max_operations_invoked
        add(
            "association",
            "operations-at-once",
            granted or "any",
            f"asked for {ASKED_OPERATIONS}; no engine of ours uses more than one",
        )

    async def _echo(self, association: Association) -> None:
        times_s = []
        for _ in range(ECHOES):
            begun_s = time.perf_counter()
            try:
                await association.echo()
            except OperationFailed as error:
                self.report.add("association", "echo", value=False, odd=str(error))
                return
            times_s.append(time.perf_counter() - begun_s)
        self.report.add("association", "echo", value=True)
        median_s = round(statistics.median(times_s), 4)
        self.report.add("association", "echo-s", median_s, f"median of {ECHOES}")

    async def probe_models(self) -> set[str]:
        """Propose all query models, and search; return the SOP classes that are accepted."""
        services = {
            (model.name, name): uid
            for model in QUERY_MODELS.values()
            for name, uid in (("find", model.find), ("get", model.get), ("move", model.move))
            if uid
        }
        contexts = [
            PresentationContext(uid, (syntax,))
            for uid in services.values()
            for syntax in UNCOMPRESSED
        ]
        async with self._associated(contexts) as association:
            spoken = _by_class(() if association is None else association.accepted)
            for (model, name), uid in services.items():
                self.report.add("models", f"{model} {name}", _names(spoken.get(uid, ())))
            self._note_model(spoken)
            if association is not None:
                await probe_levels(association, self.report)
        return set(spoken)

    def _note_model(self, spoken: dict[str, tuple[str, ...]]) -> None:
        for name, option in _MODEL_OPTIONS.items():
            if QUERY_MODELS[name].find in spoken:
                self.report.profile["model"] = option
                has_get = QUERY_MODELS[name].get in spoken
                if not has_get and QUERY_MODELS[name].move in spoken:
                    self.report.remarks.append(
                        "C-GET is refused: put ?retrieve=move into the URL of the source."
                    )
                return
        odd = "no model can be searched: find and get need one"
        self.report.add("models", "any", value=False, odd=odd)

    async def probe_storage(self, accepted: set[str], *, is_thorough: bool) -> None:
        """Propose storage contexts as a C-GET does, or, without it, as who wants to store."""
        model = next((m for m in (STUDY_ROOT, PATIENT_ROOT) if m.get in accepted), None)
        getting = [] if model is None else [PresentationContext(model.get, UNCOMPRESSED)]
        self.report.add("storage", "asked-as", "receiver (C-GET)" if getting else "sender")
        classes = [*LIKELY, PRIVATE_CLASS]
        asked = [PresentationContext(uid, UNCOMPRESSED, is_scp=bool(getting)) for uid in classes]
        async with self._associated([*getting, *asked]) as association:
            found = () if association is None else association.accepted
        taken = [one.abstract_syntax for one in found if one.abstract_syntax in LIKELY]
        self._note_classes(taken)
        private = [one for one in found if one.abstract_syntax == PRIVATE_CLASS]
        self._note_private(private, is_receiver=bool(getting))
        if getting:
            self._note_role([one for one in found if one.abstract_syntax in LIKELY])
        if is_thorough:
            await self._probe_matrix(getting, taken)
        else:
            await self._probe_syntaxes(getting, taken)

    def _note_classes(self, taken: list[str]) -> None:
        add = self.report.add
        add("storage", "classes", len(taken), f"of {len(LIKELY)} likely ones, uncompressed")
        refused = [uid for uid in LIKELY if uid not in taken]
        add("storage", "refused-classes", tuple(map(sop_class_name, refused)))

    def _note_private(self, contexts: list[AcceptedContext], *, is_receiver: bool) -> None:
        """Note whether a SOP class that nobody knows is accepted."""
        is_partly = is_receiver and contexts and not contexts[0].is_scp
        how = ", and it is, but not with us as receiver" if is_partly else ""
        told = f"proposed a private one{how}"
        self.report.add("storage", "accepts-any-class", bool(contexts), told)

    def _note_role(self, contexts: list[AcceptedContext]) -> None:
        """Note whether the peer will send to us on our own association (PS3.7 §D.3.3.4)."""
        if not contexts:
            return
        without = [one.abstract_syntax for one in contexts if not one.is_scp]
        if without:
            odd = f"not granted for {len(without)} of {len(contexts)} classes, so C-GET cannot send"
            self.report.add("storage", "receiver-role", value=False, odd=odd)
        else:
            self.report.add("storage", "receiver-role", value=True)

    async def _probe_syntaxes(self, getting: list[PresentationContext], taken: list[str]) -> None:
        """Propose one image class, and one of other objects, in all transfer syntaxes."""
        images = next(([uid] for uid in taken if is_image_class(uid)), [])
        others = next(([uid] for uid in taken if not is_image_class(uid)), [])
        for uid in (*images, *others):
            contexts = storage_proposals([uid], ALL_TRANSFER_SYNTAXES)[0]
            if not getting:
                contexts = tuple(
                    PresentationContext(one.abstract_syntax, one.transfer_syntaxes)
                    for one in contexts
                )
            async with self._associated([*getting, *contexts]) as association:
                found = () if association is None else association.accepted
            spoken = _by_class(found).get(uid, ())
            self.report.add(
                "storage",
                f"transfer syntaxes of {sop_class_name(uid)}",
                _names(spoken),
                f"{len(spoken)} of {len(contexts)} accepted",
            )

    async def _probe_matrix(self, getting: list[PresentationContext], taken: list[str]) -> None:
        """Propose all accepted classes in the common transfer syntaxes."""
        spoken: dict[str, tuple[str, ...]] = {}
        for contexts in storage_proposals(taken, COMMON_TRANSFER_SYNTAXES) if taken else ():
            async with self._associated([*getting, *contexts]) as association:
                found = () if association is None else association.accepted
            spoken |= _by_class(found)
        for uid in taken:
            self.report.add("storage", sop_class_name(uid), _names(spoken.get(uid, ())))


def _by_class(contexts: Iterable[AcceptedContext]) -> dict[str, tuple[str, ...]]:
    """Return the transfer syntaxes that were accepted for each SOP class, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for context in contexts:
        uid = context.abstract_syntax
        found[uid] = (*found.get(uid, ()), context.transfer_syntax)
    return found


def _names(transfer_syntaxes: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(transfer_syntax_name, transfer_syntaxes))
