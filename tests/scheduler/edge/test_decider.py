"""What kube-scheduler is told, and what is assumed afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.objects import ObjectMeta, Taint, Toleration
from partita_scheduler.answers.recent import Recent
from partita_scheduler.cluster.view import ClusterView, Node, NodeSpec, Pod
from partita_scheduler.protocol.questions import ExtenderArgs
from partita_scheduler.protocol.replies import Choice, HostPriority
from tests.scheduler.edge.fakes import FixedPolicy, World, body, make_claim, make_nodes, make_pod
from tests.scheduler.edge.plain_judge import PlainJudge

NAMES = ("a", "b", "c")


def ask(pod: Pod, *names: str) -> ExtenderArgs:
    return ExtenderArgs(pod=pod, raw_names=msgspec.json.encode(names or NAMES))


def scores_of(world: World, pod: Pod, *names: str) -> dict[str, int]:
    answer = msgspec.json.encode(world.decider.prioritize(ask(pod, *names)))
    return {entry.host: entry.score for entry in msgspec.json.decode(answer, type=list[HostPriority])}


def test_one_node_gets_ten_and_is_assumed() -> None:
    world = World(FixedPolicy(fits=("b", "c")))
    found = scores_of(world, make_pod())
    assert found["b"] == 10
    assert max(score for name, score in found.items() if name != "b") <= 5
    assert [entry.node for entry in world.assumptions.active().values()] == ["b"]


def test_filter_keeps_every_node_also_those_that_we_would_not_take() -> None:
    """kube-scheduler's allocator has let them pass; only wishes that the API cannot express are ours to refuse."""
    world = World(FixedPolicy(fits=("b",)))
    assert world.decider.filter(ask(make_pod())) == {}


def test_a_hard_refusal_is_told_with_its_reason() -> None:
    world = World(FixedPolicy(fits=("b",), hard={"c": "no such link", "elsewhere": "not asked about"}))
    assert world.decider.filter(ask(make_pod())) == {"c": "no such link"}


def test_filters_only_survivor_is_assumed_because_prioritize_is_not_called_for_it() -> None:
    world = World(FixedPolicy(fits=("b",)))
    world.decider.filter(ask(make_pod(), "b"))
    assert len(world.assumptions) == 1


def test_filter_with_several_survivors_assumes_nothing_yet() -> None:
    world = World(FixedPolicy(fits=("b", "c")))
    world.decider.filter(ask(make_pod()))
    assert len(world.assumptions) == 0


def test_choose_leaves_the_best_node_alone_and_assumes_it() -> None:
    world = World(FixedPolicy(fits=("b", "c")))
    assert world.decider.choose(ask(make_pod())) == Choice(node="b")
    assert [entry.node for entry in world.assumptions.active().values()] == ["b"]


def test_choose_never_takes_a_node_that_was_not_asked_about_or_that_filter_would_refuse() -> None:
    world = World(FixedPolicy(fits=("b", "c"), hard={"b": "no such link"}))
    assert world.decider.choose(ask(make_pod())) == Choice(node="c", refused={"b": "no such link"})
    assert world.decider.choose(ask(make_pod("other"), "a", "c")).node == "c"


def test_choose_leaves_all_but_the_refused_where_none_fits_as_we_see_it() -> None:
    """kube-scheduler's allocator has let them pass."""
    world = World(FixedPolicy(fits=(), hard={"b": "no such link"}))
    assert world.decider.choose(ask(make_pod())) == Choice(refused={"b": "no such link"})
    assert len(world.assumptions) == 0


@pytest.mark.parametrize(("refused", "counted"), [((), 2), (("b",), 2), (NAMES, 1)])
def test_that_none_fits_as_we_see_it_is_counted_where_a_node_is_left(refused: tuple[str, ...], counted: int) -> None:
    world = World(FixedPolicy(hard=dict.fromkeys(refused, "no such link")))
    assert world.decider.choose(ask(make_pod())).node == ""
    assert not scores_of(world, make_pod()), "nothing is preferred"
    assert world.counted("no_opinion_total", reason="nowhere") == counted


def test_the_next_question_about_a_pod_takes_its_assumption_back() -> None:
    world = World(FixedPolicy(fits=("b",)))
    world.decider.prioritize(ask(make_pod()))
    world.decider.filter(ask(make_pod()))
    assert len(world.assumptions) == 0


