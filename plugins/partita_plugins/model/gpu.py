"""GPUs as discovery finds them, and everything on a node that belongs to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from partita_plugins.model.mig import MigGeometry, MigProfile


class Architecture(StrEnum):
    """GPU generations, oldest first, by NVML's names."""

    VOLTA = "Volta"
    TURING = "Turing"
    AMPERE = "Ampere"
    ADA = "Ada"
    HOPPER = "Hopper"
    BLACKWELL = "Blackwell"
    RUBIN = "Rubin"
    UNKNOWN = "Unknown"
    """Older or newer than these."""


class PcieLevel(StrEnum):
    """What two GPUs have in common on PCIe, in nvidia-smi's words, nearest first. One letter each on the wire."""

    SINGLE_SWITCH = "PIX"
    MULTIPLE_SWITCHES = "PXB"
    HOST_BRIDGE = "PHB"
    NUMA_NODE = "NODE"
    SYSTEM = "SYS"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigSupport:
    """What MIG can do on one GPU, as its driver says."""

    profiles: tuple[MigProfile, ...]
    enabled: bool
    """Current mode."""

    pending: bool
    """Mode after the next reset; differs from `enabled` only on GPUs that need one."""

    mode_needs_reset: bool
    """Ampere: switching the mode takes a reset without clients. Hopper and later: only no clients."""

    @property
    def pinned(self) -> bool:
        """True where MIG is on and only a reset would turn it off: the GPU is for partitions alone."""
        return self.enabled and self.mode_needs_reset

    @property
    def available(self) -> bool:
        """True where a partition can be made without a reset."""
        return self.enabled or not self.mode_needs_reset

    @property
    def geometry(self) -> MigGeometry:
        return MigGeometry.of(self.profiles)


class FabricState(StrEnum):
    """How far a GPU is in joining the fabric of its NVSwitches, by NVML's names."""

    NOT_STARTED = "NotStarted"
    """Fabric Manager has not begun: CUDA does not start on this GPU."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """Where a GPU stands in its NVLink fabric (nvmlGpuFabricInfo; Hopper and later)."""

    state: FabricState
    cluster_uuid: str = ""
    """Of an NVLink domain that spans nodes (NVL72); empty where the fabric ends at this node."""

    clique_id: int = 0
    """Within the cluster, GPUs of one clique reach each other over NVLink."""

    failed: bool = False
    """The GPU has tried, and the fabric has refused it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One physical GPU."""

    uuid: str
    pci_bus_id: str
    """Lower case, four-digit domain: "0000:07:00.0"."""

    minor: int
    """N of /dev/nvidiaN. Not stable: a MIG mode switch or a reboot may change it."""

    product: str
    architecture: Architecture
    compute_capability: str
    memory_mib: int
    multiprocessors: int
    numa_node: int | None
    pcie_root: str
    """Kubernetes' spelling: "pci0000:07"."""

    mig: MigSupport | None = None
    """None where the GPU cannot do MIG."""

    fabric: Fabric | None = None
    """None where the GPU is on no NVSwitch, or its generation does not tell."""

    @property
    def pci_label(self) -> str:
        """The PCI address as part of a DNS label: "0000-07-00-0"."""
        return self.pci_bus_id.lower().replace(":", "-").replace(".", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLink:
    """How two GPUs of one node reach each other, in either direction."""

    a: int
    """Index into NodeHardware.gpus."""

    b: int
    nvlinks: int
    """Bonded NVLinks between the two (through a switch: the width each side has). 0: none."""

    pcie: PcieLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHardware:
    """All GPUs of one node in NVML's order, with every pair's link."""

    driver_version: str
    cuda_version: str
    gpus: tuple[Gpu, ...]
    links: tuple[GpuLink, ...]
    """One entry for each pair with a < b."""

    nvlink_gbps: int = 0
    """Unidirectional gigabytes per second of one NVLink."""

    def without(self, gpu_uuids: Collection[str]) -> NodeHardware:
        """The same node without some of its GPUs and their links."""
        return self._of(tuple(gpu for gpu in self.gpus if gpu.uuid not in gpu_uuids), self._links_by_pair())

    def with_remembered(self, before: NodeHardware, gpu_uuids: Collection[str]) -> NodeHardware:
        """The same and, from an earlier discovery, those of the named GPUs that are not in this one, with their links.

        Two GPUs that were never discovered together count as far apart.
        """
        found = {gpu.uuid: gpu for gpu in self.gpus}
        kept = {gpu.uuid: gpu for gpu in before.gpus if gpu.uuid in gpu_uuids and gpu.uuid not in found}
        if not kept:
            return self
        order = [gpu.uuid for gpu in (*before.gpus, *self.gpus)]
        gpus = sorted((*self.gpus, *kept.values()), key=lambda gpu: order.index(gpu.uuid))
        return self._of(tuple(gpus), {**before._links_by_pair(), **self._links_by_pair()})

    def _links_by_pair(self) -> dict[frozenset[str], GpuLink]:
        return {frozenset((self.gpus[link.a].uuid, self.gpus[link.b].uuid)): link for link in self.links}

    def _of(self, gpus: tuple[Gpu, ...], links: Mapping[frozenset[str], GpuLink]) -> NodeHardware:
        far = GpuLink(a=0, b=0, nvlinks=0, pcie=PcieLevel.SYSTEM)
        pairs = [(a, b) for a in range(len(gpus)) for b in range(a + 1, len(gpus))]
        found = [(a, b, links.get(frozenset((gpus[a].uuid, gpus[b].uuid)), far)) for a, b in pairs]
        return replace(self, gpus=gpus, links=tuple(replace(link, a=a, b=b) for a, b, link in found))
