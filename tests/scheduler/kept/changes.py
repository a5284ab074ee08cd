"""What may happen to a cluster, drawn at random, and the comparison of what is kept with a decision made afresh."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from partita_plugins.contracts import PodShape
from partita_plugins.wire import DRIVER_NAME, pool_name
from partita_scheduler.assumed.assumptions import ASSUME_SECONDS
from partita_scheduler.cluster.view import Pod
from partita_scheduler.policy import decision as policy
from tests.scheduler.decision import small
from tests.scheduler.decision.fleet import TYPE, device_class
from tests.scheduler.kept.world import MINORS, NODES, WISHES, Twice, pod_of

CLAIMS = ("c0", "c1", "c2", "c3", "c4")
KINDS = tuple(WISHES)
MACHINES = ("a30-x4", "l40s-x8", "rtx-pro-6000-x8")
"""The last one offers partitions too."""

UUID = f'device.attributes["{DRIVER_NAME}"].uuid'
GPU = {"type": {"string": "gpu"}}
ZONE = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}


class Changes:
    """What may happen; the numbers choose to whom and how."""

    def node(self, world: Twice, i: int, j: int) -> None:
        world.node(NODES[i % 4], labels={"zone": "a"} if j % 2 else {}, own=str(j // 3))

    def node_gone(self, world: Twice, i: int, j: int) -> None:
        world.no_node(NODES[i % 4])

    def published(self, world: Twice, i: int, j: int) -> None:
        world.publish(NODES[i % 4], MACHINES[j % 3], faulty=(i % 3,) if j > 2 else ())

    def half_published(self, world: Twice, i: int, j: int) -> None:
        world.publish(NODES[i % 4], some=True)

    def slice_gone(self, world: Twice, i: int, j: int) -> None:
        world.no_slice(f"{j % 3:02d}-{NODES[i % 4]}")

    def for_a_zone(self, world: Twice, i: int, j: int) -> None:
        world.slice(small.slice_of("zone-1", *gpus(i % 3), nodeSelector=ZONE, pool="zone", driver=DRIVER_NAME))

    def over_two_nodes(self, world: Twice, i: int, j: int) -> None:
        device, generation = gpus(1 + j % 3, f"two-{j % 2}"), 1 + i // 3
        self._published(world, f"two-{j % 2}", *device, nodeName=NODES[i % 4], count=2, generation=generation)

    def counted_over_nodes(self, world: Twice, i: int, j: int) -> None:
        """One slice of three: the counters, and two devices that each node's takes one of."""
        device = small.device(f"counted-{j % 3}", {"c": 1}, attributes=GPU)
        has = {"sharedCounters": [{"name": "s", "counters": {"c": {"value": str(1 + i // 3)}}}]} if not j % 3 else {}
        found = [device] if j % 3 else []
        self._published(world, f"counted-{j % 3}", *found, nodeName=NODES[i % 4], pool="counted", count=3, **has)

    def each_device_elsewhere(self, world: Twice, i: int, j: int) -> None:
        reached = ({"nodeName": NODES[i % 4]}, {"nodeSelector": ZONE}, {"allNodes": True})
        found = [small.device(f"each-{k}", attributes=GPU, **where) for k, where in enumerate(reached[: 1 + j % 3])]
        self._published(world, "each", *found, pool="each", perDeviceNodeSelection=True)

    def shared_by_all_nodes(self, world: Twice, i: int, j: int) -> None:
        capacity = {"memory": {"value": f"{4 * j}Gi"}}
        found = small.device(
            "net", attributes={"type": {"string": "shared"}}, allowMultipleAllocations=True, capacity=capacity
        )
        self._published(world, "net", found, pool="net", allNodes=True)

    def gone_elsewhere(self, world: Twice, i: int, j: int) -> None:
        world.no_slice(("zone-1", "two-0", "two-1", "counted-1", "each", "net")[j])

    def _published(self, world: Twice, name: str, *devices: dict[str, Any], **more: Any) -> None:
        world.slice(small.slice_of(name, *devices, driver=DRIVER_NAME, **{"pool": "two", **more}))

    def ruled(self, world: Twice, i: int, j: int) -> None:
        named: tuple[dict[str, str], ...] = (
            {"pool": pool_name(NODES[i % 4])},
            {"driver": DRIVER_NAME},
            {"pool": "two"},
            {"device": "gpu-0"},
            {},
        )
        effect = ("NoSchedule", "NoExecute", "None")[i % 3]
        selector = {"deviceSelector": named[j]} if j < 5 else {}
        world.rule(f"r{i % 3}", taint={"key": f"k{j % 2}", "effect": effect}, **selector)

    def rule_gone(self, world: Twice, i: int, j: int) -> None:
        world.rule(f"r{i % 3}")

    def upgraded(self, world: Twice, i: int, j: int) -> None:
        world.upgraded(MINORS[j % 2])

    def wish(self, world: Twice, i: int, j: int) -> None:
        world.wish(CLAIMS[i], KINDS[(i + 3 * j) % len(KINDS)])

    def remade(self, world: Twice, i: int, j: int) -> None:
        world.remade(CLAIMS[i], KINDS[(i + 3 * j) % len(KINDS)])

    def freed(self, world: Twice, i: int, j: int) -> None:
        world.freed(CLAIMS[i])

    def allocated(self, world: Twice, i: int, j: int) -> None:
        world.allocate(CLAIMS[i], NODES[j % 4])

    def claim_gone(self, world: Twice, i: int, j: int) -> None:
        world.no_claim(CLAIMS[i])

    def extended(self, world: Twice, i: int, j: int) -> None:
        world.extended(f"x{i}", f"plain-{j % 2}", NODES[i % 4])

    def extended_gone(self, world: Twice, i: int, j: int) -> None:
        world.no_claim(f"x{i}")

    def class_changed(self, world: Twice, i: int, j: int) -> None:
        world.device_class(device_class("mig-1g.gpu.partita.dev", "true" if i % 2 else "false"))

    def plain_class_changed(self, world: Twice, i: int, j: int) -> None:
        devices = [device for one in world.slices.values() for device in one.spec.devices]
        uuids = [device.attributes["uuid"].string for device in devices if "uuid" in device.attributes]
        named = f'has({UUID}) && {UUID} == "{uuids[j % len(uuids)] if uuids else ""}"'
        expression = (f'{TYPE} == "shared"', f'{TYPE} == "gpu"', named)[i % 3]
        world.device_class(device_class(DRIVER_NAME, expression, extendedResourceName="nvidia.com/gpu"))

    def class_gone(self, world: Twice, i: int, j: int) -> None:
        world.no_class("mig-2g.gpu.partita.dev")

    def assumed(self, world: Twice, i: int, j: int) -> None:
        world.take(asking(i, j), list(NODES))

    def time_passed(self, world: Twice, i: int, j: int) -> None:
        world.clock.now += (1 + i) * ASSUME_SECONDS / 3

    def cpu(self, world: Twice, i: int, j: int) -> None:
        world.cpu(NODES[i % 4], 3000 * j)

    def learned(self, world: Twice, i: int, j: int) -> None:
        world.learned(
            (PodShape(gpus=1, cpu_milli=1000 * i), 1 + i), (PodShape(gpus=1, gpu_milli=250), j), (PodShape(gpus=4), 3)
        )

    def background(self, world: Twice, i: int, j: int) -> None:
        world.kept.step()


EACH = sorted(name for name in vars(Changes) if not name.startswith("_"))
OFTEN = ["background", "assumed", "allocated", "extended", "extended_gone", "time_passed"]
steps = st.lists(st.tuples(st.sampled_from([*EACH, *OFTEN, *OFTEN]), st.integers(0, 4), st.integers(0, 5)), max_size=30)


def asking(i: int, j: int) -> Pod:
    """Pods with claims, pods for plain GPUs, a wish that the API cannot express."""
    if j == 5:
        return pod_of("", f"plain-{i % 2}", gpus=1 + i % 2)
    if j == 3:
        return pod_of(f"{CLAIMS[i]} {CLAIMS[(i + 1) % 5]}", f"pod-{i}-both", gpus=i // 3, cpu=3 * i)
    return pod_of(CLAIMS[i], f"pod-{i}-{j % 2}", nvlink=j == 4)


def gpus(count: int, name: str = "gpu") -> list[dict[str, object]]:
    return [small.device(f"{name}-{number}", attributes=GPU) for number in range(count)]


def same(world: Twice, pod: Pod, names: list[str]) -> None:
    """Both ways agree, down to the bytes of the answer."""
    found = world.find(pod, names)
    expected = world.whole(pod, names)
    if found is None:
        assert not policy.concerns_us(world.view(), pod)
        return
    among = found.among(names)
    decision = among.decision()
    assert dict(decision.verdicts) == dict(expected.verdicts)
    assert decision.order == expected.order
    assert found.refusals(names) == expected.hard_refusals
    assert decision.notes == expected.notes
    scores = json.loads(msgspec.json.encode(among.scores(names)))
    assert {one["Host"]: one["Score"] for one in scores} == policy.scores(expected, names)
    assert [one["Host"] for one in scores] == names
    assert among.best == next(iter(expected.order), "")
