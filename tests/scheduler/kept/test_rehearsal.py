"""Many pods as if each went to its best node: one after the other, told briefly, with nothing changed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from partita_plugins.contracts import PodShape, Workload
from partita_plugins.errors import InvalidInput
from partita_plugins.wire.objects import ObjectMeta
from partita_plugins.wire.resource_claim import ResourceClaim
from partita_scheduler.answers import as_if
from partita_scheduler.answers.as_if import with_own_claims
from partita_scheduler.answers.rehearsal import MOST_SECONDS, Placement, rehearse
from partita_scheduler.answers.report import judge
from partita_scheduler.cluster.cpu import cpu_milli
from partita_scheduler.cluster.view import AssumedAllocation, ClusterView, NodeStatus, Pod
from partita_scheduler.http.server import REQUEST_SECONDS
from partita_scheduler.kept import state
from partita_scheduler.policy import decision as policy
from partita_scheduler.protocol.simulation import parse_simulation
from tests.scheduler.decision.fleet import NAMESPACE, claim, exactly, pod, slices, view, with_claims

GPUS = 4
CPUS = {"cpu": "64"}
PLAIN = view({name: slices(name, "a30-x4") for name in ("a", "b", "c")})
FLEET = replace(
    PLAIN,
    nodes={
        name: msgspec.structs.replace(node, status=NodeStatus(allocatable=CPUS)) for name, node in PLAIN.nodes.items()
    },
)
TEMPLATES = [claim(name, exactly(count=count)) for name, count in (("one", 1), ("two", 2), ("four", GPUS))]


def train(number: int, template: str = "two", cpus: int = 0) -> Pod:
    claims = [{"name": "gpu", "resourceClaimTemplateName": template}]
    containers = [{"name": "main", "resources": {"requests": {"cpu": str(cpus)}}}]
    spec = {"resourceClaims": claims, "containers": containers}
    return msgspec.convert({"metadata": {"name": f"train-{number}", "namespace": NAMESPACE}, "spec": spec}, Pod)


def placed(fleet: ClusterView, *pods: Pod) -> list[Placement]:
    ready, made = with_own_claims(pods, TEMPLATES)
    return rehearse(with_claims(fleet, *made.values()), ready)


def test_each_pod_gets_other_devices_until_there_are_none() -> None:
    found = placed(FLEET, *(train(number) for number in range(7)))
    taken = [device for one in found for devices in one.devices.values() for device in devices]
    assert len(taken) == len(set(taken)) == 3 * GPUS
    assert [one.fits for one in found] == [True] * 6 + [False]
    assert found[6].summary == "3 nodes: no GPU free"
    assert [group.nodes for group in found[6].refused] == [["a", "b", "c"]]


def named(name: str, *claims: str, uid: str = "", namespace: str = NAMESPACE) -> Pod:
    wishes = [{"name": one, "resourceClaimName": one} for one in claims]
    metadata = {"name": name, "namespace": namespace, "uid": uid}
    return msgspec.convert({"metadata": metadata, "spec": {"resourceClaims": wishes}}, Pod)


def unmade(name: str, count: int, namespace: str = NAMESPACE) -> ResourceClaim:
    """As people write it down: without a UID."""
    found = claim(name, exactly(count=count))
    metadata = msgspec.structs.replace(found.metadata, uid="", namespace=namespace)
    return msgspec.structs.replace(found, metadata=metadata)


def simulated(pods: list[Pod], *claims: ResourceClaim) -> list[Placement]:
    ready, made = with_own_claims(pods, claims)
    return rehearse(with_claims(FLEET, *made.values()), ready)


def test_claims_without_a_uid_are_taken_one_by_one_and_shared_by_name() -> None:
    pods = [named("both", "one", "three"), named("other", "other"), named("shares", "one")]
    both, other, shares = simulated(pods, unmade("one", 1), unmade("three", 3), unmade("other", 1))
    assert sum(map(len, both.devices.values())) == GPUS
    assert (both.node, other.node) == ("a", "b")
    assert (shares.fits, shares.node, shares.devices) == (True, both.node, {})


def test_a_claim_without_a_namespace_is_in_that_of_the_pods_that_name_it() -> None:
    found = simulated([named("here", "one"), named("there", "one", namespace="team")], unmade("one", 1, namespace=""))
    assert [one.fits for one in found] == [True, True]
    assert len({device for one in found for device in one.devices["one"]}) == 2


def test_a_pod_alone_gets_a_claim_for_each_entry_of_one_template() -> None:
    entries = [{"name": name, "resourceClaimTemplateName": "two"} for name in ("left", "right")]
    metadata = {"name": "p", "namespace": NAMESPACE}
    ready, made = as_if.with_claims(
        msgspec.convert({"metadata": metadata, "spec": {"resourceClaims": entries}}, Pod), [unmade("two", 2)]
    )
    (best, *_) = judge(as_if.with_more(FLEET, made), ready, policy.decide).nodes
    assert {name: len(devices) for name, devices in best.devices.items()} == {"two": 2, "two-right": 2}


def test_a_pod_alone_without_a_namespace_is_in_the_default_one_as_several_are() -> None:
    ready, made = as_if.with_claims(named("p", "there", "given", namespace=""), [unmade("given", 1, namespace="")])
    fleet = as_if.with_more(with_claims(FLEET, claim("there", exactly(count=2))), made)
    report = judge(fleet, ready, policy.decide)
    assert (report.pod, report.fits) == ("default/p", True)


def test_copies_of_a_pod_are_pods_of_their_own() -> None:
    copy = msgspec.structs.replace(train(0, "four"), metadata=ObjectMeta(name="p", namespace=NAMESPACE, uid="same"))
    assert [one.node for one in placed(FLEET, copy, copy, copy)] == ["a", "b", "c"]


def test_one_that_takes_too_long_says_how_far_it_came_before_its_connection_is_cut() -> None:
    assert MOST_SECONDS < REQUEST_SECONDS
    ready, made = with_own_claims([train(number) for number in range(4)], TEMPLATES)
    clock = iter((0.0, 1.0, MOST_SECONDS - 0.1, MOST_SECONDS)).__next__
    with pytest.raises(InvalidInput, match="2 of 4 pods were placed in 6 s; ask about fewer"):
        rehearse(with_claims(FLEET, *made.values()), ready, clock=clock)


@pytest.mark.parametrize(
    ("counts", "cpus_left"),
    [((), {}), (((PodShape(gpus=1, cpu_milli=8000), 64),), {"a": 24, "b": 24, "c": 16})],
    ids=["nothing-known", "learned-and-cpu-counted"],
)
def test_it_says_what_deciding_one_after_the_other_says(
    counts: tuple[tuple[PodShape, int], ...], cpus_left: dict[str, int]
) -> None:
    pods, made = with_own_claims(
        [train(0, "one", cpus=16), train(1, "one"), train(2, "four"), train(3, cpus=8)], TEMPLATES
    )
    fleet = with_claims(FLEET, *made.values())
    left = {name: 1000 * cpus for name, cpus in cpus_left.items()}
    fleet = replace(fleet, workload=Workload(counts), cpu_left_milli=left)
    for one, found in zip(pods, rehearse(fleet, pods), strict=True):
        decision = policy.decide(fleet, one, sorted(fleet.nodes))
        assert [name for group in found.feasible for name in group.nodes] == list(decision.order)
        assert {group.explanation for group in found.feasible} == {
            decision.verdicts[name].explanation for name in decision.order
        }
        best = decision.verdicts[found.node].allocations or {}
        (name,) = best
        key = fleet.claims[NAMESPACE, name].metadata.uid
        taken = AssumedAllocation(
            pod_uid=one.metadata.uid, node=found.node, claim=(NAMESPACE, name), allocation=best[name]
        )
        if left:
            left = {**left, found.node: left[found.node] - cpu_milli(one)}
        fleet = replace(fleet, assumed={**fleet.assumed, key: taken}, cpu_left_milli=left)


def test_it_judges_by_what_was_learned_and_by_the_cpu_that_is_left() -> None:
    """GPUs that the node's CPU does not last for are of no use to those who usually come: this one needs none."""
    fleet = replace(FLEET, cpu_left_milli={"a": 64_000, "b": 8_000, "c": 64_000})
    (unknown,), (known,) = (
        placed(replace(fleet, workload=Workload(counts)), train(0, "one"))
        for counts in ((), ((PodShape(gpus=1, cpu_milli=8000), 64),))
    )
    assert (unknown.node, known.node) == ("a", "b")


