"""A case from a seed and a number, always the same one."""

from __future__ import annotations

from random import Random

from hack.benchmarks.predict.case import Case, Json
from hack.benchmarks.predict.fleet import Fleet, fleet
from hack.benchmarks.predict.held import held
from hack.benchmarks.predict.taint_rules import taint_rules
from hack.benchmarks.predict.wishes import Wishes, wishes

IMAGE = "example.com/never-started:1"


def generate(seed: int, number: int) -> Case:
    """Deterministic: the same case whichever others are made."""
    random = Random(f"{seed}/{number}")
    found = fleet(random, number)
    wanted = wishes(random, number, found)
    earlier = held(random, number, found, wanted.classes[0]["metadata"]["name"])
    return Case(
        number=number,
        node=_node(random, found, wanted),
        slices=found.slices,
        classes=wanted.classes,
        claims=[*earlier, *wanted.claims],
        pod=_pod(number, found.node, _claims_of(random, earlier, wanted), wanted),
        rules=taint_rules(random, number, found),
    )


def _node(random: Random, found: Fleet, wanted: Wishes) -> Json:
    allocatable = {"cpu": "64", "memory": "512Gi", "pods": "110"}
    if wanted.resources and random.random() < 0.15:
        allocatable[next(iter(wanted.resources))] = random.choice(("0", "8"))
    labels = {"case": found.node, f"only-{found.node}": "", "size": "10", "zone": random.choice("ab")}
    return {
        "metadata": {"name": found.node, "labels": labels},
        "status": {"capacity": allocatable, "allocatable": allocatable},
    }


def _claims_of(random: Random, earlier: list[Json], wanted: Wishes) -> list[str]:
    """The pod's claims, now and then with one that is allocated already."""
    names = [str(claim["metadata"]["name"]) for claim in wanted.claims]
    if earlier and random.random() < 0.06:
        names.insert(random.randrange(len(names) + 1), str(earlier[0]["metadata"]["name"]))
    return names


def _pod(number: int, node: str, claims: list[str], wanted: Wishes) -> Json:
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}}
    spec: Json = {
        "affinity": {"nodeAffinity": affinity},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "containers": [_container("main", wanted.resources)],
        "resourceClaims": [{"name": f"c{i}", "resourceClaimName": name} for i, name in enumerate(claims)],
    }
    if wanted.init_resources:
        spec["initContainers"] = [_container("init", wanted.init_resources)]
    return {"metadata": {"name": f"pod-{number}"}, "spec": spec}


def _container(name: str, resources: Json) -> Json:
    return {"name": name, "image": IMAGE, "resources": {"requests": resources, "limits": resources}}
