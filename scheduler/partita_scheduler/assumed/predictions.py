"""What was foretold for a claim, and what came."""

from __future__ import annotations

import msgspec


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
