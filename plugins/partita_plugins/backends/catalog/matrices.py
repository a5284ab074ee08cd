"""GPU blocks of `nvidia-smi topo -m`: one row a GPU.

nvidia-smi hides the PCIe level of a linked pair; here it follows the slash, from the NIC columns, NUMA nodes and
switch lists published for the same machines.
"""

from __future__ import annotations


def _nearest(a: int, b: int, *, pair: int, switch: int, socket: int) -> str:
    """The PCIe level of two GPUs in a tree of equal groups, each given by its size."""
    if a // pair == b // pair:
        return "PIX"
    if a // switch == b // switch:
        return "PXB"
    return "NODE" if a // socket == b // socket else "SYS"


DGX_1V = (
    "X         NV1/PIX   NV1/NODE  NV2/NODE  NV2/SYS   SYS       SYS       SYS",
    "NV1/PIX   X         NV2/NODE  NV1/NODE  SYS       NV2/SYS   SYS       SYS",
    "NV1/NODE  NV2/NODE  X         NV2/PIX   SYS       SYS       NV1/SYS   SYS",
    "NV2/NODE  NV1/NODE  NV2/PIX   X         SYS       SYS       SYS       NV1/SYS",
    "NV2/SYS   SYS       SYS       SYS       X         NV1/PIX   NV1/NODE  NV2/NODE",
    "SYS       NV2/SYS   SYS       SYS       NV1/PIX   X         NV2/NODE  NV1/NODE",
    "SYS       SYS       NV1/SYS   SYS       NV1/NODE  NV2/NODE  X         NV2/PIX",
    "SYS       SYS       SYS       NV1/SYS   NV2/NODE  NV1/NODE  NV2/PIX   X",
)

DGX_A100 = (
    "X         NV12/PXB  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS",
    "NV12/PXB  X         NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS",
    "NV12/SYS  NV12/SYS  X         NV12/PXB  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS",
    "NV12/SYS  NV12/SYS  NV12/PXB  X         NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS",
    "NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  X         NV12/PXB  NV12/SYS  NV12/SYS",
    "NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/PXB  X         NV12/SYS  NV12/SYS",
    "NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  X         NV12/PXB",
    "NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/SYS  NV12/PXB  X",
)

HGX_H100 = (
    "X         NV18/NODE NV18/NODE NV18/NODE NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS",
    "NV18/NODE X         NV18/NODE NV18/NODE NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS",
    "NV18/NODE NV18/NODE X         NV18/NODE NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS",
    "NV18/NODE NV18/NODE NV18/NODE X         NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS",
    "NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS  X         NV18/NODE NV18/NODE NV18/NODE",
    "NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS  NV18/NODE X         NV18/NODE NV18/NODE",
    "NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS  NV18/NODE NV18/NODE X         NV18/NODE",
    "NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS  NV18/NODE NV18/NODE NV18/NODE X",
)

HGX_B200 = (
    "X         NV18/PIX  NV18/NODE NV18/NODE NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS",
    "NV18/PIX  X         NV18/NODE NV18/NODE NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS",
    "NV18/NODE NV18/NODE X         NV18/PIX  NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS",
    "NV18/NODE NV18/NODE NV18/PIX  X         NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS",
    "NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS  X         NV18/PIX  NV18/NODE NV18/NODE",
    "NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS  NV18/PIX  X         NV18/NODE NV18/NODE",
    "NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS  NV18/NODE NV18/NODE X         NV18/PIX",
    "NV18/SYS  NV18/SYS  NV18/SYS  NV18/SYS  NV18/NODE NV18/NODE NV18/PIX  X",
)

# nccl-tests issue 78: NV6 between all of 16; a pair shares a PCIe switch, two pairs the next one, eight GPUs a socket.
DGX_2 = tuple(
    " ".join("X" if a == b else f"NV6/{_nearest(a, b, pair=2, switch=4, socket=8)}" for b in range(16))
    for a in range(16)
)

# Bridged pairs 0-5, 1-2, 3-4, 6-7: the first crosses sockets, so NVLink does not imply a common NUMA node.
BRIDGED_PAIRS = (
    "X         NODE      NODE      SYS       SYS       NV12/SYS  SYS       SYS",
    "NODE      X         NV12/NODE SYS       SYS       SYS       SYS       SYS",
    "NODE      NV12/NODE X         SYS       SYS       SYS       SYS       SYS",
    "SYS       SYS       SYS       X         NV12/NODE NODE      NODE      NODE",
    "SYS       SYS       SYS       NV12/NODE X         NODE      NODE      NODE",
    "NV12/SYS  SYS       SYS       NODE      NODE      X         NODE      NODE",
    "SYS       SYS       SYS       NODE      NODE      NODE      X         NV12/NODE",
    "SYS       SYS       SYS       NODE      NODE      NODE      NV12/NODE X",
)

TWO_SOCKETS_X4 = (
    "X    NODE SYS  SYS",
    "NODE X    SYS  SYS",
    "SYS  SYS  X    NODE",
    "SYS  SYS  NODE X",
)

TWO_SOCKETS_X8 = (
    "X    NODE NODE NODE SYS  SYS  SYS  SYS",
    "NODE X    NODE NODE SYS  SYS  SYS  SYS",
    "NODE NODE X    NODE SYS  SYS  SYS  SYS",
    "NODE NODE NODE X    SYS  SYS  SYS  SYS",
    "SYS  SYS  SYS  SYS  X    NODE NODE NODE",
    "SYS  SYS  SYS  SYS  NODE X    NODE NODE",
    "SYS  SYS  SYS  SYS  NODE NODE X    NODE",
    "SYS  SYS  SYS  SYS  NODE NODE NODE X",
)

SWITCHED_PAIRS_X8 = (
    "X    PIX  PXB  PXB  SYS  SYS  SYS  SYS",
    "PIX  X    PXB  PXB  SYS  SYS  SYS  SYS",
    "PXB  PXB  X    PIX  SYS  SYS  SYS  SYS",
    "PXB  PXB  PIX  X    SYS  SYS  SYS  SYS",
    "SYS  SYS  SYS  SYS  X    PIX  PXB  PXB",
    "SYS  SYS  SYS  SYS  PIX  X    PXB  PXB",
    "SYS  SYS  SYS  SYS  PXB  PXB  X    PIX",
    "SYS  SYS  SYS  SYS  PXB  PXB  PIX  X",
)

GB200_TRAY = (
    "X         NV18/NODE NV18/SYS  NV18/SYS",
    "NV18/NODE X         NV18/SYS  NV18/SYS",
    "NV18/SYS  NV18/SYS  X         NV18/NODE",
    "NV18/SYS  NV18/SYS  NV18/NODE X",
)
