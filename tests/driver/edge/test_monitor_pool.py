"""How a node's monitor is published: last, on purpose only, whatever the GPUs are like, and withdrawn as any device."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from partita_driver.api.offering import device_health
from partita_driver.slices.contents import Features
from partita_driver.slices.pool import PoolInputs, Published, desired_pool
from partita_plugins.model.health import HealthState
from partita_plugins.model.offer import Offer, SlottedHardware
from partita_plugins.wire import MONITOR_TAINT_KEY, WITHDRAWN_TAINT_KEY
from partita_plugins.wire.device_names import MONITOR_NAME
from partita_plugins.wire.resource_slice import Device
from tests.driver.edge.worlds import MIXED, fault_on, inputs_of, slotted, without_gpu

H100 = slotted("hgx-h100")
WATCHED = replace(MIXED, monitor=True)
HELD = frozenset({MONITOR_NAME})


def pool(inputs: PoolInputs, held: frozenset[str] = frozenset(), published: Published | None = None) -> list[Device]:
    contents = desired_pool(inputs, published or Published(), held)
    return [device for content in contents for device in content.devices]


def taints(device: Device) -> list[tuple[str, str]]:
    return [(taint.key, taint.effect) for taint in device.taints]


def test_it_is_the_last_device_of_the_last_slice() -> None:
    contents = desired_pool(inputs_of(H100, WATCHED), Published(), frozenset())
    assert contents[-1].devices[-1].name == MONITOR_NAME
    assert [device.name for device in pool(inputs_of(H100, WATCHED))].count(MONITOR_NAME) == 1
    assert MONITOR_NAME not in [device.name for device in pool(inputs_of(H100, MIXED))]


def test_no_fault_taints_it_or_makes_it_ill() -> None:
    """A NoExecute taint would evict the very pod that looks at what broke."""
    faults = [fault_on(H100, slot, effect="NoExecute", reason="gpu-lost") for slot in range(8)]
    empty = SlottedHardware(hardware=replace(H100.hardware, gpus=(), links=()), slots=())
    for node in (H100, without_gpu(H100, 0), empty):
        inputs = inputs_of(node, WATCHED, *faults)
        assert taints(pool(inputs)[-1]) == [(MONITOR_TAINT_KEY, "NoSchedule")]
        (health,) = device_health(inputs, HELD)
        assert (health.state, health.message) == (HealthState.HEALTHY, "")


def test_switched_off_while_claims_have_it_it_takes_no_new_one_and_stays() -> None:
    (published,) = (device for device in pool(inputs_of(H100, WATCHED)) if device.name == MONITOR_NAME)
    # As the API server gives it back.
    stamped = [msgspec.structs.replace(taint, time_added="2026-11-25T00:00:00Z") for taint in published.taints]
    before = Published(devices={MONITOR_NAME: msgspec.structs.replace(published, taints=stamped)})
    off = inputs_of(H100, Offer())
    (kept,) = (device for device in pool(off, HELD, before) if device.name == MONITOR_NAME)
    assert taints(kept) == [(MONITOR_TAINT_KEY, "NoSchedule"), (WITHDRAWN_TAINT_KEY, "NoSchedule")]
    again = Published(devices={MONITOR_NAME: kept})
    assert pool(off, HELD, again) == pool(off, HELD, before)
    assert MONITOR_NAME not in [device.name for device in pool(off, frozenset(), again)]


def test_wiped_while_claims_have_it_it_is_published_again() -> None:
    (kept,) = (device for device in pool(inputs_of(H100, Offer()), HELD) if device.name == MONITOR_NAME)
    assert taints(kept) == [(MONITOR_TAINT_KEY, "NoSchedule"), (WITHDRAWN_TAINT_KEY, "NoSchedule")]


def test_an_api_server_that_drops_taints_gets_no_monitor() -> None:
    """There nothing would keep a claim for any device of ours from it."""
    inputs = inputs_of(H100, WATCHED)
    assert MONITOR_NAME not in {device.name for device in pool(replace(inputs, features=Features(taints=False)))}
    assert MONITOR_NAME in {device.name for device in pool(replace(inputs, features=Features(counters=False)))}
