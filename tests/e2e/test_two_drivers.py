"""A pod with claims of two drivers, the other of which fails or hangs: neither's work is lost or left behind."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from partita_plugins.kube.resources import DEVICE_CLASSES, RESOURCE_SLICES
from tests.e2e.lab import Lab, pod_spec, request, until
from tests.e2e.node import CDI, KUBELET, Node
from tests.testing.driver_double import DriverDouble

OTHER = "other.example.com"
POOL, DEVICE = "n1", "gpu-0"  # what the double answers
MIG_3G = "mig-3g.gpu.partita.dev"


@pytest.fixture
def other(lab: Lab, nodes: dict[str, Node]) -> Iterator[DriverDouble]:
    """A second driver on node-a, with one device."""
    node = nodes["node-a"]
    with tempfile.TemporaryDirectory() as short:
        for name, target in (
            ("plugins", node.path(KUBELET, "plugins")),
            ("plugins_registry", node.path(KUBELET, "plugins_registry")),
            ("cdi", node.path(CDI)),
        ):
            Path(short, name).symlink_to(target)
        driver = DriverDouble(Path(short), name=OTHER, announced=Path(KUBELET, "plugins", f"{OTHER}.sock")).start()
        try:
            until("the kubelet has registered the other driver", lambda: any(driver.registered))
            with _published(lab):
                yield driver
        finally:
            driver.refuse_prepare = driver.refuse_unprepare = ""
            driver.blocked.clear()
            for name in ("p",):
                lab.delete_pod(name)
            driver.stop()
            for file in node.path(CDI).glob("*.json"):
                if OTHER in file.read_text():
                    file.unlink()


def test_both_are_prepared_and_unprepared(lab: Lab, other: DriverDouble) -> None:
    uid = _pod_of_both(lab)
    lab.running("p")
    assert lab.inside("p").caps
    assert lab.inside("p").env["CLAIM"] == uid
    lab.delete_pod("p")
    assert other.asked("unprepare") == [uid]


def test_a_pod_runs_once_the_other_driver_does_not_fail_any_more(lab: Lab, other: DriverDouble) -> None:
    other.refuse_prepare = "not today"
    _pod_of_both(lab)
    lab.event("p", "FailedPrepareDynamicResources", contains="not today")
    other.refuse_prepare = ""
    lab.running_when_poked("p")
    assert lab.inside("p").caps


def test_a_pod_ends_once_the_other_driver_does_not_fail_any_more(
    lab: Lab, other: DriverDouble, nodes: dict[str, Node]
) -> None:
    uid = _pod_of_both(lab)
    lab.running("p")
    other.refuse_unprepare = "not today"
    lab.delete_pod("p", wait=False)
    until("the other driver has refused", lambda: uid in other.asked("unprepare"))
    assert lab.read_pod("p")
    other.refuse_unprepare = ""
    lab.gone("p")


def test_a_pod_runs_though_the_kubelet_restarted_while_the_other_driver_was_busy(
    lab: Lab, other: DriverDouble, nodes: dict[str, Node]
) -> None:
    other.blocked.set()
    uid = _pod_of_both(lab)
    until("the other driver is at work", lambda: uid in other.asked("prepare"))
    with nodes["node-a"].kubelet_stopped():
        pass
    other.blocked.clear()
    lab.running_when_poked("p")
    assert lab.inside("p").caps


def test_a_pod_ends_though_the_kubelet_restarted_while_the_other_driver_was_busy(
    lab: Lab, other: DriverDouble, nodes: dict[str, Node]
) -> None:
    uid = _pod_of_both(lab)
    lab.running("p")
    other.blocked.set()
    lab.delete_pod("p", wait=False)
    until("the other driver is at work", lambda: uid in other.asked("unprepare"))
    with nodes["node-a"].kubelet_stopped():
        other.blocked.clear()
    lab.gone("p")


def _pod_of_both(lab: Lab) -> str:
    """Pod p with a claim of each driver, on node-a. Returns the UID of the other driver's claim."""
    lab.claim("ours", request(device_class=MIG_3G))
    lab.claim("theirs", request(device_class=OTHER))
    claims = [{"name": name, "resourceClaimName": name} for name in ("ours", "theirs")]
    lab.create_pod("p", pod_spec(["main"], claims, "node-a"))
    return lab.read_claim("theirs").metadata.uid


@contextlib.contextmanager
def _published(lab: Lab) -> Iterator[None]:
    """The other driver's class and its one device."""
    selector = {"cel": {"expression": f"device.driver == '{OTHER}'"}}
    made = {
        DEVICE_CLASSES: {"kind": "DeviceClass", "spec": {"selectors": [selector]}},
        RESOURCE_SLICES: {
            "kind": "ResourceSlice",
            "spec": {
                "driver": OTHER,
                "nodeName": "node-a",
                "pool": {"name": POOL, "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": DEVICE}],
            },
        },
    }
    for resource, body in made.items():
        lab.api.create(resource, {"apiVersion": "resource.k8s.io/v1", "metadata": {"name": OTHER}, **body})
    try:
        yield
    finally:
        for resource in made:
            lab.api.delete(resource, OTHER)
