"""Both ends of an association of pynetdicom: its thread, its end, and our patience with it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from pynetdicom.events import NotificationEvent
from pynetdicom.pdu_primitives import A_RELEASE

from asyncdicom.errors import ConnectionLost, FetchError, ProtocolError, Stalled
from asyncdicom.protocol.upper_layer.meanings import aborted
from asyncdicom.protocol.upper_layer.pdu import Abort
from asyncdicom.transports.associations.pynetdicom_parts import (
    Messages,
    PromptSocket,
    Reactor,
    nobody,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pynetdicom.association import Association
    from pynetdicom.transport import AddressInformation

__all__ = ["Limits", "Patience", "Peer"]

JOIN_TIMEOUT_S = 1.0
"""How long the thread of the upper layer may take to end, in seconds, each time it is asked."""


class Limits(Protocol):
    """What of the settings of either side bounds a peer."""

    @property
    def idle_timeout_s(self) -> float:
        """Longest silence, in seconds."""

    @property
    def min_bytes_per_s(self) -> float:
        """Least mean throughput within a message."""

    @property
    def min_rate_window_s(self) -> float:
        """Time over which it is averaged, in seconds."""


class Patience:
    """How long we wait for a peer, from now on; between the waits nothing counts."""

    def __init__(self, limits: Limits, peer: Peer, origin: str) -> None:
        self._limits = limits
        self._origin = origin
        self._peer = peer
        self._begun_s = self._window_begun_s = self._paused_s = monotonic()
        self._window_bytes = peer.wire.bytes_received

    def resume(self) -> None:
        """Wait again: what we did since the pause is not the peer's fault."""
        self._begun_s = monotonic()
        self._window_begun_s += self._begun_s - self._paused_s

    def pause(self) -> None:
        """Wait no more for the moment."""
        self._paused_s = monotonic()

    def rest_s(self) -> float:
        """Return how much longer the peer may be silent, in seconds.

        Raises:
            Stalled: If it was silent for too long, or trickles within a message.

        """
        now_s, limits = monotonic(), self._limits
        silent_s = now_s - max(self._begun_s, self._peer.wire.heard_s)
        if silent_s >= limits.idle_timeout_s:
            raise Stalled(f"nothing came for {silent_s:.3g} s", origin=self._origin)
        lasted_s = now_s - self._window_begun_s
        came_bytes = self._peer.wire.bytes_received - self._window_bytes
        is_over = lasted_s >= limits.min_rate_window_s
        is_within = self._peer.is_within_message()
        if is_over and is_within and came_bytes < limits.min_bytes_per_s * lasted_s:
            why = f"only {came_bytes} bytes came in {lasted_s:.3g} s"
            raise Stalled(why, origin=self._origin)
        if is_over or not is_within:
            self._window_begun_s, self._window_bytes = now_s, self._peer.wire.bytes_received
        return min(limits.idle_timeout_s - silent_s, limits.min_rate_window_s)


class Peer:
    """An association of pynetdicom, without the thread that serves its services.

    Args:
        association: New; of an acceptor the connection is made, a requestor is yet to tell so.
        sock: Connected and blocking.
        names: Address of the requestor, then that of the acceptor.
        max_pdu_bytes: Longest variable field of a P-DATA-TF.

    """

    reactor_class: type[Reactor] = Reactor
    messages_class: type[Messages] = Messages

    def __init__(
        self,
        association: Association,
        sock: socket.socket,
        names: tuple[AddressInformation, AddressInformation],
        max_pdu_bytes: int,
    ) -> None:
        self.association = association
        association.dul = self.reactor = self.reactor_class(association)
        association.dimse = self.messages = self.messages_class(association)
        self.wire = PromptSocket(association, sock, max_pdu_bytes)
        association.set_socket(self.wire)
        # The loop watches over time. Where pynetdicom does, it waits for its own threads.
        association.acse_timeout = association.network_timeout = None
        association.requestor.address_info, association.acceptor.address_info = names
        for event in association.get_events():
            if isinstance(event, NotificationEvent):
                # Those that log. pynetdicom has a list for each of these events.
                for handler, _ in list(cast("list[Any]", association.get_handlers(event))):
                    association.unbind(event, handler)

    def abort(self) -> None:
        """Ask for A-ABORT, and let nobody wait any more."""
        self.wire.heed_no_more()
        self.association.acse.send_abort(0)
        self.messages.msg_queue.end()
        self.reactor.to_user_queue.put(nobody())

    def end(self, cut: Callable[[], None]) -> None:
        """Let the thread of the upper layer say its last words, then end it."""
        self.wire.give_up()
        if self.reactor.is_alive() and not self.wire.is_within_pdu:
            self.reactor.join(JOIN_TIMEOUT_S)
        cut()
        self.reactor.kill_dul()
        if self.reactor.is_alive():
            self.reactor.join(JOIN_TIMEOUT_S)
        if not self.reactor.is_alive():
            self.wire.free()

    def is_within_message(self) -> bool:
        """Whether more of what came before is due."""
        return self.wire.is_within_pdu or self.messages.message is not None

    def is_released(self) -> bool:
        """Whether the peer asks for a release."""
        waiting: Any = self.reactor.peek_next_pdu()
        return isinstance(waiting, A_RELEASE) and not waiting.result

    def why_over(self) -> FetchError:
        """Return why the association ended, as far as we are told."""
        for failure in (self.wire.failure, self.messages.failure, self.reactor.failure):
            if failure is not None:
                return failure
        if self.wire.abort is not None:
            return aborted(Abort(*self.wire.abort[2:4]))
        if self.is_released():
            return ConnectionLost("the peer released the association before its answer")
        if self.reactor.to_user_queue.is_misbehaviour:
            return ProtocolError("the peer does not keep to the upper layer protocol")
        return ConnectionLost("the connection ended before the answer did")
