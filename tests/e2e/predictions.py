"""What the extender predicted, against what kube-scheduler allocated."""

from __future__ import annotations

from tests.e2e.installation import Installation
from tests.e2e.lab import Json, Lab, until


def predictions(installation: Installation, lab: Lab) -> list[Json]:
    """Predictions for a namespace's pods, once the extender has seen every allocation that there is."""
    held = {claim.metadata.uid for claim in lab.claims() if claim.status.allocation}
    found: list[Json] = []

    def settled() -> bool:
        found[:] = [
            p for p in installation.extender.get("/predictions") if str(p["pod"]).startswith(f"{lab.namespace}/")
        ]
        return not any(p["claim_uid"] in held and p["result"] == "pending" for p in found)

    until("the extender has seen the allocations", settled, 30)
    return found
