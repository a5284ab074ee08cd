"""A pod of the batch's own that comes last: kube-scheduler has seen everything when it treats it as it must."""

from __future__ import annotations

from dataclasses import dataclass

from hack.benchmarks.predict.case import Json
from hack.benchmarks.predict.devices import TAINT_KEYS

TAINTED, FREE = "tainted", "free"
"""The first device is the witness's unless the rule is known, the other one then."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Objects as bodies, to be made in this order."""

    rule: Json
    slice_: Json
    claim: Json
    pod: Json


def witness(name: str, node: str) -> Witness:
    """For a node and a class of the same name."""
    driver, metadata = f"{name}.example.com", {"name": name}
    taint = {"key": "example.com/last", "effect": "NoSchedule"}
    rule = {"deviceSelector": {"driver": driver, "device": TAINTED}, "taint": taint}
    pool = {"name": name, "resourceSliceCount": 1, "generation": 1}
    devices = [{"name": TAINTED}, {"name": FREE}]
    only_its_own = {"cel": {"expression": f'device.driver == "{driver}"'}}
    # A rule of a case may taint every device.
    tolerations = [{"key": key, "operator": "Exists"} for key in TAINT_KEYS]
    exactly = {"deviceClassName": node, "selectors": [only_its_own], "tolerations": tolerations}
    pod = {
        "containers": [{"name": "c", "image": "none"}],
        "tolerations": [{"operator": "Exists"}],
        "resourceClaims": [{"name": "c", "resourceClaimName": name}],
    }
    return Witness(
        rule={"metadata": metadata, "spec": rule},
        slice_={"metadata": metadata, "spec": {"driver": driver, "pool": pool, "nodeName": node, "devices": devices}},
        claim={"metadata": metadata, "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}},
        pod={"metadata": metadata, "spec": pod},
    )
