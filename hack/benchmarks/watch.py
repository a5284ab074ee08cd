"""What it costs an API server that every node's driver watches all claims, as drivers do that validate before the bind.

Claims come and go at a steady pace, first with nobody watching (the baseline), then with a watch of all claims for each
node, then with one of the claims that a label gives to the node: what a cheaper design would cost.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from hack.benchmarks.churn import NODE_LABEL, WRITES, Churn, events_in
from hack.benchmarks.figures import print_rows, quantile
from hack.benchmarks.watchers import Watchers
from kubernetes import client, config
from tests.e2e.lab import CLUSTER, run

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.changes import decoder
from partita_plugins.kube.resources import RESOURCE_CLAIMS
from partita_plugins.wire.resource_claim import ResourceClaim

NAMESPACE = "default"
TICKS = os.sysconf("SC_CLK_TCK")
MODES = ("none", "all", "label")
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the server in each mode."""

    nodes: int
    claims_per_second: float
    seconds: float


@click.command(help=f"{__doc__}\n\nNeeds a control plane: hack/cluster up --nodes 0")
@click.option("--nodes", default=500, show_default=True, help="Watches.")
@click.option("--rate", default=5.0, show_default=True, help=f"Claims a second, each with {WRITES} writes.")
@click.option("--seconds", default=20.0, show_default=True, help="Of each mode.")
@click.option("--kubeconfig", default="", help="Another API server on this machine than hack/cluster's.")
@click.option("--pid", default=0, help="Its process, where that is not kube-apiserver.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def watch(nodes: int, rate: float, seconds: float, kubeconfig: str, pid: int, *, as_json: bool) -> None:
    """Measure and print."""
    path = kubeconfig or run(CLUSTER, "kubeconfig").strip()
    configuration = client.Configuration()
    config.load_kube_config(path, client_configuration=configuration)  # type: ignore[no-untyped-call]
    api, server = KubeApi.connect(path), pid or _server_pid(configuration.host.rpartition(":")[2])
    load = Load(nodes=nodes, claims_per_second=rate, seconds=seconds)
    rows: list[dict[str, object]] = []
    for mode in MODES:
        print(f"{mode}: {seconds:g} s", file=sys.stderr, flush=True)
        rows.append(_measured(mode, load, api, configuration, server))
    baseline = _per_claim(rows[0])
    for row in rows:
        row["times_baseline"] = round(_per_claim(row) / baseline, 2)
    print_rows(rows, as_json=as_json)


def _measured(
    mode: str, load: Load, api: KubeApi, configuration: client.Configuration, server: int
) -> dict[str, object]:
    every = {
        "none": [],
        "all": [""] * load.nodes,
        "label": [f"{NODE_LABEL}=node-{number}" for number in range(load.nodes)],
    }
    _, version = api.list(RESOURCE_CLAIMS, as_=dict[str, Any])
    with Watchers(configuration, every[mode], version) as watchers:
        watchers.settle(0.5, 30.0)
        churn = Churn(api, NAMESPACE, load.nodes)
        before, sent = _cpu_seconds(server), watchers.received_bytes
        began = time.monotonic()
        churn.run(load.claims_per_second, load.seconds)
        watchers.settle(0.5, 30.0)
        elapsed, used = time.monotonic() - began, _cpu_seconds(server) - before
        sent = watchers.received_bytes - sent
        memory = _rss_mib(server)
    return {
        "bench": "watch",
        "mode": mode,
        "nodes": load.nodes,
        "claims_per_second": round(churn.claims / elapsed, 2),
        "server_cpu_seconds_per_claim": round(used / churn.claims, 4),
        "server_rss_mib": round(memory, 1),
        "sent_mib_per_second": round(sent / elapsed / MIB, 3),
        "kib_per_node_and_claim": round(sent / 1024 / churn.claims / load.nodes, 3),
        "write_p50_seconds": round(quantile(churn.seconds, 0.5), 4),
        "write_p99_seconds": round(quantile(churn.seconds, 0.99), 4),
        "driver_microseconds_per_event": round(_decoding_seconds(events_in(watchers.sample)) * 1e6, 1),
    }


def _per_claim(row: dict[str, object]) -> float:
    """What a claim costs the server, however many a second this machine could make."""
    return float(str(row["server_cpu_seconds_per_claim"]))


def _decoding_seconds(events: Sequence[bytes]) -> float:
    """What a driver does with an event of another node, on average."""
    decode = decoder(ResourceClaim).decode
    began = time.perf_counter()
    for event in events:
        decode(event)
    return (time.perf_counter() - began) / len(events) if events else 0.0


def _server_pid(port: str) -> int:
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if words and words[0].endswith(b"kube-apiserver") and f"--secure-port={port}".encode() in words:
            return int(entry.name)
    raise click.UsageError(f"no kube-apiserver of this machine serves port {port}: give --pid")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss_mib(pid: int) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
    return int(status["VmRSS"].split()[0]) / 1024
