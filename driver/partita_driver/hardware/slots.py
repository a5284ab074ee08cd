"""Slots: numbers that GPUs keep for life, so that a lost GPU shifts nobody's counters."""

from __future__ import annotations

from collections.abc import Mapping

from partita_plugins.model.gpu import NodeHardware
from partita_plugins.model.offer import SlottedHardware


def give_slots(known: Mapping[str, int], hardware: NodeHardware) -> dict[str, int]:
    """Slots by PCI address: those known, then the lowest ones never given, by address, to GPUs seen first now."""
    slots = dict(known)
    free = 0
    for address in sorted(gpu.pci_bus_id for gpu in hardware.gpus):
        if address not in slots:
            while free in slots.values():
                free += 1
            slots[address] = free
    return slots


def slotted(slots: Mapping[str, int], hardware: NodeHardware) -> SlottedHardware:
    """The hardware under its slots, all of which must have been given."""
    return SlottedHardware(hardware=hardware, slots=tuple(slots[gpu.pci_bus_id] for gpu in hardware.gpus))
