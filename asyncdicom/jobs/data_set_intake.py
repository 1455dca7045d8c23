"""An instance on its way from a C-STORE request to a file: walked and written as its bytes pass.

    intake = DataSetIntake(request, terms, begin)
    intake.write(fragment)            # ... each as it came
    arrival = intake.end()            # whole; who receives it commits or discards it

Strategy: the file meta information is ours, so nobody reads it back; the walk begins behind
it. What is small is held; when it is whole, it is read at once (`DataSetReader`) and costs one
system call, and an object that is cut off or refused early never touches the disk. What is
large is walked as its bytes pass, and written from the buffer of the connection, without a copy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from asyncdicom.jobs.intake import Arrival
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Uid
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.protocol.part10_facts import FileMeta

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.errors import FetchError
    from asyncdicom.model import Buffer
    from asyncdicom.protocol.dimse.file_meta import StoredObject
    from asyncdicom.protocol.part10_dataset import DataSetWalker
    from asyncdicom.protocol.part10_deflate import DeflatedDataSet
    from asyncdicom.protocol.part10_facts import InstanceFacts
    from asyncdicom.protocol.part10_shapes import DataSetReader

__all__ = ["HELD_BYTES", "DataSetIntake", "IntakeTerms"]

HELD_BYTES = 64 * 1024
"""Held before a file is begun: what fits is copied once, and that is cheaper than a call."""


@dataclass(frozen=True, slots=True)
class IntakeTerms:
    """On what terms data sets are taken."""

    reader: DataSetReader
    keeps_doubtful: bool = True
    """Take, with a remark, what is structurally whole but lacks what such an instance has."""
    computes_digests: bool = True
    """Tell the SHA-256 of each file. Of one of 512 KB it takes as long as everything else."""


class DataSetIntake(Generic[WriterT]):
    """One data set, and the file that it becomes.

    Raises:
        ProtocolError: If the request names what is no UID.

    """

    __slots__ = (
        "_begin",
        "_byte_count",
        "_digest",
        "_held",
        "_meta",
        "_stage",
        "_start",
        "_terms",
        "_walker",
        "_writer",
    )

    def __init__(
        self, request: StoredObject, terms: IntakeTerms, begin: Callable[[], WriterT]
    ) -> None:
        """Prepare.

        Args:
            request: Whose data set comes.
            terms: Who reads it, and what is wanted of it.
            begin: Makes a file that has yet to get its name.

        """
        header = file_meta(request)  # of which all UIDs are, or it would have been refused
        self._terms = terms
        self._begin = begin
        self._meta = FileMeta(Uid(request.transfer_syntax), Uid(request.sop_instance_uid))
        self._start = self._byte_count = len(header)
        self._held: list[Buffer] = [header]
        self._writer: WriterT | None = None
        self._walker: DataSetWalker | None = None
        self._stage: DataSetWalker | DeflatedDataSet | None = None
        self._digest: hashlib._Hash | None = None

    def write(self, *pieces: Buffer) -> None:
        """Take bytes; they are only lent.

        Raises:
            ProtocolError: If no continuation could make the instance whole.
            StorageError: If they cannot be kept.

        """
        base = self._byte_count
        self._byte_count = base + sum(map(len, pieces))
        stage = self._stage
        if stage is None:
            if self._byte_count <= HELD_BYTES:
                self._held += map(bytes, pieces)
                return
            stage = self._begin_walk()
        for data in pieces:
            stage.receive_data(data, base)
            base += len(data)
        if self._digest is not None:
            for data in pieces:
                self._digest.update(data)
        if self._writer is not None:
            self._writer.write_many(pieces)
        else:
            self._writer = self._begin()
            self._writer.write_many([*self._held, *pieces])
            self._held.clear()

    def end(self) -> Arrival[WriterT]:
        """Confirm that the instance is whole, and write what is still held.

        Raises:
            ProtocolError: If it is not; it has to be discarded then.
            ContentError: If it does not say what it is.
            StorageError: If it cannot be kept.

        """
        if self._walker is None:
            return self._end_small(b"".join(self._held))
        assert self._stage is not None, "what is walked has a stage"
        assert self._writer is not None, "what is walked has a file"
        self._stage.receive_eof()
        found = self._terms.reader.facts(self._meta, self._walker, self._byte_count)
        facts = self._trusted(*found)
        writer, self._writer = self._writer, None
        return Arrival(facts, "" if self._digest is None else self._digest.hexdigest(), writer)

    def discard(self) -> None:
        """Drop the instance unless it has ended; harmless when repeated."""
        self._held.clear()
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _begin_walk(self) -> DataSetWalker | DeflatedDataSet:
        """Walk what is held, as more comes than may be held."""
        self._walker, self._stage = self._terms.reader.stages(self._meta, self._start)
        base = 0
        for piece in self._held:
            if base:
                self._stage.receive_data(piece, base)
            base += len(piece)
        if self._terms.computes_digests:
            self._digest = hashlib.sha256(b"".join(self._held))
        return self._stage

    def _end_small(self, content: bytes) -> Arrival[WriterT]:
        facts = self._trusted(*self._terms.reader.read(self._meta, content, self._start))
        digest = hashlib.sha256(content).hexdigest() if self._terms.computes_digests else ""
        self._writer = writer = self._begin()
        writer.write(content)
        self._writer = None
        return Arrival(facts, digest, writer)

    def _trusted(self, facts: InstanceFacts, doubt: FetchError | None) -> InstanceFacts:
        if doubt is not None and not self._terms.keeps_doubtful:
            raise doubt
        return facts
