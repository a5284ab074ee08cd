"""What an administrator's DeviceTaintRule does to a prediction, and how people read of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from partita_plugins.model.offer import Offer
from partita_plugins.wire import DRIVER_NAME, FAULT_TAINT_KEY, pool_name
from partita_plugins.wire.objects import Taint, Toleration
from partita_plugins.wire.resource_slice import ResourceSlice
from partita_plugins.wire.taint_rule import DeviceTaintRule
from partita_scheduler.allocator.rules import RULES
from partita_scheduler.cluster.slice_index import indexed
from partita_scheduler.cluster.taint_rules import RuleTaint, tainted
from partita_scheduler.cluster.view import ClusterView
from partita_scheduler.policy.decision import Decision, decide
from tests.scheduler.decision import small
from tests.scheduler.decision.fleet import claim, exactly, picked, pod, slices, view

FAULT = Taint(key=FAULT_TAINT_KEY, value="stuck-bit", effect="NoSchedule")
DRAIN = {"key": "example.com/drain", "value": "kernel", "effect": "NoSchedule"}


def rule(name: str = "drain", *, taint: dict[str, Any] = DRAIN, **spec: Any) -> DeviceTaintRule:
    """A rule; without `deviceSelector=` it has none."""
    return msgspec.convert({"metadata": {"name": name}, "spec": {"taint": taint, **spec}}, DeviceTaintRule)


def for_devices(name: str = "drain", *, taint: dict[str, Any] = DRAIN, **selector: str) -> DeviceTaintRule:
    return rule(name, taint=taint, deviceSelector=selector)


def fleet(*rules: DeviceTaintRule, minor: int = 37, nodes: tuple[str, ...] = ("a", "b"), **wish: Any) -> ClusterView:
    published = [one for name in nodes for one in slices(name, "a30-x4", Offer())]
    found = indexed(published, rules, all_without_selector=RULES[minor].rule_without_selector_taints_all)
    return view(found, claim("c", exactly(**wish)), minor=minor)


def decision(found: ClusterView) -> Decision:
    return decide(found, pod("c"), sorted(found.nodes))


def texts(found: Decision, node: str) -> list[str]:
    return [reason.text for reason in found.verdicts[node].reasons]


SLICE = small.slice_of("s", small.device("x"), small.device("y"))


def names_tainted(*rules: DeviceTaintRule, minor: int = 37, of: ResourceSlice = SLICE) -> list[str]:
    found = tainted(of, rules, all_without_selector=RULES[minor].rule_without_selector_taints_all)
    return [device.name for device in found.spec.devices if device.taints]


@pytest.mark.parametrize(
    ("selector", "which"),
    [
        ({}, ["x", "y"]),
        ({"driver": small.DRIVER}, ["x", "y"]),
        ({"pool": "p"}, ["x", "y"]),
        ({"device": "y"}, ["y"]),
        ({"driver": small.DRIVER, "pool": "p", "device": "x"}, ["x"]),
        ({"driver": "other.example.com"}, []),
        ({"pool": "q", "device": "x"}, []),
        ({"device": "z"}, []),
    ],
)
def test_a_device_is_tainted_where_all_that_the_rule_names_is_its_own(
    selector: dict[str, Any], which: list[str]
) -> None:
    assert names_tainted(for_devices(**selector)) == which


@pytest.mark.parametrize(("minor", "which"), [(36, ["x", "y"]), (37, [])])
def test_what_a_rule_without_a_selector_taints_differs_by_version(minor: int, which: list[str]) -> None:
    assert names_tainted(rule(), minor=minor) == which


def test_a_rules_taint_comes_after_the_drivers_own() -> None:
    own = small.slice_of("s", small.device("x", taints=[{"key": "a", "effect": "NoExecute"}]))
    rules = [for_devices("r1"), for_devices("r2")]
    [device] = tainted(own, rules, all_without_selector=False).spec.devices
    assert [one.rule if isinstance(one, RuleTaint) else one.key for one in device.taints] == ["a", "r1", "r2"]


def test_a_slice_that_no_rule_touches_is_the_same_object() -> None:
    assert tainted(SLICE, [for_devices(pool="q")], all_without_selector=False) is SLICE


def test_a_node_whose_gpus_a_rule_taints_is_passed_over_and_the_rule_is_named() -> None:
    found = decision(fleet(for_devices(pool=pool_name("a"))))
    assert found.order == ("b",)
    assert texts(found, "a") == ["every GPU tainted by rule drain (example.com/drain=kernel:NoSchedule)"]


def test_a_gpu_with_a_rule_of_its_own_is_named_by_its_slot() -> None:
    devices = [device for one in slices("a", "a30-x4", Offer()) for device in one.spec.devices]
    [name] = [device.name for device in devices if device.attributes["slot"].int_ == 3]
    found = decision(fleet(for_devices(device=name), count=4))
    told = "GPU 3 tainted by rule drain (example.com/drain=kernel:NoSchedule)"
    assert texts(found, "a") == ["needs 4 GPUs, 3 free", told]


def test_partitions_are_counted() -> None:
    published = slices("a", "hgx-h100")
    shapes = {device.name: device.attributes.get("shape") for one in published for device in one.spec.devices}
    names = [name for name, shape in shapes.items() if shape and shape.string == "3g"]
    ruled = indexed(published, [for_devices(device=names[0])], all_without_selector=False)
    found = decision(view(ruled, claim("c", exactly(kind="mig-3g", count=len(names))), minor=37))
    told = "one 3g tainted by rule drain (example.com/drain=kernel:NoSchedule)"
    assert texts(found, "a") == ["needs 16 3gs, 15 free", told]


def test_what_the_driver_says_of_a_gpu_is_told_before_the_rule() -> None:
    published = slices("a", "a30-x4", Offer(), taints={2: FAULT})
    ruled = indexed(published, [for_devices(driver=DRIVER_NAME)], all_without_selector=False)
    told = "GPUs 0, 1 and 3 tainted by rule drain (example.com/drain=kernel:NoSchedule)"
    found = decision(view(ruled, claim("c", exactly()), minor=37))
    assert texts(found, "a") == ["GPU 2 quarantined (fault: stuck-bit)", told]


@pytest.mark.parametrize(("effect", "order"), [("NoExecute", ("b",)), ("NoSchedule", ("b",)), ("None", ("a", "b"))])
def test_the_effect_says_whether_it_keeps_pods_away(effect: str, order: tuple[str, ...]) -> None:
    assert decision(fleet(for_devices(taint={**DRAIN, "effect": effect}, pool=pool_name("a")))).order == order


def test_a_claim_that_tolerates_it_gets_the_device_and_keeps_the_toleration() -> None:
    tolerates = [{"key": "example.com/drain", "operator": "Exists"}]
    found = decision(fleet(for_devices(driver=DRIVER_NAME), nodes=("a",), tolerations=tolerates))
    allocations = found.verdicts["a"].allocations
    assert allocations is not None
    [result] = allocations["c"].devices.results
    assert result.tolerations == [Toleration(key="example.com/drain", operator="Exists")]


def test_admin_access_needs_the_toleration_too() -> None:
    assert decision(fleet(for_devices(driver=DRIVER_NAME), adminAccess=True)).order == ()


def test_other_devices_of_the_node_are_taken_instead() -> None:
    before = picked(decision(fleet(nodes=("a",))).verdicts["a"])
    after = picked(decision(fleet(for_devices(device=before["c"][0]), nodes=("a",))).verdicts["a"])
    assert after["c"] != before["c"]
