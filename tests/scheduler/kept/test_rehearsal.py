"""Many pods as if each went to its best node: one after the other, told briefly, with nothing changed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from partita_plugins.errors import InvalidInput
from partita_scheduler.answers.rehearsal import Placement, rehearse, with_own_claims
from partita_scheduler.cluster.view import AssumedAllocation, ClusterView, Pod
from partita_scheduler.policy import decision as policy
from partita_scheduler.protocol.simulation import parse_simulation
from tests.scheduler.decision.fleet import NAMESPACE, claim, exactly, pod, slices, view, with_claims

GPUS = 4
FLEET = view({name: slices(name, "a30-x4") for name in ("a", "b", "c")})


def train(number: int, template: str = "two") -> Pod:
    claims = [{"name": "gpu", "resourceClaimTemplateName": template}]
    return msgspec.convert(
        {"metadata": {"name": f"train-{number}", "namespace": NAMESPACE}, "spec": {"resourceClaims": claims}}, Pod
    )


def placed(fleet: ClusterView, *pods: Pod) -> list[Placement]:
    ready, made = with_own_claims(pods, [claim("two", exactly(count=2)), claim("four", exactly(count=GPUS))])
    return rehearse(with_claims(fleet, *made.values()), ready)


def test_each_pod_gets_other_devices_until_there_are_none() -> None:
    found = placed(FLEET, *(train(number) for number in range(7)))
    taken = [device for one in found for devices in one.devices.values() for device in devices]
    assert len(taken) == len(set(taken)) == 3 * GPUS
    assert [one.fits for one in found] == [True] * 6 + [False]
    assert found[6].summary == "3 nodes: no GPU free"
    assert [group.nodes for group in found[6].refused] == [["a", "b", "c"]]


def test_it_says_what_deciding_one_after_the_other_says() -> None:
    pods, made = with_own_claims(
        [train(0), train(1, "four"), train(2)], [claim("two", exactly(count=2)), claim("four", exactly(count=GPUS))]
    )
    fleet = with_claims(FLEET, *made.values())
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
        fleet = replace(fleet, assumed={**fleet.assumed, key: taken})


def test_it_begins_with_what_is_assumed_already() -> None:
    wish = claim("wish", exactly(count=GPUS))
    fleet = with_claims(view({"a": FLEET.slices["a"]}), wish)
    decision = policy.decide(fleet, pod("wish"), ["a"])
    allocation = (decision.verdicts["a"].allocations or {})["wish"]
    assumed = AssumedAllocation(pod_uid="other", node="a", claim=(NAMESPACE, "wish"), allocation=allocation)
    assert [one.fits for one in placed(fleet, train(0))] == [True]
    full = replace(fleet, assumed={wish.metadata.uid: assumed})
    assert [one.fits for one in placed(full, train(0))] == [False]


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
