"""Hopper: MIG mode switches without a reset, and is forgotten at a reboot."""

from __future__ import annotations

from partita_plugins.backends.catalog import engines
from partita_plugins.backends.catalog.parts import SEVEN_SLICES, Part, profiles
from partita_plugins.model.gpu import Architecture

H100_80GB = Part(
    product="NVIDIA H100 80GB HBM3",
    pci_device_id=0x2330,
    architecture=Architecture.HOPPER,
    compute_capability="9.0",
    memory_mib=81559,
    multiprocessors=132,
    profiles=profiles(
        SEVEN_SLICES,
        (
            ("1g.10gb", 9984, 16),
            ("1g.10gb+me", 9984, 16),
            ("1g.20gb", 20096, 26),
            ("2g.20gb", 20096, 32),
            ("3g.40gb", 40448, 60),
            ("4g.40gb", 40448, 64),
            ("7g.80gb", 81152, 132),
        ),
    ),
    engines=engines.HOPPER,
)

H200_141GB = Part(
    product="NVIDIA H200",
    pci_device_id=0x2335,
    architecture=Architecture.HOPPER,
    compute_capability="9.0",
    memory_mib=143771,
    multiprocessors=132,
    profiles=profiles(
        SEVEN_SLICES,
        (
            ("1g.18gb", 16384, 16),
            ("1g.18gb+me", 16384, 16),
            ("1g.35gb", 33024, 26),
            ("2g.35gb", 33024, 32),
            ("3g.71gb", 71168, 60),
            ("4g.71gb", 71168, 64),
            ("7g.141gb", 143360, 132),
        ),
    ),
    engines=engines.HOPPER,
)
