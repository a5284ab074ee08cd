"""A monitor beside GPUs that are all held: who gets it, and what is said to those who do not."""

from __future__ import annotations

from typing import Any

from partita_plugins.model.offer import Offer
from partita_plugins.wire import MONITOR_TAINT_KEY
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.policy.decision import decide
from partita_scheduler.policy.row import Verdict
from tests.scheduler.decision.fleet import (
    allocated,
    claim,
    devices,
    exactly,
    holding,
    picked,
    pod,
    slices,
    view,
    with_claims,
)

WATCHED = Offer(monitor=True)
TOLERATES = [{"key": MONITOR_TAINT_KEY, "operator": "Exists", "effect": "NoSchedule"}]
LOOKING: dict[str, Any] = {"adminAccess": True, "tolerations": TOLERATES}

_, PUBLISHED = devices("hgx-h100", WATCHED, "a")
GPUS = [device.name for device in PUBLISHED if device.name != "monitor"]
BUSY: ClusterView = view({"a": slices("a", "hgx-h100", WATCHED)}, holding("all", "a", *GPUS))


def verdict(kind: str = "", **more: Any) -> Verdict:
    wanted = claim("c", exactly(kind=kind, **more))
    return decide(with_claims(BUSY, wanted), pod("c"), ["a"]).verdicts["a"]


def reasons(found: Verdict) -> list[str]:
    assert found.allocations is None
    return [reason.text for reason in found.reasons]


def test_a_monitor_starts_beside_gpus_that_are_all_held_and_so_does_the_next() -> None:
    found = verdict("monitor", **LOOKING)
    assert picked(found) == {"c": ["monitor"]}
    assert found.explanation.partition(";")[0] == "takes monitor"
    (allocation,) = (found.allocations or {}).values()
    assert [result.admin_access for result in allocation.devices.results] == [True]
    first = allocated(claim("first", exactly(kind="monitor", **LOOKING)), allocation)
    second = claim("second", exactly(kind="monitor", **LOOKING))
    again = decide(with_claims(BUSY, first, second), pod("second"), ["a"]).verdicts["a"]
    assert picked(again) == {"second": ["monitor"]}


def test_admin_access_to_the_gpus_themselves_waits_for_their_counters() -> None:
    """kube-scheduler exempts admin access from "in use", not from counters: this is why there is a monitor."""
    assert reasons(verdict(adminAccess=True)) == ["no GPU free"]


def test_a_claim_for_any_device_waits_rather_than_get_the_monitor() -> None:
    assert reasons(verdict("any")) == ["no GPU free"]
    assert picked(verdict("any", **LOOKING)) == {"c": ["monitor"]}


def test_admin_access_without_the_toleration_is_told_what_is_missing() -> None:
    told = f"the node's monitor needs adminAccess and a toleration of {MONITOR_TAINT_KEY}"
    assert reasons(verdict("monitor", adminAccess=True)) == reasons(verdict("monitor")) == [told]


def test_a_monitor_takes_nothing_from_those_who_compute() -> None:
    free = view({"a": slices("a", "hgx-h100", WATCHED)})
    (allocation,) = (verdict("monitor", **LOOKING).allocations or {}).values()
    looking = claim("looking", exactly(kind="monitor", **LOOKING))
    wanted = claim("c", exactly(count=8))
    found = decide(with_claims(free, allocated(looking, allocation), wanted), pod("c"), ["a"]).verdicts["a"]
    assert len(picked(found)["c"]) == 8
