"""The fleets that benchmarks measure on: what each node publishes, and in which order."""

from __future__ import annotations

import random

import pytest
from hack.benchmarks.fleet import Holders, machine_with, partitions, slices, whole_gpus
from hack.benchmarks.layout import MIG
from hack.benchmarks.naive import EVERYTHING, ORDER, naive_slices

from partita_plugins.errors import InvalidInput
from partita_plugins.wire.resource_slice import Device, ResourceSlice


def devices(found: list[ResourceSlice]) -> list[Device]:
    return [device for one in found for device in one.spec.devices]


def test_the_naive_layout_is_everything_in_the_worst_order_and_with_more_attributes() -> None:
    ours, theirs = devices(slices("n", "hgx-h100", EVERYTHING)), devices(naive_slices("n"))
    consumed = {one.name: one.consumes_counters for one in theirs if "-1g-me-" not in one.name}
    assert consumed == {one.name: one.consumes_counters for one in ours}
    assert len(theirs) == len({one.name for one in theirs}) == 208
    shapes = [one.attributes["shape"].string if "shape" in one.attributes else "gpu" for one in theirs]
    assert tuple(dict.fromkeys(shapes)) == ORDER
    assert {len(one.attributes) for one in theirs[:-8]} == {10}


def test_the_naive_layout_is_one_complete_pool() -> None:
    found = naive_slices("n")
    assert {one.spec.pool.resource_slice_count for one in found} == {len(found)}
    assert [bool(one.spec.shared_counters) for one in found] == [True, False, False, False, False]
    names = [one.metadata.name for one in found]
    assert names == sorted(set(names))


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


def test_where_partitions_are_offered_every_second_claim_holds_one() -> None:
    part_of = partitions("hgx-h100", MIG)
    holders = Holders(["a"], whole_gpus("hgx-h100"), random.Random(1), part_of)
    held = [one["status"]["allocation"]["devices"]["results"][0]["device"] for one in holders.fill(1.0)]
    parts = [name for name in held if "-mig-" in name]
    assert (len(held), len(parts)) == (8, 4)
    assert len({name.split("-mig-")[0] for name in held}) == 8, "no two of one GPU"
    assert all(name in part_of[name.split("-mig-")[0]] for name in parts)


def test_a_machine_that_does_not_exist_is_refused_with_the_sizes_there_are() -> None:
    assert machine_with(8) == "hgx-h100"
    with pytest.raises(InvalidInput, match="no machine has 7 GPUs"):
        machine_with(7)
