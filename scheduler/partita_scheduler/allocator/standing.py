"""How the devices of a node stand to one request, each looked at alone: what people are told, not what is searched."""

from __future__ import annotations

from dataclasses import dataclass, field

from partita_plugins.wire.objects import Taint
from partita_scheduler.allocator import capacity
from partita_scheduler.allocator.counters import Ledger, left
from partita_scheduler.allocator.in_use import NOTHING, PoolUse, Uses
from partita_scheduler.allocator.inputs import InputDevice, InputPool
from partita_scheduler.allocator.plan import RequestPlan
from partita_scheduler.allocator.rules import Rules


@dataclass(slots=True)
class Standing:
    """What the devices of a node are to one request."""

    selected: list[InputDevice] = field(default_factory=list)
    tainted: list[tuple[InputDevice, Taint]] = field(default_factory=list)
    full: list[tuple[InputDevice, PoolUse]] = field(default_factory=list)
    free: list[InputDevice] = field(default_factory=list)
    """One by one; together they may be fewer."""

    together: int = 0
    """How many of `free` the counters give at once, taken in order."""


def standing(request: RequestPlan, pools: tuple[InputPool, ...], uses: Uses, rules: Rules) -> Standing:
    """Every device of the node that the request selects, sorted. Raises CelError and CelUnsupported."""
    found = Standing()
    for pool in pools:
        use = uses.get(pool.id, NOTHING)
        ledger = Ledger(left(pool.totals, pool.consumers, use))
        for device in pool.devices:
            if not device.selected_by(request):
                continue
            found.selected.append(device)
            taint = next((one for one in device.raw.taints if not request.tolerates(one)), None)
            if taint:
                found.tainted.append((device, taint))
            elif device.name not in use.whole or request.admin:
                _sort_in(found, request, device, use=use, ledger=ledger, rules=rules)
    return found


def _sort_in(
    found: Standing, request: RequestPlan, device: InputDevice, *, use: PoolUse, ledger: Ledger, rules: Rules
) -> None:
    charged = device.consumption and not (device.shared and device.name in use.shares)
    if charged and not ledger.has_alone(device.consumption):
        return
    try:
        more = capacity.consumed(device.raw.capacity, dict(request.capacities), rules)
    except capacity.BadCapacity:
        more = None
    if more is None or (
        device.shared and not capacity.fits(device.raw.capacity, use.shares.get(device.name, {}), more)
    ):
        found.full.append((device, use))
        return
    found.free.append(device)
    found.together += not charged or ledger.reserve(device.consumption)
