"""Claims under MPS: a daemon of their own that outlives the driver. The nodes have a stand-in for NVIDIA's program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from partita_driver.mps.daemons import MpsDaemon, MpsFolders
from partita_driver.mps.manifest import Image, pod, pod_name
from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.errors import NotFound, Refused
from partita_plugins.kube.resources import PODS
from partita_plugins.model.instances import ComputeMode
from partita_plugins.wire import DRIVER_NAME
from tests.e2e.installation import SYSTEM, Installation
from tests.e2e.lab import Json, Lab, request, until
from tests.e2e.node import STATE, Node

SHARED = "shared.gpu.partita.dev"
NODE_NAME = "node-a"
READY_SECONDS = 120.0
"""The kubelet may wait for 90 s after a Prepare that came before the daemon."""


def mps(**words: Any) -> list[Json]:
    parameters = {"apiVersion": f"{DRIVER_NAME}/v1alpha1", "kind": "GpuConfig", "sharing": "MPS", **words}
    return [{"opaque": {"driver": DRIVER_NAME, "parameters": parameters}}]


def daemon(api: KubeApi, uid: str) -> Json | None:
    try:
        return api.get(PODS, pod_name(uid), SYSTEM, as_=dict[str, Any])
    except NotFound:
        return None


def settings(node: Node, uid: str) -> list[str]:
    """What the claim's daemon was told, each once."""
    return sorted(set(node.path(STATE, "mps", uid, "log", "settings").read_text().splitlines()))


def gone(api: KubeApi, node: Node, uid: str) -> bool:
    return daemon(api, uid) is None and not node.path(STATE, "mps", uid).exists()


def test_two_pods_of_a_claim_have_one_daemon_that_outlives_the_driver(
    lab: Lab, api: KubeApi, installation: Installation, nodes: dict[str, Node]
) -> None:
    node = nodes[NODE_NAME]
    lab.claim("one", request(device_class=SHARED, memory="10Gi"), config=mps(activeThreadPercentage=25))
    for name in ("a", "b"):
        lab.pod(name, claim="one", node=NODE_NAME)
    lab.running("a", "b", seconds=READY_SECONDS)
    uid = lab.read_claim("one").metadata.uid
    for name in ("a", "b"):
        assert lab.inside(name).env["CUDA_MPS_PIPE_DIRECTORY"] == "/tmp/nvidia-mps"
        lab.kubectl("exec", "-n", lab.namespace, name, "--", "test", "-S", "/tmp/nvidia-mps/control")
    lab.kubectl("exec", "-n", lab.namespace, "a", "--", "touch", "/dev/shm/said-by-a")
    lab.kubectl("exec", "-n", lab.namespace, "b", "--", "test", "-f", "/dev/shm/said-by-a")
    [gpu_uuid] = lab.inside("a").values("UUID")
    limits = ["set_default_active_thread_percentage 25", f"set_default_device_pinned_mem_limit {gpu_uuid} 10240M"]
    assert settings(node, uid) == limits
    before = daemon(api, uid)
    assert before
    assert before["status"]["phase"] == "Running"

    installation.restart_driver(NODE_NAME)
    after = daemon(api, uid)
    assert after
    assert (after["metadata"]["uid"], after["status"]["containerStatuses"][0]["restartCount"]) == (
        before["metadata"]["uid"],
        before["status"]["containerStatuses"][0]["restartCount"],
    )
    lab.delete_pod("a")
    assert daemon(api, uid)
    lab.delete_pod("b")
    until("daemon and folders are gone", lambda: gone(api, node, uid))


def test_a_whole_gpu_under_mps_is_the_daemons_alone_until_it_is_given_back(
    lab: Lab, api: KubeApi, nodes: dict[str, Node]
) -> None:
    node = nodes[NODE_NAME]
    lab.claim("whole", request(), config=mps())
    lab.pod("p", claim="whole", node=NODE_NAME)
    lab.running("p", seconds=READY_SECONDS)
    [gpu_uuid] = lab.inside("p").values("UUID")
    assert node.hardware.compute_mode(gpu_uuid) is ComputeMode.EXCLUSIVE_PROCESS
    uid = lab.read_claim("whole").metadata.uid
    lab.delete_pod("p")
    until("daemon and folders are gone", lambda: gone(api, node, uid))
    assert node.hardware.compute_mode(gpu_uuid) is ComputeMode.DEFAULT


