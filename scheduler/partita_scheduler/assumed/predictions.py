"""What was foretold for a pod's claims, and what came. Values alone."""

from __future__ import annotations

from collections.abc import Mapping
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

    seconds: float = 0.0
    """From the prediction until its allocation was seen."""


@dataclass(slots=True, kw_only=True)
class Pending:
    """A pod's choice of which some claims have not been seen allocated yet."""

    pod_uid: str
    pod: str
    namespace: str
    node: str
    since: float
    deadline: float
    options: Mapping[str, Verdict]
    """The best nodes, in case kube-scheduler takes another one than ours."""

    assumed: dict[str, Allocation]
    """Claim name to allocation, on our node: as foretold, until another pod is seen to have just that."""

    claims: dict[str, str] = field(default_factory=dict)
    """Key in ClusterView.assumed to claim name, of the claims still without an allocation."""

    def entry(self, key: str) -> AssumedAllocation:
        """What to put into ClusterView.assumed under this key."""
        name = self.claims[key]
        return AssumedAllocation(
            pod_uid=self.pod_uid, node=self.node, claim=(self.namespace, name), allocation=self.assumed[name]
        )

    def predictions(self) -> list[Prediction]:
        """Of the claims that are still waited for."""
        return [self._prediction(key, name, self._foretold(name, self.node)) for key, name in self.claims.items()]

    def settled(self, key: str, claim: ResourceClaim, allocation: Allocation, *, at: float) -> Prediction:
        """What came of the claim under this key, seen at this moment."""
        node, actual = node_of(allocation) or self.node, devices_of(allocation)
        predicted = self._foretold(self.claims[key], node)
        result = "unpredicted" if predicted is None else "match" if predicted == actual else "mismatch"
        open_ = self._prediction(claim.metadata.uid, claim.metadata.name, predicted)
        took = round(at - self.since, 3)
        return msgspec.structs.replace(open_, actual_node=node, actual=actual, result=result, seconds=took)

    def exchange(self, taken: Allocation, left: Allocation) -> str:
        """Assume what another pod left, instead of what it has taken. The key of the claim for which that was assumed;
        empty where there is none.

        Most likely kube-scheduler gave the two their devices the other way round.
        """
        if any(result.share_id is not None or result.admin_access for result in taken.devices.results):
            return ""  # Both may have the same.
        for key, name in self.claims.items():
            if devices_of(self.assumed[name]) == devices_of(taken):
                self.assumed[name] = left
                return key
        return ""

    def _foretold(self, name: str, node: str) -> tuple[str, ...] | None:
        verdict = self.options.get(node)
        foretold = (verdict.allocations or {}).get(name) if verdict else None
        return None if foretold is None else devices_of(foretold)

    def _prediction(self, uid: str, name: str, predicted: tuple[str, ...] | None) -> Prediction:
        return Prediction(
            pod_uid=self.pod_uid, pod=self.pod, claim_uid=uid, claim=name, node=self.node, predicted=predicted or ()
        )


def keys_of(claim: ResourceClaim) -> list[str]:
    """The keys under which a claim may have been assumed: its own, and one for each pod that owns it, in case
    kube-scheduler made it itself."""
    return [claim.metadata.uid, *(f"{uid}/{EXTENDED_CLAIM_NAME}" for uid in extended_owners(claim))]
