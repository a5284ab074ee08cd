"""Validation before the bind: kube-scheduler waits for the node, and a broken GPU sends the same pod to another one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from partita_plugins.wire import FAULT_TAINT_KEY, VALIDATED_CONDITION, pool_name
from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, pod_spec, request, until
from tests.e2e.node import Node, claim_state, nothing_left

pytestmark = pytest.mark.computes

NODES = ("node-a", "node-b")
SETTINGS = "nodes: [{offer: {whole: true, mig: [1g, 3g]}, validation: {bind: true, idle: false}}]"
POLL_SECONDS = 5.0
"""kube-scheduler looks at the conditions when it begins to wait, and then so often."""

MIG_3G = "mig-3g.gpu.partita.dev"


@pytest.fixture(autouse=True)
def before_the_bind(lab: Lab, installation: Installation) -> Iterator[None]:
    """Both nodes let kube-scheduler wait; afterwards none does."""

    def waiting() -> set[bool]:
        return {bool(device.binding_conditions) for node in NODES for device in lab.devices(node).values()}

    with installation.settings(SETTINGS):
        until("all devices let kube-scheduler wait", lambda: waiting() == {True})
        yield
    until("no device lets kube-scheduler wait", lambda: waiting() == {False})


def test_a_pod_is_bound_once_its_device_is_proven_and_prepare_finds_it_ready(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    lab.claim("train", request(device_class=MIG_3G))
    begun = time.monotonic()
    lab.pod("train", claim="train")
    lab.running("train")
    seconds = time.monotonic() - begun
    installation.figure("bind-start", seconds=round(seconds, 2))
    assert seconds < 2 * POLL_SECONDS, "the condition was not there at kube-scheduler's second look"
    assert _is_validated(lab, "train")
    assert lab.event("train", "BindingConditionsPending")
    record = nodes[lab.node_of("train")].journal().claims[lab.read_claim("train").metadata.uid]
    [device] = record.devices
    assert record.state == "prepared"
    assert device.validation
    assert (device.validation.moment, device.validation.depth) == ("bind", "full")


def test_a_broken_gpu_sends_the_same_pod_to_another_node(lab: Lab, installation: Installation) -> None:
    """A job on all GPUs of a node: one that is broken, and nobody's hand."""
    victim = lab.slices("node-a")[1].spec.devices[0]
    uuid = victim.attributes["uuid"].string
    assert uuid
    lab.claim("gang", request(count=8))
    installation.simulated("node-a", "fault", "stuck-bit", "--gpu", uuid, "--word", "12345", "--bit", "7")
    try:
        with _first_choice(lab, "node-a"):
            begun = time.monotonic()
            lab.pod("gang", claim="gang")
            until("the claim is allocated on node-a", lambda: _allocated_on(lab, "gang", "node-a"))
        uid = lab.read_pod("gang")["metadata"]["uid"]  # type: ignore[index]
        lab.running("gang", seconds=90)
        installation.figure("bind-elsewhere", seconds=round(time.monotonic() - begun, 2))
        assert lab.node_of("gang") == "node-b"
        assert lab.read_pod("gang")["metadata"]["uid"] == uid, "another pod"  # type: ignore[index]
        said = lab.event("gang", "FailedScheduling", "device binding failed")
        assert "reason=ValidationFailed" in said
        assert "bit 7" in said
        assert lab.event("gang", "DeviceValidationFailed", "bit 7")
        assert victim.name in _tainted(lab, "node-a")
        assert not _tainted(lab, "node-b")
    finally:
        installation.simulated("node-a", "lift", "--all")
    until("the GPU comes back when it passes", lambda: not _tainted(lab, "node-a"), 120)


def test_a_plain_request_for_a_gpu_waits_for_its_validation_too(lab: Lab) -> None:
    """Its claim is kube-scheduler's own."""
    spec = pod_spec(["main"], [])
    spec["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    lab.create_pod("plain", spec)
    lab.running("plain")
    [claim] = lab.claims()
    assert _is_validated(lab, claim.metadata.name)


def test_a_pod_that_is_deleted_while_it_waits_leaves_nothing(lab: Lab, nodes: dict[str, Node]) -> None:
    lab.template("mig", request(device_class=MIG_3G))
    lab.pod("short", template="mig", node="node-a")
    _ready_ahead(lab, nodes["node-a"])
    assert nodes["node-a"].instances()
    assert not lab.node_of("short"), "bound already: kube-scheduler did not wait"
    lab.force_delete("short")
    nothing_left(nodes["node-a"])


def test_a_driver_that_restarts_before_prepare_hands_out_what_it_had_made(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    lab.claim("kept", request(device_class=MIG_3G))
    lab.pod("kept", claim="kept", node="node-a")
    uid = _ready_ahead(lab, nodes["node-a"])
    made = nodes["node-a"].journal().claims[uid]
    assert not lab.node_of("kept"), "bound already: kube-scheduler did not wait"
    installation.restart_driver("node-a")
    lab.running_when_poked("kept", seconds=120)
    [before], [after] = made.devices, nodes["node-a"].journal().claims[uid].devices
    assert (after.uuid, after.validation) == (before.uuid, before.validation)


def _ready_ahead(lab: Lab, node: Node) -> str:
    """UID of the claim, once it is proven and its pod not bound yet."""
    claim = until("the claim is there", lambda: next(iter(lab.claims()), None))
    uid = claim.metadata.uid
    until("it waits, checked", lambda: claim_state(node, uid) == "checked", pause=0.05)
    until("kube-scheduler is told", lambda: _is_validated(lab, claim.metadata.name), pause=0.05)
    return uid


@contextlib.contextmanager
def _first_choice(lab: Lab, node: str) -> Iterator[None]:
    """No other node takes new pods meanwhile."""
    others = [other for other in NODES if other != node]
    lab.kubectl("cordon", *others)
    try:
        yield
    finally:
        lab.kubectl("uncordon", *others)


def _allocated_on(lab: Lab, claim: str, node: str) -> bool:
    return any(result.pool == pool_name(node) for result in lab.allocated(claim))


def _is_validated(lab: Lab, claim: str) -> bool:
    told = lab.read_claim(claim).status.devices
    conditions = [one for entry in told for one in entry.conditions or ()]
    return any(one.type == VALIDATED_CONDITION and one.status == "True" for one in conditions)


def _tainted(lab: Lab, node: str) -> set[str]:
    return {
        name
        for name, device in lab.devices(node).items()
        if any(taint.key == FAULT_TAINT_KEY for taint in device.taints)
    }
