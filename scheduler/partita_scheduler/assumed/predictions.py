"""What was foretold for a claim, what came, and how both are told."""

from __future__ import annotations

import msgspec

from partita_plugins.wire.resource import Allocation


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


def devices_of(allocation: Allocation) -> tuple[str, ...]:
    """All devices as "pool/device", sorted."""
    return tuple(sorted(f"{result.pool}/{result.device}" for result in allocation.devices.results))


def node_of(allocation: Allocation) -> str:
    """The one node that an allocation's selector names; empty where it names none or several."""
    terms = (allocation.node_selector or {}).get("nodeSelectorTerms") or []
    names = [
        name
        for term in terms
        for rule in term.get("matchFields") or []
        if rule.get("key") == "metadata.name" and rule.get("operator") == "In"
        for name in rule.get("values") or []
    ]
    return str(names[0]) if len(names) == 1 else ""
