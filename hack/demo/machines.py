"""The fleet of the demo: three machines of different kinds, and the labels that a platform engineer gives them."""

from __future__ import annotations

from dataclasses import dataclass

from partita_plugins.wire import DRIVER_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNode:
    """One node."""

    name: str
    machine: str
    """In the simulated backend's catalog."""

    offer: str
    """Value of the label by which manifests/base/settings.yaml says what a node offers."""

    about: str

    @property
    def labels(self) -> dict[str, str]:
        return {f"{DRIVER_NAME}/offer": self.offer, f"{DRIVER_NAME}/simulated-machine": self.machine}


FLEET = (
    MachineNode(
        name="dgx-a100", machine="dgx-a100-80", offer="groups", about="8 x A100 80 GB, NVLink 300 GB/s to each other"
    ),
    MachineNode(
        name="hgx-h100", machine="hgx-h100", offer="mig", about="8 x H100 80 GB, NVLink 450 GB/s to each other"
    ),
    MachineNode(name="rtx-pro", machine="rtx-pro-6000-x8", offer="shared", about="8 x RTX PRO 6000 96 GB, PCIe only"),
)
NODE_NAMES = tuple(node.name for node in FLEET)
