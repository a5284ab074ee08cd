"""Volta: before MIG."""

from __future__ import annotations

from partita_plugins.backends.catalog.parts import Part
from partita_plugins.model.gpu import Architecture

V100_SXM2_32GB = Part(
    product="Tesla V100-SXM2-32GB",
    pci_device_id=0x1DB5,
    architecture=Architecture.VOLTA,
    compute_capability="7.0",
    memory_mib=32768,
    multiprocessors=80,
)

V100_SXM3_32GB = Part(
    product="Tesla V100-SXM3-32GB",
    pci_device_id=0x1DB8,
    architecture=Architecture.VOLTA,
    compute_capability="7.0",
    memory_mib=32768,
    multiprocessors=80,
)
"""Of the DGX-2."""
