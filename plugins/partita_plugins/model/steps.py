"""Steps that change the hardware, as values: what is journalled before it is done, and undone from the journal alone.

A step names its target by GPU UUID, profile and placement, never by an id that the hardware gives out: a step whose
result was lost in a crash can still be found and undone.
"""

from __future__ import annotations

import msgspec

from partita_plugins.model.mig import Placement


class EnableMig(msgspec.Struct, frozen=True, tag="enable-mig"):
    """Switch a GPU to MIG mode. Undo: switch it off, unless instances remain."""

    gpu_uuid: str


class _AtPlacement(msgspec.Struct, frozen=True):
    gpu_uuid: str
    profile_id: int
    start: int
    size: int

    @property
    def placement(self) -> Placement:
        return Placement(self.start, self.size)


class CreateGpuInstance(_AtPlacement, frozen=True, tag="create-gpu-instance"):
    """Make a GPU instance at a placement. Undo: destroy the one found there."""


class CreateComputeInstance(_AtPlacement, frozen=True, tag="create-compute-instance"):
    """Make the one compute instance that fills a GPU instance. Undo: destroy it."""


class SetTimeSlice(msgspec.Struct, frozen=True, tag="set-time-slice"):
    """Set how long a client of a shared GPU computes before the next. Undo: the driver's default."""

    gpu_uuid: str
    interval: str


class SetExclusiveProcess(msgspec.Struct, frozen=True, tag="set-exclusive-process"):
    """Let one process compute on a GPU, which is the MPS server. Undo: compute mode DEFAULT."""

    gpu_uuid: str


class MakeMpsFolders(msgspec.Struct, frozen=True, tag="make-mps-folders"):
    """Make the folders that a claim's MPS daemon shares with its clients. Undo: remove them with their content."""

    gpu_uuid: str


class RunMpsDaemon(msgspec.Struct, frozen=True, tag="run-mps-daemon"):
    """Let the claim's MPS control daemon run on a GPU, under these limits. Undo: no daemon of the claim."""

    gpu_uuid: str
    memory_mib: int | None = None
    """What each client may allocate; None: all that there is."""

    active_thread_percentage: int | None = None
    """What each client may use of the multiprocessors; None: all of them."""


Step = (
    EnableMig
    | CreateGpuInstance
    | CreateComputeInstance
    | SetTimeSlice
    | SetExclusiveProcess
    | MakeMpsFolders
    | RunMpsDaemon
)
