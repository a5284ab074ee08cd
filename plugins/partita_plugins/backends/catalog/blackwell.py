"""Blackwell: data-centre parts on the seven-slice axis, RTX PRO on an axis of twelve units.

Inferred rows were not found published; they follow Hopper: a half is twice a quarter plus 256 MiB, the whole is twice
a half plus 256 MiB; 4g has four times the multiprocessors of 1g, 3g two fewer than 4g, 7g all of them.
"""

from __future__ import annotations

from partita_plugins.backends.catalog import engines
from partita_plugins.backends.catalog.parts import SEVEN_SLICES, TWELVE_UNITS, Part, profiles
from partita_plugins.model.gpu import Architecture

B200_180GB = Part(
    product="NVIDIA B200",
    pci_device_id=0x2901,
    architecture=Architecture.BLACKWELL,
    compute_capability="10.0",
    memory_mib=183359,
    multiprocessors=148,
    profiles=profiles(
        SEVEN_SLICES,
        (
            ("1g.23gb", 22528, 18),
            ("1g.23gb+me", 22528, 18),
            ("1g.45gb", 45312, 30),
            ("2g.45gb", 45312, 36),
            ("3g.90gb", 90880, 70),  # inferred
            ("4g.90gb", 90880, 72),  # inferred
            ("7g.180gb", 182016, 148),  # inferred
        ),
    ),
    engines=engines.B200,
)

GB200_186GB = Part(
    product="NVIDIA GB200",
    pci_device_id=0x2941,
    architecture=Architecture.BLACKWELL,
    compute_capability="10.0",
    memory_mib=189471,
    multiprocessors=152,
    profiles=profiles(
        SEVEN_SLICES,
        (
            ("1g.23gb", 22528, 18),
            ("1g.23gb+me", 22528, 18),
            ("1g.47gb", 46592, 32),
            ("2g.47gb", 46592, 38),
            ("3g.93gb", 93440, 70),  # inferred
            ("4g.93gb", 93440, 72),  # inferred
            ("7g.186gb", 187136, 152),  # inferred
        ),
    ),
    engines=engines.B200,
)

RTX_PRO_6000 = Part(
    product="NVIDIA RTX PRO 6000 Blackwell Server Edition",
    pci_device_id=0x2BB5,
    architecture=Architecture.BLACKWELL,
    compute_capability="12.0",
    memory_mib=97887,
    multiprocessors=188,
    profiles=profiles(
        TWELVE_UNITS,
        (
            ("1g.24gb", 24192, 46),
            ("1g.24gb+me", 24192, 46),
            ("1g.24gb+gfx", 24192, 46),
            ("1g.24gb-me", 24192, 46),
            ("1g.24gb+me.all", 24192, 46),
            ("2g.48gb", 48512, 94),
            ("2g.48gb+gfx", 48512, 94),
            ("2g.48gb-me", 48512, 94),
            ("2g.48gb+me.all", 48512, 94),
            ("4g.96gb", 97408, 188),
            ("4g.96gb+gfx", 97408, 188),
        ),
    ),
    engines=engines.RTX_PRO_6000,
)
