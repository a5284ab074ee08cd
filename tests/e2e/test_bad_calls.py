"""Claims that the driver must refuse, asked over its own socket; and a node that cannot hold one more file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.kubelet_api import dra_v1_pb2 as dra
from tests.e2e.installation import Installation
from tests.e2e.lab import CLUSTER, Lab, request, run, until
from tests.e2e.node import KUBELET, Node

PREPARE = "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources"
OTHER = "gpu.example.com"


@pytest.fixture
def folder(nodes: dict[str, Node]) -> Iterator[Path]:
    """The driver's socket folder on node-a, under a name short enough for a socket's path."""
    with tempfile.TemporaryDirectory() as short:
        link = Path(short) / "d"
        link.symlink_to(nodes["node-a"].path(KUBELET, "plugins", "gpu.partita.dev"))
        yield link


def prepare(folder: Path, *claims: dra.Claim) -> dict[str, str]:
    """Claim UID to error text, as the driver that serves answers."""
    sockets = sorted(folder.glob("dra-*.sock"), key=lambda path: path.stat().st_mtime)
    with grpc.insecure_channel(f"unix:{sockets[-1]}") as channel:
        call = channel.unary_unary(
            PREPARE,
            request_serializer=dra.NodePrepareResourcesRequest.SerializeToString,
            response_deserializer=dra.NodePrepareResourcesResponse.FromString,
        )
        answer = call(dra.NodePrepareResourcesRequest(claims=claims), timeout=30)
    return {uid: entry.error for uid, entry in answer.claims.items()}


def test_claims_that_cannot_be_prepared_are_told_apart_in_one_call(lab: Lab, folder: Path) -> None:
    lab.claim("unallocated", request())
    lab.claim("foreign", request(device_class=OTHER))
    _allocate_elsewhere(lab, "foreign")
    unallocated, foreign = (
        dra.Claim(namespace=lab.namespace, name=name, uid=lab.read_claim(name).metadata.uid)
        for name in ("unallocated", "foreign")
    )
    missing = dra.Claim(namespace=lab.namespace, name="missing", uid="0-0-0")
    replaced = dra.Claim(namespace=lab.namespace, name="unallocated", uid="1-1-1")
    errors = prepare(folder, unallocated, foreign, missing, replaced)
    assert "not allocated" in errors[unallocated.uid]
    assert "gpu.partita.dev" in errors[foreign.uid]
    assert "missing" in errors["0-0-0"]
    assert "1-1-1" in errors["1-1-1"]
    assert prepare(folder) == {}


def test_a_full_cdi_folder_is_an_event_and_nothing_is_half_made(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    run(CLUSTER, "node-exec", "node-a", "--", "mount", "-t", "tmpfs", "-o", "size=4k", "full", "/var/run/cdi")
    installation.restart_driver("node-a")
    try:
        run(CLUSTER, "node-exec", "node-a", "--", "dd", "if=/dev/zero", "of=/var/run/cdi/filler", "bs=4k", "count=1")
        lab.claim("one", request(device_class="mig-3g.gpu.partita.dev"))
        lab.pod("p", claim="one", node="node-a")
        message = lab.event("p", "FailedPrepareDynamicResources", contains="/var/run/cdi")
        assert "space" in message
        until("no partition is left behind", lambda: not nodes["node-a"].instances(), 30)
    finally:
        run(CLUSTER, "node-exec", "node-a", "--", "umount", "/var/run/cdi")
        lab.delete_pod("p")
        installation.restart_driver("node-a")
    lab.pod("q", claim="one", node="node-a")
    lab.running_when_poked("q")


def _allocate_elsewhere(lab: Lab, name: str) -> None:
    result = {"request": "gpu", "driver": OTHER, "pool": "p", "device": "d"}
    # A pod that really is there, or the reservation would be taken back; its gate keeps kube-scheduler away.
    lab.pod("holder", claim=name, schedulingGates=[{"name": "example.com/held"}])
    pod = lab.read_pod("holder")
    assert pod is not None
    holder = {"resource": "pods", "name": "holder", "uid": pod["metadata"]["uid"]}
    status = {"status": {"allocation": {"devices": {"results": [result]}}, "reservedFor": [holder]}}
    lab.api.patch(RESOURCE_CLAIMS, name, status, lab.namespace, "status")
