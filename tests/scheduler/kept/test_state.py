"""The kept state answers as a decision made afresh on the whole cluster, whatever happened and in whatever order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita_plugins.contracts import PodShape
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_plugins.wire.objects import Taint
from partita_scheduler.cluster.view import Node, NodeSpec, PodClaimStatus, PodResourceClaim, PodStatus
from partita_scheduler.kept import column, state, told
from partita_scheduler.kept.changes import Cluster
from partita_scheduler.policy import decision, row
from partita_scheduler.scoring.ranking import DEFAULT_SCORING
from tests.scheduler.decision import small
from tests.scheduler.decision.fleet import claim, device_class, exactly, selected
from tests.scheduler.kept.changes import CLAIMS, KINDS, MACHINES, ZONE, Changes, asking, gpus, same, steps
from tests.scheduler.kept.world import NODES, Twice, pod_of


def test_a_pool_over_two_nodes_changes_on_one_when_its_other_slice_comes() -> None:
    world = Twice()
    for name in ("a", "b"):
        world.node(name)
    world.wish("c0", "one")
    parts = [
        small.slice_of(f"s-{node}", *gpus(1, f"gpu-{node}"), nodeName=node, pool="two", driver=DRIVER_NAME, count=2)
        for node in ("a", "b")
    ]
    world.slice(parts[0])
    same(world, pod_of("c0", "p"), ["a", "b"])
    world.slice(parts[1])
    same(world, pod_of("c0", "p"), ["a", "b"])


def test_a_device_that_two_nodes_reach_is_taken_on_both() -> None:
    world = Twice()
    for name in ("a", "b"):
        world.node(name, labels={"zone": "a"})
    world.slice(small.slice_of("zone-1", *gpus(1), nodeSelector=ZONE, pool="zone", driver=DRIVER_NAME))
    for name in ("c0", "c1"):
        world.wish(name, "one")
    same(world, pod_of("c0", "p"), ["a", "b"])
    world.allocate("c1", "b")
    same(world, pod_of("c0", "p"), ["a", "b"])


def test_a_rule_costs_the_nodes_that_it_touches_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Twice()
    for name in ("a", "b", "c"):
        world.node(name)
        world.publish(name)
    world.wish("c0", "one")
    same(world, pod_of("c0", "p"), ["a", "b", "c"])
    looked: list[int] = []
    look = world.kept.told.fleet.look

    def noted(number: int, *more: Any) -> bool:
        looked.append(number)
        return look(number, *more)

    monkeypatch.setattr(world.kept.told.fleet, "look", noted)
    for spec in ({"taint": {"key": "k"}, "deviceSelector": {"pool": pool_name("b")}}, {}):
        world.rule("drain", **spec)
        same(world, pod_of("c0", "p"), ["a", "b", "c"])
        assert looked == [world.kept.told.fleet.numbers["b"]]
        looked.clear()


def test_slices_that_are_seen_before_they_are_told_of_are_no_other_nodes_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The watch's thread makes a rule's slices anew node by node, and tells of them once all are."""
    world, asking = Twice(), pod_of("c0", "p")
    for name in ("a", "b"):
        world.node(name)
        world.publish(name)
    world.wish("c0", "one")
    while world.kept.step():
        pass
    with monkeypatch.context() as meanwhile:
        untold: list[frozenset[str]] = []
        meanwhile.setattr(world.kept.told, "tainted", untold.append)
        world.rule("drain", taint={"key": "k"}, deviceSelector={"pool": pool_name("a")})
        found = world.find(asking, ["a", "b"])
    assert found is not None
    assert found.among(["a", "b"]).decision().order[0] == "a"
    world.kept.told.tainted(*untold)
    same(world, asking, ["a", "b"])
    world.rule("drain")
    same(world, asking, ["a", "b"])


