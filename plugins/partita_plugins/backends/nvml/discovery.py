"""One GPU as NVML and sysfs describe it."""

from __future__ import annotations

from typing import Any

import pynvml

from partita_plugins.backends.nvml import mig
from partita_plugins.backends.nvml.answers import optional
from partita_plugins.backends.nvml.fabric import fabric
from partita_plugins.backends.nvml.host import Host
from partita_plugins.model.gpu import Architecture, Gpu

ARCHITECTURES = {
    pynvml.NVML_DEVICE_ARCH_VOLTA: Architecture.VOLTA,
    pynvml.NVML_DEVICE_ARCH_TURING: Architecture.TURING,
    pynvml.NVML_DEVICE_ARCH_AMPERE: Architecture.AMPERE,
    pynvml.NVML_DEVICE_ARCH_ADA: Architecture.ADA,
    pynvml.NVML_DEVICE_ARCH_HOPPER: Architecture.HOPPER,
    pynvml.NVML_DEVICE_ARCH_BLACKWELL: Architecture.BLACKWELL,
    pynvml.NVML_DEVICE_ARCH_RUBIN: Architecture.RUBIN,
}

CORES_PER_MULTIPROCESSOR = {(7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}
"""By compute capability (CUDA C++ programming guide, arithmetic throughput of 32-bit floats)."""

CORES_SINCE_AMPERE = 128
"""Of every other one."""

MIB = 2**20


def pci_bus_id(handle: Any) -> str:
    """The PCI address as sysfs writes it: four digits of domain, lower case."""
    return spelled(pynvml.nvmlDeviceGetPciInfo(handle))


def spelled(pci: Any) -> str:
    """The address in NVML's PCI info. Function 0: a GPU's others are its sound and USB controllers."""
    return f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"


def gpu(handle: Any, host: Host) -> Gpu:
    """Everything about one GPU. Raises NVMLError."""
    address = pci_bus_id(handle)
    capability = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        pci_bus_id=address,
        minor=pynvml.nvmlDeviceGetMinorNumber(handle),
        product=pynvml.nvmlDeviceGetName(handle),
        architecture=ARCHITECTURES.get(pynvml.nvmlDeviceGetArchitecture(handle), Architecture.UNKNOWN),
        compute_capability=".".join(map(str, capability)),
        memory_mib=pynvml.nvmlDeviceGetMemoryInfo(handle).total // MIB,
        multiprocessors=_multiprocessors(handle, capability),
        numa_node=host.numa_node(address),
        pcie_root=host.pcie_root(address),
        mig=mig.support(handle),
        fabric=fabric(handle),
    )


def versions() -> tuple[str, str]:
    """Of NVIDIA's driver, and of the newest CUDA that it runs."""
    cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
    return pynvml.nvmlSystemGetDriverVersion(), f"{cuda // 1000}.{cuda % 1000 // 10}"


def _multiprocessors(handle: Any, capability: tuple[int, int]) -> int:
    """NVML counts cores, and multiprocessors only of MIG devices."""
    cores: int = optional(pynvml.nvmlDeviceGetNumGpuCores, handle, otherwise=0)
    return cores // CORES_PER_MULTIPROCESSOR.get(capability, CORES_SINCE_AMPERE)
