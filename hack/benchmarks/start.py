"""Pod created to Running on the real cluster: without a claim, and with each kind of claim."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec
from hack.benchmarks.figures import print_rows, quantile
from tests.e2e.lab import CLUSTER, Json, Lab, request, run

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.resources import PODS

KINDS: dict[str, Json | None] = {
    "none": None,
    "gpu": request(),
    "mig": request(device_class="mig-3g.gpu.partita.dev"),
    "shared": request(device_class="shared.gpu.partita.dev", memory="10Gi"),
}


@click.command(help=f"{__doc__} Needs the cluster of: python -m hack.e2e --install-only --version 1.37")
@click.option("--pods", default=20, show_default=True, help="Pods of each kind, one at a time, kinds in turn.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def start(pods: int, *, as_json: bool) -> None:
    """Measure and print."""
    lab = Lab(KubeApi.connect(run(CLUSTER, "kubeconfig").strip()), "bench-start")
    lab.kubectl("create", "namespace", lab.namespace)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    try:
        for number in range(pods):
            for kind, wish in KINDS.items():
                seconds[kind].append(_one(lab, f"{kind}-{number}", wish))
            print(f"{number + 1} of {pods}", end="\r", file=sys.stderr, flush=True)
    finally:
        lab.kubectl("delete", "namespace", lab.namespace, "--wait=false")
    baseline = quantile(seconds["none"], 0.5)
    print_rows([_row(kind, measured, baseline) for kind, measured in seconds.items()], as_json=as_json)


def _row(kind: str, measured: list[float], baseline: float) -> dict[str, object]:
    p50 = quantile(measured, 0.5)
    return {
        "bench": "start",
        "claim": kind,
        "pods": len(measured),
        "p50_seconds": round(p50, 4),
        "p99_seconds": round(quantile(measured, 0.99), 4),
        "added_p50_seconds": round(p50 - baseline, 4),
    }


def _one(lab: Lab, name: str, wish: Json | None) -> float:
    if wish:
        lab.claim(name, wish)
    _, version = lab.api.list(PODS, lab.namespace, as_=dict[str, Any])
    begun = time.monotonic()
    lab.pod(name, claim=name if wish else None)
    _watch_until_running(lab, name, version)
    elapsed = time.monotonic() - begun
    lab.delete_pod(name)
    if wish:
        lab.delete_claim(name)
    return elapsed


def _watch_until_running(lab: Lab, name: str, version: str) -> None:
    query = {"fieldSelector": f"metadata.name={name}"}
    for line in lab.api.watch(PODS, version, timeout_seconds=60, query=query):
        if line.type in {"ADDED", "MODIFIED"}:
            pod = msgspec.json.decode(line.object, type=dict[str, Any])
            if pod.get("status", {}).get("phase") == "Running":
                return
    raise TimeoutError(f"pod {name} did not run; its events: {lab.tell(name)}")
