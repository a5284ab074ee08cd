"""Pod created to Running on the real cluster: without a claim, and with each kind of claim, however it is validated."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
import yaml
from hack.benchmarks.figures import print_rows, quantile
from tests.e2e.installation import Installation
from tests.e2e.lab import CLUSTER, Json, Lab, request, run, until

from partita_plugins.kube.api import KubeApi
from partita_plugins.kube.changes import Changed
from partita_plugins.kube.resources import PODS
from partita_plugins.wire import DRIVER_NAME

HELP = """Time from a pod's creation until it runs, on the real cluster, under each way to validate.

\b
validation none    devices are handed out as they are: the baseline of `ratio`
validation full    in Prepare, with no look while idle: a device that was used is looked at as a whole
validation quick   in Prepare, after a look while idle: where that was since the last use, a small one is enough
validation bind    before the pod is bound, as a whole: kube-scheduler looks every 5 s whether it is done

\b
depths          what the claims' status tells of it: "prepare full" twenty times
added_seconds   median less that of pods without a claim, taken in turn with them
ratio           median / median of the same claim without validation

Needs the cluster of: python -m hack.e2e --install-only --version 1.37. Its settings are others meanwhile.

\b
Examples:
  hack/bench start
  hack/bench start --pods 10 --claim gpu --validation none --validation bind --json
"""
NO_CLAIM = "none"
KINDS: Mapping[str, Callable[[int], Json]] = MappingProxyType(
    {
        "gpu": lambda number: request(selectors=_on_slot(number % TURNS)),
        "mig": lambda _number: request(device_class="mig-3g.gpu.partita.dev", selectors=_on_slot(TURNS)),
        "shared": lambda number: request(
            device_class="shared.gpu.partita.dev", memory="10Gi", selectors=_on_slot((number + TURNS // 2) % TURNS)
        ),
    }
)
"""Requests in turn. Whole GPUs take turns, for each to be looked at while idle; partitions have one of their own."""

TURNS = 7
OFFER = {"whole": True, "mig": "all", "shared": True}
IN_FORCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to validate: a node's settings, and what they come to for a whole GPU that was used before."""

    settings: Mapping[str, bool]
    shown: str
    pause_seconds: float = 0.0
    """Before each pod, in which the GPUs are looked at while idle."""


NONE = "none"
WAYS: Mapping[str, Way] = MappingProxyType(
    {
        NONE: Way(settings={"prepare": False, "idle": False}, shown="prepare skipped"),
        "full": Way(settings={"prepare": True, "idle": False}, shown="prepare full"),
        "quick": Way(settings={"prepare": True, "idle": True}, shown="prepare quick", pause_seconds=3.0),
        "bind": Way(settings={"prepare": True, "idle": False, "bind": True}, shown="bind full"),
    }
)


@dataclass(frozen=True, slots=True)
class Started:
    """One pod."""

    seconds: float
    shown: str
    """Moment and depth of its device's validation; empty where there was none."""


