"""What the extender predicted, against what kube-scheduler allocated."""

from __future__ import annotations

from typing import Any

from partita_plugins.wire.resource import ResourceClaim
from tests.e2e.installation import Installation


def disagreements(installation: Installation, claims: list[ResourceClaim]) -> list[dict[str, Any]]:
    """Predictions about these claims whose devices differ from the allocation. Empty: the model was right."""
    uids = {claim.metadata.uid for claim in claims}
    predictions = installation.get("/predictions")
    return [p for p in predictions if p.get("claim_uid") in uids and p.get("result") == "mismatch"]
