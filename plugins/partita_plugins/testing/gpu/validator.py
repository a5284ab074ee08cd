"""The host validator: all of the CUDA validator but the GPU."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from partita_plugins.backends.simulated import SimulatedBackend, open_existing
from partita_plugins.contracts import DeviceBackend
from partita_plugins.errors import InvalidInput
from partita_plugins.testing.gpu.build import build_kernels
from partita_plugins.testing.gpu.opener import LIBRARY, STATE, WORDS
from partita_plugins.validators.cuda.messages import Limits
from partita_plugins.validators.cuda.process import ChildProcess
from partita_plugins.validators.cuda.validator import SPARES, CudaValidator

LIMITS = Limits(quick_bytes=2**18, first_bytes=2**16, left_bytes=0, headroom_bytes=2**18, rounds=1)
"""For GPUs with megabytes."""


def host_validator(backend: DeviceBackend, *, limits: Limits = LIMITS, spares: int = SPARES) -> CudaValidator:
    """A validator named "host": the kernels' own source on the CPU, in the same child processes as on a GPU.

    `backend` is the simulated one, or NVML where a library of ours answers for simulated hardware. Raises InvalidInput
    for any other: what this computes says nothing about a GPU.
    """
    simulated = backend if isinstance(backend, SimulatedBackend) else _behind_the_stand_in(backend)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OPENBLAS_NUM_THREADS": "1",
        STATE: str(simulated.machine.folder.absolute()),
        WORDS: str(simulated.words),
        LIBRARY: str(_library()),
    }
    command = [sys.executable, "-m", "partita_plugins.validators.cuda.child", f"{_OPENER}:open_devices"]
    return CudaValidator("host", lambda: ChildProcess(command, environment), limits=limits, spares=spares)


_OPENER = "partita_plugins.testing.gpu.opener"


def _behind_the_stand_in(backend: DeviceBackend) -> SimulatedBackend:
    """The machine that answers for NVML."""
    folder = os.environ.get(STATE)
    simulated = open_existing(Path(folder)) if folder else None
    if simulated is None or simulated.gpu_uuids() != backend.gpu_uuids():
        raise InvalidInput(
            "the host validator computes on the CPU, for simulated GPUs alone",
            advice="give --validator cupy for real ones, or none",
        )
    return simulated


def _library() -> Path:
    """The kernels where an image brings them, or compiled here."""
    brought = os.environ.get(LIBRARY)
    return Path(brought) if brought else build_kernels()
