"""One life of the driver: the real process, with the campaign's hook at its fault points.

Only this module and what starts it know of kills. The driver in it is the one of `partita-driver run`: command line
apart, the same parts, threads and sockets.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from hack.robustness.campaign.control import serve_control
from hack.robustness.campaign.folders import MACHINE, NODE, Folders
from hack.robustness.full_disk import full_disk
from hack.robustness.power_loss import Recorder

from partita_driver.app import Driver
from partita_driver.fault_points import POINTS, hooked
from partita_driver.journal.records import JournalState
from partita_driver.journal.store import Journal
from partita_driver.opening.logs import configure_logs
from partita_driver.opening.options import Options
from partita_plugins.ending import when_told_to_end
from partita_plugins.errors import PartitaError
from partita_plugins.pauses import Pause

REVALIDATE = Pause(0.2, 0.8)
IDLE_QUIET_SECONDS = 1.0


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to live through."""

    root: str
    """Its node's folder."""

    point: str = ""
    """Where the fault strikes; empty: nowhere."""

    nth: int = 1
    """At which time that the point is reached while armed."""

    kill: bool = True
    """SIGKILL at the point; False: the disk is full from there on, and the process goes on."""

    idle: bool = False
    """Idle GPUs are looked at soon; False: never, and what is left at the end is a claim's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpatientOptions(Options):
    """Hardware that is well again is to be found so while the campaign waits."""

    @property
    def revalidate_pause(self) -> Pause:
        return REVALIDATE


class WatchedDriver(Driver):
    """The driver, and what the campaign asks of it."""

    journal: Journal | None = None
    gone_seconds = 0.0
    """No pod of the campaign runs on after its claim is gone."""

    def _open_journal(self) -> Journal:
        self.journal = super()._open_journal()
        return self.journal

    def settle(self) -> JournalState:
        """Reconcile now, as the timer would; what the driver remembers afterwards."""
        assert self._serving, "it is asked once it serves"
        with suppress(PartitaError):  # the API server may be away
            self._serving.upkeep.step_now()
        return self.remembered()

    def remembered(self) -> JournalState:
        """What the driver knows, which is more than what is on a full disk."""
        return self.journal.state if self.journal else JournalState()


def live(life: Life) -> None:
    """Be the driver until SIGTERM or the fault point. The process is its own."""
    folders = Folders(Path(life.root))
    configure_logs("info", as_json=False)
    driver = WatchedDriver(
        ImpatientOptions(
            node_name=NODE,
            backend="simulated",
            machine=MACHINE,
            simulated_dir=folders.hardware,
            state_dir=folders.state,
            cdi_dir=folders.cdi,
            plugin_dir=folders.plugin,
            registry_dir=folders.registry,
            kubeconfig=str(folders.kubeconfig),
            boot_id_file=folders.boot_id,
        )
    )
    driver.quiet_seconds = IDLE_QUIET_SECONDS if life.idle else math.inf
    when_told_to_end(driver.stop)
    with ExitStack() as stack:
        stack.enter_context(full_disk(folders.state, folders.full.exists))
        stack.enter_context(Recorder(folders.state, folders.shadow).watching())
        stack.enter_context(hooked(Strike(life, folders).reached))
        serve_control(folders.control, driver)
        driver.run()


class Strike:
    """The hook: counts how often the point is reached while armed, and strikes."""

    def __init__(self, life: Life, folders: Folders) -> None:
        self._life, self._folders = life, folders
        self._lock = threading.Lock()
        self._left = life.nth

    def reached(self, point: str) -> None:
        if point not in POINTS:
            self._folders.undeclared.write_text(point)
        if point != self._life.point or not self._folders.armed.exists():
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._strike()

    def _strike(self) -> None:
        self._folders.struck.write_text(self._life.point)
        if self._life.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        self._folders.full.touch()
