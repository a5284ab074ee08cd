"""What the driver asks the API server about claims, apart from Prepare: who still exists, who holds what."""

from __future__ import annotations

from partita_plugins.kube.api import KubeApi, NotFound
from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource import ResourceClaim


def claim_exists(api: KubeApi, namespace: str, name: str, uid: str) -> bool:
    """Is this very claim in the API? Raises Unavailable or Refused where that cannot be known."""
    try:
        found = api.get(RESOURCE_CLAIMS, name, namespace, as_=ResourceClaim)
    except NotFound:
        return False
    return found.metadata.uid == uid


def allocated_devices(api: KubeApi, pool: str) -> frozenset[str]:
    """Devices of a pool that any claim holds. Lists all claims: asked only before devices are removed."""
    claims, _ = api.list(RESOURCE_CLAIMS, as_=ResourceClaim)
    return frozenset(
        result.device
        for claim in claims
        if claim.status.allocation
        for result in claim.status.allocation.devices.results
        if result.driver == DRIVER_NAME and result.pool == pool
    )
