"""First fit with exhaustive backtracking: requests in order, alternatives in order, devices in list order.

Within one request combinations are tried in order, across requests and claims all of them; the first full solution
wins. Bounded by a number of steps.
"""

from __future__ import annotations

from partita_scheduler.allocator.in_use import Uses
from partita_scheduler.allocator.inputs import InputPool
from partita_scheduler.allocator.plan import ClaimPlan, RequestPlan
from partita_scheduler.allocator.result import MAX_DEVICES, Abort, Budget, OutOfSteps, Pick, Unsure
from partita_scheduler.allocator.rules import MAX_RESULTS, Rules
from partita_scheduler.allocator.taken import Taken
from partita_scheduler.cel.selector import CelError


class _TooManyResults(Exception):
    """The claim would get more devices than a result holds."""


class Search:
    """One attempt to allocate all claims of a pod on one node."""

    def __init__(
        self, pools: tuple[InputPool, ...], uses: Uses, claims: tuple[ClaimPlan, ...], rules: Rules, budget: Budget
    ) -> None:
        self._pools, self._claims, self._budget = pools, claims, budget
        self._all: dict[RequestPlan, list[tuple[int, int]]] = {}
        self.taken = Taken(pools, uses, claims, rules)

    def run(self) -> tuple[tuple[Pick, ...], ...] | None:
        """The devices of each claim, or None. Raises Abort, CelError, CelUnsupported, OutOfSteps or Unsure."""
        self._check_sizes()
        try:
            found = self._claim(0)
        except _TooManyResults:
            found = False
        if found:
            return tuple(tuple(picks) for picks in self.taken.picks)
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
            if pool.unsure:
                raise Unsure(f"request {request.name} asks for all devices beside {pool.unsure}")
            if not pool.usable:
                raise Abort(f"request {request.name} asks for all devices while a pool is being changed or is invalid")
            for d, device in enumerate(pool.devices):
                self._budget.spend()
                if device.selected_by(request) and self.taken.has_capacity(request, p, d, at_all=True):
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
        if count - n > MAX_RESULTS - len(self.taken.picks[c]):
            raise _TooManyResults
        if request.all_devices:
            self._budget.spend()
            return self._with(c, q, request, n, self._all[request][n], must=True)
        for p in range(start[0], len(self._pools)):
            pool = self._pools[p]
            if pool.unsure:
                self._leave_alone(pool, request)
                continue
            if not pool.usable:
                continue
            for d in range(start[1] if p == start[0] else 0, len(pool.devices)):
                self._budget.spend()
                if (
                    not self.taken.in_use(c, request, p, d)
                    and pool.devices[d].selected_by(request)
                    and self.taken.has_capacity(request, p, d)
                    and self._with(c, q, request, n, (p, d), must=False)
                ):
                    return True
        return False

    def _leave_alone(self, pool: InputPool, request: RequestPlan) -> None:
        """Raises Unsure where the pool could decide anything."""
        for device in pool.devices:
            self._budget.spend()
            try:
                concerned = device.selected_by(request)
            except CelError:
                concerned = True  # With the gate the attempt ends here.
            if concerned:
                raise Unsure(f"{pool.unsure} are in pool {pool.id.pool}")

    def _with(self, c: int, q: int, request: RequestPlan, n: int, at: tuple[int, int], *, must: bool) -> bool:
        """Take one device and go on; give it back if that leads nowhere."""
        if not self.taken.take(c, request, at, must=must):
            return False
        try:
            if self._devices(c, q, request, n + 1, (at[0], at[1] + 1)):
                return True
        except _TooManyResults:
            self.taken.give_back(c, request, at)
            raise
        self.taken.give_back(c, request, at)
        return False
