"""GPUs and whole machines as data: what the simulated backend is made of, and what tests and docs read.

machine("hgx-h100", seed="node-a")     NodeHardware with UUIDs that depend on nothing but the arguments
"""

from __future__ import annotations

import uuid

from partita_plugins.backends.catalog.machines import MACHINES, Machine
from partita_plugins.backends.catalog.parts import Part
from partita_plugins.errors import InvalidInput
from partita_plugins.model.gpu import Architecture, Gpu, MigSupport, NodeHardware
from partita_plugins.model.topology import links_from_matrix

DRIVER_VERSION = "580.82.07"
CUDA_VERSION = "13.0"

_UUIDS = uuid.uuid5(uuid.NAMESPACE_DNS, "gpu.partita.dev")


def names() -> list[str]:
    """All machines of the catalog, sorted."""
    return sorted(MACHINES)


def machine(name: str, seed: str = "") -> NodeHardware:
    """One machine as discovery would find it, MIG off. Two seeds give two sets of UUIDs.

    Raises InvalidInput that lists the names there are.
    """
    found = _named(name)
    return NodeHardware(
        driver_version=DRIVER_VERSION,
        cuda_version=CUDA_VERSION,
        gpus=tuple(_gpu(found, index, f"{seed}/{name}/{index}") for index in range(len(found.buses))),
        links=links_from_matrix(found.matrix),
        nvlink_gbps=found.nvlink_gbps,
    )


def part(name: str) -> Part:
    """What the GPUs of one machine are. Raises InvalidInput as `machine` does."""
    return _named(name).part


def _named(name: str) -> Machine:
    found = MACHINES.get(name)
    if found is None:
        raise InvalidInput(f"there is no machine named {name!r}", advice=f"choose one of: {', '.join(names())}")
    return found


def _gpu(spec: Machine, index: int, identity: str) -> Gpu:
    part = spec.part
    return Gpu(
        uuid=f"GPU-{uuid.uuid5(_UUIDS, identity)}",
        pci_bus_id=f"{spec.buses[index]}:00.0",
        minor=index,
        product=part.product,
        architecture=part.architecture,
        compute_capability=part.compute_capability,
        memory_mib=part.memory_mib,
        multiprocessors=part.multiprocessors,
        numa_node=spec.numa_nodes[index],
        pcie_root=f"pci{spec.roots[index]}",
        mig=MigSupport(
            profiles=part.profiles,
            enabled=False,
            pending=False,
            mode_needs_reset=part.architecture is Architecture.AMPERE,
        )
        if part.profiles
        else None,
        fabric=spec.fabric,
    )
