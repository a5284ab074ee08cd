"""An ordered end: the lease is offered at once, and somebody answers until the next one does. Never two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Unavailable
from partita_plugins.testing.apiserver import ApiServer
from partita_scheduler.leader.elector import ANSWERS_SECONDS, NOTICE_SECONDS, LeaderElector
from partita_scheduler.leader.handover import LET_GO_SECONDS, LOOK_SECONDS, Handover
from partita_scheduler.leader.lease import LEASE_SECONDS
from tests.scheduler.edge.cluster import api_server
from tests.scheduler.edge.fakes import Clock

PATIENCE_SECONDS = 2.0


@dataclass
class Replicas:
    """Candidates for one Lease, and the time that passes while one of them ends."""

    server: ApiServer
    api: KubeApi
    clock: Clock = field(default_factory=Clock)
    name: str = "partita-scheduler"
    events: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def elector(self, identity: str, api: Any = None) -> LeaderElector:
        return LeaderElector(
            api or self.api, identity=identity, namespace="partita-system", name=self.name, clock=self.clock
        )

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Do this when so much time has passed."""
        self.events.append((self.clock.now + seconds, act))

    def pass_time(self, seconds: float) -> None:
        end = self.clock.now + seconds
        due = sorted((event for event in self.events if event[0] <= end), key=lambda event: event[0])
        for when, act in due:
            self.events.remove((when, act))
            self.clock.now = when
            act()
        self.clock.now = end

    def end(self, elector: LeaderElector, patience_seconds: float = PATIENCE_SECONDS) -> float:
        """Tell it to end; the seconds until it may close."""
        handover = Handover(elector, patience_seconds=patience_seconds, clock=self.clock, wait=self._wait_for)
        self.handover = handover
        handover.tell()
        began = self.clock.now
        handover.run()
        assert handover.done.is_set()
        return self.clock.now - began

    def _wait_for(self, seconds: float) -> bool:
        end = self.clock.now + seconds
        while self.clock.now < end and not self.handover.hurried.is_set():
            self.pass_time(min(LOOK_SECONDS, end - self.clock.now))
        return self.handover.hurried.is_set()

    @property
    def lease(self) -> dict[str, object]:
        found: dict[str, object] = self.server.get("leases", self.name, "partita-system")["spec"]
        return found


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    with api_server(tmp_path) as (server, api):
        yield Replicas(server, api)


def test_the_lease_is_free_at_once_and_its_old_holder_answers_while_nobody_has_it(replicas: Replicas) -> None:
    old = replicas.elector("old")
    old.step()
    seen: list[tuple[object, bool]] = []
    replicas.at(0.05, lambda: seen.append((replicas.lease["holderIdentity"], old.leading)))
    replicas.at(PATIENCE_SECONDS - 0.05, lambda: seen.append((replicas.lease["holderIdentity"], old.leading)))
    replicas.end(old)
    assert seen == [("", True), ("", True)]
    assert not old.leading


def test_the_next_one_is_ready_at_once_and_answers_when_the_old_one_has_ended(replicas: Replicas) -> None:
    """Ready, so that kube-scheduler's connections can come to it; meanwhile they are kept by the one that answers."""
    old, new = replicas.elector("old"), replicas.elector("new")
    old.step()
    replicas.at(0.5, new.step)
    told: list[tuple[float, bool, bool, bool]] = []

    def look() -> None:
        told.append((replicas.clock.now, old.leading, new.leading, new.holding))

    for tenths in range(6, 40):
        replicas.at(tenths / 10, look)
    replicas.end(old)
    assert all(holding for *_, holding in told)
    assert not any(first and second for _, first, second, _ in told)
    assert sum(not (first or second) for _, first, second, _ in told) <= 5, "tenths of a second that nobody answers"
    assert told[0][1]
    assert told[-1][2]


def test_the_old_one_goes_when_it_had_time_to_let_its_connections_go(replicas: Replicas) -> None:
    old, new = replicas.elector("old"), replicas.elector("new")
    old.step()
    replicas.at(0.5, new.step)
    took = replicas.end(old)
    assert 0.5 + NOTICE_SECONDS < took < 0.5 + ANSWERS_SECONDS + LET_GO_SECONDS + 2 * LOOK_SECONDS
    assert replicas.lease["holderIdentity"] == "new"


def test_where_nobody_takes_the_lease_the_end_is_soon_and_the_next_one_answers_at_once(replicas: Replicas) -> None:
    old, new = replicas.elector("old"), replicas.elector("new")
    old.step()
    assert replicas.end(old) < PATIENCE_SECONDS + 2 * LOOK_SECONDS
    assert new.step()


def test_one_that_stands_by_ends_at_once_and_leaves_the_lease_alone(replicas: Replicas) -> None:
    old, standby = replicas.elector("old"), replicas.elector("standby")
    old.step()
    assert replicas.end(standby) == 0
    assert replicas.lease["holderIdentity"] == "old"


def test_without_patience_the_end_is_at_once(replicas: Replicas) -> None:
    old = replicas.elector("old")
    old.step()
    assert replicas.end(old, 0) == 0
    assert replicas.elector("new").step()


@pytest.mark.parametrize("taken", [False, True])
def test_told_once_more_it_ends_at_once(replicas: Replicas, taken: bool) -> None:
    old, new = replicas.elector("old"), replicas.elector("new")
    old.step()
    if taken:
        replicas.at(0.1, new.step)
    replicas.at(0.3, lambda: replicas.handover.tell())  # noqa: PLW0108 # there is none yet
    assert replicas.end(old) < 0.3 + 2 * LOOK_SECONDS
    assert not old.leading