def test_a_plain_gpu_that_its_class_tells_by_its_uuid_is_on_no_other_node() -> None:
    world = Twice()
    for name in ("a", "b"):
        world.node(name)
        world.publish(name)
    devices = [device for one in world.slices.values() for device in one.spec.devices]
    uuid = next(device.attributes["uuid"].string for device in devices if device.attributes["type"].string == "gpu")
    by_uuid = f'device.attributes["{DRIVER_NAME}"].uuid == "{uuid}"'
    world.device_class(device_class(DRIVER_NAME, by_uuid, extendedResourceName="nvidia.com/gpu"))
    same(world, pod_of("", "p", gpus=1), ["a", "b"])


def test_how_far_an_eviction_is_changes_nothing() -> None:
    """A rule's status is written every ten seconds while pods go."""
    world = Twice()
    world.publish("a")
    world.rule("drain", taint={"key": "k"}, deviceSelector={"driver": DRIVER_NAME})
    before = world.index.value()
    old = world.rules["drain"]
    metadata = msgspec.structs.replace(old.metadata, resource_version="2")
    assert world.index.rule(old, msgspec.structs.replace(old, metadata=metadata)) == frozenset()
    assert world.index.value() is before


def test_plain_gpus_follow_their_class() -> None:
    world = Twice()
    world.node("a")
    world.publish("a")
    same(world, pod_of("", "p", gpus=1), ["a"])
    Changes().plain_class_changed(world, 0, 0)
    same(world, pod_of("", "p", gpus=1), ["a"])


def test_an_assumption_counts_again_when_the_claim_that_replaced_it_is_gone() -> None:
    """Its pod may be asked about once more with a new one; until then its devices are not given to others."""
    world = Twice()
    world.node("a")
    world.publish("a")
    world.wish("c0", "one")
    world.extended("x", "plain", "a")
    world.take(pod_of("", "plain", gpus=1), ["a"])
    same(world, pod_of("c0", "p"), ["a"])
    world.no_claim("x")
    same(world, pod_of("c0", "p"), ["a"])


def test_a_node_that_comes_after_the_answer_is_not_in_it() -> None:
    world = Twice()
    world.node("a")
    world.publish("a")
    world.wish("c0", "one")
    found = world.find(pod_of("c0", "p"), ["a", "b"])
    world.node("b")
    world.publish("b")
    world.find(pod_of("c0", "q"), ["a", "b"])
    assert found is not None
    assert found.among(["a", "b"]).decision().verdicts["b"].undecided


def test_a_learned_workload_takes_over_when_every_node_was_judged_by_it() -> None:
    """Eight free GPUs are kept together, until it is known that nobody wants them."""
    world, asking = Twice(), pod_of("c1", "p")
    for name in ("a", "b"):
        world.node(name)
        world.publish(name, "hgx-h100")
    world.wish("c0", "one")
    world.wish("c1", "one")
    world.allocate("c0", "b")
    while world.kept.step():
        pass
    orders = []
    world.find(asking, ["a", "b"])
    world.learned((PodShape(gpus=1), 100))
    for _ in range(10):
        same(world, asking, ["a", "b"])
        orders.append(world.whole(asking, ["a", "b"]).order)
        world.kept.step()
    assert orders[0] == ("b", "a")
    assert orders[-1] == ("a", "b")


def test_a_node_that_changed_is_answered_for_to_every_kind_of_question() -> None:
    """All at once in the background: each kind must have its own answer."""
    world, kinds = Twice(), {"c0": "one", "c1": "share", "c2": "two"}
    for name in ("a", "b"):
        world.node(name)
        world.publish(name)
    for name, kind in {**kinds, "c3": "one"}.items():
        world.wish(name, kind)
    for name in kinds:
        world.find(pod_of(name, name), ["a", "b"])
    world.allocate("c3", "a")
    while world.kept.step():
        pass
    for name in kinds:
        same(world, pod_of(name, name), ["a", "b"])


