"""From fragments of presentation data values to messages (PS3.7 §6.3, PS3.8 §E.2).

    assembler = MessageAssembler()
    for event in assembler.receive(fragment):
        match event:
            case MessageBegan(context_id, command): ...
            case DataFragment(data): ...
            case MessageEnded(): ...

Strategy: a command set is small, and joined; a data set is not held at all, its
fragments are passed on as they are.

Rule: messages of one association follow each other, command set first; the fragments
of one message share their presentation context. Anything else is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

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


class MessageAssembler:
    """Turns the fragments of one direction of an association into messages.

    Cost: a command set is copied once, a data set never; holds 64 KiB at most.
    """

    @property
    def is_idle(self) -> bool:
        """Whether nothing has begun that did not end."""
        raise NotImplementedError

    def receive(self, fragment: PdvFragment) -> Sequence[MessageEvent]:
        """Take the next fragment; return what it came to, often nothing.

        Raises:
            ProtocolError: If it does not belong here; the assembler is unusable then.
            LimitExceeded: If the command set is longer than anybody needs.
            UsageError: After an error.

        """
        raise NotImplementedError

    def receive_eof(self) -> None:
        """Say that no fragment will follow.

        Raises:
            Truncated: If a message has begun and did not end.

        """
        raise NotImplementedError
