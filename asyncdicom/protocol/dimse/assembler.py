"""From fragments of presentation data values to messages (PS3.7 §6.3, PS3.8 §E.2).

    assembler = MessageAssembler()
    for event in assembler.receive(fragment):
        match event:
            case MessageBegan(context_id, command): ...
            case DataFragment(data): ...
            case MessageEnded(): ...

Strategy: a command set is small, and joined; a data set is not held at all, its
fragments are passed on as they are.

Rule (PS3.8 §E.1): messages of one association follow each other, command set first,
and no fragment of another comes in between; all of one message are of one presentation
context. Anything else is refused. Operations may overlap, messages never do.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.dimse.command_set import MAX_COMMAND_SET_BYTES
from asyncdicom.protocol.dimse.command_shapes import CommandReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.model import Buffer
    from asyncdicom.protocol.dimse.messages import Message
    from asyncdicom.protocol.upper_layer.pdu import PdvFragment

__all__ = ["DataFragment", "MessageAssembler", "MessageBegan", "MessageEnded", "MessageEvent"]


class MessageBegan(NamedTuple):
    """A command set is whole. `command.has_data_set` says whether a data set follows."""

    context_id: int
    """Odd, 1 to 255."""
    command: Message


class DataFragment(NamedTuple):
    """The next bytes of the data set, never empty."""

    data: Buffer
    """Valid as long as the fragment that it came in."""


class MessageEnded(NamedTuple):
    """The message is whole, with the last fragment of its data set if it has one."""


MessageEvent: TypeAlias = MessageBegan | DataFragment | MessageEnded


_NOTHING: Final = ()
_END: Final = MessageEnded()
_ENDED: Final = (_END,)


class _Phase(Enum):
    IDLE = "no message has begun"
    COMMAND = "a command set has begun"
    DATA = "a data set is due, or has begun"
    FAILED = "after an error"


# Members of an enum are found by a function (Python 3.11), and these are asked for per fragment.
_IDLE: Final = _Phase.IDLE
_DATA: Final = _Phase.DATA


class MessageAssembler:
    """Turns the fragments of one direction of an association into messages.

    Cost: a command set is copied once, a data set never; holds 256 KiB at most.
    """

    def __init__(self) -> None:
        self._phase = _Phase.IDLE
        self._context_id = 0
        self._command = bytearray()
        self._reader = CommandReader()
        self._parse = self._reader.parse
        self._name = ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing has begun that did not end."""
        return self._phase is _IDLE

    def command_of(self, command_set: Buffer, *, has_data_set: bool) -> Message | None:
        """Parse the command set of a message that came whole; None leaves it to `receive`.

        Of a message that came whole nothing is remembered: it is over.

        Args:
            command_set: All of it.
            has_data_set: Whether a data set came with it; None is returned if none should.

        """
        assert self._phase is _IDLE, "messages of one association follow each other"
        try:
            command = self._parse(command_set)
        except ProtocolError:
            return None
        return command if command.has_data_set is has_data_set else None

    def is_progress(self, command_set: Buffer) -> bool:
        """Tell whether a message is as one before, which said how far a C-GET has come."""
        return self._reader.is_progress(command_set)

    def end_data_set(self) -> None:
        """Say that the data set that is due came to its end; its fragments were not told."""
        assert self._phase is _DATA, "no data set is due"
        self._phase = _IDLE

    def receive(self, fragment: PdvFragment) -> Sequence[MessageEvent]:
        """Take the next fragment; return what it came to, often nothing.

        Raises:
            ProtocolError: If it does not belong here; the assembler is unusable then.
            LimitExceeded: If the command set is longer than anybody needs.
            UsageError: After an error.

        """
        context_id, is_command, is_last, data = fragment
        if not is_command and self._phase is _DATA and context_id == self._context_id:
            return self._data(data, is_last=is_last)
        try:
            self._check(context_id, is_command=is_command)
            return self._join(context_id, data, is_last=is_last)
        except ProtocolError:
            self._phase = _Phase.FAILED
            self._command.clear()
            raise

    def receive_eof(self) -> None:
        """Say that no fragment will follow.

        Raises:
            Truncated: If a message has begun and did not end.

        """
        if self._phase is _Phase.COMMAND:
            raise Truncated("the association ended inside of a command set")
        if self._phase is _Phase.DATA:
            raise Truncated(f"the association ended before the data set of a {self._name} did")

    def _data(self, data: Buffer, *, is_last: bool) -> Sequence[MessageEvent]:
        if not is_last:
            return (DataFragment(data),) if data else _NOTHING
        self._phase = _IDLE
        return (DataFragment(data), _END) if data else _ENDED

    def _check(self, context_id: int, *, is_command: bool) -> None:
        """Refuse what does not belong here."""
        if self._phase is _Phase.FAILED:
            raise UsageError("nothing follows an error")
        if self._phase is _Phase.IDLE:
            if not is_command:
                raise ProtocolError("a data set without a command")
            return
        if context_id != self._context_id:
            raise ProtocolError(
                f"presentation context {context_id} inside of a message of {self._context_id}"
            )
        if self._phase is _Phase.COMMAND and not is_command:
            raise ProtocolError("a data set before the end of its command set")
        if self._phase is _Phase.DATA:
            raise ProtocolError(f"another command where the data set of a {self._name} is due")

    def _join(self, context_id: int, data: Buffer, *, is_last: bool) -> Sequence[MessageEvent]:
        """Take a fragment of a command set."""
        whole: Buffer = data
        if self._phase is _Phase.COMMAND or not is_last:
            if len(self._command) + len(data) > MAX_COMMAND_SET_BYTES:
                raise LimitExceeded(f"command set of more than {MAX_COMMAND_SET_BYTES} bytes")
            self._command += data
            whole = self._command
        self._phase, self._context_id = _Phase.COMMAND, context_id
        if not is_last:
            return _NOTHING
        return self._begin(self._parse(whole))

    def _begin(self, command: Message) -> Sequence[MessageEvent]:
        self._command.clear()
        self._name = command.name
        began = MessageBegan(self._context_id, command)
        if command.has_data_set:
            self._phase = _DATA
            return (began,)
        self._phase = _IDLE
        return (began, _END)
