"""An instance on its way from a C-STORE request to a file: walked and written as its bytes pass.

    instance = IncomingInstance(request, rules, keeper.begin)
    instance.write(fragment)            # ... each as it came
    arrival = instance.end()            # whole; who receives it commits or discards it

Strategy: the file meta information is ours, so nobody reads it back; the walk begins behind
it. What is small is held, and costs one system call when it is whole: an object that is
cut off or refused early never touches the disk. What is large is written from the buffer
of the connection, without a copy.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from asyncdicom.jobs.intake import Arrival
from asyncdicom.model import Uid
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.protocol.part10 import Part10Limits
from asyncdicom.protocol.part10_dataset import DataSetWalker
from asyncdicom.protocol.part10_deflate import DeflatedDataSet
from asyncdicom.protocol.part10_facts import FileMeta, instance_facts
from asyncdicom.protocol.part10_vocabulary import encoding_of, is_deflated, watch_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StoreRequest
    from asyncdicom.receiver.settings import StoringRules
    from asyncdicom.storage.atomic import FileWriter

__all__ = ["IncomingInstance"]

HELD_BYTES = 64 * 1024
"""Held before a file is begun: what fits is copied once, and that is cheaper than a call."""

_LIMITS = Part10Limits()


class IncomingInstance:
    """One data set, and the file that it becomes.

    Raises:
        ProtocolError: If the request names what is no UID.

    """

    __slots__ = (
        "_begin",
        "_byte_count",
        "_digest",
        "_held",
        "_held_bytes",
        "_meta",
        "_rules",
        "_stage",
        "_walker",
        "_writer",
    )

    def __init__(
        self, request: StoreRequest, rules: StoringRules, begin: Callable[[], FileWriter]
    ) -> None:
        """Prepare.

        Args:
            request: Whose data set comes.
            rules: What is noted for names, and whether a digest is wanted.
            begin: Makes a file that has yet to get its name.

        """
        header = file_meta(request)  # of which all UIDs are, or it would have been refused
        syntax = Uid(request.transfer_syntax)
        self._rules = rules
        self._begin = begin
        self._meta = FileMeta(syntax, Uid(request.sop_instance_uid))
        self._byte_count = start = len(header)
        self._held: list[Buffer] = [header]
        self._held_bytes = start
        self._writer: FileWriter | None = None
        self._digest = hashlib.sha256(header) if rules.computes_digests else None
        watch = watch_list(tuple(rules.collect))
        self._walker = DataSetWalker(encoding_of(syntax), start=start, watch=watch, limits=_LIMITS)
        self._stage: DataSetWalker | DeflatedDataSet = self._walker
        if is_deflated(syntax):
            self._walker = DataSetWalker(encoding_of(syntax), start=0, watch=watch, limits=_LIMITS)
            self._stage = DeflatedDataSet(self._walker, start=start, limits=_LIMITS)

    def write(self, data: Buffer) -> None:
        """Take bytes; they are only lent.

        Raises:
            ProtocolError: If no continuation could make the instance whole.
            StorageError: If they cannot be kept.

        """
        byte_count = len(data)
        self._stage.receive_data(data, self._byte_count)
        self._byte_count += byte_count
        if self._digest is not None:
            self._digest.update(data)
        if self._writer is not None:
            self._writer.write(data)
        elif self._held_bytes + byte_count <= HELD_BYTES:
            self._held.append(bytes(data))
            self._held_bytes += byte_count
        else:
            self._held.append(data)
            self._held_bytes += byte_count
            self._flush()

    def end(self) -> Arrival[FileWriter]:
        """Confirm that the instance is whole, and write what is still held.

        Raises:
            ProtocolError: If it is not; it has to be discarded then.
            ContentError: If it does not say what it is.
            StorageError: If it cannot be kept.

        """
        self._stage.receive_eof()
        facts, doubt = instance_facts(
            self._meta, self._walker, self._rules.collect, self._byte_count
        )
        if doubt is not None and not self._rules.keeps_doubtful:
            raise doubt
        writer = self._flush() if self._writer is None else self._writer
        self._writer = None
        return Arrival(facts, self._digest.hexdigest() if self._digest else "", writer)

    def discard(self) -> None:
        """Drop the instance unless it has ended; harmless when repeated."""
        self._held.clear()
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _flush(self) -> FileWriter:
        """Begin the file with what is held."""
        self._writer = writer = self._begin()
        if self._held_bytes <= HELD_BYTES:
            writer.write(b"".join(self._held))
        else:
            writer.write_many(self._held)
        self._held.clear()
        return writer
