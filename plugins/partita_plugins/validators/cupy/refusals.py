"""CUDA's error codes (driver_types.h) that say something of the node or of who else is there, not of the device."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from partita_plugins.errors import NvmlCode
from partita_plugins.validators.cuda.port import DeviceFailed, Unavailable

OUT_OF_MEMORY = 2
ALREADY_ENABLED = 704

_OLD = (
    NvmlCode.FUNCTION_NOT_FOUND,
    "install or update NVIDIA's driver on the node: CuPy for CUDA 12 needs 525 or newer",
)
_DAMAGED = (NvmlCode.NOT_SUPPORTED, "the compiled kernels are damaged: run hack/kernels, or pull the image anew")
_GONE = (NvmlCode.NOT_FOUND, "")

REFUSALS: Mapping[int, tuple[NvmlCode, str]] = MappingProxyType(
    {
        OUT_OF_MEMORY: (NvmlCode.INSUFFICIENT_RESOURCES, "somebody else has the GPU's memory: see nvidia-smi"),
        3: (NvmlCode.NOT_READY, "nvidia-smi must work on the node, and /dev/nvidia-uvm be there: nvidia-modprobe -u"),
        34: (NvmlCode.LIBRARY_NOT_FOUND, "libcuda.so.1 is the toolkit's stub: install NVIDIA's driver on the node"),
        35: _OLD,
        36: _OLD,
        46: (NvmlCode.IN_USE, "somebody else computes on the GPU, which is in exclusive mode: see nvidia-smi"),
        100: _GONE,
        101: _GONE,
        200: _DAMAGED,
        209: (NvmlCode.NOT_SUPPORTED, "the kernels were not built for this GPU: run hack/kernels"),
        218: _DAMAGED,
        221: (NvmlCode.LIBRARY_NOT_FOUND, "install libnvidia-ptxjitcompiler.so.1 of NVIDIA's driver on the node"),
        222: _OLD,
        301: _DAMAGED,
        304: (NvmlCode.NO_PERMISSION, "look for /dev/nvidia* in the driver's container, and that it is privileged"),
        802: (NvmlCode.NOT_READY, "start NVIDIA's fabric manager: systemctl status nvidia-fabricmanager"),
        803: (NvmlCode.LIB_RM_VERSION_MISMATCH, ""),
        804: _OLD,
        999: (NvmlCode.UNKNOWN, "look for NVRM lines in the kernel log; reload nvidia-uvm"),
    }
)


def as_unavailable(error: DeviceFailed) -> Exception:
    """What an error means while devices are opened: the node's, or (itself) the device's."""
    if error.code not in REFUSALS:
        return error
    code, advice = REFUSALS[error.code]
    return Unavailable(code, str(error), advice)
