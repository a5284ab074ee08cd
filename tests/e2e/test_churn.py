"""200 random arrivals and departures: no device or memory slice ever belongs to two pods, as the containers see it."""

import random
from collections import Counter
from dataclasses import dataclass

from partita_plugins.wire.device_names import parse_name
from tests.e2e.installation import Installation
from tests.e2e.lab import Inside, Lab, request
from tests.e2e.predictions import predictions

EVENTS = 200
AT_ONCE = 8
"""Whatever the others hold, one more fits: the nodes have eight pairs of GPUs, and seven pods touch at most seven."""

WISHES = {
    "whole": request(),
    "1g": request(device_class="mig-1g.gpu.partita.dev"),
    "2g": request(device_class="mig-2g.gpu.partita.dev"),
    "3g": request(device_class="mig-3g.gpu.partita.dev"),
    "shared": request(device_class="shared.gpu.partita.dev", memory="10Gi"),
    "group": request(device_class="group-2.gpu.partita.dev"),
}


@dataclass(frozen=True, slots=True)
class Resident:
    """A running pod as its container sees itself."""

    node: str
    wish: str
    inside: Inside


def test_no_device_or_slice_ever_belongs_to_two_pods(lab: Lab, installation: Installation) -> None:
    chance = random.Random(20)
    residents: dict[str, Resident] = {}
    arrivals = 0
    for number in range(EVENTS):
        if residents and (len(residents) >= AT_ONCE or chance.random() < 0.45):
            leaver = chance.choice(sorted(residents))
            lab.delete_pod(leaver)
            lab.delete_claim(leaver)
            del residents[leaver]
            continue
        wish = chance.choice(sorted(WISHES))
        name = f"r{number}"
        lab.claim(name, WISHES[wish])
        lab.pod(name, claim=name)
        lab.running(name)
        residents[name] = Resident(lab.node_of(name), wish, lab.inside(name))
        _no_overlap(residents)
        _as_allocated(lab, name, residents[name])
        arrivals += 1
    results = Counter(p["result"] for p in predictions(installation, lab))
    # A pod that is asked about before its claim has reached the extender's watch has no prediction; none is ever wrong.
    assert not results["mismatch"]
    assert results["match"] >= 0.95 * arrivals


def _no_overlap(residents: dict[str, Resident]) -> None:
    exclusive: dict[tuple[str, str], str] = {}
    kinds: dict[tuple[str, str], set[str]] = {}
    for name, resident in residents.items():
        marks = resident.inside.caps or resident.inside.gpus
        for path in marks:
            key = (resident.node, path)
            if resident.wish != "shared":
                assert key not in exclusive, f"{name} and {exclusive[key]} both hold {path} on {resident.node}"
                exclusive[key] = name
        for path in resident.inside.gpus:
            kind = "mig" if resident.inside.caps else resident.wish
            kinds.setdefault((resident.node, path), set()).add(kind)
    for key, found in kinds.items():
        assert len(found) == 1, f"{key} is used as {found} at once"


def _as_allocated(lab: Lab, name: str, resident: Resident) -> None:
    results = lab.allocated(name)
    assert len(resident.inside.values("UUID")) == len(results)
    parsed = parse_name(results[0].device)
    assert bool(resident.inside.caps) == (parsed.profile_id is not None)
