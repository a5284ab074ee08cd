"""Nodes as arrays, and what each is worth to the demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partita_plugins.contracts import Counts, Floats, GpuState, NodeState
from partita_plugins.scorers.fragmentation.demand import SET_SIZES, Classes, Demand
from partita_plugins.scorers.fragmentation.placements import usable_milli


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Fleet:
    """One row a node."""

    left: Counts
    """[node, GPU] milli for whole pods and shares; 0 for a GPU that is partly partitioned, or is not there."""

    parted: Floats
    """[node] milli that is free for partitions alone."""

    usable: Floats
    """[node] milli that kinds of devices can use, on average over the kinds."""

    cpu_milli: Floats
    """[node] left; infinite where nobody counts."""

    product: Counts
    """[node] column of Demand.products."""


FRAGMENTED, STRANDED, VALUE, SETS = 0, 1, 2, slice(3, 3 + len(SET_SIZES))
COLUMNS = 3 + len(SET_SIZES)
"""Columns of the figures, all in milli-GPU: free and of no use to the expected pods; free, and no CPU left for it; all
that is free at the prices of the sizes in demand; what pods with so many GPUs could have."""


def fleet_of(states: Sequence[NodeState], products: Sequence[int]) -> Fleet:
    """Node states as arrays; `products` are their columns."""
    width = max((len(state.gpus) for state in states), default=0)
    known: dict[int, tuple[int, float, float]] = {}  # By identity: nodes share the GPUs on which nothing is taken,
    alike: dict[int, int] = {}  # and those that differ by their CPU share all.
    row_of = [alike.setdefault(id(state.gpus), len(alike)) for state in states]
    left = np.zeros((len(alike), width), dtype=np.int64)
    parted, usable = np.zeros(len(alike)), np.zeros(len(alike))
    for row, gpus in enumerate({id(state.gpus): state.gpus for state in states}.values()):
        found = [known.get(id(gpu)) or known.setdefault(id(gpu), _milli(gpu)) for gpu in gpus.values()]
        left[row, : len(found)] = [milli for milli, _, _ in found]
        parted[row] = sum(milli for _, milli, _ in found)
        usable[row] = sum(milli for _, _, milli in found)
    cpu = [np.inf if state.cpu_milli is None else max(0, state.cpu_milli) for state in states]
    return Fleet(
        left=left[row_of],
        parted=parted[row_of],
        usable=usable[row_of],
        cpu_milli=np.array(cpu),
        product=np.array(products, dtype=np.int64),
    )


def left_milli(gpu: GpuState) -> int:
    """Of one GPU, for a whole pod or for shares."""
    if gpu.shared_free_mib is not None:
        return min(1000, 1000 * gpu.shared_free_mib // max(1, gpu.memory_mib))
    return 0 if gpu.taken else 1000


def _milli(gpu: GpuState) -> tuple[int, float, float]:
    """Of one GPU: for whole pods and shares, for partitions alone, and what kinds of devices can use."""
    free = gpu.free
    parted = 1000.0 * len(free) / gpu.units if gpu.taken and gpu.shared_free_mib is None else 0.0
    return left_milli(gpu), parted, usable_milli(gpu.profiles, gpu.units, free) if free else 0.0


def figures(fleet: Fleet, demand: Demand) -> Floats:
    """[node, column] what every node is worth; differences between before and after are what counts."""
    total = fleet.left.sum(axis=1) + fleet.parted
    whole = (fleet.left == 1000).sum(axis=1)
    found = np.empty((len(total), COLUMNS))
    found[:, FRAGMENTED] = demand.partition_weight * (total - fleet.usable)
    if demand.typical.weight.size:
        unused = total[:, None] - _used(fleet, whole, demand.typical)
        found[:, FRAGMENTED] += unused @ demand.typical.weight
    lasts = 1000 * fleet.cpu_milli / demand.cpu_per_gpu if demand.cpu_per_gpu else np.inf
    found[:, STRANDED] = np.maximum(0.0, total - lasts)
    found[:, VALUE] = demand.value[fleet.left].sum(axis=1)
    found[:, SETS] = np.stack([_in_sets(fleet, whole, classes) for classes in demand.sets], axis=1)
    return found


def _used(fleet: Fleet, whole: Counts, classes: Classes) -> Floats:
    """[node, class] milli that pods of one class alone could have."""
    fitting = np.array(whole[:, None] // classes.gpus, dtype=float)
    shares = classes.shares >= 0
    if shares.any():
        fitting[:, shares] = classes.fitting[fleet.left].sum(axis=1)[:, classes.shares[shares]]
    found: Floats = np.minimum(fitting, _by_cpu(fleet, classes)) * classes.capacity[fleet.product]
    return found


def _in_sets(fleet: Fleet, whole: Counts, classes: Classes) -> Floats:
    """[node] milli that pods of one set size can have, on average over their classes."""
    if not classes.weight.size or not whole.any():
        return np.zeros(len(whole))
    fitting = np.minimum(whole[:, None] // classes.gpus, np.floor(_by_cpu(fleet, classes)))
    found: Floats = (fitting * classes.capacity[fleet.product]) @ classes.weight
    return found


def _by_cpu(fleet: Fleet, classes: Classes) -> Floats:
    """[node, class] how many pods the CPU lasts for."""
    found = np.full((len(fleet.cpu_milli), len(classes.cpu_milli)), np.inf)
    np.divide(fleet.cpu_milli[:, None], classes.cpu_milli, out=found, where=classes.cpu_milli > 0)
    return found
