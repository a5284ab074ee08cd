"""What each example is expected to get, and why there: the demo fails where one of them lands elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One folder of manifests/examples."""

    folder: str
    pods: tuple[str, ...]
    nodes: tuple[str, ...]
    """Where it may land."""

    kind: str
    """Of its devices, as the container is told: gpu, mig, shared, group."""

    gpus: int = 1
    """So many /dev/nvidiaN in each container."""

    because: str = ""
    """Why there and not elsewhere."""


EXAMPLES = (
    Example(
        folder="whole-gpu",
        pods=("whole-gpu",),
        nodes=("rtx-pro",),
        kind="gpu",
        because="one GPU needs no NVLink: machines that have it stay free for those who do",
    ),
    Example(
        folder="mig-profile",
        pods=("mig-3g",),
        nodes=("hgx-h100",),
        kind="mig",
        because="only hgx-h100 offers partitions",
    ),
    Example(
        folder="first-available",
        pods=("four-else-three",),
        nodes=("hgx-h100",),
        kind="mig",
        because="a 4g is there, so it does not get the 3g; it shares a GPU with mig-3g",
    ),
    Example(
        folder="shared-memory",
        pods=("share-a", "share-b"),
        nodes=("rtx-pro",),
        kind="shared",
        because="only rtx-pro offers shared GPUs; both on one GPU leaves the others whole",
    ),
    Example(
        folder="gpu-group",
        pods=("gpu-pair",),
        nodes=("dgx-a100",),
        kind="group",
        gpus=2,
        because="only dgx-a100 offers groups",
    ),
    Example(
        folder="two-containers-one-claim",
        pods=("two-containers",),
        nodes=("rtx-pro",),
        kind="gpu",
        because="as whole-gpu",
    ),
    Example(
        folder="one-claim-two-pods",
        pods=("first", "second"),
        nodes=("rtx-pro",),
        kind="gpu",
        because="as whole-gpu; the second pod follows the claim",
    ),
    Example(
        folder="extended-resource",
        pods=("plain",),
        nodes=("rtx-pro",),
        kind="gpu",
        because="as whole-gpu; nvidia.com/gpu becomes a claim",
    ),
)

LEFT_OUT = {
    "monitoring": "the settings as shipped offer no monitor, and it needs admin access",
    "shared-mps": "an MPS daemon is NVIDIA's program, and simulated machines have none",
}
"""Folders of manifests/examples that the demo does not submit, and why."""

CHOSEN = Example(
    folder="two-gpus-nvlink",
    pods=("nvlink-pair",),
    nodes=("hgx-h100",),
    kind="gpu",
    gpus=2,
    because="of the two machines with NVLink the faster one; rtx-pro has none",
)
"""Submitted on its own: what was found about each node is shown before it is placed."""
