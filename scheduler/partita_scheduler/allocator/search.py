"""First fit with exhaustive backtracking: requests in order, alternatives in order, devices in list order.

Within one request combinations are tried in order, across requests and claims all of them; the first full solution
wins. Bounded by a number of steps.
"""

from __future__ import annotations

from decimal import Decimal

from partita_scheduler.allocator import capacity
from partita_scheduler.allocator.constraints import Constraint, constraint
from partita_scheduler.allocator.counters import Ledger, left
from partita_scheduler.allocator.in_use import NOTHING, PoolId, PoolUse, Uses
from partita_scheduler.allocator.inputs import InputDevice, InputPool
from partita_scheduler.allocator.plan import ClaimPlan, RequestPlan
from partita_scheduler.allocator.result import MAX_DEVICES, Abort, Budget, OutOfSteps, Pick
from partita_scheduler.allocator.rules import MAX_RESULTS, Rules


class _TooManyResults(Exception):
    """The claim would get more devices than a result holds."""


class Search:
    """One attempt to allocate all claims of a pod on one node."""

    def __init__(
        self, pools: tuple[InputPool, ...], uses: Uses, claims: tuple[ClaimPlan, ...], rules: Rules, budget: Budget
    ) -> None:
        self._pools, self._claims, self._rules, self._budget = pools, claims, rules, budget
        self._uses: list[PoolUse] = [uses.get(pool.id, NOTHING) for pool in pools]
        self._ledgers: dict[object, Ledger] = {}
        self._taken: dict[tuple[int, int], list[int]] = {}
        """Device to the claims of this pod that hold it whole."""
        self._shared: dict[tuple[int, int], list[dict[str, Decimal]]] = {}
        """Device to the shares that this pod takes."""
        self._constraints: list[list[Constraint]] = [[constraint(c, rules) for c in one.constraints] for one in claims]
        self._all: dict[RequestPlan, list[tuple[int, int]]] = {}
        self.picks: list[list[Pick]] = [[] for _ in claims]
        self.given_back = 0
        """How often a device that was taken led nowhere."""

    def run(self) -> tuple[tuple[Pick, ...], ...] | None:
        """The devices of each claim, or None. Raises Abort, CelError, CelUnsupported or OutOfSteps."""
        self._check_sizes()
        try:
            found = self._claim(0)
        except _TooManyResults:
            found = False
        if found:
            return tuple(tuple(picks) for picks in self.picks)
        return None

    def _check_sizes(self) -> None:
        deepest = 0
        for claim in self._claims:
            least = 0
            for alternatives in claim.requests:
                counts = [self._count(request) for request in alternatives]
                least += min(counts)
                deepest += max(counts)
                if least > MAX_RESULTS:
                    raise Abort(f"a claim asks for more than {MAX_RESULTS} devices")
        if deepest > MAX_DEVICES:
            raise OutOfSteps(f"the pod asks for up to {deepest} devices")

    def _count(self, request: RequestPlan) -> int:
        if not request.all_devices:
            return request.count
        if request not in self._all:
            self._all[request] = self._matching(request)
        return len(self._all[request])

    def _matching(self, request: RequestPlan) -> list[tuple[int, int]]:
        """Devices of allocationMode All."""
        found = []
        for p, pool in enumerate(self._pools):
            if not pool.usable:
                raise Abort(f"request {request.name} asks for all devices while a pool is being changed or is invalid")
            for d, device in enumerate(pool.devices):
                self._budget.spend()
                if device.selected_by(request) and self._has_capacity(request, p, d, at_all=True):
                    found.append((p, d))
        return found

    def _claim(self, c: int) -> bool:
        return c == len(self._claims) or self._request(c, 0)

    def _request(self, c: int, q: int) -> bool:
        requests = self._claims[c].requests
        if q == len(requests):
            try:
                return self._claim(c + 1)
            except _TooManyResults:
                return False
        if len(requests[q]) == 1 and requests[q][0].name == requests[q][0].main:
            return self._devices(c, q, requests[q][0], 0, (0, 0))
        too_many = True
        for alternative in requests[q]:
            try:
                if self._devices(c, q, alternative, 0, (0, 0)):
                    return True
            except _TooManyResults:
                continue
            too_many = False
        if too_many:
            raise _TooManyResults
        return False

    def _devices(self, c: int, q: int, request: RequestPlan, n: int, start: tuple[int, int]) -> bool:
        count = self._count(request)
        if request.all_devices and not count:
            return False
        if n >= count:
            return self._request(c, q + 1)
        if count - n > MAX_RESULTS - len(self.picks[c]):
            raise _TooManyResults
        if request.all_devices:
            self._budget.spend()
            return self._with(c, q, request, n, self._all[request][n], must=True)
        for p in range(start[0], len(self._pools)):
            pool = self._pools[p]
            if not pool.usable:
                continue
            for d in range(start[1] if p == start[0] else 0, len(pool.devices)):
                self._budget.spend()
                if (
                    not self._in_use(c, request, p, d)
                    and pool.devices[d].selected_by(request)
                    and self._has_capacity(request, p, d)
                    and self._with(c, q, request, n, (p, d), must=False)
                ):
                    return True
        return False

    def _with(self, c: int, q: int, request: RequestPlan, n: int, at: tuple[int, int], *, must: bool) -> bool:
        """Take one device and go on; give it back if that leads nowhere."""
        if not self._take(c, request, at, must=must):
            return False
        try:
            if self._devices(c, q, request, n + 1, (at[0], at[1] + 1)):
                return True
        except _TooManyResults:
            self._give_back(c, request, at)
            raise
        self._give_back(c, request, at)
        return False

    def _in_use(self, c: int, request: RequestPlan, p: int, d: int) -> bool:
        if request.admin:
            return c in self._taken.get((p, d), ())
        return bool(self._taken.get((p, d))) or self._pools[p].devices[d].name in self._uses[p].whole

    def _take(self, c: int, request: RequestPlan, at: tuple[int, int], *, must: bool) -> bool:
        device = self._pools[at[0]].devices[at[1]]
        if self._in_use(c, request, *at):
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
        if not self._has_capacity(request, *at):
            self._withdraw(added, request)
            return False
        return True

    @staticmethod
    def _withdraw(added: list[Constraint], request: RequestPlan) -> None:
        for one in reversed(added):
            one.remove(request)

    def _give_back(self, c: int, request: RequestPlan, at: tuple[int, int]) -> None:
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

    def _has_capacity(self, request: RequestPlan, p: int, d: int, *, at_all: bool = False) -> bool:
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
