"""An API server that takes slices and keeps only some of their fields: an older one, or one with gates off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from partita_driver.api.status import FIELDS_DROPPED, FIELDS_KEPT, StatusWriter
from partita_driver.slices.contents import ALL_FEATURES, Features
from partita_driver.slices.feature_probe import kept_now
from partita_driver.slices.plan import Owner
from partita_driver.slices.pool import Published, desired_pool
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import Resource
from partita_plugins.model.offer import Offer
from partita_plugins.wire import WITHDRAWN_TAINT_KEY
from tests.driver.edge.worlds import MIXED, NODE, AllTold, Pooled, api_server, fault_on, inputs_of, pooled, slotted
from tests.waiting import WAIT_SECONDS, eventually

H100 = slotted("hgx-h100")
WITHOUT_COUNTERS = ("sharedCounters", "consumesCounters")


class ForgetfulApi(KubeApi):
    """An older API server: it takes slices and keeps only the fields it knows."""

    forgotten: tuple[str, ...] = ()

    def create(self, resource: Resource, obj: Any, namespace: str = "", *, dry_run: bool = False) -> bytes:
        return super().create(resource, self._strip(obj), namespace, dry_run=dry_run)

    def replace(self, resource: Resource, name: str, obj: Any, namespace: str = "", subresource: str = "") -> bytes:
        return super().replace(resource, name, self._strip(obj), namespace, subresource)

    def _strip(self, obj: Any) -> Any:
        body = msgspec.to_builtins(obj)
        devices = body["spec"].get("devices", [])
        capacities = [capacity for device in devices for capacity in device.get("capacity", {}).values()]
        for part in (body["spec"], *devices, *capacities):
            for name in self.forgotten:
                part.pop(name, None)
        return body


def forgetful(world: Pooled, directory: Path, *forgotten: str) -> ForgetfulApi:
    made = ForgetfulApi.connect(str(directory / "kubeconfig"))
    assert isinstance(made, ForgetfulApi)
    made.forgotten = forgotten
    world.api = made
    return made


def test_an_api_server_that_drops_counters_gets_no_devices_that_overlap(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        forgetful(world, tmp_path, *WITHOUT_COUNTERS)
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        assert not publisher.features.counters
        assert {str(device.attributes["type"].value) for device in world.devices().values()} == {"gpu"}
        assert len(world.slices()) == 1
        rounds = len(world.counted.rounds)
        assert publisher.publish_now(WAIT_SECONDS)
        assert len(world.counted.rounds) == rounds, "what was dropped is not written again"


def test_an_api_server_that_drops_binding_conditions_lets_nothing_wait(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        forgetful(world, tmp_path, "bindingConditions", "bindingFailureConditions")
        world.inputs = replace(world.inputs, binding=True)
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        assert publisher.features == Features(conditions=False)
        assert not publisher.binding
        assert kept_now(world.api, Owner(node_name=NODE, uid="node")) == Features(conditions=False)
        rounds = len(world.counted.rounds)
        assert publisher.publish_now(WAIT_SECONDS)
        assert len(world.counted.rounds) == rounds, "what was dropped is not written again"


def test_an_api_server_that_drops_taints_loses_faulty_devices(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, Offer(whole=True)) as world:
        forgetful(world, tmp_path, "taints")
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        world.inputs = replace(world.inputs, faults=(fault_on(H100, 3),))
        assert publisher.publish_now(WAIT_SECONDS)
        assert eventually(lambda: f"gpu-{H100.gpus[3].pci_label}" not in world.devices())
        assert len(world.devices()) == 7


def test_an_api_server_without_shares_gets_no_shared_gpus(tmp_path: Path) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        forgetful(world, tmp_path, "allowMultipleAllocations", "requestPolicy")
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        assert eventually(lambda: not any(name.endswith("-shared") for name in world.devices()))


@pytest.mark.parametrize(
    ("forgotten", "missing"),
    [
        (WITHOUT_COUNTERS, Features(counters=False)),
        (("taints",), Features(taints=False)),
        (("allowMultipleAllocations", "requestPolicy"), Features(shares=False)),
    ],
)
def test_a_gate_that_is_switched_on_heals_the_pool_without_a_restart(
    tmp_path: Path, forgotten: tuple[str, ...], missing: Features
) -> None:
    with pooled(tmp_path, H100, MIXED) as world:
        world.probe_seconds = 0.2
        world.inputs = inputs_of(H100, MIXED, fault_on(H100, 3))
        api = forgetful(world, tmp_path, *forgotten)
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        poor = world.devices()
        assert world.features[0] == (ALL_FEATURES, missing)
        assert eventually(lambda: (missing, missing) in world.features), "it is told as long as it is so"
        assert world.devices() == poor
        api.forgotten = ()
        assert eventually(lambda: publisher.features == ALL_FEATURES)
        assert publisher.publish_now(WAIT_SECONDS)
        assert world.features[-1] == (missing, ALL_FEATURES)
        assert world.devices().keys() == {
            device.name
            for content in desired_pool(world.inputs, Published(), frozenset())
            for device in content.devices
        }


def test_asking_what_is_kept_stores_nothing(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        uid = server.get("Node", NODE)["metadata"]["uid"]
        assert kept_now(api, Owner(node_name=NODE, uid=uid)) == ALL_FEATURES
        assert server.list("ResourceSlice").items == []


def test_without_counters_a_device_waits_until_what_it_would_overlap_is_gone(tmp_path: Path) -> None:
    """Settings change from partitions to whole GPUs while one partition is in use."""
    with pooled(tmp_path, H100, Offer(whole=False, mig_shapes=frozenset({"3g"}))) as world:
        world.withdraw_seconds = 2.0  # time to look before it is over
        forgetful(world, tmp_path, *WITHOUT_COUNTERS)
        publisher = world.publisher()
        assert publisher.publish_now(WAIT_SECONDS)
        held = next(name for name in world.devices() if name.startswith(f"gpu-{H100.gpus[2].pci_label}-mig"))
        world.claims.add(held)
        world.inputs = inputs_of(H100, Offer(whole=True))
        assert publisher.publish_now(WAIT_SECONDS)
        wholes = {f"gpu-{gpu.pci_label}" for gpu in H100.gpus.values()}
        assert not wholes & world.devices().keys()
        assert eventually(lambda: world.devices().keys() == (wholes - {f"gpu-{H100.gpus[2].pci_label}"}) | {held})
        assert [taint.key for taint in world.devices()[held].taints] == [WITHDRAWN_TAINT_KEY]
        world.claims.clear()
        assert eventually(lambda: world.devices().keys() == wholes)


def test_what_is_dropped_and_kept_again_is_said_in_events_on_the_node(tmp_path: Path) -> None:
    with api_server(tmp_path) as (server, api):
        owner = Owner(node_name=NODE, uid=server.get("Node", NODE)["metadata"]["uid"])
        status = StatusWriter(api, NODE, AllTold())
        poor = Features(counters=False)
        for before, after in ((ALL_FEATURES, poor), (poor, poor), (poor, ALL_FEATURES)):
            status.features_changed(owner, before, after)
        status.step()
        events = {event["reason"]: event for event in server.list("Event").items}
        assert events.keys() == {FIELDS_DROPPED, FIELDS_KEPT}
        assert {event["involvedObject"]["name"] for event in events.values()} == {NODE}
        assert events[FIELDS_DROPPED]["count"] == 2
        assert "DRAPartitionableDevices" in events[FIELDS_DROPPED]["message"]
