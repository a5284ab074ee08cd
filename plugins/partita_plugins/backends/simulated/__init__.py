"""Simulated GPUs: NVML's behaviour over state on disk, with faults that any process can plant.

open_backend(Path("/var/lib/simulated"), "hgx-h100", seed="node-a") is a DeviceBackend and a MemoryBackend. A second
call on the same folder, in this process or another, finds what the first one made: hardware outlives processes.

python -m partita_plugins.backends.simulated --help     plants and lifts faults, reboots, resets, shows
"""

from __future__ import annotations

from pathlib import Path

from partita_plugins.backends.simulated.backend import SimulatedBackend
from partita_plugins.backends.simulated.faults import (
    BrokenLink,
    Fault,
    FaultFolder,
    FaultyMultiprocessor,
    GpuLost,
    HungCall,
    MissingMultiprocessor,
    SelfReport,
    StuckBit,
    StuckLine,
    WrongMemorySize,
    Xid,
)
from partita_plugins.backends.simulated.machine import build_machine, existing_machine
from partita_plugins.backends.simulated.options import WORDS_PER_GPU, Delays
from partita_plugins.backends.simulated.records import MachineRecord

__all__ = [
    "BrokenLink",
    "Delays",
    "Fault",
    "FaultFolder",
    "FaultyMultiprocessor",
    "GpuLost",
    "HungCall",
    "MissingMultiprocessor",
    "SelfReport",
    "SimulatedBackend",
    "StuckBit",
    "StuckLine",
    "WrongMemorySize",
    "Xid",
    "open_backend",
    "open_existing",
]


def open_backend(
    state_dir: Path,
    machine: str,
    *,
    seed: str,
    delays: Delays | None = None,
    shuffle_minors: bool = False,
    words: int = WORDS_PER_GPU,
) -> SimulatedBackend:
    """A backend over the machine in a state folder; a new folder gets the named machine of the catalog.

    `seed` makes the UUIDs: the node's name, so that two nodes never share one. With `shuffle_minors` the N of
    /dev/nvidiaN follows no order and changes on mode switches, resets and reboots. `words` is how many 32-bit words
    of each GPU's memory are real. Without `delays` those of the folder count. Raises InvalidInput for an unknown
    machine or a folder that holds another one.
    """
    record = MachineRecord(machine=machine, seed=seed, shuffle_minors=shuffle_minors)
    built = build_machine(state_dir, record)
    return SimulatedBackend(built, delays=delays or built.delays, words=words)


def open_existing(
    state_dir: Path,
    *,
    delays: Delays | None = None,
    words: int = WORDS_PER_GPU,
) -> SimulatedBackend:
    """A backend over whatever machine the folder holds. InvalidInput if it holds none."""
    found = existing_machine(state_dir)
    return SimulatedBackend(found, delays=delays or found.delays, words=words)
