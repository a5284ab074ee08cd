"""Random devices that have much in common, so that choices collide."""

from __future__ import annotations

from random import Random

from hack.benchmarks.predict.case import Json

MODELS, VERSIONS = "abc", ("1.0.0", "1.2.0", "1.2.0-rc.1", "2.0.0-alpha.10", "1.3.7+build.5")
SIZES = ("8Gi", "16Gi", "10G", "8192Mi", "1536Mi", "12884901888")
POLICIES: tuple[tuple[str, Json | None], ...] = (
    ("16Gi", {"default": "2Gi", "validRange": {"min": "1Gi", "max": "16Gi", "step": "1Gi"}}),
    ("16Gi", {"default": "4Gi", "validRange": {"min": "2Gi", "max": "14Gi", "step": "2Gi"}}),
    ("10G", {"default": "1G", "validRange": {"min": "500M", "step": "250M"}}),
    ("8Gi", {"default": "1Gi", "validRange": {"min": "512Mi"}}),
    ("8Gi", {"default": "1Gi", "validRange": {"min": "1Gi", "max": "6Gi"}}),
    ("12Gi", {"default": "2Gi", "validValues": ["1Gi", "2Gi", "4Gi", "12Gi"]}),
    ("8Gi", {"default": "3Gi"}),
    ("8Gi", None),
    ("16384", {"default": "2048", "validRange": {"min": "1024", "step": "1024"}}),
    ("8E", {"default": "1E", "validRange": {"min": "1E", "step": "1E"}}),
)
"""Memory of a shared device, and how it may be asked for."""

CORES: tuple[tuple[str, Json | None], ...] = (
    ("8", {"default": "1", "validRange": {"min": "1", "step": "1"}}),
    ("4", {"default": "500m", "validRange": {"min": "500m", "max": "4", "step": "250m"}}),
    ("100", {"default": "10", "validValues": ["10", "25", "50", "100"]}),
)


TAINT_KEYS = ("example.com/fault", "example.com/old")


def counter_sets(random: Random) -> list[Json]:
    sets = random.choice((1, 1, 2))
    unit = random.choice(("", "", "Gi", "00m"))
    return [
        {"name": f"s{i}", "counters": {f"c{j}": {"value": f"{random.choice((2, 3, 4, 8))}{unit}"} for j in range(3)}}
        for i in range(sets)
    ]


def device(random: Random, driver: str, counters: list[Json], index: int) -> Json:
    """One device. Its name says nothing about its place in the list."""
    made: Json = {"name": f"{random.choice('dge')}{index}", "attributes": _attributes(random)}
    shared = random.random() < 0.35
    if shared:
        made["allowMultipleAllocations"] = True
    capacity = _shared_capacity(random) if shared else _capacity(random)
    if capacity:
        made["capacity"] = capacity
    if counters and random.random() < 0.85:
        both = len(counters) > 1 and random.random() < 0.2
        made["consumesCounters"] = [_consumption(random, one) for one in random.sample(counters, 1 + both)]
    if random.random() < 0.1:
        made["taints"] = [taint(random) for _ in range(random.choice((1, 1, 2)))]
    if random.random() < 0.03:
        made["bindsToNode"] = True
    _write_out_domains(random, made, driver)
    return made


def _shared_capacity(random: Random) -> Json:
    found: Json = {}
    if random.random() < 0.9:
        size, policy = random.choice(POLICIES)
        found["memory"] = {"value": size} | ({"requestPolicy": policy} if policy else {})
        if random.random() < 0.4:
            size, policy = random.choice(CORES)
            found["cores"] = {"value": size} | ({"requestPolicy": policy} if policy else {})
    return found


def _capacity(random: Random) -> Json:
    found: Json = {}
    if random.random() < 0.8:
        found["memory"] = {"value": random.choice(SIZES)}
        if random.random() < 0.4:
            found["cores"] = {"value": random.choice(("4", "8", "2500m"))}
    return found


def _write_out_domains(random: Random, made: Json, driver: str) -> None:
    """A driver may write its own names out in full."""
    for part in ("attributes", "capacity"):
        for name in ("model", "island", "memory"):
            if name in made.get(part, {}) and random.random() < 0.06:
                made[part][f"{driver}/{name}"] = made[part].pop(name)


def _consumption(random: Random, counter_set: Json) -> Json:
    names = random.sample(sorted(counter_set["counters"]), random.choice((1, 1, 2, 3)))
    counters = {}
    for name in names:
        total = counter_set["counters"][name]["value"]
        counters[name] = {"value": random.choice(("1", "1", "2", total[0])) + total[1:]}
    return {"counterSet": counter_set["name"], "counters": counters}


def taint(random: Random) -> Json:
    """Of a device, or of a rule."""
    return {
        "key": random.choice(TAINT_KEYS),
        "value": random.choice(("", "x")),
        "effect": random.choice(("NoSchedule", "NoSchedule", "NoExecute", "None")),
    }


def _attributes(random: Random) -> Json:
    """Few values, so that devices share them; now and then one is missing or of another type."""
    every: Json = {
        "model": {"string": random.choice(MODELS)},
        "island": {"int": random.randrange(3)} if random.random() < 0.95 else {"string": "0"},
        "ready": {"bool": random.random() < 0.7},
        "version": {"version": random.choice(VERSIONS)},
        "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:0{random.randrange(3)}"},
        "uuid": {"string": f"{random.randrange(16**8):08x}"},
    }
    return {name: value for name, value in every.items() if random.random() < 0.92}
