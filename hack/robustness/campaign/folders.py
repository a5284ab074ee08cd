"""Where everything of one node lies: one folder for a cell of the campaign, so that a failing one can be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NODE = "chaos"
MACHINE = "hgx-h100"


@dataclass(frozen=True, slots=True)
class Folders:
    """The paths of one node. What stands for hardware is lost in no mode, what stands for tmpfs in each reboot."""

    root: Path

    @property
    def state(self) -> Path:
        """The driver's own, on a disk."""
        return self.root / "state"

    @property
    def journal(self) -> Path:
        return self.state / "journal"

    @property
    def shadow(self) -> Path:
        """What of the state is durable."""
        return self.root / "shadow"

    @property
    def hardware(self) -> Path:
        return self.root / "hardware"

    @property
    def cdi(self) -> Path:
        """On tmpfs, as /var/run/cdi is."""
        return self.root / "cdi"

    @property
    def plugin(self) -> Path:
        return self.root / "plugin"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def boot_id(self) -> Path:
        return self.root / "boot-id"

    @property
    def control(self) -> Path:
        """Socket of the driver process on which the campaign asks it for its state."""
        return self.root / "control"

    @property
    def armed(self) -> Path:
        """While it is there the fault point strikes."""
        return self.root / "armed"

    @property
    def struck(self) -> Path:
        """Written when the fault point has struck."""
        return self.root / "struck"

    @property
    def undeclared(self) -> Path:
        """Written when a point was reached that the driver does not declare."""
        return self.root / "undeclared"

    @property
    def full(self) -> Path:
        """While it is there the disk below `state` is full."""
        return self.root / "full"

    @property
    def log(self) -> Path:
        return self.root / "driver.log"
