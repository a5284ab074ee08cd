"""Pauses grow, are never shorter than a server asks for, and keep many callers out of step."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from partita_plugins.errors import Retryable
from partita_plugins.pauses import SPREAD, Backoff, Pause, spread

PAUSE = Pause(0.05, 30.0)
DRIVERS = 500
OUTAGE_SECONDS = 300.0


def test_a_pause_doubles_up_to_its_longest() -> None:
    assert [Pause(1.0, 6.0).after(tries) for tries in (1, 2, 3, 4, 10**6)] == [1.0, 2.0, 4.0, 6.0, 6.0]


@given(seconds=st.floats(0, 1e6), drawn=st.floats(0, 1, exclude_max=True))
def test_chance_only_ever_adds(seconds: float, drawn: float) -> None:
    assert seconds <= spread(seconds, lambda: drawn) <= seconds * (1 + SPREAD)


@given(tries=st.integers(1, 40), delay=st.floats(0, 100))
def test_nobody_asks_again_sooner_than_the_server_wants(tries: int, delay: float) -> None:
    backoff = Backoff(PAUSE, random.Random(tries).random)
    assert all(backoff.next_seconds(Retryable("later", delay_seconds=delay)) >= delay for _ in range(tries))


def test_after_a_success_the_pause_is_the_first_again() -> None:
    backoff = Backoff(PAUSE, lambda: 0.0)
    assert [backoff.next_seconds() for _ in range(3)] == [0.05, 0.1, 0.2]
    backoff.reset()
    assert backoff.next_seconds() == 0.05


def test_500_drivers_that_lost_the_server_at_once_do_not_come_back_at_once() -> None:
    draw = random.Random(0)
    returns: Counter[int] = Counter()
    for _ in range(DRIVERS):
        backoff, now = Backoff(PAUSE, draw.random), 0.0
        while now < OUTAGE_SECONDS:
            now += backoff.next_seconds(Retryable("no answer"))
        returns[int(now)] += 1
    assert max(returns.values()) < DRIVERS / 10, "of 500, in the same second"
