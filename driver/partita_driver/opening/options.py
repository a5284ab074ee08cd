"""What a driver is started with, and who owns its state folder."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from partita_driver.journal.store import BOOT_ID_FILE
from partita_plugins.errors import Permanent, Retryable
from partita_plugins.pauses import Pause

NONE = "none"
AUTO = "auto"
SIMULATED = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One driver on one node."""

    node_name: str
    namespace: str = "partita-system"
    """Where the settings' ConfigMap is."""

    backend: str = "nvml"
    machine: str = ""
    """Of the simulated backend."""

    simulated_dir: Path | None = None
    """Where the simulated hardware lives; None: in the state folder."""

    toolkit: str = AUTO
    """Path of nvidia-ctk on the node; "auto": looked for, for real GPUs; "none": containers bring their libraries."""

    host_root: Path = Path("/")
    """Where this process sees the node's root."""

    driver_root: Path = Path("/")
    """Where the node has NVIDIA's driver."""

    validator: str = "reference"
    state_dir: Path = Path("/var/lib/partita")
    cdi_dir: Path = Path("/var/run/cdi")
    plugin_dir: Path = Path("/var/lib/kubelet/plugins/gpu.partita.dev")
    registry_dir: Path = Path("/var/lib/kubelet/plugins_registry")
    kubeconfig: str = ""
    pod_uid: str = ""
    pod_name: str = ""
    """MPS daemons run in the image of that pod."""

    revalidate_seconds: float = 30.0
    """Before quarantined hardware is validated again for the first time."""

    revalidate_longest_seconds: float = 3600.0
    """The pause doubles each time that it fails, up to this."""

    boot_id_file: Path = BOOT_ID_FILE
    """Differs after a reboot."""

    http_address: str = ""
    health_address: str = ""

    @property
    def revalidate_pause(self) -> Pause:
        """Between two validations of quarantined hardware."""
        return Pause(self.revalidate_seconds, max(self.revalidate_seconds, self.revalidate_longest_seconds))

    @property
    def simulated_folder(self) -> Path:
        return self.simulated_dir or self.state_dir / SIMULATED

    @property
    def journal_dir(self) -> Path:
        return self.state_dir / "journal"

    @property
    def mps_dir(self) -> Path:
        """What MPS daemons share with their clients."""
        return self.state_dir / "mps"

    @property
    def settings_file(self) -> Path:
        """Where the last good settings are kept."""
        return self.state_dir / "nodes.yaml"


class StateLock:
    """One process at a time owns a state folder, for the journal has one writer. Released when the process ends."""

    def __init__(self, folder: Path, name: str = "lock") -> None:
        self._path = folder / name
        self._descriptor: int | None = None

    @property
    def ours(self) -> bool:
        """Whether this object has it."""
        return self._descriptor is not None

    def try_acquire(self) -> bool:
        """True if it is ours now. Raises Permanent where the folder cannot be written."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        if not self._is_current(descriptor):
            # `cleanup` has removed it meanwhile: whoever comes next locks another file.
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def is_held(self) -> bool:
        """Whether another process, or another instance in this one, owns it. Who only looks at it too is no owner."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def acquire(self) -> None:
        """Take it or raise Retryable: another process has it."""
        if not self.try_acquire():
            raise Retryable(f"{self._path.parent} is in use", advice="stop the driver that runs on this node first")

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def remove(self) -> None:
        """Release it and take its file away; it must be held."""
        self._path.unlink(missing_ok=True)
        self.release()

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _open(self) -> int:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Permanent(
                f"cannot write {self._path}: {error.strerror}", advice="choose a writable --state-dir"
            ) from error
