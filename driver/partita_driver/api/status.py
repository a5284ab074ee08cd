"""What became of a claim, told where people look: status.devices on the claim, events on it and its pods.

All of it is written in the background: a pod never waits for it, and a failure is logged and counted, nothing else.
"""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import structlog

from partita_driver.api.claim_status import concerned, device_status, status_patch
from partita_driver.api.node_condition import write_condition
from partita_driver.doctor.others import Other
from partita_driver.fault_points import reached
from partita_driver.kubelet.claims import Prepared
from partita_driver.loop import Loop
from partita_driver.runtime import THREADS
from partita_driver.slices.contents import Features
from partita_driver.slices.feature_probe import DROPPED_ADVICE
from partita_driver.slices.plan import Owner
from partita_plugins.errors import InvalidInput, PartitaError, ValidationFailed
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import Conflict, NotFound
from partita_plugins.kube.events import EventRecorder
from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.wire.resource_claim import AllocatedDeviceStatus, ResourceClaim

log = structlog.get_logger(__name__)

MAX_WAITING = 256
"""Writes that wait for the API server; more are given up, and counted."""

CONFLICT_TRIES = 4
IDLE_SECONDS = 3600.0
FAREWELL_SECONDS = 3.0
"""At the end, for what waits: the kubelet's grace is for the claims at work."""

VALIDATION_FAILED = "DeviceValidationFailed"
STATE_FOUND = "PartitaStateDamaged"
SETTINGS_REFUSED = "PartitaSettingsRefused"
FIELDS_DROPPED = "PartitaFieldsDropped"
FIELDS_KEPT = "PartitaFieldsKept"
OTHERS_FOUND = "PartitaGPUsUsedByOthers"


class StatusCounter(Protocol):
    """Who counts writes of status and events, by result."""

    def told(self, what: str, result: str) -> None: ...


class StatusWriter:
    """Tells of prepared claims and failed validations. Every public call but stop() returns at once."""

    longest_stop_seconds = Loop.longest_stop_seconds + FAREWELL_SECONDS

    def __init__(self, api: KubeApi, node_name: str, counter: StatusCounter) -> None:
        self._api, self._counter = api, counter
        self._events = EventRecorder(api, "partita-driver", node_name)
        self._waiting: queue.Queue[tuple[str, Callable[[], None]]] = queue.Queue(MAX_WAITING)
        self.loop = Loop("status", self.step)

    def start(self) -> None:
        self.loop.start()

    def stop(self) -> None:
        """End the loop. What still waits is written as far as FAREWELL_SECONDS allow, the rest given up and counted."""
        self.loop.stop()
        end = time.monotonic() + FAREWELL_SECONDS
        # A write to a server that does not answer takes longer than that: it is left behind.
        THREADS.start("farewell", lambda: self._write_waiting(end)).join(FAREWELL_SECONDS)
        self._write_waiting(0.0)

    def prepared(self, claim: ResourceClaim, devices: Sequence[Prepared]) -> None:
        """The claim's devices are ready: their identity and validation go to its status."""
        results = claim.status.allocation.devices.results if claim.status.allocation else []
        entries = [device_status(device, results) for device in devices]
        self._later("status", lambda: self._write_status(claim, entries))

    def validation_failed(self, claim: ResourceClaim, error: ValidationFailed) -> None:
        """A device of the claim is broken: events on the claim and on the pods that wait for it."""
        for regarding in concerned(claim):
            self._later("event", lambda who=regarding: self._warn(who, VALIDATION_FAILED, error))  # type: ignore[misc]

    def idle_gpu_failed(self, owner: Owner, error: ValidationFailed) -> None:
        """A GPU that nobody has is broken: an event on the Node."""
        self._later("event", lambda: self._warn(_node(owner), VALIDATION_FAILED, error))

    def settings_refused(self, owner: Owner, error: InvalidInput) -> None:
        """The node's settings are wrong: an event on the Node."""
        self._later("event", lambda: self._warn(_node(owner), SETTINGS_REFUSED, error))

    def state_found(self, owner: Owner, finding: str) -> None:
        """The driver found its own state damaged at the start: an event on the Node."""
        self._later("event", lambda: self._events.record(_node(owner), "Warning", STATE_FOUND, finding))

    def others_changed(self, owner: Owner, found: Sequence[Other]) -> None:
        """Who else uses the node's GPUs now: the Node's condition, and an event for each."""
        node = _node(owner)
        for other in found:
            text = f"{other.what}; {other.next_step}"
            self._later("event", partial(self._events.record, node, "Warning", OTHERS_FOUND, text))
        self._later("condition", partial(write_condition, self._api, owner.node_name, found))

    def features_changed(self, owner: Owner, before: Features, after: Features) -> None:
        """What the API server drops of slices, or keeps again: an event on the Node for each, and a line in the log."""
        node = _node(owner)
        for feature, advice in DROPPED_ADVICE.items():
            had, has = getattr(before, feature), getattr(after, feature)
            if has and not had:
                log.info("the API server keeps fields of slices again", feature=feature)
                kept = f"the API server keeps {feature} of ResourceSlices again: what was held back is published"
                self._later("event", partial(self._events.record, node, "Normal", FIELDS_KEPT, kept))
            elif not has:
                log.error("the API server drops fields of slices", feature=feature, advice=advice)
                self._later("event", partial(self._events.record, node, "Warning", FIELDS_DROPPED, advice))

    def step(self) -> float:
        """Write what waits. Returns seconds until the next look."""
        self._write_waiting(math.inf)
        return IDLE_SECONDS

    def _write_waiting(self, end: float) -> None:
        while True:
            try:
                what, write = self._waiting.get_nowait()
            except queue.Empty:
                return
            if time.monotonic() >= end:
                self._counter.told(what, "dropped")
                continue
            try:
                write()
                self._counter.told(what, "ok")
            except PartitaError as error:
                self._counter.told(what, "error")
                log.warning("not told", what=what, error=str(error))

    def _later(self, what: str, write: Callable[[], None]) -> None:
        try:
            self._waiting.put_nowait((what, write))
        except queue.Full:
            self._counter.told(what, "dropped")
            log.warning("not told, too many wait already", what=what)
        self.loop.wake()

    def _warn(self, regarding: dict[str, Any], reason: str, error: PartitaError) -> None:
        self._events.record(regarding, "Warning", reason, str(error))

    def _write_status(self, claim: ResourceClaim, entries: Sequence[AllocatedDeviceStatus]) -> None:
        """Replace our entries and keep those of other drivers, on the version that was read."""
        name, namespace = claim.metadata.name, claim.metadata.namespace
        for attempt in range(CONFLICT_TRIES):
            try:
                found = self._api.get(RESOURCE_CLAIMS, name, namespace, as_=dict[str, Any])
                patch = status_patch(found, claim.metadata.uid, entries)
                if patch:
                    self._api.patch(RESOURCE_CLAIMS, name, patch, namespace, "status")
                    reached("status-written")
            except NotFound:
                return
            except Conflict:
                if attempt + 1 == CONFLICT_TRIES:
                    raise
            else:
                return


def _node(owner: Owner) -> dict[str, str]:
    """The Node, as an event names what it is about."""
    return {"apiVersion": "v1", "kind": "Node", "name": owner.node_name, "uid": owner.uid}
