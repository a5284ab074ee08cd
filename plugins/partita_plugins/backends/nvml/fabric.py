"""Where a GPU stands in the fabric of its NVSwitches (nvmlDeviceGetGpuFabricInfoV; Hopper and later)."""

from __future__ import annotations

import uuid
from ctypes import byref
from typing import Any

import pynvml

from partita_plugins.backends.nvml.answers import NOT_THERE
from partita_plugins.model.gpu import Fabric, FabricState

STATES = {
    pynvml.NVML_GPU_FABRIC_STATE_NOT_STARTED: FabricState.NOT_STARTED,
    pynvml.NVML_GPU_FABRIC_STATE_IN_PROGRESS: FabricState.IN_PROGRESS,
    pynvml.NVML_GPU_FABRIC_STATE_COMPLETED: FabricState.COMPLETED,
}


def fabric(handle: Any) -> Fabric | None:
    """The fabric's word on a GPU; None where it is on none or its generation does not tell."""
    found = _info(handle)
    if found is None or found.state not in STATES:
        return None
    state = STATES[found.state]
    cluster = bytes(found.clusterUuid)
    return Fabric(
        state=state,
        cluster_uuid=str(uuid.UUID(bytes=cluster)) if any(cluster) else "",
        clique_id=found.cliqueId,
        failed=state is FabricState.COMPLETED and found.status != pynvml.NVML_SUCCESS,
    )


def _info(handle: Any) -> Any | None:
    """The newest version of the struct that the driver knows."""
    for struct in (pynvml.c_nvmlGpuFabricInfo_v3_t, pynvml.c_nvmlGpuFabricInfo_v2_t):
        found = struct()
        try:
            pynvml.nvmlDeviceGetGpuFabricInfoV(handle, byref(found))
        except pynvml.NVMLError as error:
            if error.value not in NOT_THERE:
                raise
        else:
            return found
    return None