def test_one_that_cannot_see_the_lease_stops_before_another_may_answer(replicas: Replicas) -> None:
    old = replicas.elector("old")
    old.step()
    old.hand_over()
    replicas.server.stop()
    replicas.clock.now += ANSWERS_SECONDS
    old.hand_over()
    assert ANSWERS_SECONDS < NOTICE_SECONDS
    assert not old.leading


def test_one_that_has_not_looked_for_so_long_answers_no_more_though_the_lease_is_free_again(replicas: Replicas) -> None:
    """Another has had it since, and gives notice in its turn."""
    old, second = replicas.elector("old"), replicas.elector("second")
    old.step()
    old.hand_over()
    second.step()
    replicas.clock.now += NOTICE_SECONDS
    second.hand_over()
    old.hand_over()
    assert (old.leading, second.leading) == (False, True)


def test_a_successor_that_ends_before_its_turn_leaves_the_notice_to_the_next(replicas: Replicas) -> None:
    old, second, third = (replicas.elector(name) for name in ("old", "second", "third"))
    old.step()
    old.hand_over()
    second.step()
    replicas.end(second, 0)
    third.step()
    assert (old.leading, second.leading, third.leading) == (True, False, False)
    replicas.clock.now += NOTICE_SECONDS
    assert (old.leading, third.leading) == (False, True)


def test_a_successor_that_is_told_to_end_before_its_turn_answers_until_the_next_one_does(replicas: Replicas) -> None:
    """An update ends both replicas, and not at the same moment."""
    old, second, third = (replicas.elector(name) for name in ("old", "second", "third"))
    old.step()
    old.hand_over()
    second.step()
    told: list[tuple[bool, bool, bool]] = []
    replicas.at(NOTICE_SECONDS + 0.5, lambda: told.append((old.leading, second.leading, third.leading)))
    replicas.at(NOTICE_SECONDS + 1, third.step)
    replicas.end(second)
    assert told == [(False, True, False)]
    assert replicas.lease["holderIdentity"] == "third"


def test_what_it_logs_is_who_answers(replicas: Replicas, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = replicas.elector("old"), replicas.elector("new")
    old.step()
    old.hand_over()
    new.step()
    capsys.readouterr()
    replicas.clock.now += NOTICE_SECONDS
    new.step()
    assert "leading" in capsys.readouterr().out


class _FirstWrite:
    """The API of a candidate, with something done before and after its first write."""

    def __init__(
        self, api: KubeApi, *, before: Callable[[], object] = bool, after: Callable[[], object] = bool
    ) -> None:
        self._api, self._before, self._after = api, [before], [after]

    def replace(self, *args: Any, **options: Any) -> bytes:
        for act in self._before:
            self._before = []
            act()
        done = self._api.replace(*args, **options)
        for act in self._after:
            self._after = []
            act()
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)


def _lost() -> None:
    """The answer to what was done."""
    raise Unavailable("the connection was reset", delay_seconds=1.0, advice="ask again")


def test_notice_that_was_given_to_another_is_nobody_elses(replicas: Replicas) -> None:
    """Two went for the lease, and the one that lost takes it much later."""
    old, second = replicas.elector("old"), replicas.elector("second")
    late = replicas.elector("late", _FirstWrite(replicas.api, before=second.step))
    old.step()
    old.hand_over()
    late.step()
    assert replicas.lease["holderIdentity"] == "second"
    late.step()
    replicas.clock.now += LEASE_SECONDS + 1
    assert late.step()


def test_a_lease_that_says_an_hour_is_waited_for_no_longer_than_one_that_is_held(replicas: Replicas) -> None:
    old, new = replicas.elector("old"), replicas.elector("new")
    old.step()
    old.hand_over()
    spec = {"spec": {"leaseDurationSeconds": 3600}}
    replicas.server.patch("leases", replicas.name, spec, "partita-system")
    new.step()
    replicas.clock.now += 8
    new.step()
    replicas.clock.now += 8
    new.step()
    assert new.leading


def test_one_that_took_the_lease_without_knowing_it_waits_for_the_notice_too(replicas: Replicas) -> None:
    old = replicas.elector("old")
    new = replicas.elector("new", _FirstWrite(replicas.api, after=_lost))
    old.step()
    old.hand_over()
    assert not new.step()
    replicas.clock.now += 1
    new.step()
    assert (old.leading, new.leading, new.holding) == (True, False, True)
    replicas.clock.now += NOTICE_SECONDS
    assert new.leading


ACTS = st.sampled_from(["step", "step", "release", "offer", "offer", "wait", "long wait"])
STEPS = st.lists(st.tuples(st.integers(0, 2), ACTS), max_size=40)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, run=st.uuids())
def test_there_are_never_two_that_answer(replicas: Replicas, steps: list[tuple[int, str]], run: object) -> None:
    """Each steps until it first offers its lease; from then on it only offers, or leaves."""
    at = Replicas(replicas.server, replicas.api, name=f"lease-{run}")
    all_of_them = [at.elector(str(number)) for number in range(3)]
    ending: set[int] = set()
    for number, act in steps:
        one = all_of_them[number]
        if act == "step" and number not in ending:
            one.step()
        elif act == "release":
            one.release()
        elif act == "offer" and (number in ending or one.leading):
            ending.add(number)
            one.hand_over()
        elif "wait" in act:
            at.clock.now += (4.0 if act == "long wait" else 0.4) * (number + 1)
        assert sum(one.leading for one in all_of_them) <= 1
