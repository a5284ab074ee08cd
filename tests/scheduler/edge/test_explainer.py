"""One plain event for a pod that fits nowhere, and not one too many."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from partita_plugins.kube.errors import Unavailable
from partita_plugins.wire.objects import ObjectMeta
from partita_scheduler.answers.explainer import BUSY_SECONDS, CHANGED_SECONDS, REPEAT_SECONDS, Explainer
from partita_scheduler.cluster.view import ClusterView, Node, NodeSpec, Pod
from partita_scheduler.policy.row import Verdict
from tests.scheduler.edge.fakes import FixedPolicy, World, make_nodes, make_pod, unschedulable


@dataclass
class Written:
    """Events as they would be written."""

    events: list[tuple[str, str, str, str]] = field(default_factory=list)
    fails: bool = False

    def record(self, regarding: dict[str, Any], kind: str, reason: str, message: str) -> None:
        if self.fails:
            raise Unavailable("no answer")
        self.events.append((regarding["name"], kind, reason, message))


@dataclass
class Desk:
    """An explainer over fakes."""

    world: World
    written: Written = field(default_factory=Written)
    leads: bool = True
    per_minute: int = 30

    def __post_init__(self) -> None:
        self.explainer = Explainer(
            self.world.source,
            self.world.decider,
            self.world.aside,
            self.written,
            self.world.metrics,
            leading=lambda: self.leads,
            events_per_minute=self.per_minute,
            clock=self.world.clock,
        )


def desk(*pods: Pod, policy: FixedPolicy | None = None, **options: Any) -> Desk:
    world = World(policy or FixedPolicy())
    world.source.current = ClusterView(nodes=make_nodes("a", "b"))
    world.source.pods = list(pods)
    return Desk(world, **options)


def test_a_pod_that_fits_nowhere_gets_one_event_with_the_reasons() -> None:
    found = desk(unschedulable(make_pod()))
    assert found.explainer.step() == 1
    assert found.written.events == [
        ("train", "Warning", "GpuPlacement", "No node can take this pod: 2 nodes: no GPU free")
    ]


def test_nodes_that_are_closed_for_other_reasons_are_counted_as_such() -> None:
    found = desk(unschedulable(make_pod()))
    cordoned = Node(metadata=ObjectMeta(name="c"), spec=NodeSpec(unschedulable=True))
    found.world.source.current = ClusterView(nodes={**make_nodes("a", "b"), "c": cordoned})
    found.explainer.step()
    assert found.written.events[0][3].endswith("2 nodes: no GPU free; 1 node: cordoned")


@pytest.mark.parametrize(
    ("pod", "policy"),
    [
        (make_pod(), FixedPolicy()),
        (unschedulable(make_pod(claim="")), FixedPolicy()),
        (unschedulable(make_pod()), FixedPolicy(fits=("a",))),
    ],
    ids=["not tried yet", "no claims", "a node fits"],
)
def test_there_is_nothing_to_say_about_others(pod: Pod, policy: FixedPolicy) -> None:
    assert desk(pod, policy=policy).explainer.step() == 0


def test_the_same_is_not_said_again_for_five_minutes() -> None:
    found = desk(unschedulable(make_pod()))
    found.explainer.step()
    found.world.clock.now += REPEAT_SECONDS - 1
    assert found.explainer.step() == 0
    found.world.clock.now += 1
    assert found.explainer.step() == 1


def test_something_else_is_said_soon() -> None:
    found = desk(unschedulable(make_pod()))
    found.explainer.step()
    found.world.source.current = ClusterView(nodes=make_nodes("a", "b", "c"))
    found.world.clock.now += CHANGED_SECONDS - 1
    assert found.explainer.step() == 0
    found.world.clock.now += 1
    assert found.explainer.step() == 1
    assert "3 nodes" in found.written.events[-1][3]


def test_only_the_leader_writes_and_never_from_a_stale_view() -> None:
    found = desk(unschedulable(make_pod()), leads=False)
    assert found.explainer.step() == 0
    found.leads = True
    found.world.source.why_not = "stale"
    assert found.explainer.step() == 0
    found.world.source.why_not = ""
    assert found.explainer.step() == 1


def test_a_minute_has_room_for_so_many_events_and_the_rest_come_later() -> None:
    found = desk(*(unschedulable(make_pod(f"p{number}")) for number in range(5)), per_minute=3)
    assert found.explainer.step() == 3
    assert found.world.counted("explainer_events_total", result="limited") == 2
    found.world.clock.now += 60
    assert found.explainer.step() == 2
    assert {name for name, *_ in found.written.events} == {f"p{number}" for number in range(5)}


def test_all_pods_get_their_turn_when_there_are_many() -> None:
    found = desk(*(unschedulable(make_pod(f"p{number}")) for number in range(50)), per_minute=600)
    assert [found.explainer.step() for _ in range(3)] == [20, 20, 10]
    found.world.source.current = ClusterView(nodes=make_nodes("a", "b", "c"))
    found.world.clock.now += CHANGED_SECONDS
    assert sum(found.explainer.step() for _ in range(3)) == 50


def test_a_step_ends_in_time_and_the_next_one_goes_on_with_the_other_pods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = desk(*(unschedulable(make_pod(f"p{number}")) for number in range(7)))
    decide = found.world.policy.decide

    def slow(view: ClusterView, pod: Pod, names: Any) -> Any:
        found.world.clock.now += BUSY_SECONDS / 2
        return decide(view, pod, names)

    monkeypatch.setattr(found.world.policy, "decide", slow)
    assert [found.explainer.step() for _ in range(5)] == [2, 2, 2, 1, 0]


def test_a_pod_that_cannot_be_told_anything_yet_costs_nothing() -> None:
    found = desk(unschedulable(make_pod()))
    found.explainer.step()
    found.world.clock.now += CHANGED_SECONDS - 0.1
    found.explainer.step()
    assert len(found.world.policy.calls) == 1
    found.world.clock.now += 0.1
    found.explainer.step()
    assert len(found.world.policy.calls) == 2


def test_an_event_that_could_not_be_written_is_tried_again() -> None:
    found = desk(unschedulable(make_pod()))
    found.written.fails = True
    assert found.explainer.step() == 0
    found.written.fails = False
    assert found.explainer.step() == 1


def test_one_odd_pod_keeps_no_other_from_being_explained() -> None:
    found = desk(unschedulable(make_pod("odd")), unschedulable(make_pod("plain")))
    decide = found.world.policy.decide

    def picky(view: ClusterView, pod: Pod, names: Any) -> Any:
        if pod.metadata.name == "odd":
            raise ValueError("odd")
        return decide(view, pod, names)

    found.world.policy.decide = picky  # type: ignore[method-assign, assignment]
    assert found.explainer.step() == 1
    assert found.world.counted("explainer_events_total", result="failed") == 1


def test_nothing_is_claimed_about_nodes_on_which_we_have_no_opinion() -> None:
    found = desk(unschedulable(make_pod()))
    decide = found.world.policy.decide

    def unsure(view: ClusterView, pod: Pod, names: Any) -> Any:
        decided = decide(view, pod, names)
        return replace(decided, verdicts={**decided.verdicts, "b": Verdict(node="b", undecided=True)})

    found.world.policy.decide = unsure  # type: ignore[method-assign, assignment]
    assert found.explainer.step() == 0


def test_a_pod_whose_reasons_change_all_the_time_gets_no_storm_of_events() -> None:
    found = desk(unschedulable(make_pod()))
    written = 0
    for number in range(60):
        found.world.source.current = ClusterView(nodes=make_nodes(*(f"n{i}" for i in range(number % 2 + 1))))
        written += found.explainer.step()
        found.world.clock.now += 2
    assert written <= 120 / CHANGED_SECONDS