@click.command(help=HELP)
@click.option("--pods", default=20, show_default=True, type=click.IntRange(1), help="Of each kind and way, in turn.")
@click.option("--claim", "claims", multiple=True, type=click.Choice(list(KINDS)), help="Repeatable. Default: all.")
@click.option("--validation", "ways", multiple=True, type=click.Choice(list(WAYS)), help="Repeatable. Default: all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def start(pods: int, claims: tuple[str, ...], ways: tuple[str, ...], *, as_json: bool) -> None:
    """Measure and print."""
    lab = Lab(KubeApi.connect(run(CLUSTER, "kubeconfig").strip()), "bench-start")
    kinds = (NO_CLAIM, *(claims or KINDS))
    lab.kubectl("create", "namespace", lab.namespace)
    try:
        measured = {name: _measured(lab, name, kinds, pods) for name in ways or WAYS}
    finally:
        lab.kubectl("delete", "namespace", lab.namespace, "--wait=false")
    print_rows(list(rows(measured)), as_json=as_json)


def rows(measured: Mapping[str, Mapping[str, Sequence[Started]]]) -> Iterator[dict[str, object]]:
    """A row for each way and kind of claim."""
    plain = {kind: _median(found) for kind, found in measured.get(NONE, {}).items()}
    for way, by_kind in measured.items():
        for kind, found in by_kind.items():
            seconds = [one.seconds for one in found]
            yield {
                "bench": "start",
                "validation": way,
                "claim": kind,
                "pods": len(found),
                "p50_seconds": round(_median(found), 4),
                "p10_seconds": round(quantile(seconds, 0.1), 4),
                "p90_seconds": round(quantile(seconds, 0.9), 4),
                "p99_seconds": round(quantile(seconds, 0.99), 4),
                "added_p50_seconds": round(_median(found) - _median(by_kind[NO_CLAIM]), 4),
                "ratio": round(_median(found) / plain[kind], 3) if kind in plain else None,
                "depths": dict(Counter(one.shown for one in found if one.shown)),
            }


def _median(found: Sequence[Started]) -> float:
    return quantile([one.seconds for one in found], 0.5)


def _measured(lab: Lab, name: str, kinds: Sequence[str], pods: int) -> dict[str, list[Started]]:
    way = WAYS[name]
    text = yaml.safe_dump({"nodes": [{"offer": OFFER, "validation": dict(way.settings)}]})
    found: dict[str, list[Started]] = defaultdict(list)
    with Installation(Path()).settings(text):
        warm_up = itertools.count()
        until(f"validation {name} is in force", lambda: _in_force(lab, way, next(warm_up)), IN_FORCE_SECONDS)
        for number in range(pods):
            for kind in kinds:
                time.sleep(way.pause_seconds)
                wish = KINDS[kind](number) if kind in KINDS else None
                found[kind].append(_one(lab, f"{name}-{kind}-{number}", wish))
            print(f"validation {name}: {number + 1} of {pods}   ", end="\r", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return dict(found)


def _in_force(lab: Lab, way: Way, number: int) -> bool:
    """Whether a pod with a whole GPU is started the way that it should be."""
    time.sleep(way.pause_seconds)
    return _one(lab, f"warm-up-{time.monotonic_ns()}", KINDS["gpu"](number)).shown == way.shown


def _on_slot(slot: int) -> list[str]:
    return [f'device.attributes["{DRIVER_NAME}"].slot == {slot}']


def _one(lab: Lab, name: str, wish: Json | None) -> Started:
    if wish:
        lab.claim(name, wish)
    _, version = lab.api.list(PODS, lab.namespace, as_=dict[str, Any])
    begun = time.monotonic()
    lab.pod(name, claim=name if wish else None)
    _watch_until_running(lab, name, version)
    elapsed = time.monotonic() - begun
    shown = until(f"the status of claim {name}", lambda: _shown(lab, name)) if wish else [""]
    lab.delete_pod(name)
    if wish:
        lab.delete_claim(name)
    return Started(elapsed, shown[0])


def _shown(lab: Lab, claim: str) -> list[str]:
    """Moment and depth of its device's validation, the one element; none until the driver has told."""
    devices = lab.read_claim(claim).status.devices
    if not devices:
        return []
    told = (devices[0].data or {}).get("validation")
    return [f"{told['moment']} {told['depth']}" if told else ""]


def _watch_until_running(lab: Lab, name: str, version: str) -> None:
    query = {"fieldSelector": f"metadata.name={name}"}
    for change in lab.api.watch(PODS, version, as_=dict[str, Any], timeout_seconds=60, query=query):
        if isinstance(change, Changed) and change.object.get("status", {}).get("phase") == "Running":
            return
    raise TimeoutError(f"pod {name} did not run; its events: {lab.tell(name)}")
