"""What the driver asks the API server about claims, apart from Prepare: who still exists, who holds what."""

from __future__ import annotations

from partita_driver.engine.recall import Recalled
from partita_plugins.kube.api import KubeApi, NotFound
from partita_plugins.kube.resources import RESOURCE_CLAIMS, RESOURCE_SLICES
from partita_plugins.wire import DRIVER_NAME
from partita_plugins.wire.resource import ResourceClaim, ResourceSlice


def recall(api: KubeApi, node_name: str) -> Recalled:
    """What is known of a node whose journal begins anew. Raises Unavailable or Refused where that cannot be known."""
    selector = f"spec.driver={DRIVER_NAME},spec.nodeName={node_name}"
    slices, _ = api.list(RESOURCE_SLICES, as_=ResourceSlice, fieldSelector=selector)
    claims, _ = api.list(RESOURCE_CLAIMS, as_=ResourceClaim)
    devices = tuple(device for entry in slices for device in entry.spec.devices)
    return Recalled(devices=devices, claims=tuple(claims))


def claim_holds(api: KubeApi, pool: str, namespace: str, name: str, uid: str) -> bool:
    """Is this very claim in the API, with devices of the pool? Raises PartitaError where that is not known.

    One without a name, of which nothing but its UID is known, is looked for among all.
    """
    if not name:
        claims, _ = api.list(RESOURCE_CLAIMS, as_=ResourceClaim)
        return any(claim.metadata.uid == uid and _held(claim, pool) for claim in claims)
    try:
        found = api.get(RESOURCE_CLAIMS, name, namespace, as_=ResourceClaim)
    except NotFound:
        return False
    return found.metadata.uid == uid and bool(_held(found, pool))


def allocated_devices(api: KubeApi, pool: str) -> frozenset[str]:
    """Devices of a pool that any claim holds. Lists all claims: `slices/withdrawals.py` says when."""
    claims, _ = api.list(RESOURCE_CLAIMS, as_=ResourceClaim)
    return frozenset(device for claim in claims for device in _held(claim, pool))


def _held(claim: ResourceClaim, pool: str) -> list[str]:
    """The devices of a pool that a claim is allocated."""
    results = claim.status.allocation.devices.results if claim.status.allocation else []
    return [one.device for one in results if one.driver == DRIVER_NAME and one.pool == pool]


def other_drivers(api: KubeApi, node_name: str) -> tuple[str, ...]:
    """DRA drivers other than ours that publish slices of a node, sorted."""
    slices, _ = api.list(RESOURCE_SLICES, as_=ResourceSlice, fieldSelector=f"spec.nodeName={node_name}")
    return tuple(sorted({entry.spec.driver for entry in slices} - {DRIVER_NAME}))
