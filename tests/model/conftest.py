"""Every machine of the catalog with all that it could offer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from partita_plugins.backends import catalog
from partita_plugins.model.offer import Offer, SlottedHardware

EVERYTHING = Offer(
    whole=True,
    shared=True,
    mig_shapes=frozenset({"1g", "1g-double", "2g", "3g", "4g", "7g"}),
    group_sizes=frozenset({2, 4, 8}),
    monitor=True,
)


def slotted(name: str, slots: tuple[int, ...] | None = None, *, resetless: bool = True) -> SlottedHardware:
    """A machine with its GPUs in slots: 0, 1, 2, ... unless said otherwise.

    Resetless: as if no GPU needed a reset to switch MIG mode, so that everything can be offered at once.
    """
    hardware = catalog.machine(name, seed="node-a")
    if resetless:
        gpus = [replace(g, mig=g.mig and replace(g.mig, mode_needs_reset=False)) for g in hardware.gpus]
        hardware = replace(hardware, gpus=tuple(gpus))
    return SlottedHardware(hardware=hardware, slots=slots or tuple(range(len(hardware.gpus))))


@pytest.fixture(params=catalog.names())
def node(request: pytest.FixtureRequest) -> SlottedHardware:
    """Each machine in turn."""
    return slotted(request.param)
