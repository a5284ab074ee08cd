"""What a child is told by its environment: nothing of the parent's but where programs and libraries are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LIBRARIES = "PARTITA_CUDA_LIBRARIES"
"""Paths of the driver's libraries, in the order in which they are loaded: nothing goes without the first."""

SONAMES = ("libcuda.so.1", "libnvidia-ptxjitcompiler.so.1")
"""The first uses the second where it compiles PTX."""

INHERITED = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
FIXED: Mapping[str, str] = MappingProxyType(
    {
        "CUPY_CACHE_IN_MEMORY": "1",
        "CUDA_CACHE_DISABLE": "1",
        # The default since 535 only: before, each context would get all the kernels that CuPy has in it.
        "CUDA_MODULE_LOADING": "LAZY",
        # NumPy would start a thread for each of the node's cores.
        "OPENBLAS_NUM_THREADS": "1",
        # A client that faults takes down the others of its MPS daemon: this one is nobody's client.
        "CUDA_MPS_PIPE_DIRECTORY": "/nonexistent",
    }
)
