"""What a child of the host validator opens: devices of the simulated machine that its environment names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from partita_plugins.backends.simulated import SimulatedBackend, open_existing
from partita_plugins.backends.simulated.faults import link_is_sound
from partita_plugins.errors import BackendError, NvmlCode
from partita_plugins.model.gpu import Gpu
from partita_plugins.model.instances import GpuInstance
from partita_plugins.testing.gpu.build import build_kernels
from partita_plugins.testing.gpu.device import HostDevice
from partita_plugins.testing.gpu.kernels import HostKernels
from partita_plugins.validators.cuda.port import Device, DeviceFailed, Opener, Unavailable

STATE, WORDS, LIBRARY = "PARTITA_SIMULATED_DIR", "PARTITA_SIMULATED_WORDS", "PARTITA_HOST_KERNELS"

CUDA_CODES = {NvmlCode.GPU_IS_LOST: 719, NvmlCode.INVALID_STATE: 101}
"""What CUDA would answer."""


def open_devices(visible: Sequence[str]) -> Sequence[Device]:
    """As the port promises, by this process's environment."""
    backend = open_existing(Path(os.environ[STATE]), words=int(os.environ[WORDS]))
    return opener(backend, Path(os.environ[LIBRARY]))(visible)


def opener(backend: SimulatedBackend, library: Path | None = None) -> Opener:
    """Opens devices of a simulated machine, with kernels that are compiled here if need be."""
    kernels = HostKernels(library or build_kernels())
    return lambda visible: [_opened(backend, kernels, uuid) for uuid in visible]


def _opened(backend: SimulatedBackend, kernels: HostKernels, uuid: str) -> HostDevice:
    try:
        gpu, instance = _found(backend, uuid)
        memory = backend.open_memory(gpu.uuid, instance)
        return HostDevice(
            memory,
            kernels,
            uuid=gpu.uuid,
            compute_capability=int(gpu.compute_capability.replace(".", "")),
            link=lambda source, destination: link_is_sound(backend.faults.all().values(), source, destination),
            hang=lambda: backend.hang("launch", gpu.uuid),
        )
    except BackendError as error:
        raise DeviceFailed(CUDA_CODES.get(error.code, 999), str(error)) from error


def _found(backend: SimulatedBackend, uuid: str) -> tuple[Gpu, GpuInstance | None]:
    for gpu in backend.machine.hardware.gpus:
        if gpu.uuid == uuid:
            return gpu, None
        if backend.machine.files.load(gpu.uuid).mig_enabled:
            for instance in backend.gpu_instances(gpu.uuid):
                if uuid in {one.mig_uuid for one in instance.compute_instances}:
                    return gpu, instance
    raise Unavailable(NvmlCode.NOT_FOUND, f"there is no device {uuid}")
