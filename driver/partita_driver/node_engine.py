"""The claim engine of a node: over its hardware, its folders and its API server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from partita_driver.api.claims import recall
from partita_driver.cdi.files import CdiFolder
from partita_driver.engine import ClaimEngine
from partita_driver.hardware.workers import Deadlines
from partita_driver.health.faults import Fault
from partita_driver.journal.store import Journal
from partita_driver.metrics import Metrics
from partita_driver.moments import Moment
from partita_driver.opening.opened import common_edits, open_mps, open_strategies
from partita_driver.opening.options import Options
from partita_plugins.contracts import DeviceBackend, Validator
from partita_plugins.errors import Retryable
from partita_plugins.kube.api import KubeApi

log = structlog.get_logger(__name__)


def node_engine(
    options: Options,
    *,
    backend: DeviceBackend,
    validator: Validator | None,
    journal: Journal,
    kube: KubeApi,
    metrics: Metrics,
    validates: Callable[[Moment], bool],
    on_faults: Callable[[Sequence[Fault]], None],
) -> ClaimEngine:
    """One that has read nothing yet. The engine says what `validates` and `on_faults` are."""
    engine = ClaimEngine(
        backend=backend,
        validator=validator,
        strategies=open_strategies(),
        journal=journal,
        cdi=CdiFolder(
            options.cdi_dir,
            common_edits(options, lambda: engine.node.hardware.driver_version),
            host_root=options.host_root,
        ),
        node_name=options.node_name,
        deadlines=Deadlines(),
        on_faults=on_faults,
        observe=metrics.phase,
        recall=lambda: recall(kube, options.node_name),
        mps=open_mps(options, kube),
        validates=validates,
        validated=metrics.validated,
    )
    return engine


def read_hardware(engine: ClaimEngine, stopping: threading.Event) -> bool:
    """Start an engine, and again while its hardware cannot be read; False where the driver is told to stop first."""
    while True:
        try:
            engine.start()
        except Retryable as error:
            log.warning("the hardware cannot be read yet", error=str(error), retry_seconds=error.delay_seconds)
            if stopping.wait(error.delay_seconds):
                return False
        else:
            return True
