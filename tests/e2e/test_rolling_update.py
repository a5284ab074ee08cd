"""Another driver under running pods: an upgrade and its rollback, while pods come and go all the time."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from tests.e2e.installation import SYSTEM, Installation
from tests.e2e.lab import Lab, request
from tests.e2e.node import Node, claim_state

IMAGE, NEXT = "partita.dev/partita:dev", "partita.dev/partita:next"
DAEMONSET = "daemonset/partita-driver"
ROLLOUT_SECONDS = 120


def test_an_upgrade_and_its_rollback_fail_no_pod_and_touch_none(
    lab: Lab, installation: Installation, nodes: dict[str, Node]
) -> None:
    for node in nodes.values():
        node.execute("ctr", "images", "tag", "--force", IMAGE, NEXT)
    held = {name: lab.holds(name, name) for name in nodes}
    before = {name: (lab.identity(name), lab.inside(name).caps) for name in nodes}
    lab.claim("leaving", request(device_class="mig-2g.gpu.partita.dev"))
    lab.pod("leaving", claim="leaving", node="node-a")
    lab.running("leaving")
    leaving = lab.read_claim("leaving").metadata.uid
    with contextlib.ExitStack() as undo:
        with nodes["node-a"].in_use(lab.allocated("leaving")[0].device):
            lab.delete_pod("leaving", wait=False)
            undo.callback(_roll_back, installation)
            with _pods_come_and_go(lab) as churn:
                _update(installation, NEXT)
            assert claim_state(nodes["node-a"], leaving) == "undoing", "the deletion was pending all the time"
        lab.gone("leaving")
        with _pods_come_and_go(lab) as more:
            _update(installation, IMAGE)
        undo.pop_all()
    assert min(len(churn), len(more)) >= 4, "too few pods to tell"
    failed = [event["message"] for event in _events(lab) if event["reason"] == "FailedPrepareDynamicResources"]
    assert not failed
    assert {name: (lab.identity(name), lab.inside(name).caps) for name in nodes} == before
    assert {name: lab.allocated(name)[0].device for name in nodes} == held


def _update(installation: Installation, image: str) -> None:
    old = {node: installation.driver_uid(node) for node in ("node-a", "node-b")}
    installation.kubectl("set", "image", "-n", SYSTEM, DAEMONSET, f"driver={image}")
    installation.kubectl("rollout", "status", "-n", SYSTEM, DAEMONSET, f"--timeout={ROLLOUT_SECONDS}s")
    assert all(installation.driver_uid(node) != uid for node, uid in old.items())


def _roll_back(installation: Installation) -> None:
    installation.kubectl("set", "image", "-n", SYSTEM, DAEMONSET, f"driver={IMAGE}")
    installation.kubectl("rollout", "status", "-n", SYSTEM, DAEMONSET, f"--timeout={ROLLOUT_SECONDS}s")


@contextlib.contextmanager
def _pods_come_and_go(lab: Lab) -> Iterator[list[str]]:
    """Meanwhile each node gets one pod after the other. Gives their names; raises what went wrong with one."""
    enough, ran = Event(), list[str]()
    with ThreadPoolExecutor(len(lab.node_names)) as threads:
        streams: list[Future[None]] = [threads.submit(_stream, lab, node, enough, ran) for node in lab.node_names]
        try:
            yield ran
        finally:
            enough.set()
        for stream in streams:
            stream.result()


def _stream(lab: Lab, node: str, enough: Event, ran: list[str]) -> None:
    for number in itertools.count(len(ran)):
        if enough.is_set():
            return
        name = f"{node}-{number}"
        lab.holds(name, node, "mig-1g.gpu.partita.dev")
        lab.delete_pod(name)
        lab.delete_claim(name)
        ran.append(name)


def _events(lab: Lab) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(lab.kubectl("get", "events", "-n", lab.namespace, "-o", "json"))["items"]
    return found
