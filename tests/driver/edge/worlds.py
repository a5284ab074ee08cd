"""What the tests of the driver's edge share: machines with slots, an API server with a node, waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partita_driver.health.faults import Fault
from partita_driver.opening.options import Options
from partita_driver.runtime import THREADS, Runtime
from partita_driver.slices.contents import Features
from partita_driver.slices.plan import Owner
from partita_driver.slices.pool import PoolInputs, Published
from partita_driver.slices.publisher import Publisher
from partita_plugins.backends.catalog import machine
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import RESOURCE_SLICES
from partita_plugins.model.offer import Offer, SlottedHardware
from partita_plugins.testing.apiserver import ApiServer
from partita_plugins.wire.resource_slice import Device, ResourceSlice

NODE = "node-a"
ALL_SHAPES = frozenset({"1g", "1g-double", "2g", "3g", "4g", "7g"})
MIXED = Offer(whole=True, mig_shapes=frozenset({"1g", "3g"}), shared=True, group_sizes=frozenset({2}))


def slotted(name: str = "hgx-h100") -> SlottedHardware:
    hardware = machine(name, seed=NODE)
    return SlottedHardware(hardware=hardware, slots=tuple(range(len(hardware.gpus))))


def without_gpu(node: SlottedHardware, slot: int) -> SlottedHardware:
    """The same node after one GPU was lost."""
    return SlottedHardware(
        hardware=node.hardware.without({node.gpus[slot].uuid}),
        slots=tuple(mine for mine in node.slots if mine != slot),
    )


def inputs_of(node: SlottedHardware, offer: Offer = MIXED, *faults: Fault) -> PoolInputs:
    return PoolInputs(node_name=NODE, node=node, offer=offer, faults=faults)


def fault_on(node: SlottedHardware, slot: int, **fields: object) -> Fault:
    known: dict[str, object] = {"reason": "validation", "message": "bit 7 of word 0x10 reads 1", **fields}
    return Fault(gpu_uuid=node.gpus[slot].uuid, **known)  # type: ignore[arg-type]


def node_options(root: Path, **fields: Any) -> Options:
    """A driver on a simulated node whose paths are all under one folder."""
    known: dict[str, Any] = {
        "node_name": NODE,
        "backend": "simulated",
        "machine": "hgx-h100",
        "state_dir": root / "state",
        "cdi_dir": root / "cdi",
        "plugin_dir": root / "plugin",
        "registry_dir": root / "registry",
        "kubeconfig": str(root / "kubeconfig"),
    }
    return Options(**{**known, **fields})


@dataclass
class Counted:
    """Counts what the driver counts."""

    rounds: list[str] = field(default_factory=list)

    def published(self, result: str) -> None:
        self.rounds.append(result)


class AllTold:
    """A counter of a status writer to which nothing may fail."""

    def told(self, what: str, result: str) -> None:
        assert result == "ok", what


@dataclass
class Pooled:
    """A node's publisher on an embedded API server, with inputs that a test changes."""

    server: ApiServer
    api: KubeApi
    inputs: PoolInputs
    claims: set[str] = field(default_factory=set)
    counted: Counted = field(default_factory=Counted)
    pools: list[Published] = field(default_factory=list)
    features: list[tuple[Features, Features]] = field(default_factory=list)
    withdraw_seconds: float = 0.3
    probe_seconds: float = 600.0
    publishers: list[Publisher] = field(default_factory=list)

    def publisher(self) -> Publisher:
        """One that publishes by itself."""
        made = self.publisher_of(self.withdraw_seconds)
        made.start()
        self.publishers.append(made)
        return made

    def publisher_of(self, withdraw_seconds: float, runtime: Runtime = THREADS) -> Publisher:
        """One whose steps a test takes."""
        return Publisher(
            self.api,
            NODE,
            inputs=lambda: self.inputs,
            owner=lambda: Owner(node_name=NODE, uid=self.server.get("Node", NODE)["metadata"]["uid"]),
            allocated=lambda: frozenset(self.claims),
            counter=self.counted,
            on_pool=lambda _, pool: self.pools.append(pool),
            on_features=lambda _, before, after: self.features.append((before, after)),
            withdraw_seconds=withdraw_seconds,
            probe_seconds=self.probe_seconds,
            runtime=runtime,
        )

    def slices(self) -> list[ResourceSlice]:
        found, _ = self.api.list(RESOURCE_SLICES, as_=ResourceSlice)
        return sorted(found, key=lambda entry: entry.metadata.name)

    def devices(self) -> dict[str, Device]:
        return {device.name: device for entry in self.slices() for device in entry.spec.devices}

    def generations(self) -> set[int]:
        return {entry.spec.pool.generation for entry in self.slices()}


@contextmanager
def pooled(directory: Path, node: SlottedHardware, offer: Offer = MIXED) -> Iterator[Pooled]:
    with api_server(directory) as (server, api):
        world = Pooled(server, api, inputs_of(node, offer))
        yield world
        for publisher in world.publishers:
            publisher.stop()


@contextmanager
def api_server(directory: Path) -> Iterator[tuple[ApiServer, KubeApi]]:
    with ApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {}}})
        kubeconfig = server.write_kubeconfig(directory / "kubeconfig")
        yield server, KubeApi.connect(str(kubeconfig))
