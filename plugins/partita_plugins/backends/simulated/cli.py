"""The command line of simulated hardware: what a person's hands would do to a real machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from partita_plugins.backends import catalog
from partita_plugins.backends.simulated.cli_faults import fault
from partita_plugins.backends.simulated.cli_options import gpu_option, gpu_uuid, state_option
from partita_plugins.backends.simulated.machine import build_machine, existing_machine
from partita_plugins.backends.simulated.options import Delays
from partita_plugins.backends.simulated.records import MachineRecord
from partita_plugins.backends.simulated.show import describe, draw
from partita_plugins.errors import PartitaError


class Commands(click.Group):
    """A group whose errors are one line with the advice, not a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PartitaError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands)
def main() -> None:
    """Break, mend and look at simulated GPUs. Any process sees the change at its next call."""


@main.command()
@click.option("--state", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new folder.")
@click.option("--machine", required=True, type=click.Choice(catalog.names()), help="Name in the catalog.")
@click.option("--seed", required=True, help="Makes the UUIDs: the node's name, as its driver gives it.")
@click.option("--shuffle-minors", is_flag=True, help="/dev/nvidiaN in no order, and changing.")
def make(state: Path, machine: str, seed: str, shuffle_minors: bool) -> None:
    """Make a machine before any driver opens it."""
    build_machine(state, MachineRecord(machine=machine, seed=seed, shuffle_minors=shuffle_minors))
    click.echo(f"made {machine}")


@main.command()
@state_option
@gpu_option
@click.argument("mode", type=click.Choice(["on", "off"]))
def mig(state: Path, gpu: str, mode: str) -> None:
    """Switch MIG mode as an administrator does, with the reset that Ampere needs."""
    machine = existing_machine(state)
    machine.switch_mig(gpu_uuid(machine, gpu), enabled=mode == "on")
    click.echo(f"MIG is {mode}")


@main.command()
@state_option
@click.option("--create", default=0.0, show_default=True, type=click.FloatRange(0), help="Of each instance made.")
@click.option("--destroy", default=0.0, show_default=True, type=click.FloatRange(0), help="Of each one destroyed.")
@click.option("--query", default=0.0, show_default=True, type=click.FloatRange(0), help="Of what only looks.")
def delays(state: Path, create: float, destroy: float, query: float) -> None:
    """Make calls take their time, in seconds, in every process that opens the machine from now on."""
    existing_machine(state).set_delays(
        Delays(create_seconds=create, destroy_seconds=destroy, query_seconds=query),
    )
    click.echo(f"create {create:g} s, destroy {destroy:g} s, query {query:g} s")


@main.command()
@state_option
@click.argument("fault_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Lift every fault of the machine.")
def lift(state: Path, fault_ids: tuple[str, ...], everything: bool) -> None:
    """Heal faults by id."""
    machine = existing_machine(state)
    if not fault_ids and not everything:
        raise click.UsageError("name the faults to lift, or give --all; `show` lists them")
    for fault_id in machine.faults.all() if everything else fault_ids:
        machine.faults.lift(fault_id)
        click.echo(f"lifted {fault_id}")


@main.command()
@state_option
def reboot(state: Path) -> None:
    """Reboot the machine: MIG instances and device nodes are lost, MIG mode too except on Ampere."""
    existing_machine(state).reboot()
    click.echo("rebooted")


@main.command()
@state_option
@gpu_option
def reset(state: Path, gpu: str) -> None:
    """Reset a GPU: a pending MIG mode becomes current, its instances are lost."""
    machine = existing_machine(state)
    machine.reset(gpu_uuid(machine, gpu))
    click.echo("reset")


@main.command()
@state_option
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def show(state: Path, as_json: bool) -> None:
    """GPUs, MIG instances, clients and faults as they are now."""
    machine = existing_machine(state)
    click.echo(json.dumps(describe(machine)) if as_json else draw(machine))


main.add_command(fault)
