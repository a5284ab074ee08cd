"""What a search has taken so far: devices, shares, counters, constraints. Taken and given back like a stack."""

from __future__ import annotations

from decimal import Decimal

from partita_scheduler.allocator import capacity
from partita_scheduler.allocator.constraints import Constraint, constraint
from partita_scheduler.allocator.counters import Ledger, left
from partita_scheduler.allocator.in_use import NOTHING, PoolId, PoolUse, Uses
from partita_scheduler.allocator.inputs import InputDevice, InputPool
from partita_scheduler.allocator.plan import ClaimPlan, RequestPlan
from partita_scheduler.allocator.result import Abort, Pick
from partita_scheduler.allocator.rules import Rules


class Taken:
    """On top of what is in use. A device is named by the place of its pool and its own there."""

    def __init__(self, pools: tuple[InputPool, ...], uses: Uses, claims: tuple[ClaimPlan, ...], rules: Rules) -> None:
        self._pools, self._rules = pools, rules
        self._uses: list[PoolUse] = [uses.get(pool.id, NOTHING) for pool in pools]
        self._ledgers: dict[object, Ledger] = {}
        self._taken: dict[tuple[int, int], list[int]] = {}
        """Device to the claims of this pod that hold it whole."""
        self._shared: dict[tuple[int, int], list[dict[str, Decimal]]] = {}
        """Device to the shares that this pod takes."""
        self._constraints: list[list[Constraint]] = [[constraint(c, rules) for c in one.constraints] for one in claims]
        self.picks: list[list[Pick]] = [[] for _ in claims]
        self.given_back = 0
        """How often a device that was taken led nowhere."""

    def in_use(self, c: int, request: RequestPlan, p: int, d: int) -> bool:
        """Whether somebody has it, which admin access only asks of its own claim."""
        if request.admin:
            return c in self._taken.get((p, d), ())
        return bool(self._taken.get((p, d))) or self._pools[p].devices[d].name in self._uses[p].whole

    def take(self, c: int, request: RequestPlan, at: tuple[int, int], *, must: bool) -> bool:
        """Take a selected device if it suits. Raises Abort where it `must` and a constraint is against it."""
        device = self._pools[at[0]].devices[at[1]]
        if self.in_use(c, request, *at):
            return False
        charged = self._charges_counters(at, device)
        if charged and not self._ledger(at[0]).reserve(device.consumption):
            return False
        if not self._suits(c, request, at, device, must=must):
            if charged:
                self._ledger(at[0]).release(device.consumption)
            return False
        share = self._consumed(request, device) if device.shared else None
        if share is None:
            self._taken.setdefault(at, []).append(c)
        else:
            self._shared.setdefault(at, []).append(share)
        self.picks[c].append(Pick(request, *at, None if share is None else tuple(sorted(share.items()))))
        return True

    def _suits(self, c: int, request: RequestPlan, at: tuple[int, int], device: InputDevice, *, must: bool) -> bool:
        if not all(request.tolerates(taint) for taint in device.raw.taints):
            return False
        driver = self._pools[at[0]].id.driver
        added: list[Constraint] = []
        for one in self._constraints[c]:
            if not one.add(request, driver, device.raw):
                self._withdraw(added, request)
                if must:
                    raise Abort(f"request {request.name} asks for all devices, and a constraint excludes {device.name}")
                return False
            added.append(one)
        if not self.has_capacity(request, *at):
            self._withdraw(added, request)
            return False
        return True

    @staticmethod
    def _withdraw(added: list[Constraint], request: RequestPlan) -> None:
        for one in reversed(added):
            one.remove(request)

    def give_back(self, c: int, request: RequestPlan, at: tuple[int, int]) -> None:
        """Undo the last take."""
        device = self._pools[at[0]].devices[at[1]]
        self.given_back += 1
        self.picks[c].pop()
        if device.shared:
            self._shared[at].pop()
        else:
            self._taken[at].remove(c)
        self._withdraw(self._constraints[c], request)
        if self._charges_counters(at, device):
            self._ledger(at[0]).release(device.consumption)

    def _charges_counters(self, at: tuple[int, int], device: InputDevice) -> bool:
        """A shared device's counters are charged once, on its first share."""
        if not device.consumption:
            return False
        use = self._uses[at[0]]
        held = use.counted if self._rules.share_without_capacity_is_free else use.shares
        return not (device.shared and (device.name in held or self._shared.get(at)))

    def _ledger(self, p: int) -> Ledger:
        pool = self._pools[p]
        key: str | PoolId = pool.id.pool if self._rules.counters_by_pool_name else pool.id
        if key not in self._ledgers:
            self._ledgers[key] = Ledger(left(pool.totals, pool.consumers, self._uses[p]))
        return self._ledgers[key]

    def _consumed(self, request: RequestPlan, device: InputDevice) -> dict[str, Decimal] | None:
        try:
            return capacity.consumed(device.raw.capacity, dict(request.capacities), self._rules)
        except capacity.BadCapacity as error:
            raise Abort(f"request {request.name} on device {device.name}: {error}") from error

    def has_capacity(self, request: RequestPlan, p: int, d: int, *, at_all: bool = False) -> bool:
        """Whether it has what is asked of it left, or `at_all`."""
        device = self._pools[p].devices[d]
        if not device.shared and not request.capacities:
            return True
        more = self._consumed(request, device)
        if more is None:
            return False
        taken: dict[str, Decimal] = {}
        if not at_all or self._rules.all_mode_counts_what_is_left:
            taken = dict(self._uses[p].shares.get(device.name, {}))
            for share in self._shared.get((p, d), ()):
                for name, value in share.items():
                    taken[name] = taken.get(name, Decimal(0)) + value
        return capacity.fits(device.raw.capacity, taken, more)
