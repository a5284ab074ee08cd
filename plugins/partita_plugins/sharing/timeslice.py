"""Shared GPUs: claims take turns, each for a time slice."""

from __future__ import annotations

from collections.abc import Mapping

from partita_plugins.contracts import ShareRequest
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import OfferedDevice
from partita_plugins.model.steps import SetTimeSlice, Step


class Timeslice:
    """SharingStrategy for SHARED devices. Memory is accounted by the scheduler; the hardware does not enforce it."""

    name = "timeslice"

    def steps(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> tuple[Step, ...]:
        """The length of the turns."""
        return (SetTimeSlice(gpus[device.slots[0]].uuid, share.time_slice),)

    def environment(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> dict[str, str]:
        """TIME_SLICE, and the MEMORY_MIB that the claim was granted: all of the GPU's where none was named."""
        granted = share.memory_mib if share.memory_mib is not None else gpus[device.slots[0]].memory_mib
        return {"TIME_SLICE": share.time_slice, "MEMORY_MIB": str(granted)}
