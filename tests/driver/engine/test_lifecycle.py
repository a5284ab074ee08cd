"""The lifecycle table, walked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from partita_driver.journal.records import ClaimRecord
from partita_driver.lifecycle import TRANSITIONS, ClaimEvent, ClaimState, IllegalTransition, advance

EVERY = [(state, event) for state in ClaimState for event in ClaimEvent]


@pytest.mark.parametrize(("state", "event"), EVERY)
def test_an_event_follows_the_table_or_changes_nothing(state: ClaimState, event: ClaimEvent) -> None:
    record = ClaimRecord(uid="u", state=state)
    if event in TRANSITIONS[state]:
        assert record.after(event).state is TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalTransition, match=f"{event}.*{state}"):
            record.after(event)
    assert record.state is state


def test_every_state_has_a_row_and_is_reached() -> None:
    assert set(TRANSITIONS) == set(ClaimState)
    assert {after for row in TRANSITIONS.values() for after in row.values()} == set(ClaimState)


def test_only_a_checked_claim_is_handed_out() -> None:
    ways = [state for state, row in TRANSITIONS.items() if ClaimState.PREPARED in row.values()]
    assert ways == [ClaimState.CHECKED]


@given(st.sampled_from(ClaimState))
def test_every_state_leads_back_to_absent(state: ClaimState) -> None:
    seen, frontier = {state}, [state]
    while frontier:
        frontier = [after for one in frontier for after in TRANSITIONS[one].values() if after not in seen]
        seen.update(frontier)
    assert ClaimState.ABSENT in seen


class Walk(RuleBasedStateMachine):
    """Any order of events: hardware is touched only between intent and forgetting."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ClaimState.ABSENT
        self.dirty = False

    @rule(event=st.sampled_from(ClaimEvent))
    def happen(self, event: ClaimEvent) -> None:
        before = self.state
        try:
            self.state = advance(self.state, event)
        except IllegalTransition:
            assert self.state is before
            return
        self.dirty = event is not ClaimEvent.FORGET

    @invariant()
    def absent_is_clean(self) -> None:
        assert (self.state is ClaimState.ABSENT) == (not self.dirty)


TestWalk = Walk.TestCase
