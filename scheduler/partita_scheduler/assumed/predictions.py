"""What was foretold for a pod's claims, and what came. Values alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from partita_plugins.wire.resource_claim import Allocation, ResourceClaim
from partita_scheduler.allocator.allocation import devices_of, node_of
from partita_scheduler.allocator.in_use import extended_owners
from partita_scheduler.cluster.view import EXTENDED_CLAIM_NAME, AssumedAllocation
from partita_scheduler.policy.row import Verdict


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What was foretold for one claim, and what came: devices are "pool/device", sorted."""

    pod_uid: str
    pod: str
    claim_uid: str
    """Until it is seen, the key in ClusterView.assumed of a claim that kube-scheduler will make itself."""

    claim: str
    node: str
    predicted: tuple[str, ...]
    actual_node: str = ""
    actual: tuple[str, ...] | None = None
    """None until the allocation is seen."""

    result: str = "pending"
    """pending, match, mismatch, unpredicted (a node that we have no prediction for) or forgotten."""


@dataclass(slots=True, kw_only=True)
class Pending:
    """A pod's choice of which some claims have not been seen allocated yet."""

    pod_uid: str
    pod: str
    namespace: str
    node: str
    deadline: float
    options: Mapping[str, Verdict]
    """The best nodes, in case kube-scheduler takes another one than ours."""

    foretold: Mapping[str, Allocation]
    """Claim name to allocation, on our node."""

    claims: dict[str, str] = field(default_factory=dict)
    """Key in ClusterView.assumed to claim name, of the claims still without an allocation."""

    def assumed(self) -> Iterator[tuple[str, AssumedAllocation]]:
        """What to put into ClusterView.assumed, by key."""
        for key, name in self.claims.items():
            claim = (self.namespace, name)
            yield (
                key,
                AssumedAllocation(pod_uid=self.pod_uid, node=self.node, claim=claim, allocation=self.foretold[name]),
            )

    def predictions(self) -> list[Prediction]:
        """Of the claims that are still waited for."""
        return [self._prediction(key, name, devices_of(self.foretold[name])) for key, name in self.claims.items()]

    def settled(self, key: str, claim: ResourceClaim, allocation: Allocation) -> Prediction:
        """What came of the claim under this key."""
        node, actual = node_of(allocation) or self.node, devices_of(allocation)
        verdict = self.options.get(node)
        foretold = (verdict.allocations or {}).get(self.claims[key]) if verdict else None
        predicted = devices_of(foretold) if foretold else ()
        result = "unpredicted" if foretold is None else "match" if predicted == actual else "mismatch"
        open_ = self._prediction(claim.metadata.uid, claim.metadata.name, predicted)
        return msgspec.structs.replace(open_, actual_node=node, actual=actual, result=result)

    def _prediction(self, uid: str, name: str, predicted: tuple[str, ...]) -> Prediction:
        return Prediction(
            pod_uid=self.pod_uid, pod=self.pod, claim_uid=uid, claim=name, node=self.node, predicted=predicted
        )


def keys_of(claim: ResourceClaim) -> list[str]:
    """The keys under which a claim may have been assumed: its own, and one for each pod that owns it, in case
    kube-scheduler made it itself."""
    return [claim.metadata.uid, *(f"{uid}/{EXTENDED_CLAIM_NAME}" for uid in extended_owners(claim))]
