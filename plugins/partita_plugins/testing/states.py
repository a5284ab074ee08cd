"""Machines of the catalog as scorers see them, for their tests and for hack/bench."""

from __future__ import annotations

from collections.abc import Collection

from partita_plugins.backends.catalog import machine
from partita_plugins.contracts import GpuState, NodeState, Outcome
from partita_plugins.model.topology import PCIE_LETTERS, Topology


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
            )
            for slot in slots
        }
    )


def whole(name: str, *slots: int, held: Collection[int] = ()) -> Outcome:
    """Giving whole GPUs of such a machine to a pod."""
    before, after = node_state(name, held), node_state(name, {*held, *slots})
    return Outcome(before=before, after=after, slots=slots, whole=slots, asked_mib=0, granted_mib=0)
