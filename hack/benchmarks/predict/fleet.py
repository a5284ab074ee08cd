"""Random pools of a node: a few drivers, pools and slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from hack.benchmarks.predict.case import Json
from hack.benchmarks.predict.devices import counter_sets, device


@dataclass(slots=True)
class Fleet:
    """What a node offers, as slices, and the names needed to ask for it."""

    node: str
    drivers: list[str] = field(default_factory=list)
    slices: list[Json] = field(default_factory=list)
    everywhere: bool = False
    """Some devices can be reached from all nodes, so that the case has to be played alone."""

    def devices(self) -> Iterator[tuple[Json, Json]]:
        """Each device with its slice."""
        for one in self.slices:
            for found in one["spec"].get("devices", []):
                yield one, found


def fleet(random: Random, number: int) -> Fleet:
    """One to three pools of one or two drivers."""
    found = Fleet(node=f"n{number}", everywhere=random.random() < 0.004)
    for letter in random.sample("abxyz", random.choice((1, 1, 1, 2))):
        found.drivers.append(f"{letter}{number}.example.com")
        # Pools of two drivers with one name are a matter of their own on 1.36.
        names = random.sample(
            (found.node, "p", "0", "q", "pool-10", "pool-9")[: 6 // len(found.drivers)], random.choice((1, 1, 2))
        )
        for name in names:
            _add_pool(random, found, found.drivers[-1], name)
    return found


def _add_pool(random: Random, found: Fleet, driver: str, name: str) -> None:
    counters = counter_sets(random) if random.random() < 0.4 else []
    count = random.choice((2, 3, 4, 5, 6, 7, 8, 10))
    devices = [device(random, driver, counters, index) for index in range(count)]
    random.shuffle(devices)
    parts = _split(random, devices, random.choice((1, 2, 2, 3)))
    specs: list[Json] = [{"devices": part} for part in parts]
    if counters:
        specs.append({"sharedCounters": counters})
    pool = {"name": name, "generation": random.choice((1, 1, 7)), "resourceSliceCount": len(specs)}
    binding = random.random() < 0.1
    # What other nodes hold of a pool's counters is missing here, too.
    elsewhere = 0.2 if counters and len(specs) > 2 else 0.04
    for spec in specs:
        spec.update({"driver": driver, "pool": dict(pool)} | _where(random, found, spec, elsewhere))
        if binding and spec.get("devices"):
            spec["devices"][0] |= {"bindingConditions": ["ready"], "bindingFailureConditions": ["failed"]}
    _damage(random, specs)
    names = [f"{found.node}-{random.randrange(16**4):04x}-{driver[0]}-{name}-{i}" for i in range(len(specs))]
    for slice_name, spec in zip(names, specs, strict=True):
        found.slices.append({"metadata": {"name": slice_name}, "spec": spec})


def _split(random: Random, devices: list[Json], parts: int) -> list[list[Json]]:
    cuts = sorted(random.randrange(len(devices) + 1) for _ in range(parts - 1))
    found = [devices[a:b] for a, b in zip([0, *cuts], [*cuts, len(devices)], strict=True)]
    return [part for part in found if part]


def _where(random: Random, found: Fleet, spec: Json, elsewhere: float) -> Json:
    """Node selection of a slice, and of its devices where they have their own."""
    roll = random.random()
    if found.everywhere and roll < 0.4:
        return {"allNodes": True}
    if roll < 0.75:
        return {"nodeName": found.node if random.random() >= elsewhere else f"other-{found.node}"}
    if roll < 0.9 or "sharedCounters" in spec:
        return {"nodeSelector": _selector(random, found.node)}
    for one in spec["devices"]:
        choices: dict[str, Json] = {
            "here": {"nodeName": found.node},
            "there": {"allNodes": True} if found.everywhere else {"nodeName": f"other-{found.node}"},
            "label": {"nodeSelector": _selector(random, found.node)},
        }
        one.update(choices[random.choice(("here", "here", "there", "label"))])
    return {"perDeviceNodeSelection": True}


def _selector(random: Random, node: str) -> Json:
    options = (
        {"key": "case", "operator": "In", "values": [node]},
        {"key": "case", "operator": "In", "values": [node, "none"]},
        {"key": f"only-{node}", "operator": "Exists"},
        {"key": "case", "operator": "In", "values": ["none"]},
    )
    requirements: list[Json] = [dict(random.choice(options[:3] if random.random() < 0.9 else options))]
    if random.random() < 0.4:
        more: tuple[Json, ...] = (
            {"key": "size", "operator": "Gt", "values": ["5"]},
            {"key": "size", "operator": "Lt", "values": ["100"]},
            {"key": "gone", "operator": "DoesNotExist"},
            {"key": "zone", "operator": "NotIn", "values": ["b"]},
        )
        requirements.append(dict(random.choice(more)))
    return {"nodeSelectorTerms": [{"matchExpressions": requirements}]}


def _damage(random: Random, specs: list[Json]) -> None:
    """Sometimes a pool that is being changed, or that its driver got wrong."""
    roll = random.random()
    counted = any("sharedCounters" in spec for spec in specs)
    if roll < 0.02:
        for spec in specs:
            spec["pool"]["resourceSliceCount"] += 1
    elif roll < 0.035:
        late = random.choice(specs)
        late["pool"]["generation"] += 1
    elif roll < 0.05 and len(specs) > 1 + counted:
        holders = [spec for spec in specs if spec.get("devices")]
        holders[0]["devices"][0]["name"] = holders[-1]["devices"][-1]["name"]
    elif roll < 0.06 and counted:
        for spec in specs:
            for one in spec.get("devices", [])[:1]:
                one["consumesCounters"] = [{"counterSet": "missing", "counters": {"c": {"value": "1"}}}]
