"""The command line of simulated hardware: what a person's hands would do to a real machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from partita_plugins.backends import catalog
from partita_plugins.backends.simulated.faults import (
    REPORTS,
    SM_EFFECTS,
    BrokenLink,
    Fault,
    FaultyMultiprocessor,
    GpuLost,
    HungCall,
    MissingMultiprocessor,
    Report,
    SelfReport,
    SmEffect,
    StuckBit,
    StuckLine,
    WrongMemorySize,
    Xid,
)
from partita_plugins.backends.simulated.machine import SimulatedMachine, build_machine, existing_machine
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


state_option = click.option(
    "--state",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="State folder of the simulated machine.",
)
gpu_option = click.option(
    "--gpu", required=True, metavar="GPU", help="GPU by UUID, PCI address (0000:07:00.0), or number in NVML's order."
)
slice_option = click.option(
    "--slice", "memory_slice", type=click.IntRange(0), help="Only devices that cover this memory slice."
)


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
    machine.switch_mig(_uuid(machine, gpu), enabled=mode == "on")
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


@main.group()
def fault() -> None:
    """Plant a fault. Prints the id that lifts it."""


@fault.command()
@state_option
@gpu_option
@click.option("--xid", default=79, show_default=True, type=click.IntRange(1), help="XID error code.")
@click.option("--message", default="", help="What the driver would log.")
@click.option("--slice", "start", type=click.IntRange(0), help="Memory slice of the instance it happens in.")
def xid(state: Path, gpu: str, xid: int, message: str, start: int | None) -> None:
    """The GPU reports an XID error."""
    machine = existing_machine(state)
    _plant(machine, Xid(gpu_uuid=_uuid(machine, gpu), xid=xid, message=message, start=start))


@fault.command()
@state_option
@gpu_option
@click.option("--report", required=True, type=click.Choice(REPORTS), help="What it says.")
@click.option("--slice", "start", type=click.IntRange(0), help="Faulty memory slice; without it the GPU names none.")
def self_report(state: Path, gpu: str, report: Report, start: int | None) -> None:
    """The GPU's own state reports a fault. A reset or a reboot heals what it mends on real hardware."""
    machine = existing_machine(state)
    _plant(machine, SelfReport(gpu_uuid=_uuid(machine, gpu), report=report, start=start))


@fault.command()
@state_option
@gpu_option
def gpu_lost(state: Path, gpu: str) -> None:
    """The GPU falls off the bus."""
    machine = existing_machine(state)
    _plant(machine, GpuLost(gpu_uuid=_uuid(machine, gpu)))


@fault.command()
@state_option
@gpu_option
@click.option("--word", required=True, type=click.IntRange(0), help="Address in 32-bit words, of the whole GPU.")
@click.option("--bit", default=0, show_default=True, type=click.IntRange(0, 31))
@click.option("--value", default=1, show_default=True, type=click.IntRange(0, 1), help="What it always reads.")
def stuck_bit(state: Path, gpu: str, word: int, bit: int, value: int) -> None:
    """One bit of memory always reads the same: only devices that cover the address are hit."""
    machine = existing_machine(state)
    _plant(machine, StuckBit(gpu_uuid=_uuid(machine, gpu), word=word, bit=bit, value=value))


@fault.command()
@state_option
@gpu_option
@click.option("--line", required=True, type=click.IntRange(2, 63), help="Bit of the word address.")
def stuck_line(state: Path, gpu: str, line: int) -> None:
    """One address line is always 0: memory above it is an image of what lies below."""
    machine = existing_machine(state)
    _plant(machine, StuckLine(gpu_uuid=_uuid(machine, gpu), line=line))


@fault.command()
@state_option
@gpu_option
@click.option("--peer", required=True, metavar="GPU", help="The GPU at the other end.")
def broken_link(state: Path, gpu: str, peer: str) -> None:
    """What two GPUs copy to each other arrives with one bit wrong."""
    machine = existing_machine(state)
    _plant(machine, BrokenLink(gpu_uuid=_uuid(machine, gpu), peer_uuid=_uuid(machine, peer)))


@fault.command()
@state_option
@gpu_option
@click.option("--effect", required=True, type=click.Choice(SM_EFFECTS), help="How it goes wrong.")
@click.option("--multiprocessor", default=0, show_default=True, type=click.IntRange(0), help="Which one.")
@slice_option
def faulty_multiprocessor(
    state: Path, gpu: str, effect: SmEffect, multiprocessor: int, memory_slice: int | None
) -> None:
    """One multiprocessor computes wrongly: only a validator that runs kernels can tell."""
    machine = existing_machine(state)
    planted = FaultyMultiprocessor(
        gpu_uuid=_uuid(machine, gpu), effect=effect, multiprocessor=multiprocessor, memory_slice=memory_slice
    )
    _plant(machine, planted)


@fault.command()
@state_option
@gpu_option
@click.option("--call", default="*", show_default=True, help='Backend call, as "create_gpu_instance"; "*" for all.')
def hung_call(state: Path, gpu: str, call: str) -> None:
    """Calls on the GPU do not come back until the fault is lifted."""
    machine = existing_machine(state)
    _plant(machine, HungCall(gpu_uuid=_uuid(machine, gpu), call=call))


@fault.command()
@state_option
@gpu_option
@click.option("--missing-mib", default=1024, show_default=True, type=click.IntRange(1))
@slice_option
def wrong_memory_size(state: Path, gpu: str, missing_mib: int, memory_slice: int | None) -> None:
    """Programs see less memory than was promised."""
    machine = existing_machine(state)
    uuid = _uuid(machine, gpu)
    _plant(machine, WrongMemorySize(gpu_uuid=uuid, missing_mib=missing_mib, memory_slice=memory_slice))


@fault.command()
@state_option
@gpu_option
@click.option("--count", default=1, show_default=True, type=click.IntRange(1))
@slice_option
def missing_multiprocessor(state: Path, gpu: str, count: int, memory_slice: int | None) -> None:
    """Programs see fewer multiprocessors than were promised."""
    machine = existing_machine(state)
    _plant(machine, MissingMultiprocessor(gpu_uuid=_uuid(machine, gpu), count=count, memory_slice=memory_slice))


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
    machine.reset(_uuid(machine, gpu))
    click.echo("reset")


@main.command()
@state_option
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def show(state: Path, as_json: bool) -> None:
    """GPUs, MIG instances, clients and faults as they are now."""
    machine = existing_machine(state)
    click.echo(json.dumps(describe(machine)) if as_json else draw(machine))


def _plant(machine: SimulatedMachine, planted: Fault) -> None:
    click.echo(machine.faults.plant(planted))


def _uuid(machine: SimulatedMachine, gpu: str) -> str:
    for index, one in enumerate(machine.hardware.gpus):
        if gpu.lower() in (one.uuid.lower(), one.pci_bus_id, str(index)):
            return one.uuid
    raise click.BadParameter(f"no GPU {gpu!r}; `show` lists them", param_hint="--gpu")