@pytest.mark.parametrize("verb", ["choose", "filter", "prioritize"])
def test_also_where_there_is_no_opinion_on_it(verb: str) -> None:
    """It is not where it was assumed to be, and goes where kube-scheduler likes."""
    world = World(FixedPolicy(fits=("b",)))
    world.decider.choose(ask(make_pod()))
    world.source.why_not = "behind"
    getattr(world.decider, verb)(ask(make_pod()))
    assert len(world.assumptions) == 0


def test_a_pod_that_gets_no_device_of_ours_has_its_nodes_left_to_kube_scheduler() -> None:
    """Spreading and room count for the claims of a network card as they do without us."""
    world = World(FixedPolicy(fits=("b",), hard={"c": "no such link"}, driver="nic.example.com"))
    assert world.decider.choose(ask(make_pod())) == Choice(refused={"c": "no such link"})
    assert not scores_of(world, make_pod())
    assert len(world.assumptions) == 0, "nobody knows where it goes"


def test_a_pod_that_comes_back_from_a_node_twice_is_left_all_nodes() -> None:
    """What fails there is nothing that we see. Other nodes, and other pods, have their own count."""
    world = World(FixedPolicy(fits=("b", "c")))
    told = [world.decider.choose(ask(make_pod())).node for _ in range(4)]
    assert told == ["b", "b", "", ""]
    assert not scores_of(world, make_pod())
    assert world.counted("no_opinion_total", reason="again") == 3
    assert world.decider.choose(ask(make_pod("other"))).node == "b"
    assert world.decider.choose(ask(make_pod(), "c")).node == "c"


def test_a_pod_that_comes_back_late_has_not_been_forgotten_for_others() -> None:
    """kube-scheduler may leave a pod alone for five minutes; others come each second."""
    recent = Recent()
    told = []
    for turn in range(3):
        told.append(recent.tried_enough("late", "a"))
        for number in range(9_000):
            recent.tried_enough(f"{turn}-{number}", "a")
    assert told == [False, False, True]


def test_of_a_pod_that_is_left_all_nodes_again_nothing_is_assumed_unless_there_is_one() -> None:
    """It has failed twice where it would be assumed, and goes where kube-scheduler likes."""
    world = World(FixedPolicy(fits=("b", "c")))
    for _ in range(3):
        world.decider.choose(ask(make_pod()))
    assert len(world.assumptions) == 0
    world.decider.choose(ask(make_pod(), "b"))
    assert [entry.node for entry in world.assumptions.active().values()] == ["b"]


def test_choose_keeps_clear_of_a_node_that_prefers_no_pods_where_another_fits() -> None:
    """kube-scheduler's own plugin has no say when one node is left."""
    world = World(FixedPolicy(fits=("b", "c")))
    taint = Taint(key="leaving", effect="PreferNoSchedule")
    tainted = Node(metadata=ObjectMeta(name="b"), spec=NodeSpec(taints=[taint]))
    world.source.current = ClusterView(nodes={**make_nodes("a", "c"), "b": tainted})
    assert world.decider.choose(ask(make_pod())).node == "c"
    assert world.decider.choose(ask(make_pod("other"), "a", "b")).node == "b", "none else fits"
    pod = make_pod("tolerant")
    tolerant = msgspec.structs.replace(pod.spec, tolerations=[Toleration(key="leaving", operator="Exists")])
    assert world.decider.choose(ask(msgspec.structs.replace(pod, spec=tolerant))).node == "b"


@pytest.mark.parametrize("verb", ["choose", "prioritize"])
def test_a_pod_is_decided_with_the_assumptions_of_others_and_without_its_own(verb: str) -> None:
    world = World(FixedPolicy(fits=("b",)))
    for name in ("first", "second", "first"):
        getattr(world.decider, verb)(ask(make_pod(name)))
    owners = [{entry.pod_uid for entry in view.assumed.values()} for view in world.policy.calls]
    assert owners == [set(), {"uid-first"}, {"uid-second"}]


def test_filter_and_prioritize_of_one_cycle_decide_once() -> None:
    world = World(FixedPolicy(fits=("b", "c")))
    world.decider.filter(ask(make_pod()))
    world.decider.prioritize(ask(make_pod(), "b", "c"))
    assert len(world.policy.calls) == 1


def test_a_changed_view_is_decided_anew() -> None:
    world = World(FixedPolicy(fits=("b", "c")))
    world.decider.filter(ask(make_pod()))
    world.source.current = type(world.source.current)(claims={("default", "wish"): make_claim()})
    world.decider.prioritize(ask(make_pod()))
    assert len(world.policy.calls) == 2


