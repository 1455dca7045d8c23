"""State, timer and bytes, moved as the table says."""

from __future__ import annotations

import pytest

from asyncdicom.errors import UsageError
from asyncdicom.protocol.upper_layer.progress import Progress
from asyncdicom.protocol.upper_layer.table import EFFECTS, Action, Event, State


def test_it_begins_idle() -> None:
    progress = Progress()
    assert progress.state is State.STA1
    assert not progress.artim_is_running
    assert not progress.must_close
    assert not progress.takes_data
    assert not progress.may_send_data


def test_what_may_happen_is_what_the_table_has() -> None:
    progress = Progress()
    assert progress.allows(Event.EVT1)
    assert progress.action(Event.EVT5) is Action.AE_5
    assert not progress.allows(Event.EVT9)
    with pytest.raises(UsageError, match="P-DATA request while idle"):
        progress.perform(Event.EVT9)
    assert progress.state is State.STA1


def test_a_pdu_is_sent_if_the_action_sends_one() -> None:
    progress = Progress()
    progress.perform(Event.EVT1, b"not sent")
    progress.perform(Event.EVT2, b"request")
    assert progress.out == [b"request"]
    assert progress.state is State.STA5


def test_the_timer_is_started_stopped_and_started_again() -> None:
    progress = Progress()
    progress.apply(EFFECTS[Action.AE_5])
    assert (progress.artim_is_running, progress.artim_starts) == (True, 1)
    progress.apply(EFFECTS[Action.AE_6])
    assert (progress.artim_is_running, progress.artim_starts) == (False, 1)
    progress.apply(EFFECTS[Action.AE_8], b"rejection")
    progress.apply(EFFECTS[Action.AA_7], b"abort")
    assert (progress.artim_is_running, progress.artim_starts) == (True, 2)
    progress.apply(EFFECTS[Action.AA_1], b"abort")
    assert (progress.artim_is_running, progress.artim_starts) == (True, 3)


def test_a_connection_that_is_to_be_closed_stays_so() -> None:
    progress = Progress()
    progress.apply(EFFECTS[Action.AA_2])
    progress.apply(EFFECTS[Action.AR_5])
    assert progress.must_close


@pytest.mark.parametrize("action", Action)
def test_data_flow_where_the_table_lets_them(action: Action) -> None:
    progress = Progress()
    progress.apply(EFFECTS[action], b"pdu")
    assert progress.may_send_data == progress.allows(Event.EVT9)
    takes = (
        progress.allows(Event.EVT10)
        and EFFECTS[progress.action(Event.EVT10)].indicates
        and progress.action(Event.EVT10) is not Action.AA_8
    )
    assert progress.takes_data == takes
