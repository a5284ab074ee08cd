"""CUDA devices on the CPU: the kernels' own source, compiled by g++, over simulated memory with planted faults."""

from partita_plugins.testing.gpu.build import build_kernels
from partita_plugins.testing.gpu.kernels import Fault, HostKernels, Machine
from partita_plugins.testing.gpu.validator import host_validator

__all__ = ["Fault", "HostKernels", "Machine", "build_kernels", "host_validator"]
