"""The state machine of the upper layer as data: who may do what, and what follows (PS3.8 §9.2).

    action = TRANSITIONS[Event.EVT3, State.STA5]        # AE-3
    effect = EFFECTS[action]                            # confirm, go on to Sta6

Names are those of PS3.8 Tables 9-1 to 9-10. A pair of event and state that is not in
`TRANSITIONS` cannot be, or is a mistake of whoever uses the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = [
    "COLLISION_OF_ACCEPTOR",
    "EFFECTS",
    "REFUSAL_BY_PROVIDER",
    "TRANSITIONS",
    "Action",
    "Artim",
    "Effect",
    "Event",
    "State",
]


class State(Enum):
    """States of an association (PS3.8 Tables 9-1 to 9-5)."""

    STA1 = "idle"
    STA2 = "transport connection open, awaiting A-ASSOCIATE-RQ"
    STA3 = "awaiting local A-ASSOCIATE response"
    STA4 = "awaiting transport connection opening to complete"
    STA5 = "awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ"
    STA6 = "association established, ready for data transfer"
    STA7 = "awaiting A-RELEASE-RP"
    STA8 = "awaiting local A-RELEASE response"
    STA9 = "release collision, requestor side; awaiting local A-RELEASE response"
    STA10 = "release collision, acceptor side; awaiting A-RELEASE-RP"
    STA11 = "release collision, requestor side; awaiting A-RELEASE-RP"
    STA12 = "release collision, acceptor side; awaiting local A-RELEASE response"
    STA13 = "awaiting transport connection close indication"


class Event(Enum):
    """What can happen (PS3.8 Table 9-10, first column)."""

    EVT1 = "A-ASSOCIATE request"
    EVT2 = "transport connection confirmation"
    EVT3 = "A-ASSOCIATE-AC received"
    EVT4 = "A-ASSOCIATE-RJ received"
    EVT5 = "transport connection indication"
    EVT6 = "A-ASSOCIATE-RQ received"
    EVT7 = "A-ASSOCIATE response, accept"
    EVT8 = "A-ASSOCIATE response, reject"
    EVT9 = "P-DATA request"
    EVT10 = "P-DATA-TF received"
    EVT11 = "A-RELEASE request"
    EVT12 = "A-RELEASE-RQ received"
    EVT13 = "A-RELEASE-RP received"
    EVT14 = "A-RELEASE response"
    EVT15 = "A-ABORT request"
    EVT16 = "A-ABORT received"
    EVT17 = "transport connection closed"
    EVT18 = "ARTIM timer expired"
    EVT19 = "unrecognized or invalid PDU received"


class Action(Enum):
    """What is done about it (PS3.8 Tables 9-6 to 9-9)."""

    AE_1 = "open the transport connection"
    AE_2 = "send A-ASSOCIATE-RQ"
    AE_3 = "confirm the association"
    AE_4 = "tell the refusal and close"
    AE_5 = "accept the connection and start ARTIM"
    AE_6 = "stop ARTIM; indicate the request, or send A-ASSOCIATE-RJ and start ARTIM"
    AE_7 = "send A-ASSOCIATE-AC"
    AE_8 = "send A-ASSOCIATE-RJ and start ARTIM"
    DT_1 = "send P-DATA-TF"
    DT_2 = "indicate data"
    AR_1 = "send A-RELEASE-RQ"
    AR_2 = "indicate the release"
    AR_3 = "confirm the release and close"
    AR_4 = "send A-RELEASE-RP and start ARTIM"
    AR_5 = "stop ARTIM"
    AR_6 = "indicate data, while a release was asked for"
    AR_7 = "send P-DATA-TF, before the release is responded to"
    AR_8 = "indicate the release, in a collision"
    AR_9 = "send A-RELEASE-RP, in a collision"
    AR_10 = "confirm the release, in a collision"
    AA_1 = "send A-ABORT as service user and start ARTIM"
    AA_2 = "stop ARTIM and close"
    AA_3 = "indicate the abort and close"
    AA_4 = "indicate the loss of the connection"
    AA_5 = "stop ARTIM, as nobody asked for anything"
    AA_6 = "ignore the PDU"
    AA_7 = "send A-ABORT again"
    AA_8 = "send A-ABORT as service provider, indicate it and start ARTIM"


class Artim(Enum):
    """What becomes of the Association Request/Reject/Release Timer (PS3.8 §9.1.5)."""

    KEPT = "kept"
    STARTED = "started, or started again"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Effect:
    """What an action does, beside what it sends and tells."""

    next_state: State
    artim: Artim = Artim.KEPT
    sends: bool = False
    """Whether a PDU is sent."""
    indicates: bool = False
    """Whether whoever uses the machine is told."""
    closes: bool = False
    """Whether the transport connection is closed."""


_START: Final = Artim.STARTED
_STOP: Final = Artim.STOPPED

EFFECTS: Final[dict[Action, Effect]] = {
    Action.AE_1: Effect(State.STA4),
    Action.AE_2: Effect(State.STA5, sends=True),
    Action.AE_3: Effect(State.STA6, indicates=True),
    Action.AE_4: Effect(State.STA1, indicates=True, closes=True),
    Action.AE_5: Effect(State.STA2, _START),
    Action.AE_6: Effect(State.STA3, _STOP, indicates=True),
    Action.AE_7: Effect(State.STA6, sends=True),
    Action.AE_8: Effect(State.STA13, _START, sends=True),
    Action.DT_1: Effect(State.STA6, sends=True),
    Action.DT_2: Effect(State.STA6, indicates=True),
    Action.AR_1: Effect(State.STA7, sends=True),
    Action.AR_2: Effect(State.STA8, indicates=True),
    Action.AR_3: Effect(State.STA1, indicates=True, closes=True),
    Action.AR_4: Effect(State.STA13, _START, sends=True),
    Action.AR_5: Effect(State.STA1, _STOP),
    Action.AR_6: Effect(State.STA7, indicates=True),
    Action.AR_7: Effect(State.STA8, sends=True),
    Action.AR_8: Effect(State.STA9, indicates=True),
    Action.AR_9: Effect(State.STA11, sends=True),
    Action.AR_10: Effect(State.STA12, indicates=True),
    Action.AA_1: Effect(State.STA13, _START, sends=True),
    Action.AA_2: Effect(State.STA1, _STOP, closes=True),
    Action.AA_3: Effect(State.STA1, indicates=True, closes=True),
    Action.AA_4: Effect(State.STA1, indicates=True),
    Action.AA_5: Effect(State.STA1, _STOP),
    Action.AA_6: Effect(State.STA13),
    Action.AA_7: Effect(State.STA13, sends=True),
    Action.AA_8: Effect(State.STA13, _START, sends=True, indicates=True),
}

REFUSAL_BY_PROVIDER: Final = Effect(State.STA13, _START, sends=True)
"""Of AE-6, where the service provider cannot accept the request."""

COLLISION_OF_ACCEPTOR: Final = Effect(State.STA10, indicates=True)
"""Of AR-8, on the side of the association's acceptor."""

