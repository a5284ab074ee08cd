"""Machines of the catalog as scorers see them, what a pod would do to them, and how scorers like that."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from partita_plugins.backends.catalog import machine
from partita_plugins.contracts import GpuState, NodeState, Outcome, PodShape, ProfileShape, Scorer, Workload
from partita_plugins.model.topology import PCIE_LETTERS, Topology

A100_KINDS = (
    ProfileShape(shape="7g", starts=(0,), size=8),
    ProfileShape(shape="4g", starts=(0,), size=4),
    ProfileShape(shape="3g", starts=(0, 4), size=4),
    ProfileShape(shape="2g", starts=(0, 2, 4), size=2),
    ProfileShape(shape="1g", starts=tuple(range(7)), size=1),
)
"""What an A100 offers, largest first."""


def node_state(name: str, held: Collection[int] = ()) -> NodeState:
    """A machine on which some GPUs are held whole. Raises InvalidInput for a name that is not in the catalog."""
    hardware = machine(name)
    slots = range(len(hardware.gpus))
    topology = Topology.of(hardware, tuple(slots))
    return NodeState(
        gpus={
            slot: GpuState(
                memory_mib=hardware.gpus[slot].memory_mib,
                nvlinks=tuple(topology.link(slot, other)[0] if other != slot else 0 for other in slots),
                pcie="".join(PCIE_LETTERS[topology.link(slot, o)[1]] if o != slot else "-" for o in slots),
                nvlink_gbps=hardware.nvlink_gbps,
                taken=frozenset({0}) if slot in held else frozenset(),
                product=hardware.gpus[slot].product,
            )
            for slot in slots
        }
    )


def whole(name: str, *slots: int, held: Collection[int] = ()) -> Outcome:
    """Giving whole GPUs of such a machine to a pod."""
    before, after = node_state(name, held), node_state(name, {*held, *slots})
    pod = PodShape(gpus=len(slots))
    return Outcome(before=before, after=after, slots=slots, whole=slots, asked_mib=0, granted_mib=0, pod=pod)


def mig_gpu(*taken: int) -> GpuState:
    """An A100 with memory slices in use."""
    return GpuState(memory_mib=40960, profiles=A100_KINDS, units=8, taken=frozenset(taken))


def shared_gpu(free_mib: int | None) -> GpuState:
    """An A100 that is shared, or will be: None."""
    taken = frozenset() if free_mib is None else frozenset(range(8))
    return GpuState(memory_mib=40960, profiles=A100_KINDS, units=8, taken=taken, shared_free_mib=free_mib)


def part(before: GpuState, after: GpuState) -> Outcome:
    """Giving a part of the only GPU of a node to a pod."""
    pod = PodShape(gpus=1, partition="1g")
    if after.shared_free_mib is not None:
        free_mib = before.memory_mib if before.shared_free_mib is None else before.shared_free_mib
        pod = PodShape(gpus=1, gpu_milli=1000 * (free_mib - after.shared_free_mib) // before.memory_mib)
    states = NodeState(gpus={0: before}), NodeState(gpus={0: after})
    return Outcome(before=states[0], after=states[1], slots=(0,), whole=(), asked_mib=10, granted_mib=10, pod=pod)


def nothing() -> Outcome:
    """A node without GPUs of ours."""
    empty = NodeState(gpus={})
    return Outcome(before=empty, after=empty, slots=(), whole=(), asked_mib=0, granted_mib=0)


def scored(scorer: Scorer, outcomes: Sequence[Outcome], workload: Workload | None = None) -> list[float]:
    """The score of each, among all of them."""
    expected = workload or Workload()
    figures = scorer.measure(outcomes, expected)
    found: list[float] = scorer.score(figures, np.ones(len(outcomes), dtype=np.int64), expected).tolist()
    return found
