"""MIG partitions: made when a claim is prepared, destroyed when it is given back."""

from __future__ import annotations

from collections.abc import Mapping

from partita_plugins.contracts import ShareRequest
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.mig import MigProfile, Placement
from partita_plugins.model.offer import OfferedDevice
from partita_plugins.model.steps import CreateComputeInstance, CreateGpuInstance, EnableMig, Step


class Mig:
    """SharingStrategy for MIG devices."""

    name = "mig"

    def steps(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> tuple[Step, ...]:  # noqa: ARG002 - the contract's
        """MIG mode, GPU instance, compute instance.

        The first is left out where an administrator has switched the mode on and only a reset could switch it off:
        undoing it would break the pinned GPU. Everywhere else each claim has the step, so that the last one to go
        leaves a GPU that can be used whole.
        """
        profile, placement = _partition(device)
        gpu = gpus[device.slots[0]]
        target = (gpu.uuid, profile.profile_id, placement.start, placement.size)
        mode = () if gpu.mig and gpu.mig.pinned else (EnableMig(gpu.uuid),)
        return (*mode, CreateGpuInstance(*target), CreateComputeInstance(*target))

    def environment(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> dict[str, str]:  # noqa: ARG002 - the contract's
        """PROFILE as NVML names it, and the partition's MEMORY_MIB."""
        profile, _ = _partition(device)
        return {"PROFILE": profile.name, "MEMORY_MIB": str(profile.memory_mib)}


def _partition(device: OfferedDevice) -> tuple[MigProfile, Placement]:
    if device.profile is None or device.placement is None:
        raise ValueError("a MIG device has a profile and a placement")
    return device.profile, device.placement
