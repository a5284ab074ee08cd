"""Conditions written to a claim's status, on the very allocation that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from partita_driver.api.claim_status import status_patch
from partita_driver.binding.asked import is_same_allocation
from partita_driver.fault_points import reached
from partita_plugins.errors import Retryable
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Conflict, NotFound
from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, ResourceClaim

CONFLICT_TRIES = 4


def write_answer(api: KubeApi, claim: ResourceClaim, entries: Sequence[AllocatedDeviceStatus]) -> bool:
    """Replace our entries. False: the claim is gone, or was allocated anew. Raises Retryable where that is not known.

    The patch names the version that was read, so that no word on one allocation is taken for another.
    """
    name, namespace = claim.metadata.name, claim.metadata.namespace
    for _ in range(CONFLICT_TRIES):
        try:
            raw = api.get(RESOURCE_CLAIMS, name, namespace, as_=msgspec.Raw)
            if not is_same_allocation(msgspec.json.decode(raw, type=ResourceClaim), claim):
                return False
            # What other drivers say is written back as it was read, with all that this release does not know.
            if patch := status_patch(msgspec.json.decode(raw, type=dict[str, Any]), claim.metadata.uid, entries):
                api.patch(RESOURCE_CLAIMS, name, patch, namespace, "status")
            reached("bind-answered")
        except NotFound:
            return False
        except Conflict:
            continue
        return True
    raise Retryable(f"claim {namespace}/{name} is changed all the time", delay_seconds=0.5)
