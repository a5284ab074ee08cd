"""The kernels' source, and what is compiled from it: hack/kernels does that when the image is built, without a GPU."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).with_name("kernels.cu")

KERNELS = ("fill", "check", "product_fp16", "product_bf16", "product_e4m3", "chain_fp32", "chain_fp64")
"""Their names; each module has all, the products that an architecture lacks multiply nothing."""

BUILT = Path(__file__).with_name("built")
"""Git does not keep it."""

CUBINS = (70, 75, 80, 86, 89, 90, 100, 103, 120)
"""Compute capabilities: V100, whose tensor cores are not reached; Turing, A100, A10 to A40, Ada, Hopper, B200, B300,
RTX PRO 6000."""

PTX = 90
"""NVIDIA's driver compiles it for architectures that are newer than any of these."""


def cubin(capability: int) -> str:
    """Name of the file for one architecture."""
    return f"sm_{capability}.cubin"


PTX_NAME = f"compute_{PTX}.ptx"

NAMES = (*(cubin(one) for one in CUBINS), PTX_NAME)
"""All files that there should be."""