def test_what_was_assumed_for_another_pod_meanwhile_is_seen() -> None:
    world = World(FixedPolicy(fits=("b", "c")))
    world.decider.filter(ask(make_pod("first")))
    other = make_pod("other")
    world.assumptions.assume(world.source.current, other, "b", world.policy.decide(world.source.current, other, NAMES))
    world.decider.prioritize(ask(make_pod("first")))
    assert {entry.pod_uid for entry in world.policy.calls[-1].assumed.values()} == {"uid-other"}


def test_pods_without_claims_are_answered_without_a_decision() -> None:
    world = World(FixedPolicy(fits=("b",)))
    pod = make_pod(claim="")
    assert world.decider.filter(ask(pod)) == {}
    assert world.decider.choose(ask(pod)) == Choice()
    assert not scores_of(world, pod), "nothing is preferred"
    assert not world.policy.calls


def test_names_of_a_pod_without_claims_are_not_even_read() -> None:
    world = World(FixedPolicy(fits=("b",)))
    asked = ExtenderArgs(pod=make_pod(claim=""), raw_names=b"[no JSON]")
    assert world.decider.filter(asked) == {}
    assert world.decider.prioritize(asked) == []
    with pytest.raises(InvalidInput):
        world.decider.prioritize(ExtenderArgs(pod=make_pod(), raw_names=b"[no JSON]"))


@pytest.mark.parametrize("reason", ["stale", "not_synced"])
def test_a_view_that_is_not_to_be_trusted_gives_no_opinion(reason: str) -> None:
    world = World(FixedPolicy(fits=("b",), hard={"a": "would be refused"}))
    world.source.why_not = reason
    assert world.decider.filter(ask(make_pod())) == {}
    assert world.decider.choose(ask(make_pod())) == Choice()
    assert not scores_of(world, make_pod()), "nothing is preferred"
    assert world.counted("no_opinion_total", reason=reason) == 3
    assert len(world.assumptions) == 0


def test_a_bug_in_the_policy_gives_no_opinion() -> None:
    world = World(FixedPolicy(broken=True))
    assert world.decider.filter(ask(make_pod())) == {}
    assert world.decider.choose(ask(make_pod())) == Choice()
    assert not scores_of(world, make_pod()), "nothing is preferred"
    assert world.counted("no_opinion_total", reason="error") == 3


def test_the_standby_has_no_opinion() -> None:
    world = World(FixedPolicy(fits=("b",)), answering=False)
    assert not scores_of(world, make_pod()), "nothing is preferred"
    assert world.counted("no_opinion_total", reason="standby") == 1


def test_too_many_questions_at_once_give_no_opinion() -> None:
    """A question asked from inside another one finds no place when there is only one."""
    world = World(FixedPolicy(fits=("b",)))
    inner: list[Mapping[str, str]] = []
    decide = world.policy.decide

    def nested(*args: object) -> object:
        for _ in range(4):
            world.decider._slots.acquire(blocking=False)
        inner.append(world.decider.filter(ask(make_pod("other"))))
        for _ in range(3):
            world.decider._slots.release()
        return decide(*args)  # type: ignore[arg-type]

    world.policy.decide = nested  # type: ignore[method-assign, assignment]
    world.decider.prioritize(ask(make_pod()))
    assert inner == [{}]
    assert world.counted("no_opinion_total", reason="overload") == 1


def test_a_pod_whose_wishes_changed_is_decided_anew() -> None:
    world = World(FixedPolicy(fits=("b", "c")))
    pod = make_pod()
    world.decider.filter(ask(pod))
    metadata = msgspec.structs.replace(pod.metadata, annotations={"gpu.partita.dev/topology": "nvlink"})
    world.decider.filter(ask(msgspec.structs.replace(pod, metadata=metadata)))
    assert len(world.policy.calls) == 2


def test_the_judge_hears_of_each_cycle_before_its_first_question_and_of_each_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also of answers about pods that are none of ours: kube-scheduler begins the next cycle after those."""
    heard: list[str] = []
    monkeypatch.setattr(PlainJudge, "asked", lambda *_: heard.append("asked"))
    monkeypatch.setattr(PlainJudge, "answered", lambda _, last: heard.append("last" if last else "answered"))
    monkeypatch.setattr(PlainJudge, "find", lambda *_: heard.append("find"))
    verbs = World().parts.verbs
    for pod in (make_pod(), {"kind": "Pod"}):
        verbs.filter(body(pod, "a", "b"))
        verbs.prioritize(body(pod, "a", "b"))
        verbs.choose(body(pod, "a", "b"))
    twice, once = ["asked", "find", "answered", "find", "last"], ["asked", "find", "last"]
    assert heard == [*twice, *once, "answered", "last", "last"]
