"""What a pretended node is like, and how patient its kubelet is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KUBELET_VERSION = "v1.37.0"

SOCKET_PATH_BYTES_MAX = 107
"""What fits in a Unix socket's address on Linux."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletSettings:
    """One node. The times are the real kubelet's where it has them; tests shorten them."""

    node_name: str
    """Name of its Node object."""

    root: Path
    """Stands for /var/lib/kubelet. Keep it short: sockets below it must fit in 107 bytes."""

    cdi_dir: Path | None = None
    """Where the container runtime looks for CDI files; `<root>/cdi` where nothing is said."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the Node beside the usual ones."""

    capacity: Mapping[str, str] = field(default_factory=lambda: {"cpu": "64", "memory": "512Gi", "pods": "250"})
    """Capacity and allocatable of the Node."""

    poll_seconds: float = 0.1
    """How often sockets are looked at where nothing else happens."""

    call_seconds: float = 45.0
    """Deadline of one Prepare or Unprepare call."""

    registration_seconds: float = 5.0
    """Deadline of GetInfo and NotifyRegistrationStatus."""

    wipe_seconds: float = 30.0
    """How long after a driver is gone its ResourceSlices are deleted."""

    retry_seconds: float = 1.0
    """Pause after the first failure to start or end a pod; doubled with each further one."""

    retry_seconds_max: float = 30.0

    health_retry_seconds: float = 5.0
    """Pause before a broken health stream is opened again."""

    parallel_pods: int = 4
    """Pods that are started or ended at one time; 0 does so in `step` itself, one by one."""

    @property
    def registry(self) -> Path:
        return self.root / "plugins_registry"

    @property
    def cdi(self) -> Path:
        return self.cdi_dir or self.root / "cdi"

    @property
    def checkpoint(self) -> Path:
        return self.root / "dra_manager_state"

    def prepare_directories(self) -> None:
        """Make what a driver expects to find."""
        longest = len(str(self.registry).encode()) + len("/gpu.partita.dev-reg.sock")
        if longest > SOCKET_PATH_BYTES_MAX:
            raise ValueError(f"{self.root} is too long for sockets below it ({longest} bytes); choose a shorter root")
        for folder in (self.registry, self.root / "plugins", self.cdi):
            folder.mkdir(parents=True, exist_ok=True)
