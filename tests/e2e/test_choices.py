"""Which of the nodes that fit gets a pod, and which devices: what is said of it beforehand is what happens."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from partita_plugins.kube.resources import PODS
from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME
from tests.e2e.installation import Installation
from tests.e2e.lab import CLUSTER, Json, Lab, request, run, until
from tests.e2e.paper import Paper, paper_fleet, simulated
from tests.e2e.predictions import predictions
from tests.e2e.test_examples import PLUGIN_PATH

WAVES, AT_ONCE = 6, 10
PARTED = Offer(mig_shapes=frozenset({"1g", "3g"}))
WISHES = {
    "two": [request(count=2)],
    "1g": [request(device_class=f"mig-1g.{DRIVER_NAME}")],
    "one": [request()],
    "3g": [request(device_class=f"mig-3g.{DRIVER_NAME}")],
    "shared": [request(device_class=f"shared.{DRIVER_NAME}", memory="10Gi")],
    "nine": [request(count=9)],
}


def test_the_node_that_gives_the_first_alternative_wins(lab: Lab, installation: Installation) -> None:
    machines = {"alt-a100": Paper("dgx-a100-80"), "alt-h100": Paper("hgx-h100")}
    with paper_fleet(lab, installation.extender, machines) as fleet:
        for first, second in (("H100", "A100"), ("A100", "H100")):
            fleet.pod(first.lower(), _either(first, second))
            assert fleet.node_of(first.lower()) == f"alt-{first.lower()}"


def test_a_plain_request_for_two_gpus_gets_them_where_nvlink_joins_them(lab: Lab, installation: Installation) -> None:
    machines = {"plain-a": Paper("l40s-x8"), "plain-b": Paper("hgx-h100")}
    with paper_fleet(lab, installation.extender, machines) as fleet:
        fleet.pod("plain", gpus=2)
        assert fleet.node_of("plain") == "plain-b"
        [claim] = until("kube-scheduler's own claim", lab.claims)
        [told] = until("the prediction is settled", lambda: predictions(installation, lab))
        assert (told["claim_uid"], told["result"], len(told["predicted"])) == (claim.metadata.uid, "match", 2)


def test_pods_go_where_a_simulation_said_and_it_changed_nothing(lab: Lab, installation: Installation) -> None:
    machines = {"sim-a": Paper("hgx-h100", PARTED), "sim-b": Paper("hgx-h100", PARTED), "sim-c": Paper("l40s-x8")}
    with paper_fleet(lab, installation.extender, machines) as fleet:
        pods = {f"p{number}-{wish}": wish for number, wish in enumerate(4 * ["two", "1g", "one", "3g"] + ["nine"])}
        asked = [fleet.templated(wish, name) for name, wish in pods.items()]
        said = {str(one["pod"]).rpartition("/")[2]: one for one in simulated(installation.extender, asked, WISHES)}
        assert list(said.values()) == simulated(installation.extender, asked, WISHES)
        assert not lab.claims()
        for name, wish in pods.items():
            fleet.pod(name, *WISHES[wish])
        for name, placement in said.items():
            if placement["fits"]:
                assert fleet.node_of(name) == placement["node"], name
                [devices] = placement["devices"].values()
                assert _devices(lab, name) == devices
        [pending] = [name for name, placement in said.items() if not placement["fits"]]
        assert said[pending]["summary"] in lab.event(pending, "GpuPlacement")


def test_what_is_explained_of_a_pending_pod_is_what_it_gets(lab: Lab, installation: Installation) -> None:
    machines = {"why-a": Paper("l40s-x8"), "why-b": Paper("hgx-h100")}
    with paper_fleet(lab, installation.extender, machines) as fleet:
        fleet.pod("p", *WISHES["two"], schedulingGates=[{"name": "example.com/later"}])
        path = f"/explain/{lab.namespace}/p"
        [first, *_] = until("the extender knows the pod", lambda: installation.extender.get(path))["nodes"]
        assert first["explanation"] == "takes GPUs 6 and 7 over NVLink (450 GB/s); leaves 6 GPUs untouched"
        why = run(CLUSTER, "kubectl", "partita", "why", "p", "-n", lab.namespace, environment=PLUGIN_PATH)
        assert f"  why-b  score 10  {first['explanation']}" in why.splitlines()
        assert "note: judged here" not in why
        lab.api.patch(PODS, "p", {"spec": {"schedulingGates": None}}, lab.namespace)
        assert fleet.node_of("p") == first["node"] == "why-b"
        assert _devices(lab, "p") == first["devices"]["p"]
        after = installation.extender.get(path)["nodes"]
        assert after[0]["explanation"] == first["explanation"]
        why = run(CLUSTER, "kubectl", "partita", "why", "p", "-n", lab.namespace, environment=PLUGIN_PATH)
        assert f"claim p: {', '.join(first['devices']['p'])} on why-b" in why.splitlines()


def test_in_a_churn_pods_are_on_our_first_choice_and_no_prediction_is_wrong(
    lab: Lab, installation: Installation
) -> None:
    chance = random.Random(20)
    offer = Offer(mig_shapes=frozenset({"1g", "3g"}), shared=True)
    machines = {f"churn-{number}": Paper(offer=offer) for number in range(6)}
    wishes = [WISHES[name] for name in ("one", "two", "1g", "3g", "shared")]
    with paper_fleet(lab, installation.extender, machines) as fleet:
        before = _counts(installation)
        for wave in range(WAVES):
            names = [f"w{wave}-{number}" for number in range(AT_ONCE)]
            for name in names:
                fleet.pod(name, *chance.choice(wishes), cpus=chance.choice([1, 2, 4, 8]))
            for name in names:
                fleet.node_of(name)
            _leave(lab, chance.sample(names, AT_ONCE // 2))
        predictions(installation, lab)
        chosen, foretold = (after - earlier for after, earlier in zip(_counts(installation), before, strict=True))
    assert not foretold["mismatch"]
    assert foretold["match"] >= 0.95 * WAVES * AT_ONCE
    assert chosen["first"] >= 0.99 * chosen.total()


def _leave(lab: Lab, names: list[str]) -> None:
    """Until all is free again: what is freed while kube-scheduler looks at a pod, we may see before it does."""
    lab.force_delete(*names)
    lab.delete_claim(*names, wait=True)


def _counts(installation: Installation) -> tuple[Counter[str], Counter[str]]:
    """Allocations on our first choice and elsewhere; allocations as foretold and not."""
    counted = installation.extender.counted
    return Counter(counted("choice", "node")), Counter(counted("prediction", "result"))


def _either(*products: str) -> Json:
    """One GPU of the first of these products that there is."""
    alternatives: list[dict[str, Any]] = []
    for product in products:
        wish = request(product.lower(), selectors=[f"device.attributes['{DRIVER_NAME}'].product.contains('{product}')"])
        alternatives.append({"name": wish["name"], **wish["exactly"]})
    return {"name": "gpu", "firstAvailable": alternatives}


def _devices(lab: Lab, claim: str) -> list[str]:
    """As the extender tells them."""
    return sorted(f"{one.pool}/{one.device}" for one in lab.allocated(claim))
