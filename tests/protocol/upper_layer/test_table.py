"""The state table is the Standard's, cell by cell (PS3.8 Table 9-10)."""

from __future__ import annotations

import pytest
from pynetdicom.fsm import TRANSITION_TABLE

from asyncdicom.protocol.upper_layer.table import (
    COLLISION_OF_ACCEPTOR,
    EFFECTS,
    REFUSAL_BY_PROVIDER,
    TRANSITIONS,
    Action,
    Artim,
    Event,
    State,
)
from tests.protocol.upper_layer.transitions import NEXT_STATES, cells


def name_of(one: Action | Event | State) -> str:
    return one.name.replace("_", "-") if isinstance(one, Action) else one.name.capitalize()


@pytest.mark.parametrize(("event", "state", "expected"), [(*k, v) for k, v in cells().items()])
def test_each_cell_is_the_standards(event: str, state: str, expected: str | None) -> None:
    action = TRANSITIONS.get((Event[event.upper()], State[state.upper()]))
    assert (None if action is None else name_of(action)) == expected


def test_the_table_has_19_events_and_13_states() -> None:
    assert len(cells()) == len(Event) * len(State) == 19 * 13


def test_pynetdicom_reads_the_standard_in_the_same_way() -> None:
    ours = {(name_of(e), name_of(s)): name_of(action) for (e, s), action in TRANSITIONS.items()}
    assert ours == TRANSITION_TABLE


@pytest.mark.parametrize("action", Action, ids=name_of)
def test_each_action_leads_to_its_state(action: Action) -> None:
    assert EFFECTS[action].next_state is State[f"STA{NEXT_STATES[name_of(action)]}"]


def test_two_actions_have_another_way_to_go() -> None:
    assert REFUSAL_BY_PROVIDER.next_state is State.STA13
    assert COLLISION_OF_ACCEPTOR.next_state is State.STA10


@pytest.mark.parametrize("action", Action, ids=name_of)
def test_actions_do_what_their_words_say(action: Action) -> None:
    effect = EFFECTS[action]
    words = action.value.split(";")[0] if action is Action.AE_6 else action.value
    is_sending = words.startswith("send ")
    assert effect.sends == is_sending
    assert effect.closes == ("close" in words)
    artim = Artim.KEPT
    if "ARTIM" in words:
        artim = Artim.STOPPED if "stop ARTIM" in words else Artim.STARTED
    assert effect.artim is artim


@pytest.mark.parametrize(
    "action",
    [
        *(Action.AE_3, Action.AE_4, Action.AE_6, Action.DT_2),
        *(Action.AR_2, Action.AR_3, Action.AR_6, Action.AR_8, Action.AR_10),
        *(Action.AA_3, Action.AA_4, Action.AA_8),
    ],
    ids=name_of,
)
def test_what_the_standard_indicates_or_confirms_is_told(action: Action) -> None:
    assert EFFECTS[action].indicates
    assert sum(effect.indicates for effect in EFFECTS.values()) == 12


def test_artim_runs_in_sta2_and_sta13_alone() -> None:
    leading = {effect.next_state for effect in EFFECTS.values() if effect.artim is Artim.STARTED}
    assert leading == {State.STA2, State.STA13}
    expiring = {state for event, state in TRANSITIONS if event is Event.EVT18}
    assert expiring == {State.STA2, State.STA13}
