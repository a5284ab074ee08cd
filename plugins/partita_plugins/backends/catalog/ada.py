"""Ada: no MIG, no NVLink."""

from __future__ import annotations

from partita_plugins.backends.catalog.parts import Part
from partita_plugins.model.gpu import Architecture

L40S = Part(
    product="NVIDIA L40S",
    pci_device_id=0x26B9,
    architecture=Architecture.ADA,
    compute_capability="8.9",
    memory_mib=46068,
    multiprocessors=142,
)
