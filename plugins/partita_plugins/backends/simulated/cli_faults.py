"""The commands that plant faults."""

from __future__ import annotations

from pathlib import Path

import click

from partita_plugins.backends.simulated.cli_options import gpu_option, gpu_uuid, state_option
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
from partita_plugins.backends.simulated.machine import SimulatedMachine, existing_machine

slice_option = click.option(
    "--slice", "memory_slice", type=click.IntRange(0), help="Only devices that cover this memory slice."
)


@click.group()
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
    _plant(machine, Xid(gpu_uuid=gpu_uuid(machine, gpu), xid=xid, message=message, start=start))


@fault.command()
@state_option
@gpu_option
@click.option("--report", required=True, type=click.Choice(REPORTS), help="What it says.")
@click.option("--slice", "start", type=click.IntRange(0), help="Faulty memory slice; without it the GPU names none.")
def self_report(state: Path, gpu: str, report: Report, start: int | None) -> None:
    """The GPU's own state reports a fault. A reset or a reboot heals what it mends on real hardware."""
    machine = existing_machine(state)
    _plant(machine, SelfReport(gpu_uuid=gpu_uuid(machine, gpu), report=report, start=start))


@fault.command()
@state_option
@gpu_option
def gpu_lost(state: Path, gpu: str) -> None:
    """The GPU falls off the bus."""
    machine = existing_machine(state)
    _plant(machine, GpuLost(gpu_uuid=gpu_uuid(machine, gpu)))


@fault.command()
@state_option
@gpu_option
@click.option("--word", required=True, type=click.IntRange(0), help="Address in 32-bit words, of the whole GPU.")
@click.option("--bit", default=0, show_default=True, type=click.IntRange(0, 31))
@click.option("--value", default=1, show_default=True, type=click.IntRange(0, 1), help="What it always reads.")
def stuck_bit(state: Path, gpu: str, word: int, bit: int, value: int) -> None:
    """One bit of memory always reads the same: only devices that cover the address are hit."""
    machine = existing_machine(state)
    _plant(machine, StuckBit(gpu_uuid=gpu_uuid(machine, gpu), word=word, bit=bit, value=value))


@fault.command()
@state_option
@gpu_option
@click.option("--line", required=True, type=click.IntRange(2, 63), help="Bit of the word address.")
def stuck_line(state: Path, gpu: str, line: int) -> None:
    """One address line is always 0: memory above it is an image of what lies below."""
    machine = existing_machine(state)
    _plant(machine, StuckLine(gpu_uuid=gpu_uuid(machine, gpu), line=line))


@fault.command()
@state_option
@gpu_option
@click.option("--peer", required=True, metavar="GPU", help="The GPU at the other end.")
def broken_link(state: Path, gpu: str, peer: str) -> None:
    """What two GPUs copy to each other arrives with one bit wrong."""
    machine = existing_machine(state)
    _plant(machine, BrokenLink(gpu_uuid=gpu_uuid(machine, gpu), peer_uuid=gpu_uuid(machine, peer)))


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
        gpu_uuid=gpu_uuid(machine, gpu), effect=effect, multiprocessor=multiprocessor, memory_slice=memory_slice
    )
    _plant(machine, planted)


@fault.command()
@state_option
@gpu_option
@click.option("--call", default="*", show_default=True, help='Backend call, as "create_gpu_instance"; "*" for all.')
def hung_call(state: Path, gpu: str, call: str) -> None:
    """Calls on the GPU do not come back until the fault is lifted."""
    machine = existing_machine(state)
    _plant(machine, HungCall(gpu_uuid=gpu_uuid(machine, gpu), call=call))


@fault.command()
@state_option
@gpu_option
@click.option("--missing-mib", default=1024, show_default=True, type=click.IntRange(1))
@slice_option
def wrong_memory_size(state: Path, gpu: str, missing_mib: int, memory_slice: int | None) -> None:
    """Programs see less memory than was promised."""
    machine = existing_machine(state)
    uuid = gpu_uuid(machine, gpu)
    _plant(machine, WrongMemorySize(gpu_uuid=uuid, missing_mib=missing_mib, memory_slice=memory_slice))


@fault.command()
@state_option
@gpu_option
@click.option("--count", default=1, show_default=True, type=click.IntRange(1))
@slice_option
def missing_multiprocessor(state: Path, gpu: str, count: int, memory_slice: int | None) -> None:
    """Programs see fewer multiprocessors than were promised."""
    machine = existing_machine(state)
    _plant(machine, MissingMultiprocessor(gpu_uuid=gpu_uuid(machine, gpu), count=count, memory_slice=memory_slice))


def _plant(machine: SimulatedMachine, planted: Fault) -> None:
    click.echo(machine.faults.plant(planted))
