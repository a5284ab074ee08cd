"""Devices on their way out of the slices: tainted first, removed when no claim can hold them any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from partita_driver.runtime import Runtime
from partita_driver.slices.pool import PoolInputs, Published, devices_to_offer, lost_members, removable
from partita_plugins.model.offer import SlottedHardware
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
        self._node: SlottedHardware | None = None

    def settle(self, inputs: PoolInputs, before: Published) -> Standing:
        """What stays. Claims are listed only where it matters: before a removal, and where nobody remembers.

        The first round of a process remembers nothing: slices may have been wiped while no driver ran. A GPU that comes
        back may be held by a claim of which nothing could be said without it. Without counters nothing but this list
        keeps apart what overlaps.
        """
        listed = inputs.node != self._node or not inputs.features.counters
        if listed:
            inputs = replace(inputs, allocated=inputs.allocated | self._allocated())
        unknown = lost_members(inputs.allocated - before.devices.keys(), inputs.node)
        inputs = replace(inputs, foreign=inputs.foreign | unknown)
        offered = {format_name(device, inputs.node.gpus) for device in devices_to_offer(inputs)}
        leaving = before.devices.keys() - offered
        now = self._runtime.monotonic()
        closed = removable(offered, before.devices, inputs.features)
        self._closed_since = {name: self._closed_since.get(name, now) for name in closed}
        old = {name for name in closed if now - self._closed_since[name] >= self.wait_seconds}
        if old and not listed:
            inputs = replace(inputs, allocated=inputs.allocated | self._allocated())
        held = frozenset((leaving - old) | (inputs.allocated - offered))
        return Standing(inputs=inputs, held=held, leaving=bool(leaving))

    def published(self, node: SlottedHardware) -> None:
        """The API server has all that was settled for this hardware."""
        self._node = node