def test_a_daemon_that_somebody_deletes_comes_back_with_the_next_driver(
    lab: Lab, api: KubeApi, installation: Installation, nodes: dict[str, Node]
) -> None:
    lab.claim("one", request(device_class=SHARED, memory="10Gi"), config=mps())
    lab.pod("p", claim="one", node=NODE_NAME)
    lab.running("p", seconds=READY_SECONDS)
    uid = lab.read_claim("one").metadata.uid
    api.delete(PODS, pod_name(uid), SYSTEM)
    until("the daemon is gone", lambda: daemon(api, uid) is None)
    installation.restart_driver(NODE_NAME)
    until("it runs again", lambda: (daemon(api, uid) or {}).get("status", {}).get("phase") == "Running")
    lab.delete_pod("p")
    until("daemon and folders are gone", lambda: gone(api, nodes[NODE_NAME], uid))


@pytest.fixture
def as_driver(lab: Lab, tmp_path: Path) -> KubeApi:
    """The API as whoever has taken over the driver of node-a sees it."""
    account = ("create", "token", "partita-driver", "-n", SYSTEM, "--bound-object-kind=Node")
    token = lab.kubectl(*account, f"--bound-object-name={NODE_NAME}").strip()
    config = json.loads(lab.kubectl("config", "view", "--raw", "-o", "json"))
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return KubeApi.connect(str(path))


def test_the_driver_may_make_and_delete_no_pod_but_a_daemon_of_its_node(
    as_driver: KubeApi, installation: Installation
) -> None:
    folders = MpsFolders(Path(STATE) / "mps" / "u")
    wanted = MpsDaemon(claim_uid="u", gpu_uuid="GPU-1", folders=folders, memory_mib=1, active_thread_percentage=1)
    image = Image(name="partita.dev/partita:dev", pull_policy="Never")
    good = pod(wanted, node_name=NODE_NAME, image=image, driver_root=Path("/"))
    as_driver.create(PODS, good, SYSTEM, dry_run=True)
    for change, says in BENT:
        bent = json.loads(json.dumps(good))
        change(bent)
        with pytest.raises(Refused, match=says):
            as_driver.create(PODS, bent, SYSTEM, dry_run=True)
    for name in (installation.driver_pod("node-b"), installation.driver_pod(NODE_NAME)):
        with pytest.raises(Refused, match="may"):
            as_driver.delete(PODS, name, SYSTEM, options={"dryRun": ["All"]})


def _spec(**fields: Any) -> Any:
    return lambda bent: bent["spec"].update(fields)


def _container(**fields: Any) -> Any:
    return lambda bent: bent["spec"]["containers"][0].update(fields)


def _hosts(path: str, name: str) -> Any:
    return lambda bent: bent["spec"]["volumes"].append({"name": name, "hostPath": {"path": path}})


BENT = [
    (_spec(nodeName="node-b"), "may not write a pod of node"),
    (lambda bent: bent["metadata"].update(name="another"), "named and labelled"),
    (_container(command=["sh", "-c", "id"]), "nothing else"),
    (_container(args=["-d"]), "nothing else"),
    (_container(env=[{"name": "LD_PRELOAD", "value": "/tmp/mine.so"}]), "nothing else"),
    (_container(lifecycle={"postStart": {"exec": {"command": ["id"]}}}), "nothing else"),
    (_hosts("/etc", "etc"), "sees its claim's folders"),
    (_hosts("/var/lib/partita/mps/of-another", "more"), "sees its claim's folders"),
    (_container(volumeMounts=[{"name": "driver-root", "mountPath": "/driver-root"}]), "no more than to read"),
    # A token would come as a volume.
    (_spec(automountServiceAccountToken=True), "sees its claim's folders"),
    (_spec(hostNetwork=True), "no network of the node"),
]
"""Pods that somebody else would like to make, and what they are told."""
