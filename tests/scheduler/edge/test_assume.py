"""Assumed choices: how long they last, and whether they came true."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.wire.objects import OwnerReference
from partita_scheduler.allocator.allocation import node_of
from partita_scheduler.allocator.in_use import EXTENDED_CLAIM_ANNOTATION
from partita_scheduler.assumed.assumptions import ASSUME_SECONDS, GONE_POD_SECONDS, MAX_PENDING
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, ClusterView
from partita_scheduler.policy.decision import Decision
from partita_scheduler.policy.row import Verdict
from tests.scheduler.edge.fakes import FixedPolicy, World, make_allocation, make_claim, make_pod

VIEW = ClusterView(claims={("default", "wish"): make_claim()})


def assume(world: World, name: str = "train", node: str = "b") -> None:
    pod = make_pod(name)
    decision = FixedPolicy(fits=("b", "c")).decide(VIEW, pod, ["a", "b", "c"])
    world.assumptions.assume(VIEW, pod, node, decision)


def settle(world: World, node: str, *devices: str) -> None:
    world.assumptions.claim_changed(make_claim(), make_claim(allocation=make_allocation(node, *devices)))


def test_an_assumption_has_the_claims_uid_as_its_key() -> None:
    world = World()
    assume(world)
    (assumed,) = world.assumptions.active().items()
    assert assumed[0] == "uid-wish"
    assert assumed[1].node == "b"


def test_the_allocation_that_was_foretold_is_a_match() -> None:
    world = World()
    assume(world)
    settle(world, "b", "gpu-0")
    assert world.counted("prediction_total", result="match") == 1
    assert world.counted("choice_total", node="first") == 1
    assert not world.assumptions.active()


def test_other_devices_are_a_mismatch_with_both_kept() -> None:
    world = World()
    assume(world)
    settle(world, "b", "gpu-7")
    (prediction,) = world.assumptions.predictions()
    assert prediction.result == "mismatch"
    assert prediction.predicted == ("gpu.partita.dev/b/gpu-0",)
    assert prediction.actual == ("gpu.partita.dev/b/gpu-7",)


def test_how_long_an_allocation_took_to_appear_is_told_and_counted() -> None:
    """A kube-scheduler that is behind with its own writes is behind with what it reads, and predictions go wrong."""
    world = World()
    assume(world)
    world.clock.now += 1.5
    settle(world, "b", "gpu-7")
    (prediction,) = world.assumptions.predictions()
    assert prediction.seconds == 1.5
    assert world.counted("allocation_seconds_sum", result="mismatch") == 1.5


def test_another_node_is_compared_with_what_was_foretold_for_it() -> None:
    world = World()
    assume(world)
    settle(world, "c", "gpu-0")
    assert world.counted("prediction_total", result="match") == 1
    assert world.counted("choice_total", node="other") == 1


def test_a_node_that_nothing_was_foretold_for_is_no_match_and_no_mismatch() -> None:
    world = World()
    assume(world)
    settle(world, "z", "gpu-0")
    assert world.counted("prediction_total", result="unpredicted") == 1


def test_a_claim_that_two_pods_are_assumed_with_stays_assumed_until_both_are_over() -> None:
    """kube-scheduler gave up on us for the first one, and asked about the other meanwhile."""
    world = World()
    assume(world, "train", "b")
    assume(world, "other", "c")
    for gone, left in (("train", ["c"]), ("other", [])):
        world.assumptions.forget(f"uid-{gone}")
        assert [one.node for one in world.told.values()] == left
        assert world.told == world.assumptions.active()


def test_it_times_out() -> None:
    world = World()
    assume(world)
    world.clock.now += ASSUME_SECONDS
    assert not world.assumptions.active()
    assert [found.result for found in world.assumptions.predictions()] == ["forgotten"]


def test_a_pod_that_left_is_forgotten_soon_but_not_before_its_allocation_may_have_come() -> None:
    world = World()
    assume(world)
    world.assumptions.pod_changed(make_pod(), None)
    assert world.assumptions.active()
    world.clock.now += GONE_POD_SECONDS
    assert not world.assumptions.active()


def test_a_pod_made_anew_while_nobody_watched_left_as_well_and_one_that_only_changed_did_not() -> None:
    world, before = World(), make_pod()
    assume(world)
    world.assumptions.pod_changed(before, before)
    world.clock.now += GONE_POD_SECONDS
    assert world.assumptions.active()
    metadata = msgspec.structs.replace(before.metadata, uid="another")
    world.assumptions.pod_changed(before, msgspec.structs.replace(before, metadata=metadata))
    world.clock.now += GONE_POD_SECONDS
    assert not world.assumptions.active()


def test_the_claim_that_kube_scheduler_makes_itself_settles_its_pods_prediction() -> None:
    world = World()
    pod = make_pod(claim="")
    foretold = {EXTENDED_CLAIM_NAME: make_allocation("b", "gpu-0")}
    decision = Decision(verdicts={"b": Verdict(node="b", allocations=foretold)}, order=("b",))
    world.assumptions.assume(ClusterView(), pod, "b", decision)
    claim = make_claim("train-extended-x", allocation=make_allocation("b", "gpu-0"))
    metadata = msgspec.structs.replace(
        claim.metadata,
        annotations={EXTENDED_CLAIM_ANNOTATION: "true"},
        owner_references=[OwnerReference(kind="Pod", name="train", uid=pod.metadata.uid)],
    )
    world.assumptions.claim_changed(None, msgspec.structs.replace(claim, metadata=metadata))
    assert world.counted("prediction_total", result="match") == 1


def test_the_oldest_are_forgotten_when_there_are_too_many() -> None:
    world = World()
    for number in range(MAX_PENDING + 5):
        assume(world, f"pod-{number}")
    assert len(world.assumptions) == MAX_PENDING


def test_a_selector_that_names_several_nodes_names_none() -> None:
    two = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a", "b"]}]}
    assert node_of(msgspec.structs.replace(make_allocation("a"), node_selector={"nodeSelectorTerms": [two]})) == ""


_STEPS = st.lists(
    st.tuples(st.sampled_from(["assume", "forget", "gone", "settle", "wait"]), st.integers(0, 3)), max_size=40
)


@settings(max_examples=100)
@given(_STEPS)
def test_whatever_happens_a_pod_has_at_most_one_choice_and_time_ends_them_all(steps: list[tuple[str, int]]) -> None:
    world = World()
    for step, number in steps:
        name = f"pod-{number}"
        if step == "assume":
            assume(world, name, "b" if number % 2 else "c")
        elif step == "forget":
            world.assumptions.forget(f"uid-{name}")
        elif step == "gone":
            world.assumptions.pod_changed(make_pod(name), None)
        elif step == "settle":
            settle(world, "b", "gpu-0")
            assert not world.assumptions.active()
        else:
            world.clock.now += number
        nodes: dict[str, set[str]] = {}
        active = world.assumptions.active()
        assert world.told == active
        for entry in active.values():
            nodes.setdefault(entry.pod_uid, set()).add(entry.node)
        assert all(len(found) == 1 for found in nodes.values())
    world.clock.now += ASSUME_SECONDS
    assert not world.assumptions.active()
    assert len(world.assumptions) == 0
