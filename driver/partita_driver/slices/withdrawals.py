"""Devices on their way out of the slices: tainted first, removed when no claim can hold them any more."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import structlog

from partita_driver.runtime import Runtime
from partita_driver.slices.described import lost_members
from partita_driver.slices.pool import PoolInputs, Published, devices_to_offer, removable
from partita_plugins.errors import PartitaError
from partita_plugins.pauses import Backoff, Pause, spread
from partita_plugins.wire.device_names import format_name

log = structlog.get_logger(__name__)

LIST_AGAIN = Pause(0.05, 30.0)
"""After a list of claims that failed."""

HELD_SECONDS_MAX = 300.0
"""Between lists while nothing changes and claims hold what is to be removed."""

START_SECONDS = 3.0
"""A process that finds slices lists claims within so long of its first round: all nodes' may have begun at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of claims and of leaving devices, for one round of publishing."""

    inputs: PoolInputs
    """With all devices that claims are known to hold."""

    held: frozenset[str]
    """Published or allocated devices that stay though the node no longer offers them."""

    look_seconds: float
    """Until devices that wait to be removed are to be looked at again; infinite: there are none."""

    frozen: bool
    """Nobody knows what claims hold: what is published stays, nothing is added, only taints change."""


class Withdrawals:
    """Knows since when each device takes no new claim. In memory only: after a restart the wait begins anew."""

    def __init__(self, allocated: Callable[[], frozenset[str]], wait_seconds: float, runtime: Runtime) -> None:
        """`allocated` lists all claims; `wait_seconds` is what an allocation decided before may take to be seen."""
        # Settings reach all nodes at once, and at the end of the wait each of them lists all claims.
        self.wait_seconds = spread(wait_seconds, runtime.random)
        self._allocated, self._runtime = allocated, runtime
        self._closed_since: dict[str, float] = {}
        self._missing = frozenset[str]()
        """What claims held at the last list and the API server did not have."""

        self._due = -math.inf
        """When claims are listed, even if nothing is removed."""

        self._known = False
        """Were claims ever listed?"""

        self._retry = -math.inf
        """No list before this: the last ones failed."""

        self._backoff = Backoff(LIST_AGAIN, runtime.random)
        self._held = self._asked = frozenset[str]()
        """Of the devices to be removed: what claims held at the last list, and what that was asked for."""

        self._held_until = -math.inf
        """They are taken to hold it until then."""

        self._still_held = Backoff(Pause(wait_seconds, max(wait_seconds, HELD_SECONDS_MAX)), runtime.random)
        self._begun = False
        self._late = True
        """May a claim come to light that holds what the coming pool lacks?"""

    @property
    def due_seconds(self) -> float:
        """Until claims are listed, even if nothing is removed; or again, where that failed."""
        now = self._runtime.monotonic()
        return max(0.0, (self._retry if self._retry > now else self._due) - now)

    def settle(self, inputs: PoolInputs, before: Published) -> Standing:
        """What stays. Claims are listed only where it matters: before a removal, and where nobody remembers.

        A process that begins remembers nothing: slices may have been wiped while no driver ran. It lists soon and
        again after the wait, for allocations that were decided on those slices. What is left of a lost group is kept
        free until a list no longer has the group. Without counters nothing but the list keeps apart what overlaps.
        While claims cannot be listed any published device may be held.
        """
        now = self._runtime.monotonic()
        if not self._begun:
            self._begun = True
            self._retry = now + START_SECONDS * self._runtime.random() if before.devices else now
        listing = now >= self._due or not inputs.features.counters
        listed = self._list(now) if listing else None
        if listed is not None:
            self._missing, self._due, self._known = listed, math.inf, True
        elif listing:
            inputs = replace(inputs, allocated=inputs.allocated | before.devices.keys())
        inputs = replace(inputs, allocated=inputs.allocated | self._missing)
        self._missing -= before.devices.keys()
        if lost_members(self._missing, inputs.node):
            self._list_after_wait()
        unknown = lost_members(inputs.allocated - before.devices.keys(), inputs.node)
        inputs = replace(inputs, foreign=inputs.foreign | unknown)
        offered = {format_name(device, inputs.node.gpus) for device in devices_to_offer(inputs)}
        leaving = before.devices.keys() - offered
        closed = removable(offered, before.devices, inputs.features)
        self._closed_since = {name: self._closed_since.get(name, now) for name in closed}
        old = {name for name in closed if now - self._closed_since[name] >= self.wait_seconds}
        inputs = replace(inputs, allocated=inputs.allocated | self._still_holding(old, inputs.allocated, listed, now))
        # A claim that tolerates all taints, or a pod that waits for permission, may still take it: one look later.
        self._late |= bool(old - inputs.allocated)
        held = frozenset((leaving - old) | (inputs.allocated - offered))
        frozen = listing and listed is None and not (self._known and inputs.features.counters)
        return Standing(inputs=inputs, held=held, look_seconds=self._look_seconds(leaving, old, now), frozen=frozen)

    def _still_holding(
        self, old: AbstractSet[str], allocated: AbstractSet[str], listed: frozenset[str] | None, now: float
    ) -> frozenset[str]:
        """What claims hold of the devices that may be removed; where nobody says, all of them.

        Claims that hold some are listed less and less often, until a device is added to these or a claim lets go.
        """
        asked = frozenset(old - allocated)
        trusted = now < self._held_until and asked <= self._held & self._asked
        added, self._asked = asked - self._asked, asked
        if listed is None and (trusted or not asked):
            return asked
        found = self._list(now) if listed is None else listed
        if found is None:
            return asked
        held = found & old
        if added or held != self._held:
            self._still_held.reset()
        self._held, self._held_until = held, now + self._still_held.next_seconds()
        return found

    def _look_seconds(self, leaving: AbstractSet[str], old: AbstractSet[str], now: float) -> float:
        waits = [
            self._closed_since[name] + self.wait_seconds - now for name in leaving & self._closed_since.keys() - old
        ]
        soon = self.wait_seconds / 6
        if leaving & old:
            waits.append(max(self._held_until - now, soon))
        if leaving - self._closed_since.keys():
            waits.append(soon)
        return min(waits, default=math.inf)

    def published(self) -> None:
        """The API server has all that was settled."""
        if self._late and self._known:
            self._late = False
            self._list_after_wait()

    def _list_after_wait(self) -> None:
        self._due = min(self._due, self._runtime.monotonic() + self.wait_seconds)

    def _list(self, now: float) -> frozenset[str] | None:
        """What claims hold; None where the API server does not say: it is asked again after a growing pause."""
        if now < self._retry:
            return None
        try:
            found = self._allocated()
        except PartitaError as error:
            pause = self._backoff.next_seconds(error)
            self._retry = now + pause
            log.warning("claims not listed yet", error=str(error), retry_seconds=pause)
            return None
        self._backoff.reset()
        return found
