"""What makes the CuPy validator: what it needs on the node, and what its children are told."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from partita_plugins.contracts import DeviceBackend, DriverLibraries, ValidationTarget
from partita_plugins.errors import InvalidInput
from partita_plugins.model.instances import DeviceNode
from partita_plugins.validators.cuda.messages import Limits
from partita_plugins.validators.cuda.process import ChildProcess
from partita_plugins.validators.cuda.validator import SPARES, CudaValidator
from partita_plugins.validators.cupy.environment import FIXED, INHERITED, LIBRARIES, SONAMES
from partita_plugins.validators.cupy.images import require_images
from partita_plugins.validators.kernels import BUILT

HOST_RATE_MIN = 1.2e9
"""Bytes per second, those of a lane and a half of PCIe 3: a link that fell back to one lane does less. Sound ones do
ten times that, or four times with four GPUs at once behind a switch."""

COMMAND = (
    sys.executable,
    "-m",
    "partita_plugins.validators.cuda.child",
    "partita_plugins.validators.cupy.device:open_devices",
)


def cupy_validator(backend: DeviceBackend, *, built: Path = BUILT, spares: int = SPARES) -> CudaValidator:
    """A validator named "cupy". Raises InvalidInput where the GPUs are not real, or CuPy or the kernels are missing."""
    if not isinstance(backend, DriverLibraries):
        raise InvalidInput(
            "the cupy validator computes on real GPUs alone", advice="give --validator reference for simulated ones"
        )
    if importlib.util.find_spec("cupy") is None:
        raise InvalidInput(
            "CuPy is not installed", advice="install partita[cuda12], use Partita's image, or give --validator none"
        )
    require_images(built)
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}

    def start() -> ChildProcess:
        # Looked for each time: NVIDIA's driver may have been updated.
        found = [str(path) for soname in SONAMES if (path := backend.driver_library(soname))]
        return ChildProcess(COMMAND, {**inherited, **FIXED, LIBRARIES: os.pathsep.join(found)})

    def nodes(target: ValidationTarget) -> Sequence[DeviceNode]:
        return backend.device_nodes(target.gpu.uuid, target.instance)

    return CudaValidator("cupy", start, nodes=nodes, limits=Limits(host_rate_min=HOST_RATE_MIN), spares=spares)
