"""What a node offers: from what the driver's parts know to the slices, and from these to the kubelet's list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from partita_driver.doctor.neighbours import Neighbours
from partita_driver.engine import ClaimEngine
from partita_driver.engine.validation.own import OWN_CLAIM
from partita_driver.health.faults import GPU_LOST, Fault
from partita_driver.kubelet.health_service import DeviceHealth, HealthService
from partita_driver.metrics import Metrics
from partita_driver.settings.parse import NodeSettings
from partita_driver.slices.described import answers
from partita_driver.slices.pool import PoolInputs, Published, broken_devices
from partita_plugins.model.health import HealthState
from partita_plugins.wire import pool_name


class Offering:
    """The publisher's inputs, and what follows from a pool that was published. Nothing is offered before `begin`."""

    def __init__(
        self,
        node_name: str,
        settings: Callable[[], NodeSettings | None],
        health: Callable[[], HealthService],
        metrics: Metrics,
        *,
        validates: bool = True,
    ) -> None:
        """Without a validator (`validates`) kube-scheduler is let wait for nothing."""
        self._validates = validates
        self._node_name, self._settings, self._health, self._metrics = node_name, settings, health, metrics
        self._engine: ClaimEngine | None = None
        self._neighbours: Neighbours | None = None
        self._pool = Published()

    def begin(self, engine: ClaimEngine, neighbours: Neighbours) -> None:
        """The hardware has been read: offer it."""
        self._engine, self._neighbours = engine, neighbours

    def inputs(self) -> PoolInputs | None:
        """What the slices follow from now; None while that is not known: nothing may be published."""
        settings, engine, neighbours = self._settings(), self._engine, self._neighbours
        if settings is None or engine is None or engine.unconfirmed or neighbours is None or neighbours.found is None:
            return None
        withheld = neighbours.withheld() if settings.others == "withhold" else frozenset()
        claims = {uid: claim for uid, claim in engine.claims().items() if not uid.startswith(OWN_CLAIM)}
        held = {device.device for claim in claims.values() for device in claim.devices}
        return PoolInputs(
            node_name=self._node_name,
            node=engine.node,
            offer=settings.offer.offer,
            faults=engine.faults(),
            foreign=engine.foreign_placements() | withheld,
            allocated=frozenset(held),
            binding=self._validates and settings.validation.bind,
        )

    def published(self, inputs: PoolInputs, pool: Published) -> None:
        """The API server has this pool now: tell the kubelet and the metrics."""
        self._pool = pool
        self._tell(inputs)
        self._metrics.set_devices(str(device.attributes["type"].value) for device in pool.devices.values())

    def faults_changed(self) -> None:
        """Tell the kubelet at once what it means for the devices that are published."""
        if inputs := self.inputs():
            self._tell(inputs)

    def _tell(self, inputs: PoolInputs) -> None:
        self._health().update(device_health(inputs, self._pool.devices))


def device_health(inputs: PoolInputs, names: Iterable[str]) -> list[DeviceHealth]:
    """The complete list for the kubelet: every published device, with what is wrong with it."""
    published = list(names)
    broken, pool = broken_devices(inputs, published), pool_name(inputs.node_name)
    return [_health(pool, name, broken.get(name, ()), answers=answers(name, inputs.node)) for name in published]


def _health(pool: str, name: str, faults: Sequence[Fault], *, answers: bool) -> DeviceHealth:
    message = "; ".join(fault.message for fault in faults)
    if not answers or any(fault.reason == GPU_LOST for fault in faults):
        return DeviceHealth(
            pool=pool, device=name, state=HealthState.UNKNOWN, message=message or "its GPU does not answer"
        )
    state = HealthState.UNHEALTHY if faults else HealthState.HEALTHY
    return DeviceHealth(pool=pool, device=name, state=state, message=message)
