"""What the simulated hardware remembers, as frozen values that are stored as JSON: one file a machine, one a GPU."""

from __future__ import annotations

import msgspec

from partita_plugins.model.instances import ComputeInstance, ComputeMode, GpuInstance
from partita_plugins.model.mig import Placement


class MachineRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which machine a state folder holds."""

    machine: str
    """Name in the catalog."""

    seed: str
    shuffle_minors: bool = False


class ComputeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A compute instance and the processes on it."""

    compute_instance_id: int
    mig_uuid: str
    clients: tuple[str, ...] = ()


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU instance with its compute instances."""

    gpu_instance_id: int
    profile_id: int
    start: int
    size: int
    compute: tuple[ComputeRecord, ...] = ()

    @property
    def placement(self) -> Placement:
        return Placement(self.start, self.size)

    def value(self, gpu_uuid: str) -> GpuInstance:
        """The same as callers of a backend see it."""
        return GpuInstance(
            gpu_uuid=gpu_uuid,
            gpu_instance_id=self.gpu_instance_id,
            profile_id=self.profile_id,
            placement=self.placement,
            compute_instances=tuple(
                ComputeInstance(compute_instance_id=one.compute_instance_id, mig_uuid=one.mig_uuid)
                for one in self.compute
            ),
        )


class GpuRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one GPU that outlives a process."""

    mig_enabled: bool = False
    mig_pending: bool = False
    instances: tuple[InstanceRecord, ...] = ()
    clients: tuple[str, ...] = ()
    """Processes on the GPU itself, outside of any instance."""

    time_slice: str = "Default"
    compute_mode: ComputeMode = ComputeMode.DEFAULT
    made: int = 0
    """Compute instances ever made: each gets a UUID of its own."""

    moves: int = 0
    """Mode switches, resets and reboots so far: each may give /dev/nvidiaN another N."""