def test_nodes_with_the_same_devices_are_each_judged_by_their_own_cpu() -> None:
    """GPUs that no CPU is left for go first."""
    world = Twice()
    for name in ("a", "b"):
        world.node(name)
        world.publish(name)
    world.wish("c0", "one")
    world.cpu("b", 62_000)
    world.learned((PodShape(gpus=1, cpu_milli=8000), 100))
    while world.kept.step():
        pass
    same(world, pod_of("c0", "p"), ["a", "b"])
    assert world.whole(pod_of("c0", "p"), ["a", "b"]).order == ("b", "a")


def test_a_pod_that_leaves_a_nodes_cpu_at_its_level_is_nothing_to_take_in() -> None:
    world = Twice()
    world.node("a")
    world.cpu("a", 500)
    world.kept.told.take_in()
    world.cpu("a", 500)
    assert not world.kept.told.waiting
    world.cpu("a", 2000)
    assert world.kept.told.waiting


def test_cpu_that_changes_while_a_node_is_looked_at_is_seen() -> None:
    """Whoever gives it back before the look has an end finds what stood before, and tells nobody."""
    looks = iter([64_000])
    cluster = Cluster(dict, lambda: 37, DEFAULT_SCORING, lambda _: next(looks, 64_000))
    cluster.node(None, msgspec.convert({"metadata": {"name": "a"}}, Node))
    looks = iter([62_000])
    assert not cluster.cpu("a")
    assert cluster.view().cpu_left_milli == {"a": 64_000}


def test_an_answer_does_not_wait_for_nodes_that_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """kube-scheduler would have given up on us; the rest is answered for in the background."""
    world, asking, real = Twice(), pod_of("c0", "p"), row.look
    for name in NODES:
        world.node(name, own=name)
        world.publish(name, faulty=(NODES.index(name),))
    world.wish("c0", "one")

    def slow(*asked: Any, **known: Any) -> Any:
        world.clock.now += state.ANSWER_SECONDS * 0.6
        return real(*asked, **known)

    monkeypatch.setattr(column, "look", slow)
    found = world.find(asking, list(NODES))
    assert found is not None
    assert (
        sorted(one.undecided for one in found.among(list(NODES)).decision().verdicts.values())
        == [False] * 2 + [True] * 2
    )
    while world.kept.step():
        pass
    same(world, asking, list(NODES))


def test_an_answer_for_one_pod_alone_ends_in_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it depends on UUIDs each node is searched anew, and other pods' questions wait meanwhile."""
    world, real = Twice(), row.look
    for name in NODES:
        world.node(name)
        world.publish(name)
    others = f'device.attributes["{DRIVER_NAME}"].uuid != "GPU-0"'
    world.claim(claim("c0", exactly(selectors=selected(others))))

    def slow(*asked: Any, **known: Any) -> Any:
        world.clock.now += state.ANSWER_SECONDS * 0.6
        return real(*asked, **known)

    monkeypatch.setattr(decision, "look", slow)
    found = world.find(pod_of("c0", "p"), list(NODES))
    assert found is not None
    made = found.among(list(NODES)).decision()
    assert [made.verdicts[name].undecided for name in NODES] == [False] * 2 + [True] * 2
    assert set(made.order) == set(NODES[:2])


@pytest.mark.parametrize("of_template", [False, True])
def test_a_pod_that_waits_finds_its_answers_made_also_on_the_standby(
    monkeypatch: pytest.MonkeyPatch, of_template: bool
) -> None:
    world, pod = Twice(), pod_of("c0", "p")
    world.node("a")
    world.publish("a")
    world.wish("c0", "one")
    if of_template:
        entry = PodResourceClaim(name="gpu", resource_claim_template_name="gpus")
        pod = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, resource_claims=[entry]))
        world.kept.told.pod_changed(None, pod)
        made = PodStatus(resource_claim_statuses=[PodClaimStatus(name="gpu", resource_claim_name="c0")])
        before, pod = pod, msgspec.structs.replace(pod, status=made)
        world.kept.told.pod_changed(before, pod)
    else:
        world.kept.told.pod_changed(None, pod)
    while world.kept.step():
        pass
    answered: list[object] = []
    monkeypatch.setattr(column, "look", lambda *asked, **_: answered.append(asked))
    found = world.find(pod, ["a"])
    assert found is not None
    assert found.among(["a"]).best == "a"
    assert not answered


