"""GPUs under MPS: a daemon of the claim's own lets its programs compute at the same time, each within its limits."""

from __future__ import annotations

from collections.abc import Mapping

from partita_plugins.contracts import ShareRequest
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.offer import DeviceKind, OfferedDevice
from partita_plugins.model.steps import MakeMpsFolders, RunMpsDaemon, SetExclusiveProcess, SetTimeSlice, Step


class Mps:
    """SharingStrategy for GPU and SHARED devices under MPS."""

    name = "mps"

    def steps(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> tuple[Step, ...]:
        """How the GPU is shared with other claims, then the daemon.

        Of a whole GPU nobody but the daemon's server may have a context, so no program gets round it. On a shared GPU
        other claims compute too: the compute mode stays, and their turns and the server's have one length.
        """
        gpu = gpus[device.slots[0]]
        shared = device.kind is DeviceKind.SHARED
        others: Step = SetTimeSlice(gpu.uuid, share.time_slice) if shared else SetExclusiveProcess(gpu.uuid)
        limit = _granted_mib(gpu, share) if shared else None
        daemon = RunMpsDaemon(gpu.uuid, memory_mib=limit, active_thread_percentage=share.active_thread_percentage)
        return (others, MakeMpsFolders(gpu.uuid), daemon)

    def environment(self, device: OfferedDevice, gpus: Mapping[int, Gpu], share: ShareRequest) -> dict[str, str]:
        """SHARING, the MEMORY_MIB that each program may allocate, and ACTIVE_THREAD_PERCENTAGE."""
        gpu = gpus[device.slots[0]]
        return {
            "SHARING": "MPS",
            "MEMORY_MIB": str(_granted_mib(gpu, share)),
            "ACTIVE_THREAD_PERCENTAGE": str(share.active_thread_percentage or 100),
        }


def _granted_mib(gpu: Gpu, share: ShareRequest) -> int:
    return share.memory_mib if share.memory_mib is not None else gpu.memory_mib
