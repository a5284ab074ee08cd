"""Every example as a user applies it, and the kubectl plugin over what they made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.lab import BUSYBOX, CLUSTER, ROOT, Json, Lab, request, run, until

NVML = os.environ.get("PARTITA_E2E_BACKEND") == "nvml"
NEED_NVIDIAS_PROGRAMS = {"shared-mps"}
FOLDERS = {path.parent.name for path in (ROOT / "manifests" / "examples").glob("*/kustomization.yaml")}
EXAMPLES = sorted(FOLDERS - (set() if NVML else NEED_NVIDIAS_PROGRAMS))
RUNS_WITHIN_SECONDS = 120.0
"""An MPS daemon may be ready after the kubelet's first Prepare, and the next comes up to 90 s later."""

PLUGIN_PATH = {"PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_its_readme_says(lab: Lab, tmp_path: Path, example: str) -> None:
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": lab.namespace,
        "resources": [os.path.relpath(ROOT / "manifests" / "examples" / example, tmp_path)],
        "images": [{"name": "busybox", "newName": BUSYBOX.split(":")[0], "newTag": BUSYBOX.split(":")[1]}],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay))
    lab.kubectl("apply", "-k", str(tmp_path))
    until(f"all pods of {example} run", lambda: _all_running(lab), RUNS_WITHIN_SECONDS)
    for pod in _pods(lab):
        for container in pod["spec"]["containers"]:
            assert lab.inside(pod["metadata"]["name"], container["name"]).gpus


def test_kubectl_partita_draws_the_fleet_and_tells_why(lab: Lab) -> None:
    lab.claim("one", request())
    lab.pod("p", claim="one")
    lab.claim("none", request(selectors=["device.attributes['gpu.partita.dev'].product == 'NVIDIA X9000'"]))
    lab.pod("q", claim="none")
    lab.running("p")
    drawn = run(CLUSTER, "kubectl", "partita", "map", environment=PLUGIN_PATH)
    assert "node-a" in drawn
    assert f"{lab.namespace}/p" in drawn
    why = run(CLUSTER, "kubectl", "partita", "why", "q", "-n", lab.namespace, environment=PLUGIN_PATH)
    assert "node-a" in why
    assert "gpu.partita.dev" in why


def _pods(lab: Lab) -> list[Json]:
    found: list[Json] = json.loads(lab.kubectl("get", "pods", "-n", lab.namespace, "-o", "json"))["items"]
    return found


def _all_running(lab: Lab) -> bool:
    pods = _pods(lab)
    return bool(pods) and all(pod["status"].get("phase") == "Running" for pod in pods)
