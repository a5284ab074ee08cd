"""The second scheduler of docs/scheduling.md, from the manifests as a user applies them: a pod of its own."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.realcluster import binaries, modules

from partita_plugins.kube.errors import Refused
from partita_plugins.kube.resources import PODS
from tests.e2e.installation import EXTENDER_NAME, SYSTEM, Installation
from tests.e2e.lab import BUSYBOX, CLUSTER, ROOT, Json, Lab, request, run, until
from tests.e2e.paper import Paper, PaperFleet, paper_fleet

NAME = "gpu-scheduler"
SECRET = "partita-extender-client"  # noqa: S105 - a name
PROGRAMS = "/opt/kubernetes"


def test_a_second_scheduler_asks_partita_and_has_all_pods_that_want_devices(
    lab: Lab, installation: Installation, tmp_path: Path
) -> None:
    machines = {"second-a": Paper("l40s-x8"), "second-b": Paper("hgx-h100")}
    with paper_fleet(lab, installation.extender, machines) as fleet, _second_scheduler(lab, installation, tmp_path):
        until("the policy is in force", lambda: not _admitted(fleet, gpus=1))
        with pytest.raises(Refused, match=r"set spec\.schedulerName"):
            fleet.pod("other", request(count=2))
        assert _admitted(fleet)
        fleet.pod("p", request(count=2), schedulerName=NAME)
        assert fleet.node_of("p") == "second-b"
        lab.event("p", "Scheduled")
        assert {event["reportingComponent"] for event in lab.events("p") if event["reason"] == "Scheduled"} == {NAME}


@contextlib.contextmanager
def _second_scheduler(lab: Lab, installation: Installation, folder: Path) -> Iterator[None]:
    files = [
        f"--from-file={name}={installation.certificates / name}" for name in ("ca.crt", "client.crt", "client.key")
    ]
    lab.kubectl("create", "secret", "generic", "-n", SYSTEM, SECRET, *files)
    (folder / "kustomization.yaml").write_text(json.dumps(_in_this_cluster(folder)))
    try:
        lab.kubectl("apply", "-k", str(folder))
        lab.kubectl("rollout", "status", "-n", SYSTEM, f"deployment/{NAME}", "--timeout=60s")
        yield
    finally:
        lab.kubectl("delete", "-k", str(folder), "--ignore-not-found")
        lab.kubectl("delete", "secret", "-n", SYSTEM, SECRET)
        until("the policy is gone", lambda: _admitted(PaperFleet(lab, {}), gpus=1))


def _admitted(fleet: PaperFleet, *, gpus: int = 0) -> bool:
    """Whether the API server would take a pod that says nothing of schedulers."""
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": fleet.spec([], gpus=gpus)}
    try:
        fleet.lab.api.create(PODS, body, fleet.lab.namespace, dry_run=True)
    except Refused:
        return False
    return True


def _in_this_cluster(folder: Path) -> Json:
    """The manifests where pods have their host's network, no DNS, and no image of kube-scheduler but its program."""
    version = json.loads(run(CLUSTER, "status", "--json"))["version"]
    container = {
        "name": "kube-scheduler",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": [f"{PROGRAMS}/kube-scheduler"],
        "args": ["--config=/etc/gpu-scheduler/config.yaml", "--bind-address=127.0.0.1"],
        "envFrom": [{"configMapRef": {"name": "partita-api-address"}}],
        "livenessProbe": {"httpGet": {"host": "127.0.0.1"}},
        "readinessProbe": {"httpGet": {"host": "127.0.0.1"}},
        "volumeMounts": [{"name": "programs", "mountPath": PROGRAMS, "readOnly": True}],
    }
    pod = {
        "hostNetwork": True,
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": [EXTENDER_NAME]}],
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": [{"name": "programs", "hostPath": {"path": str(binaries.folder(modules.kubernetes(version)))}}],
    }
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": SYSTEM},
        "spec": {"replicas": 1, "template": {"spec": pod}},
    }
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(ROOT / "manifests" / "second-scheduler", folder)],
        "patches": [{"patch": json.dumps(patch)}],
    }
