"""A claim's MPS daemon and the folders that it shares with its clients: made, awaited for a moment, taken away."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from partita_driver.cdi.lint import CdiMount, ContainerEdits
from partita_driver.mps.daemons import CLAIM_LABEL, MpsDaemon, MpsDaemons, MpsFolders
from partita_driver.runtime import THREADS, Runtime
from partita_plugins.errors import Retryable
from partita_plugins.model.steps import RunMpsDaemon

PIPE_DIRECTORY = "/tmp/nvidia-mps"  # noqa: S108 - where CUDA looks by itself too
SHM_DIRECTORY = "/dev/shm"  # noqa: S108 - where the CUDA driver makes what client and server share

MOUNT_OPTIONS = ["rw", "nosuid", "nodev", "bind"]

MODES = {"pipe": 0o755, "log": 0o700, "shm": 0o1777}
"""Clients of any user write in shm; the daemon itself lets them write what they may of its pipes."""

WAIT_SECONDS = 5.0
"""Longest wait in Prepare and Unprepare: the kubelet asks again, and other claims of its pod wait meanwhile."""

POLL_SECONDS = 0.2


class DaemonStarting(Retryable):
    """The daemon does not answer yet. What was done for it stays, so that the next Prepare finds it further on."""


class Mps:
    """The MPS daemons of one node. Thread-safe; calls for one claim never overlap, which the engine sees to."""

    def __init__(self, daemons: MpsDaemons, folder: Path, runtime: Runtime = THREADS) -> None:
        self._daemons, self._folder, self._runtime = daemons, folder, runtime
        self._listed = False

    def folders(self, claim_uid: str) -> MpsFolders:
        """Where a claim's are, or would be."""
        return MpsFolders(self._folder / claim_uid)

    def make_folders(self, claim_uid: str) -> None:
        """Make those that are not there. Raises Retryable where the disk does not take them."""
        folders = self.folders(claim_uid)
        try:
            folders.root.mkdir(mode=0o755, parents=True, exist_ok=True)
            for name, mode in MODES.items():
                path = folders.root / name
                path.mkdir(exist_ok=True)
                path.chmod(mode)  # mkdir's is cut by the umask
        except OSError as error:
            raise self._unwritable(error) from error

    def remove_folders(self, claim_uid: str) -> None:
        """Take them away with all that is in them. Raises Retryable if something stays."""
        try:
            shutil.rmtree(self.folders(claim_uid).root)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._unwritable(error) from error

    def run(self, claim_uid: str, step: RunMpsDaemon) -> None:
        """Let the daemon run and have its limits. Raises DaemonStarting if it does not answer within a moment."""
        daemon = self._daemon(claim_uid, step)
        how = self._daemons.start(daemon)
        if not self._within_a_moment(lambda: self._daemons.limit(daemon)):
            raise DaemonStarting(
                f"the MPS daemon of claim {claim_uid} does not answer yet ({how})",
                delay_seconds=2.0,
                advice=f"if that goes on: kubectl get pods -A -l {CLAIM_LABEL}={claim_uid}",
            )

    def keep(self, claim_uid: str, step: RunMpsDaemon) -> bool:
        """Have the daemon of a claim that is in use run again where it is gone. False: it does not answer now."""
        self.make_folders(claim_uid)
        daemon = self._daemon(claim_uid, step)
        self._daemons.start(daemon)
        return self._daemons.limit(daemon)

    def stop(self, claim_uid: str) -> None:
        """No daemon of the claim. Raises Retryable while there is something of it."""
        if not self._within_a_moment(lambda: self._daemons.stop(claim_uid)):
            raise Retryable(f"the MPS daemon of claim {claim_uid} is still ending", delay_seconds=2.0)

    def found(self) -> frozenset[str]:
        """Claims of which there is a daemon or a folder. Raises PartitaError while that cannot be known.

        Folders go last, so the daemons themselves are asked for only where there are any, and once at the start.
        """
        left = frozenset(path.name for path in self._folder.glob("*"))
        if left or not self._listed:
            left |= self._daemons.running()
            self._listed = True
        return left

    def edits(self, claim_uid: str) -> ContainerEdits:
        """What makes a container a client of the claim's daemon."""
        folders = self.folders(claim_uid)
        shared = ((folders.pipe, PIPE_DIRECTORY), (folders.shm, SHM_DIRECTORY))
        return ContainerEdits(
            env=[f"CUDA_MPS_PIPE_DIRECTORY={PIPE_DIRECTORY}"],
            mounts=[CdiMount(host_path=str(one), container_path=to, options=MOUNT_OPTIONS) for one, to in shared],
        )

    def _daemon(self, claim_uid: str, step: RunMpsDaemon) -> MpsDaemon:
        return MpsDaemon(
            claim_uid=claim_uid,
            gpu_uuid=step.gpu_uuid,
            folders=self.folders(claim_uid),
            memory_mib=step.memory_mib,
            active_thread_percentage=step.active_thread_percentage,
        )

    def _within_a_moment(self, done: Callable[[], bool]) -> bool:
        deadline = self._runtime.monotonic() + WAIT_SECONDS
        while not done():
            if self._runtime.monotonic() >= deadline:
                return False
            self._runtime.sleep(POLL_SECONDS)
        return True

    def _unwritable(self, error: OSError) -> Retryable:
        return Retryable(f"{self._folder}: {error.strerror}", delay_seconds=5.0, advice=f"look at {self._folder}")
