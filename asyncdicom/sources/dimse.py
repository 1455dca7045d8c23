"""A DIMSE application entity: what is there (C-FIND) and how it is fetched (C-GET, C-MOVE).

    source = DimseSource(root, transport)
    async with aclosing(source.find(QueryLevel.STUDY, tree)) as answers: ...
    async with aclosing(source.get(unique_keys, contexts, storage)) as responses: ...

Rule: identifiers name the unique keys of all levels above (PS3.4 §C.4.1.2.1): archives
that query across levels are many, but not all.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.ports.dimse import PresentationContext
from asyncdicom.protocol.dimse.sop_classes import (
    ALL_TRANSFER_SYNTAXES,
    STUDY_ROOT,
    UNCOMPRESSED,
    VERIFICATION,
    QueryLevel,
    QueryModel,
)
from asyncdicom.protocol.identifiers import (
    IDENTIFIER_SYNTAXES,
    Key,
    check_level,
    encode_identifier,
    needs_patient,
)
from asyncdicom.sources.dimse_pool import AssociationPool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from asyncdicom.model import Target
    from asyncdicom.ports.dimse import (
        AcceptedContext,
        Association,
        DimseTransport,
        FindAnswer,
        StorageHandler,
        StoreRequest,
        StoreSink,
        SubOperations,
    )
    from asyncdicom.protocol.identifiers import Tree
    from asyncdicom.protocol.urls import DimseRoot

__all__ = ["DimseOptions", "DimseSource", "SubOperationCounts", "Tags", "unique_keys"]


class Tags:
    """Attributes that queries are made of (PS3.4 §C.6, PS3.6 §6)."""

    QUERY_RETRIEVE_LEVEL = 0x00080052
    SOP_CLASSES_IN_STUDY = 0x00080062
    SOP_CLASS_UID = 0x00080016
    SOP_INSTANCE_UID = 0x00080018
    PATIENT_ID = 0x00100020
    STUDY_INSTANCE_UID = 0x0020000D
    SERIES_INSTANCE_UID = 0x0020000E
    NUMBER_OF_STUDY_RELATED_INSTANCES = 0x00201208
    NUMBER_OF_SERIES_RELATED_INSTANCES = 0x00201209


@dataclass(frozen=True, slots=True)
class DimseOptions:
    """How a source is asked."""

    model: QueryModel = STUDY_ROOT
    transfer_syntaxes: tuple[str, ...] = ALL_TRANSFER_SYNTAXES
    """What instances may be sent in."""
    max_associations: int = 4
    """At once, at least 1: what an archive gives a workstation, too."""


def unique_keys(target: Target, patient_id: str | None = None) -> dict[int, Key]:
    """Return level and unique keys that name a target (PS3.4 §C.4.1.2.1).

    Args:
        target: Study, series or instance.
        patient_id: For models that begin with the patient.

    """
    levels = {
        QueryLevel.IMAGE: (Tags.SOP_INSTANCE_UID, target.sop_instance_uid),
        QueryLevel.SERIES: (Tags.SERIES_INSTANCE_UID, target.series_instance_uid),
        QueryLevel.STUDY: (Tags.STUDY_INSTANCE_UID, target.study_instance_uid),
    }
    named = {level: (tag, uid) for level, (tag, uid) in levels.items() if uid is not None}
    keys = {tag: Key("UI", uid) for tag, uid in named.values()}
    keys[Tags.QUERY_RETRIEVE_LEVEL] = Key("CS", next(iter(named)))
    if patient_id is not None:
        keys[Tags.PATIENT_ID] = Key("LO", patient_id)
    return keys


@dataclass(slots=True)
class SubOperationCounts:
    """Sum of what a peer counted in its final responses (PS3.4 §C.4.3.1.3); a claim, no proof."""

    completed: int = 0
    remaining: int = 0
    failed: int = 0
    warning: int = 0
    operations: int = 0
    """C-GET and C-MOVE operations that came to their end."""

    def note(self, response: SubOperations) -> None:
        """Add a response, if it is the last one of its operation."""
        if response.is_final:
            self.operations += 1
            self.completed += response.completed or 0
            self.remaining += response.remaining or 0
            self.failed += response.failed or 0
            self.warning += response.warning or 0

    def __str__(self) -> str:
        return (
            f"completed: {self.completed}, remaining: {self.remaining}, "
            f"failed: {self.failed}, warning: {self.warning}"
        )


class DimseSource:
    """An application entity behind one address.

    Attributes:
        root: Where it is, and what it is called.
        options: How it is asked.
        counts: What it said of its sub-operations so far.

    """

    def __init__(
        self, root: DimseRoot, transport: DimseTransport, options: DimseOptions | None = None
    ) -> None:
        self.root = root
        self.options = options or DimseOptions()
        self.counts = SubOperationCounts()
        self._pool = AssociationPool(transport, limit=self.options.max_associations)

    @property
    def url(self) -> str:
        """Its URL."""
        return self.root.url

    @property
    def needs_patient(self) -> bool:
        """Whether unique keys have to name the patient."""
        return needs_patient(self.options.model)

    async def aclose(self) -> None:
        """Release the associations that are not in use."""
        await self._pool.aclose()

    async def echo(self) -> tuple[float, float]:
        """Ask whether anybody is there (C-ECHO, PS3.7 §9.1.5).

        Returns:
            Seconds to establish an association, about 0 if there was one, and seconds
            to the answer.

        Raises:
            FetchError: If nobody is there, or does not verify.

        """
        begun_s = time.perf_counter()
        contexts = [PresentationContext(VERIFICATION, UNCOMPRESSED)]
        async with self._pool.association(contexts) as association:
            established_s = time.perf_counter()
            await association.echo()
            ended_s = time.perf_counter()
        return established_s - begun_s, ended_s - established_s

    async def find(
        self, level: QueryLevel | None, tree: Mapping[int, Key | Tree]
    ) -> AsyncGenerator[FindAnswer]:
        """Yield what matches; leaving early cancels the query.

        Args:
            level: What to list; None for models without levels.
            tree: Keys to match and keys to return.

        Raises:
            ConfigError: If the model has no such level.
            OperationFailed: If the final status says no.
            FetchError: As `Association.find`.

        """
        model = self.options.model
        keys = dict(tree)
        if level is not None:
            check_level(model, level)
            keys[Tags.QUERY_RETRIEVE_LEVEL] = Key("CS", level)

        def ask(association: Association) -> AsyncGenerator[FindAnswer]:
            return association.find(*_addressed(association, model.find, keys))

        contexts = [PresentationContext(model.find, IDENTIFIER_SYNTAXES)]
        async with aclosing(self._pool.perform(contexts, ask)) as answers:
            async for answer in answers:
                yield answer

    async def get(
        self,
        keys: Mapping[int, Key | Tree],
        contexts: tuple[PresentationContext, ...],
        storage: StorageHandler,
        *,
        alone: bool = False,
    ) -> AsyncGenerator[SubOperations]:
        """Let an archive send instances on the same association (C-GET, PS3.4 §C.4.3).

        Args:
            keys: Level and unique keys.
            contexts: Of the instances, with us as SCP.
            storage: Receives them.
            alone: Whether the association may have no other contexts.

        Raises:
            FetchError: As `Association.get`.

        """
        model = self._retrieving(self.options.model.get)
        noted = _Noted(storage)

        def ask(association: Association) -> AsyncGenerator[SubOperations]:
            return association.get(*_addressed(association, model, keys), noted)

        told = self._pool.perform(
            (PresentationContext(model, IDENTIFIER_SYNTAXES), *contexts),
            ask,
            alone=alone,
            has_begun=lambda: noted.has_begun,
        )
        async with aclosing(told) as responses:
            async for response in responses:
                self.counts.note(response)
                yield response

    async def move(
        self,
        keys: Mapping[int, Key | Tree],
        destination: str,
        elsewhere: Callable[[], int] | None = None,
    ) -> AsyncGenerator[SubOperations]:
        """Let an archive send instances to an AE title (C-MOVE, PS3.4 §C.4.2).

        Args:
            keys: Level and unique keys.
            destination: AE title.
            elsewhere: Counts what comes of it, where we are the destination.

        Raises:
            FetchError: As `Association.move`.

        """
        model = self._retrieving(self.options.model.move)
        known = elsewhere() if elsewhere is not None else 0

        def ask(association: Association) -> AsyncGenerator[SubOperations]:
            address = _addressed(association, model, keys)
            return association.move(*address, destination, elsewhere)

        told = self._pool.perform(
            [PresentationContext(model, IDENTIFIER_SYNTAXES)],
            ask,
            has_begun=lambda: elsewhere is not None and elsewhere() != known,
        )
        async with aclosing(told) as responses:
            async for response in responses:
                self.counts.note(response)
                yield response

    def _retrieving(self, sop_class: str) -> str:
        if not sop_class:
            raise ConfigError("a worklist can be searched, not retrieved", hint="use find")
        return sop_class


class _Noted:
    """A storage, and whether anything came for it (`ports.dimse.StorageHandler`)."""

    def __init__(self, storage: StorageHandler) -> None:
        self.has_begun = False
        self._storage = storage

    def begin(self, request: StoreRequest, /) -> StoreSink:
        """Begin a data set."""
        self.has_begun = True
        return self._storage.begin(request)


def _addressed(
    association: Association, sop_class: str, keys: Mapping[int, Key | Tree]
) -> tuple[AcceptedContext, bytes]:
    context = association.context_for(sop_class)
    return context, encode_identifier(keys, context.transfer_syntax)
