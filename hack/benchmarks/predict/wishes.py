"""Random classes, claims and the pod that has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hack.benchmarks.predict.case import Json
from hack.benchmarks.predict.devices import TAINT_KEYS
from hack.benchmarks.predict.fleet import Fleet
from hack.benchmarks.predict.selectors import selector

CONSTRAINED = ("model", "island", "version", "ready")
AMOUNTS = ("1Gi", "2Gi", "1500Mi", "3Gi", "4Gi", "900M", "3G", "6Gi", "7Gi", "9Gi", "15Gi", "17Gi", "1500", "3E", "10E")
CORES = ("1", "2", "600m", "1250m", "3", "20")


@dataclass(slots=True)
class Wishes:
    """What a pod asks for."""

    classes: list[Json] = field(default_factory=list)
    claims: list[Json] = field(default_factory=list)
    resources: Json = field(default_factory=dict)
    """Extended resources of the pod's containers."""

    init_resources: Json = field(default_factory=dict)


def wishes(random: Random, number: int, found: Fleet) -> Wishes:
    """One to three claims of one to three classes; sometimes plain extended resources as well, or only those."""
    wanted = Wishes()
    for i in range(random.choice((1, 2, 3))):
        driver = random.choice(found.drivers)
        count = random.choice((0, 0, 1, 1))
        expressions = [selector(random, driver) for _ in range(count)]
        spec: Json = {"selectors": [{"cel": {"expression": text}} for text in expressions]}
        wanted.classes.append({"metadata": {"name": f"class-{number}-{i}"}, "spec": spec})
    if random.random() < 0.07:
        _extended(random, number, wanted)
    if not wanted.resources or random.random() < 0.5:
        for i in range(random.choice((1, 1, 1, 1, 2, 2, 3))):
            wanted.claims.append(_claim(random, number, i, found, wanted.classes))
    return wanted


def _extended(random: Random, number: int, wanted: Wishes) -> None:
    """Through a class that names the resource, or through the name that every class has."""
    one = wanted.classes[0]
    name = f"deviceclass.resource.kubernetes.io/{one['metadata']['name']}"
    if random.random() < 0.6:
        name = one["spec"]["extendedResourceName"] = f"example.com/r{number}"
    wanted.resources = {name: str(random.choice((1, 1, 2, 3)))}
    if random.random() < 0.4:
        wanted.init_resources = {name: str(random.choice((1, 2, 4)))}
    if len(wanted.classes) > 1 and random.random() < 0.3:
        other = wanted.classes[1]["metadata"]["name"]
        wanted.resources[f"deviceclass.resource.kubernetes.io/{other}"] = "1"


def _claim(random: Random, number: int, index: int, found: Fleet, classes: list[Json]) -> Json:
    requests = [_request(random, f"r{i}", found, classes) for i in range(random.choice((1, 1, 1, 2, 2, 3)))]
    spec: Json = {"devices": {"requests": requests}}
    if random.random() < 0.6:
        spec["devices"]["constraints"] = [_constraint(random, requests, found) for _ in range(random.choice((1, 1, 2)))]
    return {"metadata": {"name": f"claim-{number}-{index}"}, "spec": spec}


def _constraint(random: Random, requests: list[Json], found: Fleet) -> Json:
    attribute = f"{random.choice(found.drivers)}/{random.choice(CONSTRAINED)}"
    if random.random() < 0.2:
        attribute = "resource.kubernetes.io/pcieRoot"
    kind = "matchAttribute" if random.random() < 0.6 else "distinctAttribute"
    constraint: Json = {kind: attribute}
    if random.random() < 0.4:
        names: list[str] = []
        for one in random.sample(requests, random.randint(1, len(requests))):
            alternatives = [f"{one['name']}/{sub['name']}" for sub in one.get("firstAvailable", [])]
            names.append(random.choice(alternatives) if alternatives and random.random() < 0.5 else one["name"])
        constraint["requests"] = names
    return constraint


def _request(random: Random, name: str, found: Fleet, classes: list[Json]) -> Json:
    if random.random() < 0.22:
        subs = [
            {"name": f"s{i}", **_exactly(random, found, classes, admin=False)}
            for i in range(random.choice((1, 2, 2, 3, 4)))
        ]
        if random.random() < 0.6:
            subs[0]["count"], subs[0]["allocationMode"] = random.choice((3, 4, 6)), "ExactCount"
        return {"name": name, "firstAvailable": subs}
    return {"name": name, "exactly": _exactly(random, found, classes, admin=True)}


def _exactly(random: Random, found: Fleet, classes: list[Json], *, admin: bool) -> Json:
    exact: Json = {"deviceClassName": random.choice(classes)["metadata"]["name"]}
    everything = random.random() < 0.05
    exact["allocationMode"] = "All" if everything else "ExactCount"
    if not everything:
        exact["count"] = random.choice((1, 1, 1, 1, 2, 2, 3))
    if random.random() < 0.25:
        driver = random.choice(found.drivers)
        exact["selectors"] = [
            {"cel": {"expression": selector(random, driver)}} for _ in range(random.choice((1, 1, 2)))
        ]
    if admin and random.random() < 0.06:
        exact["adminAccess"] = True
    if random.random() < 0.25:
        exact["tolerations"] = [_toleration(random) for _ in range(random.choice((1, 1, 2)))]
    if random.random() < 0.18:
        exact["capacity"] = {"requests": {"memory": random.choice(AMOUNTS)}}
        if random.random() < 0.12:
            exact["capacity"]["requests"]["cores"] = random.choice(CORES)
        if random.random() < 0.05:
            amount = exact["capacity"]["requests"].pop("memory")
            exact["capacity"]["requests"][f"{found.drivers[0]}/memory"] = amount
    return exact


def _toleration(random: Random) -> Json:
    if random.random() < 0.2:
        return {"operator": "Exists"}
    toleration: Json = {"key": random.choice(TAINT_KEYS), "operator": "Exists"}
    if random.random() < 0.6:
        toleration |= {"operator": "Equal", "value": random.choice(("", "x"))}
    if random.random() < 0.4:
        toleration["effect"] = random.choice(("NoSchedule", "NoExecute"))
    return toleration
