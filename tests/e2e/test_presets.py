"""The stanza's presets on a real kube-scheduler whose plugins disagree with us, and its verb for preemption."""

from __future__ import annotations

import socket
from typing import Any

from tests.e2e.installation import Installation
from tests.e2e.lab import Lab, request
from tests.e2e.paper import AVOIDED, TOLERATIONS, Paper, paper_fleet

OTHER, OURS = "preset-empty", "preset-full"
"""Two GPUs are joined by NVLink on the one that is nearly full, and on the other there is all the room."""


def test_how_strongly_the_choice_counts(lab: Lab, installation: Installation) -> None:
    """Against room alone (a pod that tolerates the taint), and against room and a PreferNoSchedule taint."""
    machines = {OTHER: Paper("l40s-x8"), OURS: Paper("hgx-h100", taints=(AVOIDED,))}
    room = {"tolerations": [*TOLERATIONS, AVOIDED]}
    with paper_fleet(lab, installation.extender, machines) as fleet:
        fleet.pod("full", cpus=56, node=OURS)
        assert fleet.node_of("full") == OURS

        def chosen(name: str, **more: Any) -> str:
            fleet.pod(name, request(count=2), **more)
            return fleet.node_of(name)

        assert chosen("sole-against-room", **room) == OURS
        assert chosen("sole-against-both") == OTHER
        with installation.asked("--preset", "strong"):
            assert chosen("strong-against-room", **room) == OURS
            assert chosen("strong-against-both") == OTHER
        with installation.asked("--preset", "mild"):
            assert chosen("mild-against-room", **room) == OTHER
        with installation.asked("--preset", "strict"):
            assert chosen("strict-against-room", **room) == OURS


def test_while_nobody_answers_strict_holds_every_pod_and_says_so(lab: Lab, installation: Installation) -> None:
    with installation.asked("--preset", "strict", url=f"https://127.0.0.1:{_free_port()}"):
        lab.pod("plain")
        assert lab.event("plain", "FailedScheduling", "connection refused")
        assert not lab.node_of("plain")
    lab.running("plain")


def test_a_pod_with_a_claim_preempts_as_it_would_without_us(lab: Lab, installation: Installation) -> None:
    """Strict: a refusal of ours, or an answer that kube-scheduler cannot read, would keep both where they are."""
    with paper_fleet(lab, installation.extender, {"preempt-a": Paper(), "preempt-b": Paper()}) as fleet:
        for node in fleet.nodes:
            fleet.pod(f"low-on-{node}", cpus=48, node=node)
            fleet.node_of(f"low-on-{node}")
        with installation.asked("--preset", "strict", "--preempt"):
            fleet.pod("high", request(), cpus=48, priorityClassName="system-cluster-critical")
            chosen = fleet.node_of("high")
        lab.gone(f"low-on-{chosen}")
        [other] = fleet.nodes.keys() - {chosen}
        assert lab.node_of(f"low-on-{other}") == other
        assert lab.event(f"low-on-{chosen}", "Preempted")


def _free_port() -> int:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        return int(nobody.getsockname()[1])
