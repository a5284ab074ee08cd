"""Ampere: the first MIG. 98 of an A100's 108 multiprocessors are usable with MIG on."""

from __future__ import annotations

from partita_plugins.backends.catalog import engines
from partita_plugins.backends.catalog.parts import FOUR_SLICES, SEVEN_SLICES, Part, profiles
from partita_plugins.model.gpu import Architecture

A100_40GB_PROFILES = profiles(
    SEVEN_SLICES,
    (
        ("1g.5gb", 4864, 14),
        ("1g.5gb+me", 4864, 14),
        ("1g.10gb", 9856, 14),
        ("2g.10gb", 9856, 28),
        ("3g.20gb", 19968, 42),
        ("4g.20gb", 19968, 56),
        ("7g.40gb", 40192, 98),
    ),
)

A100_80GB_PROFILES = profiles(
    SEVEN_SLICES,
    (
        ("1g.10gb", 9728, 14),
        ("1g.10gb+me", 9728, 14),
        ("1g.20gb", 19968, 14),
        ("2g.20gb", 19968, 28),
        ("3g.40gb", 40192, 42),
        ("4g.40gb", 40192, 56),
        ("7g.80gb", 80384, 98),
    ),
)

A30_PROFILES = profiles(
    FOUR_SLICES,
    (
        ("1g.6gb", 5952, 14),
        ("1g.6gb+me", 5952, 14),
        ("2g.12gb", 11968, 28),
        ("2g.12gb+me", 11968, 28),
        ("4g.24gb", 24064, 56),
    ),
)

A100_SXM4_40GB = Part(
    product="NVIDIA A100-SXM4-40GB",
    pci_device_id=0x20B0,
    architecture=Architecture.AMPERE,
    compute_capability="8.0",
    memory_mib=40960,
    multiprocessors=108,
    profiles=A100_40GB_PROFILES,
    engines=engines.A100,
)

A100_SXM4_80GB = Part(
    product="NVIDIA A100-SXM4-80GB",
    pci_device_id=0x20B2,
    architecture=Architecture.AMPERE,
    compute_capability="8.0",
    memory_mib=81920,
    multiprocessors=108,
    profiles=A100_80GB_PROFILES,
    engines=engines.A100,
)

A100_PCIE_80GB = Part(
    product="NVIDIA A100 80GB PCIe",
    pci_device_id=0x20B5,
    architecture=Architecture.AMPERE,
    compute_capability="8.0",
    memory_mib=81920,
    multiprocessors=108,
    profiles=A100_80GB_PROFILES,
    engines=engines.A100,
)

A30 = Part(
    product="NVIDIA A30",
    pci_device_id=0x20B7,
    architecture=Architecture.AMPERE,
    compute_capability="8.0",
    memory_mib=24576,
    multiprocessors=56,
    profiles=A30_PROFILES,
    engines=engines.A30,
)
