"""Devices on their way out of the slices: tainted first, removed when no claim can hold them any more."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from partita_driver.runtime import Runtime
from partita_driver.slices.pool import PoolInputs, Published, devices_to_offer, lost_members, removable
from partita_plugins.wire.device_names import format_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of claims and of leaving devices, for one round of publishing."""

    inputs: PoolInputs
    """With all devices that claims are known to hold."""

    held: frozenset[str]
    """Published or allocated devices that stay though the node no longer offers them."""

    leaving: bool
    """Whether any device waits to be removed."""


class Withdrawals:
    """Knows since when each device takes no new claim. In memory only: after a restart the wait begins anew."""

    def __init__(self, allocated: Callable[[], frozenset[str]], wait_seconds: float, runtime: Runtime) -> None:
        """`allocated` lists all claims; `wait_seconds` is what an allocation decided before may take to be seen."""
        self.wait_seconds = wait_seconds
        self._allocated, self._runtime = allocated, runtime
        self._closed_since: dict[str, float] = {}
        self._missing = frozenset[str]()
        """What claims held at the last list and the API server did not have."""

        self._due = -math.inf
        """When claims are listed, even if nothing is removed."""

        self._late = True
        """May a claim come to light that holds what the coming pool lacks?"""

    @property
    def due_seconds(self) -> float:
        """Until claims are listed, even if nothing is removed."""
        return max(0.0, self._due - self._runtime.monotonic())

    def settle(self, inputs: PoolInputs, before: Published) -> Standing:
        """What stays. Claims are listed only where it matters: before a removal, and where nobody remembers.

        A process that begins remembers nothing: slices may have been wiped while no driver ran. It lists at once and
        again after the wait, for allocations that were decided on those slices. What is left of a lost group is kept
        free until a list no longer has the group. Without counters nothing but the list keeps apart what overlaps.
        """
        now = self._runtime.monotonic()
        listed = now >= self._due or not inputs.features.counters
        if listed:
            self._missing, self._due = self._allocated(), math.inf
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
        if not listed and (asked := old - inputs.allocated):
            inputs = replace(inputs, allocated=inputs.allocated | self._allocated())
            # What a claim still holds is asked for again after a wait, not in every round.
            self._closed_since.update(dict.fromkeys(asked & inputs.allocated, now))
        # Without taints it was open to claims until now.
        self._late |= bool(old - inputs.allocated) and not inputs.features.taints
        held = frozenset((leaving - old) | (inputs.allocated - offered))
        return Standing(inputs=inputs, held=held, leaving=bool(leaving))

    def published(self) -> None:
        """The API server has all that was settled."""
        if self._late:
            self._late = False
            self._list_after_wait()

    def _list_after_wait(self) -> None:
        self._due = min(self._due, self._runtime.monotonic() + self.wait_seconds)