_ASSOCIATED: Final = (
    *(State.STA3, State.STA5, State.STA6, State.STA7, State.STA8),
    *(State.STA9, State.STA10, State.STA11, State.STA12),
)
"""An association is asked for, established, or being released."""


def _row(
    expected: dict[State, Action] | None = None,
    *,
    open_only: Action = Action.AA_1,
    associated: Action = Action.AA_8,
    closing: Action = Action.AA_6,
) -> dict[State, Action]:
    """Return the row of what a peer may do at any time: expected in some states, or not."""
    row = {State.STA2: open_only, **dict.fromkeys(_ASSOCIATED, associated), State.STA13: closing}
    return row | (expected or {})


_ROWS: Final[dict[Event, dict[State, Action]]] = {
    Event.EVT1: {State.STA1: Action.AE_1},
    Event.EVT2: {State.STA4: Action.AE_2},
    Event.EVT3: _row({State.STA5: Action.AE_3}),
    Event.EVT4: _row({State.STA5: Action.AE_4}),
    Event.EVT5: {State.STA1: Action.AE_5},
    Event.EVT6: _row({State.STA2: Action.AE_6}, closing=Action.AA_7),
    Event.EVT7: {State.STA3: Action.AE_7},
    Event.EVT8: {State.STA3: Action.AE_8},
    Event.EVT9: {State.STA6: Action.DT_1, State.STA8: Action.AR_7},
    Event.EVT10: _row({State.STA6: Action.DT_2, State.STA7: Action.AR_6}),
    Event.EVT11: {State.STA6: Action.AR_1},
    Event.EVT12: _row({State.STA6: Action.AR_2, State.STA7: Action.AR_8}),
    Event.EVT13: _row(
        {State.STA7: Action.AR_3, State.STA10: Action.AR_10, State.STA11: Action.AR_3}
    ),
    Event.EVT14: {State.STA8: Action.AR_4, State.STA9: Action.AR_9, State.STA12: Action.AR_4},
    Event.EVT15: {State.STA4: Action.AA_2, **dict.fromkeys(_ASSOCIATED, Action.AA_1)},
    Event.EVT16: _row(open_only=Action.AA_2, associated=Action.AA_3, closing=Action.AA_2),
    Event.EVT17: _row(
        {State.STA4: Action.AA_4},
        open_only=Action.AA_5,
        associated=Action.AA_4,
        closing=Action.AR_5,
    ),
    Event.EVT18: {State.STA2: Action.AA_2, State.STA13: Action.AA_2},
    Event.EVT19: _row(closing=Action.AA_7),
}

TRANSITIONS: Final[dict[tuple[Event, State], Action]] = {
    (event, state): action for event, row in _ROWS.items() for state, action in row.items()
}
"""PS3.8 Table 9-10."""
