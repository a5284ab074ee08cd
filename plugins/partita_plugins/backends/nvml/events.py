"""What GPUs report by themselves: one event set for all that support it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import pynvml

from partita_plugins.backends.nvml import health, instances
from partita_plugins.backends.nvml.answers import optional
from partita_plugins.backends.nvml.memory import Memory, remembering
from partita_plugins.backends.nvml.session import Session
from partita_plugins.backends.nvml.threads import failed, started
from partita_plugins.errors import BackendError
from partita_plugins.model.health import MIG_CHANGE, HealthEvent
from partita_plugins.model.mig import Placement

T = TypeVar("T")

_Entry = tuple[Any, bool]
"""The set that a GPU was to be brought into, and whether it supports any events."""

XID, RECOVERY = pynvml.nvmlEventTypeXidCriticalError, pynvml.nvmlEventTypeGpuRecoveryAction

KINDS = {
    pynvml.nvmlEventTypeDoubleBitEccError: "ecc",
    pynvml.nvmlEventTypeDramRetirementEvent: "remap-pending",
    pynvml.nvmlEventTypeDramRetirementFailure: "remap-failed",
    pynvml.nvmlEventTypeGpuUnavailableError: "gpu-lost",
    pynvml.nvmlEventMigConfigChange: MIG_CHANGE,
}
"""Event types that say all by themselves."""

WANTED = XID | RECOVERY | sum(KINDS)

REGISTER_SECONDS = 1.0
"""For GPUs that are new to the set; one that takes longer is in it when it comes back."""

EVENTS_MAX = 100
"""Told by one wait; the rest by the next."""


class EventFeed:
    """Events since the last wait. What happened before a GPU was registered is no news: `health` tells it."""

    def __init__(self, session: Session, memory: Memory, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._session, self._memory, self._sleep = session, memory, sleep
        self._lock = threading.Lock()
        self._set: Any = None
        self._generation = -1
        self._registered: dict[str, Future[_Entry]] = {}
        """Of every GPU the last try to bring it into a set, perhaps one of before."""

    def wait(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        """What is new, waiting at most that long for the first. Holds up nobody but other waits.

        An error that comes after an event is the next wait's: NVML tells each event once.
        """
        told: list[HealthEvent] = []
        with self._lock:
            try:
                if self._register():
                    told.extend(self._events(timeout_seconds))
                else:
                    self._sleep(timeout_seconds)
            except BackendError:
                if not told:
                    self._drop()
                    raise
        return tuple(told)

    def _events(self, timeout_seconds: float) -> Iterator[HealthEvent]:
        timeout_ms = max(0, round(timeout_seconds * 1000))
        for _ in range(EVENTS_MAX):
            data = self._session.at_large("waiting for events", lambda ms=timeout_ms: _next(self._set, ms))  # type: ignore[misc]
            if data is None:
                return
            timeout_ms = 0
            yield from self._told(data)

    def _told(self, data: Any) -> tuple[HealthEvent, ...]:
        gpu_uuid = self._session.at_large("naming a GPU", lambda: self._session.uuid_of(data.device))
        if data.eventType == XID:
            xid, place = int(data.eventData), self._place(gpu_uuid, data.gpuInstanceId)
            placements = () if place is None else (place,)
            event = HealthEvent(gpu_uuid=gpu_uuid, kind="xid", xid=xid, message=f"XID {xid}", placements=placements)
            counters = self._asked(gpu_uuid, "reading counters", health.counters) or {}
            self._memory.change(gpu_uuid, lambda memory: remembering(memory, event, counters))
            return (event,)
        kind = KINDS.get(data.eventType)
        if data.eventType == RECOVERY:
            kind = self._asked(gpu_uuid, "reading the recovery action", health.recovery_action)
        return (health.report(gpu_uuid, kind),) if kind else ()

    def _place(self, gpu_uuid: str, gpu_instance_id: int) -> Placement | None:
        """Of the instance that an event names; None where it names none, or none that is there still."""
        if gpu_instance_id == pynvml.NVML_GPU_INSTANCE_ID_ANY:
            return None
        return self._asked(gpu_uuid, "placing an event", lambda handle: instances.placement_of(handle, gpu_instance_id))

    def _asked(self, gpu_uuid: str, doing: str, act: Callable[[Any], T]) -> T | None:
        """What more a GPU says about an event; None where it has stopped to answer, which must not lose the event."""
        try:
            return self._session.on(gpu_uuid, doing, act)
        except BackendError:
            return None

    def _register(self) -> bool:
        """Bring every GPU into the set. True if there is one in it."""
        uuids = self._session.uuids()
        if self._set is None or self._generation != self._session.generation:
            self._drop()
            self._set = self._session.at_large("making an event set", pynvml.nvmlEventSetCreate)
            self._generation = self._session.generation
        new = {uuid: self._started(uuid) for uuid in uuids if self._missing(uuid)}
        self._registered.update(new)
        wait(new.values(), timeout=REGISTER_SECONDS)
        return any(self._entered(one) and one.result()[1] for one in self._registered.values())

    def _missing(self, gpu_uuid: str) -> bool:
        """Not while a try is on its way: on a GPU that hangs, a second one would hang too."""
        last = self._registered.get(gpu_uuid)
        return last is None or (last.done() and not self._entered(last))

    def _entered(self, one: Future[_Entry]) -> bool:
        """Whether a GPU is in the set that there is now, as far as it supports events."""
        return one.done() and not failed(one) and one.result()[0] is self._set

    def _started(self, gpu_uuid: str) -> Future[_Entry]:
        event_set = self._set
        register = lambda handle: (event_set, _register(handle, event_set))  # noqa: E731 - as short as its name
        return started("nvml-register", lambda: self._session.on(gpu_uuid, "registering for events", register))

    def _drop(self) -> None:
        """Forget the set: its session is gone, or a GPU in it is."""
        event_set, self._set = self._set, None
        self._registered = {uuid: one for uuid, one in self._registered.items() if not one.done()}
        if event_set is not None and not self._registered and self._generation == self._session.generation:
            self._session.at_large("freeing an event set", lambda: optional(_free, event_set, otherwise=None))


def _free(event_set: Any) -> None:
    try:
        pynvml.nvmlEventSetFree(event_set)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_UNINITIALIZED:
            raise


def _next(event_set: Any, timeout_ms: int) -> Any | None:
    try:
        return pynvml.nvmlEventSetWait_v2(event_set, timeout_ms)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_TIMEOUT:
            raise
        return None


def _register(handle: Any, event_set: Any) -> bool:
    """Register for what the GPU supports; False if that is nothing."""
    wanted = WANTED & optional(pynvml.nvmlDeviceGetSupportedEventTypes, handle, otherwise=0)
    if not wanted:
        return False
    # A guest of a vGPU may be refused what it is said to support.
    return optional(pynvml.nvmlDeviceRegisterEvents, handle, wanted, event_set, otherwise=False) is not False