def test_it_begins_with_what_is_assumed_already() -> None:
    wish = claim("wish", exactly(count=GPUS))
    fleet = with_claims(view({"a": FLEET.slices["a"]}), wish)
    decision = policy.decide(fleet, pod("wish"), ["a"])
    allocation = (decision.verdicts["a"].allocations or {})["wish"]
    assumed = AssumedAllocation(pod_uid="other", node="a", claim=(NAMESPACE, "wish"), allocation=allocation)
    assert [one.fits for one in placed(fleet, train(0))] == [True]
    full = replace(fleet, assumed={wish.metadata.uid: assumed})
    assert [one.fits for one in placed(full, train(0))] == [False]


def test_a_pod_that_is_assumed_somewhere_may_have_there_what_it_is_assumed_to_take() -> None:
    wish = claim("wish", exactly(count=GPUS))
    fleet = with_claims(view({"a": FLEET.slices["a"]}), wish)
    allocation = (policy.decide(fleet, pod("wish"), ["a"]).verdicts["a"].allocations or {})["wish"]
    assumed = AssumedAllocation(
        pod_uid=pod("wish").metadata.uid, node="a", claim=(NAMESPACE, "wish"), allocation=allocation
    )
    full = replace(fleet, assumed={wish.metadata.uid: assumed})
    assert [one.fits for one in placed(full, pod("wish"), train(0))] == [True, False]


def test_it_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gives up on it as kube-scheduler would, and no background finds the rest."""
    monkeypatch.setattr(state, "ANSWER_SECONDS", 0.0)
    assert [one.fits for one in placed(FLEET, train(0))] == [True]


def test_nodes_that_are_not_for_the_pod_are_told_with_the_reason() -> None:
    spec = msgspec.structs.replace(train(0).spec, node_selector={"zone": "z"})
    (found,) = placed(FLEET, msgspec.structs.replace(train(0), spec=spec))
    assert not found.fits
    assert found.refused[0].reasons[0].code == "node_selector"


def test_a_pod_without_claims_fits_everywhere_alike() -> None:
    (found,) = placed(FLEET, Pod())
    assert found.fits
    assert found.feasible[0].nodes == ["a", "b", "c"]


def test_one_pod_and_several_at_once_are_refused() -> None:
    with pytest.raises(InvalidInput, match="both pod and pods"):
        parse_simulation(b'{"pod": {}, "pods": [{}]}')
    assert [one.key for one in parse_simulation(b'{"pods": [{}, {}]}').pods] == ["/", "/"]
