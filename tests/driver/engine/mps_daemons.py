"""MPS daemons that outlive the driver of a test, as pods do, and answer when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from partita_driver.mps.daemons import MpsDaemon


@dataclass
class FakeDaemons:
    """What runs, by claim UID, and which limits each was told."""

    daemons: dict[str, MpsDaemon] = field(default_factory=dict)
    limits: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    answering: bool = True
    ending: bool = False
    """What is stopped goes on for a while."""

    started: int = 0
    listed: int = 0
    on_call: Callable[[str], None] = lambda _name: None
    """Hears of every call before it does anything, and after it as "NAME done"."""

    def start(self, daemon: MpsDaemon) -> str:
        self.on_call("start")
        if daemon.claim_uid not in self.daemons:
            assert daemon.folders.pipe.is_dir()
            self.daemons[daemon.claim_uid] = daemon
            self.started += 1
        self.on_call("start done")
        return "ContainerCreating"

    def limit(self, daemon: MpsDaemon) -> bool:
        self.on_call("limit")
        if self.answering and daemon.claim_uid in self.daemons:
            self.limits[daemon.claim_uid] = (daemon.memory_mib, daemon.active_thread_percentage)
            self.on_call("limit done")
            return True
        return False

    def stop(self, claim_uid: str) -> bool:
        self.on_call("stop")
        if not self.ending:
            self.lose(claim_uid)
        self.on_call("stop done")
        return claim_uid not in self.daemons

    def running(self) -> frozenset[str]:
        self.on_call("running")
        self.listed += 1
        return frozenset(self.daemons)

    def lose(self, claim_uid: str) -> None:
        """As somebody who deletes a pod by hand does."""
        self.daemons.pop(claim_uid, None)
        self.limits.pop(claim_uid, None)
