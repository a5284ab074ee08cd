"""Faults of one GPU: exactly its devices are tainted, everything else goes on, and it comes back when it is well."""

from __future__ import annotations

import pytest

from partita_plugins.backends.simulated import Fault, GpuLost, HungCall, Xid
from partita_plugins.wire import FAULT_TAINT_KEY
from partita_plugins.wire.device_names import parse_name
from tests.e2e.installation import Installation
from tests.e2e.lab import Json, Lab, request, until
from tests.e2e.node import Node

MIG_1G = "mig-1g.gpu.partita.dev"
MENDED_SECONDS = 90


@pytest.mark.computes
def test_a_reported_error_keeps_new_pods_away_from_one_gpu_over_a_restart_until_it_passes_again(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    node = nodes["node-a"]
    ill = lab.holds("ill", "node-a", selectors=[_on_slot(2)])
    lab.holds("well", "node-a", selectors=[_on_slot(3)])
    before = {name: lab.identity(name) for name in ("ill", "well")}
    with node.broken(Xid(gpu_uuid=node.gpu_of(ill).uuid, xid=74)):
        until("the GPU's devices are tainted", lambda: _tainted(lab) == _on_gpu(lab, ill, 2))
        _started_elsewhere(lab, ill)
        if installation.feature("ResourceHealthStatus"):
            until("the kubelet shows it", lambda: _health(lab, "ill") == "Unhealthy", 45)
            assert _health(lab, "well") == "Healthy"
        installation.restart_driver("node-a")
        assert _tainted(lab) == _on_gpu(lab, ill, 2)
    assert {name: lab.identity(name) for name in before} == before
    assert _tainted(lab), "the taint is lifted by validation, not by silence"
    lab.delete_pod("ill")
    until("the taint is lifted", lambda: not _tainted(lab), MENDED_SECONDS)


@pytest.mark.parametrize("fault", [GpuLost, Xid], ids=["gpu-lost", "fatal-xid"])
def test_a_gpu_that_is_gone_loses_its_pods_and_no_other_does(
    lab: Lab, nodes: dict[str, Node], fault: type[GpuLost | Xid]
) -> None:
    node = nodes["node-a"]
    ill = lab.holds("ill", "node-a", selectors=[_on_slot(2)])
    lab.holds("well", "node-a", selectors=[_on_slot(3)])
    before, expected = lab.identity("well"), _on_gpu(lab, ill, 2)
    with node.broken(_fault_on(node, ill, fault)):
        lab.gone("ill")
        until("the GPU's devices are tainted", lambda: _tainted(lab) == expected)
        _started_elsewhere(lab, ill)
        assert lab.identity("well") == before
    until("the taint is lifted", lambda: not _tainted(lab), MENDED_SECONDS)
    assert lab.identity("well") == before


def test_a_hung_gpu_costs_its_own_pod_and_nobody_elses_time(lab: Lab, nodes: dict[str, Node]) -> None:
    node = nodes["node-a"]
    lab.claim("ill", request(device_class="mig-3g.gpu.partita.dev", selectors=[_on_slot(2)]))
    [gpu] = [d for d in lab.devices("node-a") if d == f"gpu-{_label(node, 2)}"]
    with node.broken(HungCall(gpu_uuid=node.gpu_of(gpu).uuid, call="create_gpu_instance")):
        lab.pod("ill", claim="ill", node="node-a")
        until("the call hangs", lambda: lab.node_of("ill"))
        # The driver gives the call 15 s; others do not wait for it.
        for number in range(3):
            lab.claim(f"well-{number}", request(device_class=MIG_1G, selectors=[_on_slot(3)]))
            lab.pod(f"well-{number}", claim=f"well-{number}", node="node-a")
        lab.running(*(f"well-{number}" for number in range(3)), seconds=14)
        lab.gone("ill")
        until("the GPU's devices are tainted", lambda: _tainted(lab) == _on_gpu(lab, gpu, 2))
    until("the taint is lifted", lambda: not _tainted(lab), MENDED_SECONDS)


def _fault_on(node: Node, device: str, fault: type[GpuLost | Xid]) -> Fault:
    uuid = node.gpu_of(device).uuid
    return GpuLost(gpu_uuid=uuid) if fault is GpuLost else Xid(gpu_uuid=uuid, xid=79)


def _on_slot(slot: int) -> str:
    return f"device.attributes['gpu.partita.dev'].slot == {slot}"


def _label(node: Node, slot: int) -> str:
    return node.hardware.machine.hardware.gpus[slot].pci_label


def _tainted(lab: Lab) -> set[str]:
    devices = lab.devices("node-a")
    return {name for name, device in devices.items() if any(t.key == FAULT_TAINT_KEY for t in device.taints)}


def _on_gpu(lab: Lab, device: str, slot: int) -> set[str]:
    """All published devices that contain a part of the device's GPU."""
    label = parse_name(device).pci_label
    names = {name: parse_name(name) for name in lab.devices("node-a")}
    return {name for name, parsed in names.items() if parsed.pci_label == label or slot in parsed.slots}


def _started_elsewhere(lab: Lab, ill: str) -> None:
    lab.claim("new", request(device_class="mig-3g.gpu.partita.dev"))
    lab.pod("new", claim="new", node="node-a")
    lab.running("new")
    [held] = lab.allocated("new")
    assert parse_name(held.device).pci_label != parse_name(ill).pci_label


def _health(lab: Lab, pod: str) -> str:
    """What the kubelet says of the one device of a pod."""
    read: Json = lab.read_pod(pod) or {}
    statuses = read["status"]["containerStatuses"][0].get("allocatedResourcesStatus", [])
    known = [entry["health"] for status in statuses for entry in status.get("resources", [])]
    return str(known[0]) if known else ""
