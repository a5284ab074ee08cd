"""How nodes are judged can be set, and is learned: what a settings file and the cluster's history change."""

from __future__ import annotations

import json
from pathlib import Path

from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME
from tests.e2e.beside import beside
from tests.e2e.endpoint import Endpoint
from tests.e2e.installation import Installation
from tests.e2e.lab import CLUSTER, Json, Lab, request, run, until
from tests.e2e.paper import TOLERATIONS, Paper, PaperFleet, paper_fleet, simulated
from tests.e2e.test_examples import PLUGIN_PATH

MEMORY_FIRST = "scorers: [{memory: 1}, {topology: 1}]"
MISTAKEN = "scorers: [{memroy: 1}]"
HISTORY = 64
"""Allocations before anything is learned."""

SHARED = Offer(shared=True)
PAST = {"key": "example.com/past", "effect": "NoSchedule"}
"""For pods of the past alone."""


def test_a_settings_file_changes_which_node_is_best_and_a_mistake_in_it_is_told(
    lab: Lab, installation: Installation
) -> None:
    """40 GiB on each of two GPUs: of 80 GB with NVLink, or of 48 GB without."""
    wish = request(count=2, memory="40Gi")
    machines = {"judge-nvlink": Paper("hgx-h100"), "judge-small": Paper("l40s-x8")}
    with paper_fleet(lab, installation.extender, machines) as fleet:
        fleet.pod("as-shipped", wish)
        assert fleet.node_of("as-shipped") == "judge-nvlink"
        with installation.scheduler_settings(MEMORY_FIRST):
            fleet.known_to(installation.extender)
            fleet.pod("memory-first", wish)
            assert fleet.node_of("memory-first") == "judge-small"
            installation.restart_scheduler_with(MISTAKEN)
            said = until("the pod's status says why", installation.scheduler_ended_with)
            assert "there is no 'memroy'" in said
            assert "correct the file that --settings names" in said
            fleet.pod("meanwhile", wish)
            fleet.node_of("meanwhile")


def test_what_the_cluster_has_seen_changes_the_choice_and_a_new_process_knows_it(
    lab: Lab, installation: Installation, tmp_path: Path
) -> None:
    """A share goes to the fullest GPU, until it is known that others will ask for what it leaves on the emptier one."""
    past = {f"past-{number}": Paper(offer=SHARED, taints=(PAST,)) for number in range(4)}
    machines = {"learn-half": Paper(offer=SHARED), "learn-third": Paper(offer=SHARED), **past}
    with paper_fleet(lab, installation.extender, machines) as fleet:
        fleet.pod("half", _share("40Gi"), node="learn-half")
        fleet.pod("third", _share("24Gi"), node="learn-third")
        with beside(tmp_path, "before", "--no-leader-election") as before:
            until("it is ready", before.endpoint.ready)
            fleet.known_to(before.endpoint)
            assert _best(fleet, before.endpoint) == "learn-half"
            for number in range(HISTORY):
                size, node = ("24Gi", "32Gi")[number % 2], f"past-{number % len(past)}"
                fleet.pod(f"past-{number}", _share(size), node=node, tolerations=[*TOLERATIONS, PAST])
            until("it has learned", lambda: _best(fleet, before.endpoint) == "learn-third")
        with beside(tmp_path, "after", "--no-leader-election") as after:
            until(
                "the next one knows it",
                lambda: after.endpoint.ready() and _best(fleet, after.endpoint) == "learn-third",
            )
            _why_follows_what_is_learned(fleet, installation)
            with installation.asked(url=after.endpoint.url):
                fleet.pod("next", _share("24Gi"))
                assert fleet.node_of("next") == "learn-third"
            assert after.endpoint.counted("prediction", "result").get("match")


def _why_follows_what_is_learned(fleet: PaperFleet, installation: Installation) -> None:
    """The numbers are those of the extender that answers; without one they are as good, and it is said."""
    fleet.pod("asked", _share("24Gi"), schedulingGates=[{"name": "example.com/later"}])
    installation.scale_extender(0)
    here = _why(fleet, "asked")
    assert here["nodes"][0]["node"] == "learn-third"
    assert here["notes"][-1].startswith(
        "judged here, by the default settings and the pods of today, not by the extender"
    )
    installation.scale_extender(1)  # A new one, which has seen no more than there is.
    path = f"/explain/{fleet.lab.namespace}/asked"
    until("the new one has learned", lambda: installation.extender.get(path)["nodes"][0]["node"] == "learn-third")
    told = _why(fleet, "asked")
    assert told == installation.extender.get(path)
    assert told["nodes"] == here["nodes"]
    assert not told["notes"]


def _why(fleet: PaperFleet, pod: str) -> Json:
    words = ("partita", "why", pod, "-n", fleet.lab.namespace, "--json")
    found: Json = json.loads(run(CLUSTER, "kubectl", *words, environment=PLUGIN_PATH))
    return found


def _share(memory: str) -> Json:
    return request(device_class=f"shared.{DRIVER_NAME}", memory=memory)


def _best(fleet: PaperFleet, extender: Endpoint) -> str:
    """Where a share of 24 GiB would go."""
    [found] = simulated(extender, [fleet.templated("share")], {"share": [_share("24Gi")]})
    return str(found["node"])
