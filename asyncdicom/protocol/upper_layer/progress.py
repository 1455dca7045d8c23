"""Where an association is: state, timer and bytes to send, as the table moves them (PS3.8 §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import UsageError
from asyncdicom.protocol.upper_layer.table import EFFECTS, TRANSITIONS, Artim, State

if TYPE_CHECKING:
    from asyncdicom.protocol.upper_layer.table import Action, Effect, Event

__all__ = ["Progress"]


class Progress:
    """Does what a table cell says, but for what is told to whoever uses the machine.

    Attributes:
        state: State, by its name in PS3.8 §9.2.1.
        artim_is_running: Whether the Association Request/Reject/Release Timer runs.
        artim_starts: How often it was started so far.
        must_close: Whether the connection is to be closed.
        takes_data: Whether P-DATA-TF is expected: DT-2 and AR-6 change no state.
        may_send_data: Whether P-DATA-TF may be sent: DT-1 and AR-7 change no state.
        out: Bytes to send.

    """

    def __init__(self) -> None:
        self.state = State.STA1
        self.artim_is_running = False
        self.artim_starts = 0
        self.must_close = False
        self.takes_data = False
        self.may_send_data = False
        self.out: list[bytes | memoryview] = []

    def allows(self, event: Event) -> bool:
        """Tell whether something may happen now."""
        return (event, self.state) in TRANSITIONS

    def action(self, event: Event) -> Action:
        """Return what follows when something happens now.

        Raises:
            UsageError: If it must not.

        """
        action = TRANSITIONS.get((event, self.state))
        if action is None:
            raise UsageError(f"{event.value} while {self.state.value}")
        return action

    def perform(self, event: Event, pdu: bytes = b"") -> None:
        """Do what follows from something local.

        Args:
            event: What happens.
            pdu: What is sent if a PDU is.

        Raises:
            UsageError: If it must not happen now.

        """
        self.apply(EFFECTS[self.action(event)], pdu)

    def apply(self, effect: Effect, pdu: bytes = b"") -> None:
        """Do what an action does.

        Args:
            effect: Of the action.
            pdu: What is sent if a PDU is.

        """
        self.state = effect.next_state
        self.takes_data = self.state in (State.STA6, State.STA7)
        self.may_send_data = self.state in (State.STA6, State.STA8)
        if effect.artim is not Artim.KEPT:
            self.artim_is_running = effect.artim is Artim.STARTED
            self.artim_starts += self.artim_is_running
        if effect.sends:
            self.out.append(pdu)
        self.must_close = self.must_close or effect.closes
