"""What kube-scheduler writes into status.allocation of a claim, from the devices that a search picked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from partita_plugins.model.quantity import parsed
from partita_plugins.wire.resource_claim import Allocation, AllocationResult, DeviceAllocation
from partita_plugins.wire.resource_slice import Capacity
from partita_scheduler.allocator.capacity import canonical, is_binary
from partita_scheduler.allocator.in_use import PREDICTED_SHARE
from partita_scheduler.allocator.inputs import InputDevice, InputPool
from partita_scheduler.allocator.plan import RequestPlan
from partita_scheduler.allocator.result import Pick
from partita_scheduler.allocator.rules import Rules


def allocation(node: str, pools: tuple[InputPool, ...], picks: tuple[Pick, ...], rules: Rules) -> Allocation:
    """What status.allocation of the claim will hold, but for configuration, share IDs and times."""
    return Allocation(
        devices=DeviceAllocation(results=[_result(pools[pick.pool], pick, rules) for pick in picks]),
        node_selector=_node_selector(node, [pools[pick.pool].devices[pick.device] for pick in picks]),
    )


def _node_selector(node: str, devices: list[InputDevice]) -> dict[str, Any] | None:
    """This node where a device is local to it, else everything that the devices' own selectors require."""
    fields: list[Any] = []
    expressions: list[Any] = []
    for device in devices:
        owner = device.raw if device.slice_.spec.per_device_node_selection else device.slice_.spec
        if owner.node_name or device.raw.binds_to_node:
            here = {"key": "metadata.name", "operator": "In", "values": [node]}
            return {"nodeSelectorTerms": [{"matchFields": [here]}]}
        for term in (owner.node_selector or {}).get("nodeSelectorTerms") or []:
            fields += [one for one in term.get("matchFields") or [] if one not in fields]
            expressions += [one for one in term.get("matchExpressions") or [] if one not in expressions]
    term = {"matchFields": fields, "matchExpressions": expressions}
    required = {name: requirements for name, requirements in term.items() if requirements}
    return {"nodeSelectorTerms": [required]} if required else None


def _result(pool: InputPool, pick: Pick, rules: Rules) -> AllocationResult:
    device = pool.devices[pick.device].raw
    return AllocationResult(
        request=pick.request.name,
        driver=pool.id.driver,
        pool=pool.id.pool,
        device=device.name,
        share_id=PREDICTED_SHARE if pick.consumed is not None else None,
        consumed_capacity={
            name: canonical(value, binary=_in_binary(device.capacity[name], pick.request, name, value, rules))
            for name, value in pick.consumed or ()
        },
        admin_access=True if pick.request.admin else None,
        tolerations=list(pick.request.tolerations),
        binding_conditions=device.binding_conditions,
        binding_failure_conditions=device.binding_failure_conditions,
    )


def _in_binary(published: Capacity, request: RequestPlan, name: str, value: Decimal, rules: Rules) -> bool:
    """Whether the value is written in binary units: as the quantity was that it was taken from."""
    wanted = dict(request.capacities).get(name)
    policy = published.request_policy
    if wanted is None:
        return is_binary(policy.default if policy and policy.default else published.value)
    if policy and policy.valid_range:
        if wanted < parsed(policy.valid_range.min):
            return is_binary(policy.valid_range.min)
        if policy.valid_range.step:
            return is_binary(policy.valid_range.step) or not rules.step_decides_format
    elif policy:
        for valid in policy.valid_values:
            if value == parsed(valid):
                return is_binary(valid)
    return name in request.binary


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
