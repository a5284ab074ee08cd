"""Events of the hardware become faults, and faults are tried again with growing pauses."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from partita_driver.health.faults import Fault
from partita_driver.health.watch import HealthWatch
from partita_plugins.errors import BackendError, NvmlCode, Retryable
from partita_plugins.model.health import MIG_CHANGE, HealthEvent
from partita_plugins.model.mig import Placement
from partita_plugins.pauses import Pause
from tests.waiting import WAIT_SECONDS


@dataclass
class Keeper:
    known: list[Fault] = field(default_factory=list)
    passes: bool = False
    tried: list[str] = field(default_factory=list)
    added: list[list[str]] = field(default_factory=list)
    refreshed: int = 0
    hardware_changed: bool = False
    unreadable: bool = False
    events: list[HealthEvent | BackendError] = field(default_factory=list)
    states: list[Fault] = field(default_factory=list)

    def faults(self) -> tuple[Fault, ...]:
        return tuple(self.known)

    def add_faults(self, *faults: Fault) -> None:
        self.added.append([fault.reason for fault in faults])
        self.known += faults

    def revalidate(self, fault: Fault) -> bool:
        self.tried.append(fault.reason)
        if self.passes:
            self.known.remove(fault)
        return self.passes

    def refresh(self) -> bool:
        self.refreshed += 1
        if self.unreadable:
            raise Retryable("no GPU list")
        return self.hardware_changed

    def check_health(self) -> None:
        self.known += [fault for fault in self.states if fault not in self.known]

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        event = self.events.pop(0)
        if isinstance(event, BackendError):
            raise event
        return (event,)


def watch(keeper: Keeper, *events: HealthEvent | BackendError, **options: Any) -> tuple[HealthWatch, list[int]]:
    changes: list[int] = []
    keeper.events += events
    return HealthWatch(keeper, lambda: changes.append(1), **options), changes


def test_a_lost_gpu_is_quarantined_and_the_hardware_looked_at() -> None:
    keeper = Keeper()
    made, changes = watch(keeper, HealthEvent(gpu_uuid="g", kind="gpu-lost"))
    assert made.step_events() == 0.0
    assert [fault.reason for fault in keeper.known] == ["gpu-lost"]
    assert (keeper.refreshed, changes) == (1, [1])


def test_a_change_of_instances_is_looked_into_and_is_no_fault() -> None:
    keeper, looked = Keeper(), list[int]()
    made, changes = watch(keeper, HealthEvent(gpu_uuid="g", kind=MIG_CHANGE), on_instances=lambda: looked.append(1))
    keeper.states = [Fault(gpu_uuid="g", reason="ecc", message="asked for nothing")]
    assert made.step_events() == 0.0
    assert (looked, changes, keeper.known) == ([1], [], [])


def test_parts_that_fail_together_are_quarantined_together() -> None:
    keeper = Keeper()
    parts = (Placement(0, 1), Placement(4, 4))
    made, _ = watch(keeper, HealthEvent(gpu_uuid="g", kind="xid", xid=94, placements=parts))
    made.step_events()
    assert keeper.added == [["xid-94", "xid-94"]]


def test_an_event_makes_the_driver_ask_for_states_that_have_none() -> None:
    keeper = Keeper(states=[Fault(gpu_uuid="g", reason="recovery-reset", message="m")])
    made, _ = watch(keeper, HealthEvent(gpu_uuid="g", kind="xid", xid=48))
    made.step_events()
    assert [fault.reason for fault in keeper.known] == ["xid-48", "recovery-reset"]


def test_what_was_wrong_before_the_driver_came_is_found_without_an_event() -> None:
    keeper = Keeper(states=[Fault(gpu_uuid="g", reason="remap-pending", message="m")])
    made, _ = watch(keeper)
    made.step_look()
    assert [fault.reason for fault in keeper.known] == ["remap-pending"]


def test_a_backend_that_cannot_tell_is_asked_again_later() -> None:
    made, changes = watch(Keeper(), BackendError(NvmlCode.UNKNOWN, "no events"), wait_seconds=0.1)
    assert made.step_events() > 0
    assert changes == []


def test_a_fault_is_tried_again_until_it_passes() -> None:
    keeper = Keeper(known=[Fault(gpu_uuid="g", reason="validation", message="m")])
    made, changes = watch(keeper, again=Pause(0.0, 0.0))
    made.step_recovery()
    made.step_recovery()
    assert (keeper.tried, changes) == (["validation"] * 2, [])
    keeper.passes = True
    made.step_recovery()
    assert (keeper.known, changes) == ([], [1])


def test_a_fresh_fault_is_not_tried_at_once() -> None:
    keeper = Keeper(known=[Fault(gpu_uuid="g", reason="validation", message="m")], passes=True)
    made, _ = watch(keeper, again=Pause(60.0, 60.0))
    made.step_recovery()
    assert keeper.tried == []


def test_gpus_that_come_or_go_are_published() -> None:
    made, changes = watch(Keeper(hardware_changed=True))
    made.step_look()
    assert changes == [1]


def test_hardware_that_cannot_be_read_is_still_asked_for_its_health() -> None:
    keeper = Keeper(unreadable=True, states=[Fault(gpu_uuid="g", reason="ecc", message="m")])
    made, _ = watch(keeper)
    assert made.step_look() > 0
    assert [fault.reason for fault in keeper.known] == ["ecc"]


class Validating(Keeper):
    """A validation that lasts until it is told to end."""

    def __init__(self) -> None:
        super().__init__(known=[Fault(gpu_uuid="g", reason="validation", message="m")])
        self.began, self.looked, self.end = threading.Event(), threading.Event(), threading.Event()

    def revalidate(self, fault: Fault) -> bool:
        self.began.set()
        self.end.wait(WAIT_SECONDS)
        return False

    def check_health(self) -> None:
        if self.began.is_set():
            self.looked.set()

    def wait_events(self, timeout_seconds: float) -> tuple[HealthEvent, ...]:
        self.end.wait(timeout_seconds)
        return ()


def test_the_hardware_is_looked_at_while_a_part_of_it_is_validated() -> None:
    keeper = Validating()
    made, _ = watch(keeper, again=Pause(0.0, 0.0))
    made.start()
    try:
        assert keeper.looked.wait(WAIT_SECONDS)
    finally:
        keeper.end.set()
        made.stop()


def test_a_short_pause_before_validating_again_is_not_outlasted_by_the_looks() -> None:
    made, _ = watch(Keeper(), again=Pause(1.5, 3600.0), look_seconds=15.0)
    assert made.step_recovery() == 1.5
