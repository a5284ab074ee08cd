"""What the field runs to find a broken GPU, on the same simulated device as the validator.

Each takes a device with nothing allocated on it and says whether it would call it broken, and how much of the memory it
wrote and read back. Where an original leaves a choice it is made in its favour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from partita_plugins.testing.compiling import CXX, compiled
from partita_plugins.testing.gpu.build import FLAGS, KERNELS, MACHINE
from partita_plugins.validators.cuda.port import Device

SOURCE = Path(__file__).with_name("baselines.cpp")

VECTOR_ELEMENTS, VECTOR_THREADS, VECTOR_EPSILON = 50_000, 64, 1e-5
"""Of vectorAdd.cu in NVIDIA/cuda-samples, which gpu-operator's validator runs. Its 256 threads a block add one
number each, ours four: there are as many blocks.
"""

RANDOM_NUMBERS = 1024
"""Of NVSentinel's cuda-validation: torch.randn(1024).sum().isfinite()."""

TORCH_BYTES = 2**17
"""Of an allocation: PyTorch takes memory in large pieces, and not out of the context's own."""

BURN_SHARE = 0.9
"""Of the memory that gpu-burn takes (wilicc/gpu-burn, USEMEM)."""

PRODUCT_SIDE, BURN_THREADS, WARPS_A_BLOCK = 64, 128, 4
TILES = PRODUCT_SIDE // 16 * (PRODUCT_SIDE // 8)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method made of a device."""

    found: bool
    coverage: float
    """Share of the memory that it wrote and read back."""


Baseline = Callable[[Device, int], Outcome]
"""A device to look at, and a seed for what is random in it."""


def build_baselines(cache: Path | None = None) -> Path:
    """A library with launch_NAME for each kernel, as build_kernels makes one."""
    headers = [*KERNELS.glob("*.cu"), *KERNELS.glob("*.cuh"), *MACHINE.glob("*.hpp")]
    flags = (*FLAGS, f"-I{KERNELS}", f"-I{MACHINE}", "-Wno-unused-function")
    return compiled(CXX, "libbaselines.so", [SOURCE], sorted(headers), flags=flags, cache=cache)


def vector_add(device: Device, seed: int) -> Outcome:
    """Random numbers from 0 to 1 are added, and compared with the host's sums with a tolerance."""
    random = np.random.default_rng(seed)
    a, b = (random.random(VECTOR_ELEMENTS, dtype=np.float32) for _ in range(2))
    pointers = [device.allocate(a.nbytes) for _ in range(3)]
    for pointer, values in zip(pointers, (a, b), strict=False):
        device.upload(pointer, values)
    quads = VECTOR_ELEMENTS // 4
    blocks = -(-quads // VECTOR_THREADS)
    device.launch("vector_add", blocks, VECTOR_THREADS, (*map(np.uint64, pointers), np.uint64(quads)))
    c = _floats(device, pointers[2], VECTOR_ELEMENTS)
    # As the sample does it: a NaN is no difference greater than any.
    with np.errstate(invalid="ignore", over="ignore"):
        found = bool((np.abs(a + b - c) > VECTOR_EPSILON).any())
    return _ended(device, pointers, 3 * a.nbytes, found=found)


def isfinite(device: Device, seed: int) -> Outcome:
    """Random numbers, normally distributed, are summed up: is the sum a number?"""
    values = np.random.default_rng(seed).standard_normal(RANDOM_NUMBERS, dtype=np.float32)
    pointers = [device.allocate(TORCH_BYTES), device.allocate(16)]
    device.upload(pointers[0], values)
    numbers, out = map(np.uint64, pointers)
    device.launch("sum", 1, VECTOR_THREADS, (numbers, np.uint64(RANDOM_NUMBERS // 4), out))
    found = not np.isfinite(_floats(device, pointers[1], 1)).all()
    return _ended(device, pointers, values.nbytes, found=found)


def epsilon(device: Device, seed: int) -> Outcome:
    """The same product over and over in most of the memory, each result compared with the first one."""
    size = PRODUCT_SIDE * PRODUCT_SIDE * 4
    copies = int(BURN_SHARE * device.room_bytes()) // size
    pointers = [device.allocate(copies * size), device.allocate(8)]
    device.upload(pointers[1], np.zeros(1, dtype=np.uint64))
    matrices, faulty = map(np.uint64, pointers)
    blocks = -(-copies * TILES // WARPS_A_BLOCK)
    device.launch("burn", blocks, BURN_THREADS, (np.uint32(seed), np.uint32(copies), matrices))
    device.launch("differ", blocks, BURN_THREADS, (matrices, np.uint32(copies), faulty))
    found = any(device.download(pointers[1], 8))
    return _ended(device, pointers, copies * size, found=found)


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {"vector-add": vector_add, "isfinite": isfinite, "epsilon": epsilon}
)


def _floats(device: Device, pointer: int, count: int) -> NDArray[np.float32]:
    return np.frombuffer(device.download(pointer, 4 * count), dtype=np.float32)


def _ended(device: Device, pointers: list[int], size_bytes: int, *, found: bool) -> Outcome:
    for pointer in pointers:
        device.free(pointer)
    return Outcome(found=found, coverage=size_bytes / device.room_bytes())
