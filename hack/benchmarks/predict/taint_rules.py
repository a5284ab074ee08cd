"""Random DeviceTaintRules: mostly for the case's own devices, now and then for everybody's."""

from __future__ import annotations

from random import Random

from hack.benchmarks.predict.case import Json
from hack.benchmarks.predict.devices import taint
from hack.benchmarks.predict.fleet import Fleet


def taint_rules(random: Random, number: int, found: Fleet) -> list[Json]:
    """None for most cases, else up to three. Which objects there are is drawn before: it stays the same without."""
    if random.random() >= 0.3:
        return []
    return [_rule(random, f"rule-{number}-{i}", found) for i in range(random.choice((1, 1, 2, 3)))]


def _rule(random: Random, name: str, found: Fleet) -> Json:
    spec: Json = {"taint": taint(random)}
    if random.random() < 0.06:  # Such a case is played alone, which takes its time.
        everybody: tuple[Json, ...] = ({}, {}, {"deviceSelector": {}}, {"deviceSelector": {"device": "d1"}})
        spec |= random.choice(everybody)
        spec["taint"]["effect"] = "NoSchedule"
    else:
        spec["deviceSelector"] = _selector(random, found)
    return {"metadata": {"name": name}, "spec": spec}


def _selector(random: Random, found: Fleet) -> dict[str, str]:
    """Names of one device of the case, now and then one of them wrong."""
    owner, device = random.choice(list(found.devices()))
    every = {"driver": owner["spec"]["driver"], "pool": owner["spec"]["pool"]["name"], "device": device["name"]}
    ways: list[tuple[str, ...]] = [("driver",), ("driver", "pool"), ("driver", "device"), ("driver", "pool", "device")]
    if every["pool"] == found.node:  # No other case has such a pool.
        ways += [("pool",), ("pool", "device")]
    named = random.choice(ways)
    selector = {name: every[name] for name in named}
    if random.random() < 0.1:
        wrong = random.choice(named)
        selector[wrong] = "none.example.com" if wrong == "driver" else "none"
    return selector
