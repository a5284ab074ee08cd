"""One extender answers and another stands by: what happens to pods when the first one is killed."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from partita_scheduler.leader.lease import LEASE_SECONDS
from tests.e2e.beside import Service, beside
from tests.e2e.installation import Installation
from tests.e2e.lab import Json, Lab, request, until
from tests.e2e.paper import Paper, paper_fleet

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


def _settled(told: list[Json], count: int) -> list[Json]:
    """Predictions, once so many are settled."""
    return told if sum(one["result"] != "pending" for one in told) == count else []
