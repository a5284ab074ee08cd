"""One extender answers and another stands by: what happens to pods when the first one is killed, or told to end."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hack.demo.processes import Process

from partita_scheduler.answers.decider import LAST
from partita_scheduler.leader.lease import LEASE_SECONDS
from tests.e2e.beside import Service, beside
from tests.e2e.installation import SYSTEM, Installation
from tests.e2e.lab import Json, Lab, request, until
from tests.e2e.paper import Paper, PaperFleet, paper_fleet

HELD_SECONDS = 5.0
"""Most that a pod may wait for an extender that is gone; kube-scheduler's own work is in here too."""


def test_a_killed_extender_holds_no_pod_and_the_standby_takes_over(
    lab: Lab, installation: Installation, tmp_path: Path
) -> None:
    machines = {"standby-a": Paper("l40s-x8"), "standby-b": Paper("hgx-h100")}
    with contextlib.ExitStack() as stack:
        one, two = (
            stack.enter_context(beside(tmp_path, name, f"--namespace={lab.namespace}")) for name in ("one", "two")
        )
        fleet = stack.enter_context(paper_fleet(lab, installation.extender, machines))
        until("one of them leads", lambda: one.endpoint.ready() or two.endpoint.ready())
        leader, standby = (one, two) if one.endpoint.ready() else (two, one)
        fleet.known_to(leader.endpoint)
        service = stack.enter_context(Service.of(one.endpoint, two.endpoint))
        stack.enter_context(installation.asked(url=service.url))
        fleet.pod("before", request(count=2))
        assert fleet.node_of("before") == "standby-b"
        assert not standby.endpoint.ready()

        leader.process.kill()
        killed = time.monotonic()
        fleet.pod("meanwhile", request(count=2))
        fleet.node_of("meanwhile", HELD_SECONDS)
        until("the standby leads", standby.endpoint.ready, LEASE_SECONDS + 5)
        installation.figure("standby-leads", seconds=round(time.monotonic() - killed, 1))
        for number in range(2):
            fleet.pod(f"after-{number}", request(count=2))
        assert {fleet.node_of(f"after-{number}") for number in range(2)} == {"standby-b"}
        told = until("the allocations are seen", lambda: _settled(standby.endpoint.get("/predictions"), 2))
        assert {one["result"] for one in told} == {"match"}


STREAM = [f"stream-{number:02d}" for number in range(40)]
PAUSE_SECONDS = 0.25
TOLD_AT = 6
"""After so many pods."""

ANSWERS_ON_SECONDS = 3.5
"""Longer than two probes of a second, of which each would say it if the pod were not ready any more."""

READY, READY_AND_ENDING = (True, False), (True, True)

JOINED, PLAIN = [f"joined-{number}" for number in range(10)], [f"plain-{number}" for number in range(10)]
"""Nodes whose GPUs NVLink joins, four pairs each, and nodes without, which kube-scheduler itself likes as much."""


@pytest.mark.parametrize("update", [False, True], ids=["deletion", "update"])
def test_an_extender_that_is_told_to_end_loses_no_question(
    lab: Lab, installation: Installation, tmp_path: Path, update: bool
) -> None:
    """Strict: a question that nobody answers is a scheduling error. An update ends both, and starts another."""
    machines = {**dict.fromkeys(JOINED, Paper("hgx-h100")), **dict.fromkeys(PLAIN, Paper("l40s-x8"))}
    options = (f"--namespace={lab.namespace}", "--handover-seconds=30")
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(beside(tmp_path, name, *options)) for name in ("one", "two"))
        fleet = stack.enter_context(paper_fleet(lab, installation.extender, machines))
        until("one of them leads", lambda: one.endpoint.ready() or two.endpoint.ready())
        leader, standby = (one, two) if one.endpoint.ready() else (two, one)
        fleet.known_to(leader.endpoint)
        fleet.known_to(standby.endpoint)
        service = stack.enter_context(Service.of(one.endpoint, two.endpoint))
        stack.enter_context(installation.asked("--preset", "strict", url=service.url))
        stream = stack.enter_context(ThreadPoolExecutor(1)).submit(_send, fleet)
        until("the stream flows", lambda: lab.node_of(STREAM[TOLD_AT]))

        told = time.monotonic()
        service.ending |= {one.endpoint, two.endpoint} if update else {leader.endpoint}
        for process in [leader.process, standby.process] if update else [leader.process]:
            process.ask_to_stop()
        next_one = stack.enter_context(beside(tmp_path, "three", *options)) if update else standby
        service.extenders.append(next_one.endpoint)
        until("it has ended", lambda: leader.process.ended, 40)
        ended = time.monotonic()
        assert leader.process.wait_stopped() == ""
        stream.result(60)

        nodes = {name: fleet.node_of(name) for name in STREAM}
        assert not [event for name in STREAM for event in lab.events(name) if event["reason"] == "FailedScheduling"]
        without = {pod for process in (leader.process, next_one.process) for pod in _without_opinion(process)}
        installation.figure(
            "ordered-end", update=update, seconds=round(ended - told, 1), pods=len(STREAM), without_opinion=len(without)
        )
        assert {node for name, node in nodes.items() if name not in without} <= set(JOINED)
        assert len(without) <= 1 / PAUSE_SECONDS
        assert next_one.endpoint.get("/predictions"), "the other one has answered"


def test_a_pod_that_is_ending_is_ready_for_as_long_as_it_answers(installation: Installation) -> None:
    """So a Service sends to it while no other is (KEP-1669). Endpoints on loopback there are none to look at."""
    with installation.handing_over(ANSWERS_ON_SECONDS):
        [pod] = until("one is Ready", lambda: [n for n, now in installation.extender_pods().items() if now == READY])
        installation.kubectl("delete", "pod", "-n", SYSTEM, pod, "--wait=false")
        told = time.monotonic()
        while time.monotonic() < told + ANSWERS_ON_SECONDS - 0.5:
            assert installation.extender_ready()
            assert installation.extender_pods()[pod] == READY_AND_ENDING


def _send(fleet: PaperFleet) -> None:
    for name in STREAM:
        fleet.pod(name, request(count=2))
        time.sleep(PAUSE_SECONDS)


def _without_opinion(process: Process) -> Iterator[str]:
    """Pods that an extender had none about when it was to prefer a node."""
    for line in process.log.read_text().splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        if told.get("event") == "no opinion" and told.get("verb") in LAST:
            yield str(told["pod"]).partition("/")[2]


def _settled(told: list[Json], count: int) -> list[Json]:
    """Predictions, once so many are settled."""
    return told if sum(one["result"] != "pending" for one in told) == count else []
