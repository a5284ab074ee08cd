"""The driver as one process of the simulation: the same parts as partita_driver.app puts together, without sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from hack.robustness.simulation.api import Client, Server
from hack.robustness.simulation.hardware import Backend, FewWords, Machine
from hack.robustness.simulation.runtime import SimulatedRuntime
from hack.robustness.simulation.tasks import Process, Tasks

from partita_driver.api.claims import ClaimsInApi, recall
from partita_driver.api.side import PUBLISH_NOW_SECONDS
from partita_driver.binding.asked import own_results
from partita_driver.binding.before_bind import BeforeBind
from partita_driver.cdi.files import CdiFolder
from partita_driver.engine import ClaimEngine
from partita_driver.engine.validation.own import OWN_CLAIM
from partita_driver.hardware.workers import Deadlines
from partita_driver.health.faults import Fault
from partita_driver.health.watch import HealthWatch
from partita_driver.journal.store import Journal
from partita_driver.kubelet.claims import Claims, Prepared, read_claim
from partita_driver.kubelet.dra_service import ClaimRef
from partita_driver.running.idle_looks import IdleLooks
from partita_driver.running.upkeep import Upkeep
from partita_driver.slices.plan import Owner
from partita_driver.slices.pool import PoolInputs
from partita_driver.slices.publisher import Publisher
from partita_plugins.backends.simulated import Delays
from partita_plugins.contracts import STRATEGY_OF_KIND, SharingStrategy
from partita_plugins.errors import Retryable, ValidationFailed
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.reflector import Listener
from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.model.offer import Offer
from partita_plugins.pauses import Pause
from partita_plugins.sharing.exclusive import Exclusive
from partita_plugins.sharing.mig import Mig
from partita_plugins.sharing.monitor import Monitor
from partita_plugins.sharing.timeslice import Timeslice
from partita_plugins.wire import pool_name
from partita_plugins.wire.resource_claim import ResourceClaim

NODE = "node-a"
STRATEGIES: dict[str, SharingStrategy] = {
    "exclusive": Exclusive(),
    "mig": Mig(),
    "timeslice": Timeslice(),
    "monitor": Monitor(),
}
assert set(STRATEGIES) == set(STRATEGY_OF_KIND.values())  # No MPS: its daemons are pods, and nobody runs pods here.

LOOK_SECONDS = 60.0
IDLE_SECONDS = 300.0
AGAIN = Pause(30.0, 120.0)
"""Between validations of faulty hardware: the longest is short, so that a run ends."""

DELAYS = Delays(create_seconds=1.0, destroy_seconds=0.5, query_seconds=0.0)


class Silent:
    """Nobody counts, nobody is told."""

    def prepared(self, claim: ResourceClaim, devices: Sequence[Prepared]) -> None: ...
    def validation_failed(self, claim: ResourceClaim, error: ValidationFailed) -> None: ...
    def claim_done(self, verb: str, result: str, seconds: float) -> None: ...
    def phase(self, phase: str, seconds: float) -> None: ...
    def published(self, result: str) -> None: ...


def of_pool(pool: str, seen: Listener[ResourceClaim]) -> Listener[ResourceClaim]:
    """Tells of the claims that hold devices of a pool, as a reflector that keeps no others."""

    def holding(claim: ResourceClaim | None) -> ResourceClaim | None:
        return claim if claim and own_results(claim, pool) else None

    def listen(old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        if holding(old) or holding(new):
            seen(holding(old), holding(new))

    return listen


class Driver:
    """One driver process, from start() on."""

    def __init__(
        self,
        tasks: Tasks,
        process: Process,
        machine: Machine,
        server: Server,
        folder: Path,
        *,
        boot_id: str,
        offer: Callable[[], Offer],
    ) -> None:
        self.process, self.serving = process, False
        self._tasks, self._offer = tasks, offer
        self._client = Client(server)
        runtime = SimulatedRuntime(tasks, process)
        api, backend, silent = cast("KubeApi", self._client), Backend(tasks, machine, DELAYS), Silent()
        self.claims_in_api = ClaimsInApi(api, NODE, runtime)
        self.journal = Journal(folder / "journal", boot_id=boot_id, runtime=runtime)
        self.cdi = CdiFolder(folder / "cdi")
        self.engine = ClaimEngine(
            backend=backend,
            validator=FewWords(backend, tasks),
            strategies=STRATEGIES,
            journal=self.journal,
            cdi=self.cdi,
            node_name=NODE,
            deadlines=Deadlines(),
            on_faults=self._faults_changed,
            recall=lambda: recall(api, NODE),
            runtime=runtime,
        )
        self.publisher = Publisher(
            api,
            NODE,
            inputs=self.inputs,
            owner=lambda: Owner(node_name=NODE, uid="node"),
            allocated=self.claims_in_api.allocated,
            counter=silent,
            on_pool=lambda _inputs, _pool: None,
            on_features=lambda _owner, _before, _now: None,
            runtime=runtime,
            watch=lambda _api, _node, seen: server.watch(process, seen),
        )
        self.claims = Claims(
            read=lambda ref: read_claim(api, ref, tasks.sleep),
            engine=self.engine,
            pool=pool_name(NODE),
            outcomes=silent,
            counter=silent,
            on_refused=self.claims_in_api.doubt,
            on_released=self._released,
        )
        self._health = HealthWatch(
            self.engine,
            self.publisher.request,
            wait_seconds=LOOK_SECONDS,
            look_seconds=LOOK_SECONDS,
            again=AGAIN,
            runtime=runtime,
        )
        self.before_bind = BeforeBind(
            api,
            NODE,
            engine=self.engine,
            outcomes=silent,
            counter=silent,
            tainted=lambda: self.publisher.publish_now(PUBLISH_NOW_SECONDS),
            watch=lambda _api, pool, seen: server.watch(process, of_pool(pool, seen), RESOURCE_CLAIMS),
            runtime=runtime,
        )
        self._idle = IdleLooks(
            self.engine,
            period_seconds=lambda: IDLE_SECONDS,
            not_ours=frozenset,
            on_failure=lambda _error: None,
            runtime=runtime,
        )
        self.upkeep = Upkeep(
            self.engine,
            claims=self.claims_in_api,
            on_finding=lambda _: True,
            on_done=self.publisher.request,
            runtime=runtime,
        )

    def start(self) -> None:
        """What app.Driver.start does, in its order."""
        while True:
            try:
                self.engine.start()
                break
            except Retryable as error:
                self._tasks.sleep(error.delay_seconds)
        self.serving = True
        for part in (self.publisher, self._health, self.upkeep, self.before_bind, self._idle):
            part.start()
        # Some claims of a run wait for their validation and some do not, as after a change of the settings.
        self.before_bind.published(binding=True)

    def inputs(self) -> PoolInputs | None:
        """What the pool follows from; None while the journal begins anew."""
        if self.engine.unconfirmed:
            return None
        claims = {uid: claim for uid, claim in self.engine.claims().items() if not uid.startswith(OWN_CLAIM)}
        return PoolInputs(
            node_name=NODE,
            node=self.engine.node,
            offer=self._offer(),
            faults=self.engine.faults(),
            foreign=self.engine.foreign_placements(),
            allocated=frozenset(device.device for claim in claims.values() for device in claim.devices),
        )

    def serve(self, verb: str, ref: ClaimRef) -> Any:
        """One call of the kubelet."""
        return self.claims.prepare(ref) if verb == "prepare" else self.claims.unprepare(ref)

    def _released(self) -> None:
        self.publisher.released()
        self._idle.wake()

    def _faults_changed(self, _faults: Sequence[Fault]) -> None:
        if self.serving:
            self.publisher.publish_now(PUBLISH_NOW_SECONDS)
