"""MPS control daemons as the engine sees them: the port, and the values that go through it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CLAIM_LABEL = "gpu.partita.dev/claim-uid"
"""Of a daemon's pod: whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MpsDaemon:
    """The daemon of one claim."""

    claim_uid: str
    gpu_uuid: str
    folders: MpsFolders
    memory_mib: int | None
    """What each of its clients may allocate; None: all that there is."""

    active_thread_percentage: int | None
    """What each of its clients may use of the multiprocessors; None: all of them."""


@dataclass(frozen=True, slots=True)
class MpsFolders:
    """What a daemon shares with its clients, at the same paths on the node and in the driver's container."""

    root: Path

    @property
    def pipe(self) -> Path:
        """Its sockets and pipes: whoever reaches them is a client."""
        return self.root / "pipe"

    @property
    def log(self) -> Path:
        """What it and its server write; clients do not see it."""
        return self.root / "log"

    @property
    def shm(self) -> Path:
        """Shared memory of the daemon and all its clients."""
        return self.root / "shm"


class MpsDaemons(Protocol):
    """Runs daemons apart from the driver. Every call is short; all may raise Retryable or Permanent."""

    def start(self, daemon: MpsDaemon) -> str:
        """Let it run; one that is there is left as it is. Returns how it is, in words for an event."""

    def limit(self, daemon: MpsDaemon) -> bool:
        """Tell it its limits, which hold for clients that come later. False: it does not answer yet."""

    def stop(self, claim_uid: str) -> bool:
        """End the daemon of a claim. True once nothing of it runs any more; none there is a success."""

    def running(self) -> frozenset[str]:
        """UIDs of the claims that have one on this node."""
