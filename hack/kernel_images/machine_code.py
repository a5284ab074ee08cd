"""What the compiled kernels must have in them, by cuobjdump: tensor-core instructions, and no spilled register."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

INSTRUCTIONS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "product_fp16": {75: r"HMMA\.1688\.F32\b", 80: r"HMMA\.16816\.F32\b"},
        "product_bf16": {80: r"HMMA\.16816\.F32\.BF16\b"},
        # Hopper and B200 have fp8 in warp-group products alone; for a warp's it becomes fp16.
        "product_e4m3": {89: r"QMMA\.16832\.F32\.E4M3", 90: r"HMMA\.16816\.F32\b", 120: r"QMMA\.16832\.F32\.E4M3"},
        "chain_fp32": {75: r"FFMA\b"},
        "chain_fp64": {75: r"DFMA\b"},
        "fill": {75: r"STG\.E\.128\b"},
        "check": {75: r"LDG\.E\.128\b"},
    }
)
"""By kernel, and from which architecture on."""

READ_SINCE = 75
"""cuobjdump of CUDA 13 reads no older machine code."""

_FUNCTION = re.compile(r"Function\s*:?\s*(\w+)")
_USAGE = re.compile(r"\b(STACK|LOCAL):(\d+)")


def missing_instructions(capability: int, sass: str) -> Iterable[str]:
    """A sentence for each kernel without its instruction."""
    code = _by_function(sass)
    for kernel, wanted in INSTRUCTIONS.items():
        since = [one for one in wanted if one <= capability]
        if since and not re.search(wanted[max(since)], code.get(kernel, "")):
            yield f"sm_{capability}: {kernel} has no {wanted[max(since)]}"


def spilled(capability: int, usage: str) -> Iterable[str]:
    """A sentence for each kernel that needs more than registers."""
    found = _by_function(usage)
    if not found:
        yield f"sm_{capability}: nothing is known of what the kernels use"
    for kernel, text in found.items():
        yield from (f"sm_{capability}: {kernel} has {name}:{n}" for name, n in _USAGE.findall(text) if n != "0")


def _by_function(text: str) -> dict[str, str]:
    parts = _FUNCTION.split(text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))
