"""The fleets that benchmarks measure on: what each node publishes, and in which order."""

from __future__ import annotations

import random

import pytest
from hack.benchmarks.fleet import Holders, machine_with, slices, whole_gpus
from hack.benchmarks.layout import MIG, NAIVE, PROFILES, naive

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource import Device, ResourceSlice


def devices(found: list[ResourceSlice]) -> list[Device]:
    return [device for one in found for device in one.spec.devices]


def test_the_naive_layout_has_the_same_devices_in_the_worst_order_and_with_more_attributes() -> None:
    ours, theirs = (devices(find) for find in (slices("n", "hgx-h100", NAIVE), naive(slices("n", "hgx-h100", NAIVE))))
    assert {one.name: one.consumes_counters for one in ours} == {one.name: one.consumes_counters for one in theirs}
    shapes = [one.attributes["shape"].string if "shape" in one.attributes else "" for one in theirs]
    assert [shape for shape in dict.fromkeys(shapes) if shape] == list(PROFILES)
    assert shapes[-8:] == [""] * 8
    assert min(len(one.attributes) for one in theirs) > min(len(one.attributes) for one in ours) + 4


def test_nodes_differ_in_their_uuids_alone() -> None:
    one, other = (devices(slices(name, "hgx-h100", MIG)) for name in ("n1", "n2"))
    differing = [
        name
        for a, b in zip(one, other, strict=True)
        for name in a.attributes
        if a.attributes[name] != b.attributes[name]
    ]
    assert differing == ["uuid"] * 8


def test_a_gpu_has_one_holder_at_a_time() -> None:
    holders = Holders(["a", "b"], whole_gpus("a30-x4"), random.Random(1))
    held = {claim["metadata"]["name"]: str(claim["status"]["allocation"]["devices"]) for claim in holders.fill(0.5)}
    for _ in range(20):
        del held[holders.give_back()]
        claim = holders.take()
        held[claim["metadata"]["name"]] = str(claim["status"]["allocation"]["devices"])
        assert len(set(held.values())) == len(held) == 4


def test_a_machine_that_does_not_exist_is_refused_with_the_sizes_there_are() -> None:
    assert machine_with(8) == "hgx-h100"
    with pytest.raises(InvalidInput, match="no machine has 7 GPUs"):
        machine_with(7)