def test_nodes_that_come_and_go_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "MOST_GONE", 4)
    world = Twice()
    world.node("a")
    world.publish("a")
    world.wish("c0", "one")
    for number in range(40):
        name = f"short-lived-{number}"
        world.node(name)
        world.slice(small.slice_of(name, *gpus(1), nodeName=name, pool=name, driver=DRIVER_NAME))
        same(world, pod_of("c0", "p"), ["a", name, f"short-lived-{number - 1}"])
        world.no_node(name)
        world.no_slice(name)
        world.kept.step()
    assert len(world.kept.told.fleet.contents) <= 10
    assert len(world.kept.told.fleet._having) <= 2
    same(world, pod_of("c0", "p"), ["a", "short-lived-39"])


def test_what_a_node_has_been_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy node is another one with every pod, and each column would remember them all."""
    monkeypatch.setattr(column, "LEAST_REMEMBERED", 2)
    monkeypatch.setattr(column, "RANKS", 1)
    world = Twice()
    for name in ("a", "b"):
        world.node(name)
        world.publish(name)
    world.wish("c0", "one")
    world.learned((PodShape(gpus=1, cpu_milli=8000), 100))
    for _ in range(30):
        world.cpu("a", 2000)
        same(world, pod_of("c0", "p"), ["a", "b"])
        [kept] = world.kept.told.columns._all()
        assert len(kept._by_content) <= 2
        assert len(kept._ranks) <= 3


RULED = ["ruled", "ruled", "ruled", "rule_gone", "upgraded", "published", "over_two_nodes", "for_a_zone", "background"]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(RULED), st.integers(0, 4), st.integers(0, 5)), max_size=12))
def test_it_answers_as_one_made_afresh_while_rules_come_and_go(changes: list[tuple[str, int, int]]) -> None:
    world = Twice()
    for name in NODES[:2]:
        world.node(name, labels={"zone": "a"})
        world.publish(name)
    world.wish("c0", "one")
    for change, i, j in changes:
        getattr(Changes(), change)(world, i % 2, j)
        same(world, pod_of("c0", "p"), list(NODES))


@settings(max_examples=80)
@given(steps, st.permutations([*NODES, "ghost"]))
def test_it_answers_as_a_decision_made_afresh(changes: list[tuple[str, int, int]], names: list[str]) -> None:
    world = Twice()
    for name, machine in zip(NODES, MACHINES, strict=False):
        world.node(name)
        world.publish(name, machine)
    for number, kind in zip(CLAIMS, KINDS, strict=False):
        world.wish(number, kind)
    for change, i, j in changes:
        world.meanwhile = asking(j % 5, i) if j % 2 else None
        getattr(Changes(), change)(world, i, j)
        # Another pod than that of the change, or its assumption would be dropped at once.
        same(world, asking((i + 1) % 5, (j + 2) % 6), names[: 2 + j])
    for i in range(6):
        same(world, asking(i % 5, i), names)


def test_nodes_that_prefer_no_pods_are_known_while_they_say_so() -> None:
    world = Twice()
    world.node("a")
    before = world.nodes["a"]
    taints = [Taint(key="old", effect="NoSchedule"), Taint(key="leaving", effect="PreferNoSchedule")]
    tainted = msgspec.structs.replace(before, spec=NodeSpec(taints=taints))
    for old, new in ((before, tainted), (tainted, before), (before, tainted), (tainted, None)):
        world.kept.told.node_changed(old, new)
        while world.kept.step():
            pass
        assert world.kept.avoided == ({"a": taints[1:]} if new is tainted else {})
