"""What the commands have in common: which machine, and which of its GPUs."""

from __future__ import annotations

from pathlib import Path

import click

from partita_plugins.backends.simulated.machine import SimulatedMachine

state_option = click.option(
    "--state",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="State folder of the simulated machine.",
)
gpu_option = click.option(
    "--gpu", required=True, metavar="GPU", help="GPU by UUID, PCI address (0000:07:00.0), or number in NVML's order."
)


def gpu_uuid(machine: SimulatedMachine, gpu: str) -> str:
    """The GPU that was meant. Raises BadParameter where there is none."""
    for index, one in enumerate(machine.hardware.gpus):
        if gpu.lower() in (one.uuid.lower(), one.pci_bus_id, str(index)):
            return one.uuid
    raise click.BadParameter(f"no GPU {gpu!r}; `show` lists them", param_hint="--gpu")
